package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/backuprequest"
	"example.com/kafkatest/backuprequest/sqlite"
)

// process is a command in a process of its own.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *transcript
	stderr *transcript
}

// launch starts a program. It is killed at the end of the test.
func launch(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program, args...), stdout: newTranscript(), stderr: newTranscript()}
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill() // it may have ended meanwhile
			_ = p.cmd.Wait()         // killed
		}
	})
	return p
}

func (p *process) write(lines ...string) {
	p.t.Helper()
	_, err := io.WriteString(p.stdin, strings.Join(lines, "\n")+"\n")
	require.NoError(p.t, err)
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// wait is the exit status, and -1 after a signal.
func (p *process) wait() int {
	p.t.Helper()
	err := p.cmd.Wait()
	p.t.Logf("standard error:\n%s", p.stderr)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// built are the programs of this module, from go build.
func built(t *testing.T, packages ...string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	build := exec.Command("go", append([]string{"build", "-o", folder + string(filepath.Separator)}, packages...)...)
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return folder
}

func TestRun_killedAndRunAgainLosesNothing(t *testing.T) {
	bin := built(t, ".", "example.com/kafkatest/fakebroker/cmd/fakebroker")
	broker := launch(t, filepath.Join(bin, "fakebroker"), "--listen", "127.0.0.1:0")
	broker.stdout.await(t, "listening on 127.0.0.1:", "\n")
	address := strings.TrimSpace(strings.TrimPrefix(broker.stdout.String(), "listening on "))

	const all = 400
	ids, lines := make([]string, all), make([]string, all)
	for i := range all {
		ids[i] = fmt.Sprintf("id-%d", i)
		lines[i] = requestLine(ids[i])
	}
	database := filepath.Join(t.TempDir(), "requests.db")
	command := []string{"run", "--json", "--brokers", address, "--db", database}

	// Half of the lines come through. Then the database is locked, so that of
	// the other half nothing does but the first step, and that is the moment.
	first := launch(t, filepath.Join(bin, "backuprequest"), append(command, "-")...)
	first.write(lines[:all/2]...)
	for _, id := range ids[:all/2] {
		first.stdout.await(t, "received "+id+" ")
	}
	unlock, err := lock(database)
	require.NoError(t, err)
	require.Equal(t, all/2, count(t, database))
	first.write(lines[all/2:]...)
	awaitRecords(t, address, backuprequest.TopicBackupRequestAccepted, all)
	first.signal(syscall.SIGKILL)
	require.Equal(t, -1, first.wait())
	require.NoError(t, unlock())
	require.Equal(t, all/2, count(t, database))

	second := launch(t, filepath.Join(bin, "backuprequest"), append(command, written(t, lines...))...)
	require.Equal(t, 0, second.wait())
	have, err := lastTally(second.stdout.String())
	require.NoError(t, err)
	assert.Equal(t, tally{Lines: all, Accepted: all, Received: all}, have)

	repository, err := sqlite.Open(context.Background(), database)
	require.NoError(t, err)
	defer func() { require.NoError(t, repository.Close()) }()
	received := keys(t, address, backuprequest.TopicBackupRequestReceived)
	for _, id := range ids {
		_, err := repository.Find(context.Background(), id)
		assert.NoError(t, err)
		assert.Contains(t, received, id)
	}
	assert.Equal(t, all, count(t, database))
}

// awaitRecords waits until a topic has that many records.
func awaitRecords(t *testing.T, address, topic string, want int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	require.Eventually(t, func() bool {
		ends, err := admin.ListEndOffsets(context.Background(), topic)
		if err != nil || ends.Error() != nil {
			return false
		}
		var have int64
		ends.Each(func(o kadm.ListedOffset) { have += o.Offset })
		return have >= want
	}, 30*time.Second, 10*time.Millisecond)
}

// keys are those of all records of a topic.
func keys(t *testing.T, address, topic string) map[string]bool {
	t.Helper()
	stdout := newTranscript()
	require.Equal(t, 0, execute([]string{"consume", topic, "--brokers", address}, streams{nil, stdout, io.Discard}))
	found := map[string]bool{}
	for line := range strings.Lines(stdout.String()) {
		_, rest, _ := strings.Cut(line, " key=")
		key, _, _ := strings.Cut(rest, " ")
		found[key] = true
	}
	return found
}

func TestRun_interruptedDrains(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			p := launch(t, "backuprequest", "run", "--json", "--db", filepath.Join(t.TempDir(), "requests.db"), "-")
			p.write(requestLine("a"), "", "nonsense", requestLine("b"))
			p.stdout.await(t, "received a ", "received b ")
			p.signal(s)
			require.Equal(t, 0, p.wait())
			assert.Contains(t, p.stderr.String(), "interrupted: stopped after line 4; waiting for what was accepted")
			have, err := lastTally(p.stdout.String())
			require.NoError(t, err)
			assert.Equal(t, tally{Lines: 3, Accepted: 2, Rejected: 1, Received: 2}, have)
		})
	}
}

func TestRun_interruptedWaitsForWhatIsRetried(t *testing.T) {
	database := filepath.Join(t.TempDir(), "requests.db")
	unlock, err := lock(database)
	require.NoError(t, err)
	p := launch(t, "backuprequest", "run", "--json", "--db", database, "--db-timeout", "500ms", "--attempts", "1000", "-")
	p.write(requestLine("a"))
	p.stderr.await(t, "trying again: ")
	p.signal(os.Interrupt)
	p.stderr.await(t, "interrupted: stopped after line 1")
	require.NoError(t, unlock())
	require.Equal(t, 0, p.wait())
	assert.Equal(t, 1, count(t, database))
}

func TestRun_interruptedDoesNotDrainForEver(t *testing.T) {
	database := filepath.Join(t.TempDir(), "requests.db")
	unlock, err := lock(database)
	require.NoError(t, err)
	defer func() { require.NoError(t, unlock()) }()
	p := launch(t, "backuprequest", "run", "--json", "--db", database, "--db-timeout", "500ms", "--attempts", "1000", "--drain-timeout", "100ms", "-")
	p.write(requestLine("a"))
	p.stderr.await(t, "trying again: ")
	p.signal(os.Interrupt)
	require.Equal(t, int(statusFailed), p.wait())
	assert.Contains(t, p.stderr.String(), "interrupted, and the time to drain has passed")
	assert.Contains(t, p.stderr.String(), "1 of the accepted ids: a (line 1)")
}

func TestRun_interruptedTwiceEndsAtOnce(t *testing.T) {
	database := filepath.Join(t.TempDir(), "requests.db")
	unlock, err := lock(database)
	require.NoError(t, err)
	defer func() { require.NoError(t, unlock()) }()
	p := launch(t, "backuprequest", "run", "--db", database, "--db-timeout", "500ms", "--attempts", "1000", "--drain-timeout", "1h", "-")
	p.write(requestLine("a"))
	p.stderr.await(t, "trying again: ")
	p.signal(os.Interrupt)
	p.stderr.await(t, "interrupted: stopped after line 1")
	p.signal(os.Interrupt)
	assert.Equal(t, -1, p.wait())
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	assert.Equal(t, syscall.SIGINT, status.Signal())
}

func TestRun_outlivesTheReaderOfItsOutput(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, read.Close())
	cmd := exec.Command("backuprequest", "run", "--json", "--db", filepath.Join(t.TempDir(), "requests.db"), written(t, requestLine("a")))
	stderr := newTranscript()
	cmd.Stdout, cmd.Stderr = write, stderr
	require.NoError(t, cmd.Run(), stderr)
	require.NoError(t, write.Close())
	have, err := lastTally(stderr.String())
	require.NoError(t, err)
	assert.Equal(t, tally{Lines: 1, Accepted: 1, Received: 1}, have)
	assert.NotContains(t, stderr.String(), "panic")
}
