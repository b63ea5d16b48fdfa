package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/backuprequest"
	"example.com/kafkatest/backuprequest/sqlite"
	"example.com/kafkatest/fakebroker"
)

// requestLine is a line that is right.
func requestLine(id string) string {
	return fmt.Sprintf(`{"backupRequestId":%q,"backupJobId":"job-1","dataDate":"2026-02-28","preparedDataPathName":"/prepared/%s.tar","requesterId":"r"}`, id, id)
}

// written is a file with those lines.
func written(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "requests.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600))
	return path
}

// session is a command that runs in this process, its output readable while it
// runs.
type session struct {
	t      *testing.T
	stdin  *io.PipeWriter
	stdout *transcript
	stderr *transcript
	exited chan int
}

// begin runs a command line with a pipe as its standard input.
func begin(t *testing.T, args ...string) *session {
	t.Helper()
	in, stdin := io.Pipe()
	s := &session{t: t, stdin: stdin, stdout: newTranscript(), stderr: newTranscript(), exited: make(chan int, 1)}
	go func() { s.exited <- execute(args, streams{in, s.stdout, s.stderr}) }()
	return s
}

func (s *session) write(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		_, err := io.WriteString(s.stdin, line+"\n")
		require.NoError(s.t, err)
	}
}

// end closes standard input, waits, and wants that exit status and tally.
func (s *session) end(status status, want tally) {
	s.t.Helper()
	require.NoError(s.t, s.stdin.Close())
	have := <-s.exited
	s.t.Logf("standard error:\n%s", s.stderr)
	assert.Equal(s.t, int(status), have)
	got, err := lastTally(s.stdout.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, want, got)
}

func TestRun_countsTenThousandLines(t *testing.T) {
	lines := make([]string, 0, 10_000)
	for i := range 9_890 {
		lines = append(lines, requestLine(fmt.Sprintf("id-%d", i)))
		if i%99 == 0 && i < 9_900 {
			lines = append(lines, lines[len(lines)-1])
		}
	}
	for i := range 10 {
		lines = append(lines, fmt.Sprintf("malformed %d", i))
	}
	require.Len(t, lines, 10_000)

	database := filepath.Join(t.TempDir(), "requests.db")
	var stdout, stderr bytes.Buffer
	status := execute([]string{"run", "--json", "--db", database, written(t, lines...)}, streams{nil, &stdout, &stderr})
	assert.Equal(t, int(statusOK), status)
	have, err := lastTally(stdout.String())
	require.NoError(t, err)
	assert.Equal(t, tally{Lines: 10_000, Accepted: 9_990, Rejected: 10, Received: 9_890, Duplicates: 100}, have)
	assert.Equal(t, 9_990, strings.Count(stdout.String(), "received id-"))
	assert.Equal(t, 10, strings.Count(stderr.String(), ": rejected: "))
	assert.Equal(t, 9_890, count(t, database))
}

func count(t *testing.T, database string) int {
	t.Helper()
	repository, err := sqlite.Open(context.Background(), database)
	require.NoError(t, err)
	defer func() { require.NoError(t, repository.Close()) }()
	n, err := repository.Count(context.Background())
	require.NoError(t, err)
	return n
}

func TestRun_takesTheFirstOfTwoRequestsWithOneID(t *testing.T) {
	database := filepath.Join(t.TempDir(), "requests.db")
	lines := make([]string, 0, 200)
	for i := range 100 {
		line := requestLine(fmt.Sprintf("id-%d", i))
		lines = append(lines, line, strings.Replace(line, "job-1", "job-2", 1))
	}
	var stdout bytes.Buffer
	require.Equal(t, 0, execute([]string{"run", "--db", database, written(t, lines...)}, streams{nil, &stdout, io.Discard}))
	repository, err := sqlite.Open(context.Background(), database)
	require.NoError(t, err)
	defer func() { require.NoError(t, repository.Close()) }()
	for i := range 100 {
		request, err := repository.Find(context.Background(), fmt.Sprintf("id-%d", i))
		require.NoError(t, err)
		assert.Equal(t, "job-1", request.BackupJobID, request.BackupRequestID)
	}
}

func TestRun_retriesWhileTheDatabaseIsLocked(t *testing.T) {
	database := filepath.Join(t.TempDir(), "requests.db")
	unlock, err := lock(database)
	require.NoError(t, err)
	s := begin(t, "run", "--json", "--db", database, "--db-timeout", "500ms", "--attempts", "1000", "--partitions", "1", "-")
	s.write(requestLine("a"), requestLine("b"))
	s.stderr.await(t, "trying again: repository: cannot save")
	require.NoError(t, unlock())
	require.NoError(t, s.stdin.Close())
	assert.Equal(t, int(statusOK), <-s.exited, s.stderr)
	have, err := lastTally(s.stdout.String())
	require.NoError(t, err)
	assert.Positive(t, have.Retried)
	have.Retried = 0
	assert.Equal(t, tally{Lines: 2, Accepted: 2, Received: 2}, have)
	assert.Equal(t, 2, count(t, database))
}

func TestRun_countsTheDeadLetterOfAnothersBadMessage(t *testing.T) {
	b := fakebroker.Run(t)
	s := begin(t, "run", "--json", "--db", filepath.Join(t.TempDir(), "requests.db"), "--brokers", b.Addrs()[0], "--group", "g.1", "-")
	s.write(requestLine("a"), requestLine("b"))
	s.stdout.await(t, "received a ", "received b ")

	// Somebody else's records: a bad one with an id of ours, and one with an id
	// that is not.
	client, err := kgo.NewClient(b.ClientOptions()...)
	require.NoError(t, err)
	defer client.Close()
	for _, id := range []string{"a", "foreign"} {
		r := &kgo.Record{Topic: backuprequest.TopicBackupRequestAccepted, Key: []byte(id), Value: []byte("\x1b[2Jbad")}
		require.NoError(t, client.ProduceSync(context.Background(), r).FirstErr())
	}
	s.write(requestLine("a")) // behind the bad one, with the same key
	s.end(statusDeadLettered, tally{Lines: 3, Accepted: 3, Received: 1, Duplicates: 1, DeadLettered: 1})
	assert.Contains(t, s.stderr.String(), "line 1: dead letter: a at backup-request-accepted.g_2e1.dlt[")
	assert.NotContains(t, s.stderr.String(), "dead letter: foreign")
	assert.NotContains(t, s.stderr.String(), "\x1b")
}

func TestRun_leavesOneGroupBehind(t *testing.T) {
	b := fakebroker.Run(t)
	s := begin(t, "run", "--json", "--db", filepath.Join(t.TempDir(), "requests.db"), "--brokers", b.Addrs()[0], "-")
	s.write(requestLine("a"))
	s.end(statusOK, tally{Lines: 1, Accepted: 1, Received: 1})
	groups := b.Groups()
	require.Len(t, groups, 1)
	assert.Equal(t, "backup-request", groups[0].Name)
	assert.Empty(t, groups[0].Members)
	for _, o := range groups[0].Offsets {
		assert.Zero(t, o.Lag, o)
	}
}

func TestRun_survivesABrokerThatGoesAwayAndComesBack(t *testing.T) {
	b := fakebroker.Run(t)
	s := begin(t, "run", "--json", "--db", filepath.Join(t.TempDir(), "requests.db"), "--brokers", b.Addrs()[0], "--connect-timeout", "2s", "--log-level", "warn", "-")
	s.write(requestLine("a"))
	s.stdout.await(t, "received a ")
	down := b.TakeDown(0)
	s.stderr.await(t, "lost the connection to kafka")
	s.write(requestLine("b"), requestLine("c"), requestLine("b"))
	s.stderr.await(t, "trying again: publisher: cannot publish")
	down.Clear()
	s.stdout.await(t, "received b ", "received c ")
	s.end(statusOK, tally{Lines: 4, Accepted: 4, Received: 3, Duplicates: 1})
}

func TestRun_failsWhenTheBrokerRefusesForGood(t *testing.T) {
	b := fakebroker.Run(t)
	s := begin(t, "run", "--json", "--db", filepath.Join(t.TempDir(), "requests.db"), "--brokers", b.Addrs()[0], "-")
	s.write(requestLine("a"))
	s.stdout.await(t, "received a ")
	b.Refuse(kerr.TopicAuthorizationFailed, fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, Topic: backuprequest.TopicBackupRequestAccepted})
	s.write(requestLine("b"))
	s.stderr.await(t, "stopped after line 2")
	s.end(statusFailed, tally{Lines: 2, Accepted: 2, Received: 1, Lost: 1})
	assert.Contains(t, s.stderr.String(), "line 2: publisher: cannot publish")
	assert.Contains(t, s.stderr.String(), "lost, having neither a Received nor a dead letter: 1 of the accepted ids: b (line 2)")
}

func TestRun_failsWhenTheInputBreaks(t *testing.T) {
	s := begin(t, "run", "--json", "--db", filepath.Join(t.TempDir(), "requests.db"), "-")
	s.write(requestLine("a"))
	require.NoError(t, s.stdin.CloseWithError(io.ErrUnexpectedEOF))
	s.end(statusFailed, tally{Lines: 1, Accepted: 1, Received: 1})
	assert.Contains(t, s.stderr.String(), "reading line 2: unexpected EOF")
}

func TestRun_goesOnWhenNobodyReadsItsOutput(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status status
	}{
		"reader gone": {io.ErrClosedPipe, statusOK},
		"disk full":   {io.ErrShortWrite, statusFailed},
	} {
		t.Run(name, func(t *testing.T) {
			database := filepath.Join(t.TempDir(), "requests.db")
			var stderr bytes.Buffer
			file := written(t, requestLine("a"), requestLine("b"))
			status := execute([]string{"run", "--json", "--db", database, file}, streams{nil, failing{c.err}, &stderr})
			assert.Equal(t, int(c.status), status)
			assert.Equal(t, 1, strings.Count(stderr.String(), "cannot write to standard output"))
			have, err := lastTally(stderr.String())
			require.NoError(t, err)
			assert.Equal(t, tally{Lines: 2, Accepted: 2, Received: 2}, have)
			assert.Equal(t, 2, count(t, database))
		})
	}
}

// failing is a writer that fails.
type failing struct{ err error }

func (w failing) Write([]byte) (int, error) { return 0, w.err }
