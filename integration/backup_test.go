package integration

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
	"example.com/kafkatest/backuprequest/sqlite"
	"example.com/kafkatest/integration/kafka"
)

const backupGroup = "backup-request"

// backup is the service on a cluster, as its operators see it: the program, its
// database, and the topics.
type backup struct {
	t        *testing.T
	program  string
	brokers  string
	database string
	adm      *kadm.Client
	cl       *kgo.Client
}

// Requests are accepted, received and saved, through what keeps them from it: a
// locked database, a message that is none, and a process that is killed.
func TestBackup_fromTheFirstEventToARedrive(t *testing.T) {
	k := kafka.Run(t, kafka.Config{})
	b := newBackup(t, k)

	// The database is locked for longer than the attempts last.
	release := b.lock()
	status, tally := b.run("--db-timeout", "200ms", "--attempts", "2", "--partitions", "3", b.file("a", "b", "nonsense", "c"))
	b.want(status == 3, "exit status %d", status)
	b.want(tally == (backupTally{Lines: 4, Accepted: 3, Rejected: 1, DeadLettered: 3, Retried: 3}), "%+v", tally)
	release()
	b.want(b.saved() == 0, "%d requests are saved", b.saved())

	// What does not decode is given up at once, as it is.
	b.produce("{no request")
	status, tally = b.run(b.file("d"))
	b.want(status == 0, "exit status %d", status)
	b.want(tally == (backupTally{Lines: 1, Accepted: 1, Received: 1}), "%+v", tally)
	b.want(len(b.values(b.letters())) == 4 && b.values(b.letters())["{no request"] == 1, "dead letters: %v", b.values(b.letters()))

	// The locked database's are taken back, once.
	status, said := b.execute("redrive", "--error", "unavailable", "--json")
	b.want(status == 0 && strings.Contains(said, `"matched":3,"redriven":0,"already":0,"capped":0,"tooLarge":0,"would":3}`), "%d: %s", status, said)
	status, said = b.execute("redrive", "--error", "unavailable", "--apply", "--json")
	b.want(status == 0 && strings.Contains(said, `"matched":3,"redriven":3,`), "%d: %s", status, said)
	status, said = b.execute("redrive", "--error", "unavailable", "--apply", "--json")
	b.want(status == 0 && strings.Contains(said, `"redriven":0,"already":3,`), "%d: %s", status, said)

	// One run takes them, and others, while the database comes and goes; it is killed,
	// and another goes on.
	const more = 200
	var lines []string
	for i := range more {
		lines = append(lines, request(fmt.Sprint("id-", i)))
	}
	killed := b.start("run", "--db-timeout", "200ms", "--attempts", "1000", "-")
	killed.write(lines[:more/2]...)
	b.until("the redriven ones are saved, and half of the others", func() bool { return b.saved() == 4+more/2 })
	release = b.lock()
	killed.write(lines[more/2:]...)
	b.until("all are accepted", func() bool { return b.end(backuprequest.TopicBackupRequestAccepted) == 3+1+1+more })
	b.must(killed.cmd.Process.Signal(syscall.SIGKILL))
	_ = killed.cmd.Wait() // killed
	release()
	b.want(b.saved() == 4+more/2, "%d requests are saved", b.saved())
	next := b.start("run", "--db-timeout", "200ms", "--attempts", "1000", "-")
	b.until("all are saved", func() bool { return b.saved() == 4+more })
	next.write(request("last"))
	b.until("it goes on", func() bool { return b.saved() == 5+more })
	b.must(next.input.Close())
	b.must(next.cmd.Wait())

	for _, id := range append([]string{"a", "b", "c", "d", "last"}, ids(more)...) {
		b.want(b.received()[id] > 0, "%s was not received", id)
	}
	b.want(len(b.values(b.letters())) == 4, "dead letters: %v", b.values(b.letters()))
	for _, topic := range []string{backuprequest.TopicBackupRequestAccepted, adapter.RedriveTopic(backuprequest.TopicBackupRequestAccepted, backupGroup)} {
		b.want(b.committed(topic) == b.end(topic), "%s: %d of %d are committed", topic, b.committed(topic), b.end(topic))
	}
}

func newBackup(t *testing.T, k *kafka.Kafka) *backup {
	t.Helper()
	b := &backup{t: t, brokers: strings.Join(k.Addrs(), ",")}
	dir := t.TempDir()
	b.program, b.database = filepath.Join(dir, "backuprequest"), filepath.Join(dir, "requests.db")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", b.program, "./backuprequest/cmd/backuprequest")
	build.Dir = ".." // whose go.sum it is built by
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var err error
	b.cl, err = kgo.NewClient(k.ClientOptions()...)
	b.must(err)
	t.Cleanup(b.cl.Close)
	b.adm = kadm.NewClient(b.cl)
	topics, err := b.adm.ListTopics(t.Context())
	b.must(err)
	for _, name := range topics.Names() {
		if strings.HasPrefix(name, backuprequest.TopicBackupRequestAccepted) || strings.HasPrefix(name, backuprequest.TopicBackupRequestReceived) {
			t.Fatalf("topic %s is there already, and may be somebody's: run this on a cluster without", name)
		}
	}
	groups, err := b.adm.DescribeGroups(t.Context(), backupGroup)
	b.must(err)
	if g := groups[backupGroup]; g.Err == nil && g.State != "Dead" {
		t.Fatalf("group %s is there already, and may be somebody's: run this on a cluster without", backupGroup)
	}
	t.Cleanup(b.clean)
	return b
}

// clean leaves a cluster that was there before as it was.
func (b *backup) clean() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	received := backuprequest.TopicBackupRequestReceived
	accepted := backuprequest.TopicBackupRequestAccepted
	for _, topic := range []string{received, accepted, b.letters(), adapter.RedriveTopic(accepted, backupGroup)} {
		if _, err := b.adm.DeleteTopic(ctx, topic); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			b.t.Error(err)
		}
	}
	if _, err := b.adm.DeleteGroup(ctx, backupGroup); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		b.t.Error(err)
	}
}

func (b *backup) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *backup) want(ok bool, format string, args ...any) {
	b.t.Helper()
	if !ok {
		b.t.Fatalf(format, args...)
	}
}

func (b *backup) until(what string, holds func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("not within a minute: %s; %d requests are saved", what, b.saved())
		}
	}
}

// request is a line of a file.
func request(id string) string {
	if id == "nonsense" {
		return id
	}
	return fmt.Sprintf(`{"backupRequestId":%q,"backupJobId":"j","dataDate":"2026-02-28","preparedDataPathName":"/p","requesterId":"r"}`, id)
}

func ids(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint("id-", i))
	}
	return all
}

// file is a file with requests.
func (b *backup) file(ids ...string) string {
	b.t.Helper()
	var lines []string
	for _, id := range ids {
		lines = append(lines, request(id))
	}
	name := filepath.Join(b.t.TempDir(), "requests.jsonl")
	b.must(os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return name
}

// backupTally is what run says at its end.
type backupTally struct {
	Lines, Accepted, Rejected, Received, Duplicates, DeadLettered, Lost, Retried int
}

// run runs the service over a file.
func (b *backup) run(args ...string) (status int, tally backupTally) {
	b.t.Helper()
	status, said := b.execute("run", append([]string{"--json", "--db", b.database}, args...)...)
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &tally); err != nil {
		b.t.Fatalf("exit status %d, and no tally: %v: %s", status, err, said)
	}
	return status, tally
}

// execute runs a command to its end.
func (b *backup) execute(command string, args ...string) (status int, said string) {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), b.program, append([]string{command, "--brokers", b.brokers}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	b.t.Logf("%s said:\n%s", command, &stderr)
	return cmd.ProcessState.ExitCode(), string(out)
}

// service is a run that goes on until its input ends.
type service struct {
	b     *backup
	cmd   *exec.Cmd
	input io.WriteCloser
}

func (b *backup) start(command string, args ...string) *service {
	b.t.Helper()
	s := &service{b: b, cmd: exec.CommandContext(b.t.Context(), b.program, append([]string{command, "--brokers", b.brokers, "--db", b.database}, args...)...)}
	var err error
	s.input, err = s.cmd.StdinPipe()
	b.must(err)
	b.must(s.cmd.Start())
	return s
}

func (s *service) write(lines ...string) {
	s.b.t.Helper()
	_, err := io.WriteString(s.input, strings.Join(lines, "\n")+"\n")
	s.b.must(err)
}

// lock holds the database's write lock until it is released.
func (b *backup) lock() (release func()) {
	b.t.Helper()
	repository, err := sqlite.Open(b.t.Context(), b.database)
	b.must(err)
	b.must(repository.Close())
	db, err := sql.Open("sqlite", "file:"+b.database+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	b.must(err)
	tx, err := db.BeginTx(context.WithoutCancel(b.t.Context()), nil)
	b.must(err)
	release = sync.OnceFunc(func() { b.must(errors.Join(tx.Rollback(), db.Close())) })
	b.t.Cleanup(release)
	return release
}

// saved is how many requests the database has.
func (b *backup) saved() int {
	b.t.Helper()
	repository, err := sqlite.Open(b.t.Context(), b.database)
	b.must(err)
	n, err := repository.Count(b.t.Context())
	b.must(errors.Join(err, repository.Close()))
	return n
}

func (b *backup) produce(value string) {
	b.t.Helper()
	b.must(b.cl.ProduceSync(b.t.Context(), &kgo.Record{Topic: backuprequest.TopicBackupRequestAccepted, Value: []byte(value)}).FirstErr())
}

func (b *backup) letters() string {
	return adapter.DeadLetterTopic(backuprequest.TopicBackupRequestAccepted, backupGroup)
}

// end is how many records a topic has, and committed how many of them the group
// has done with.
func (b *backup) end(topic string) int64 {
	b.t.Helper()
	ends, err := b.adm.ListEndOffsets(b.t.Context(), topic)
	b.must(errors.Join(err, ends.Error()))
	n := int64(0)
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

func (b *backup) committed(topic string) int64 {
	b.t.Helper()
	offsets, err := b.adm.FetchOffsets(b.t.Context(), backupGroup)
	b.must(err)
	n := int64(0)
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic {
			n += o.At
		}
	})
	return n
}

// read is how often a topic has each value of something.
func (b *backup) read(topic string, of func(*kgo.Record) string) map[string]int {
	b.t.Helper()
	cl, err := kgo.NewClient(append(b.cl.Opts(), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	b.must(err)
	defer cl.Close()
	found := map[string]int{}
	for left := b.end(topic); left > 0; {
		fetches := cl.PollFetches(b.t.Context())
		b.must(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			found[of(r)]++
			left--
		})
	}
	return found
}

func (b *backup) values(topic string) map[string]int {
	b.t.Helper()
	return b.read(topic, func(r *kgo.Record) string { return string(r.Value) })
}

// received are the ids that were.
func (b *backup) received() map[string]int {
	b.t.Helper()
	return b.read(backuprequest.TopicBackupRequestReceived, func(r *kgo.Record) string { return string(r.Key) })
}
