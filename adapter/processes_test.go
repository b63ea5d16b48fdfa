package adapter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// member is a process that is a member of a group.
type member struct {
	Name, Prefix, Order, Diary string
	Brokers                    []string
	Seed                       uint64
}

// memberOf tells the test binary to be one, in the environment.
const memberOf = "KAFKATEST_MEMBER"

// session is the least that a broker allows by default.
const session = 6 * time.Second

// subscription is what the member is to do, with the topic and the group as the
// cluster knows them.
func (m member) subscription() adapter.Subscription {
	s := chaosOrders()[m.Order]
	s.Topics, s.Group = []string{m.Prefix + "t"}, m.Prefix+"g"
	s.Retry.MinBackoff, s.Retry.MaxBackoff = 10*time.Millisecond, 100*time.Millisecond
	for i := range s.Retry.Tiers {
		s.Retry.Tiers[i] /= 100
	}
	return s
}

func (m member) decide(number string, attempt int) decision {
	return decide(m.Seed, number, attempt, 10*time.Millisecond)
}

// TestMember is what another process runs, and nothing otherwise: a member, until
// its input ends.
func TestMember(t *testing.T) {
	text := os.Getenv(memberOf)
	if text == "" {
		return
	}
	var m member
	require.NoError(t, json.Unmarshal([]byte(text), &m))
	d, err := openDiary(m.Diary, m.Name, m.Prefix)
	require.NoError(t, err)
	a, err := adapter.New(adapter.Config{
		Brokers: m.Brokers, ClientID: m.Name, Trace: d.trace(),
		ClientOptions: []kgo.Opt{kgo.SessionTimeout(session), kgo.RebalanceTimeout(session), kgo.HeartbeatInterval(200 * time.Millisecond)},
	})
	require.NoError(t, err)
	s := m.subscription()
	s.Handler = d.handler(m.decide)
	subscribe(t, a, s)
	_, err = io.Copy(io.Discard, os.Stdin)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(t, a.Close(ctx))
}

// process is a member that runs.
type process struct {
	cmd   *exec.Cmd
	input io.Closer
	said  strings.Builder
}

func (m member) start(t *testing.T) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(m)
	require.NoError(t, err)
	p := &process{cmd: exec.CommandContext(t.Context(), self, "-test.run=^TestMember$", "-test.count=1", "-test.timeout=5m")}
	p.cmd.Env = append(os.Environ(), memberOf+"="+string(text))
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.input, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		_ = p.cmd.Wait()         // likewise
		if t.Failed() {
			said := p.said.String()
			t.Logf("%s said at last:\n%s", m.Name, said[max(0, len(said)-4096):])
		}
	})
	return p
}

// crew is three processes that are a group, and what they have to do.
type crew struct {
	t        *testing.T
	member   member // without a name
	diary    *diary // of what is done to them
	cl       *kgo.Client
	adm      *kadm.Client
	recs     []harness.Record
	consumed []string         // topics
	seen     map[string]int64 // what was committed last, by topic and partition
}

// publish publishes that many records of 5,000 keys.
func (c *crew) publish(n int) {
	c.t.Helper()
	rnd := rand.New(rand.NewPCG(c.member.Seed, uint64(len(c.recs))))
	batch := make([]*kgo.Record, n)
	for i := range batch {
		batch[i] = &kgo.Record{
			Topic: c.member.Prefix + "t", Key: fmt.Append(nil, "k", rnd.IntN(5000)), Value: fmt.Append(nil, len(c.recs)+i),
		}
	}
	require.NoError(c.t, c.cl.ProduceSync(c.t.Context(), batch...).FirstErr())
	for _, r := range batch {
		c.recs = append(c.recs, harness.Record{Topic: "t", Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value})
	}
}

// await returns when the group has committed so many offsets of topic t, or, with
// none, all there are in all that it consumes.
func (c *crew) await(offsets int64) {
	c.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		done, left := c.progress()
		if offsets > 0 && done >= offsets || offsets == 0 && left == 0 {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("after a minute the group has committed %d of %d records, and is %d behind in all", done, len(c.recs), left)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// progress is how many offsets of topic t are committed, and how many of all that
// the group consumes are not: at least one while one of the topics is so new that a
// broker does not know that it leads it.
func (c *crew) progress() (done, left int64) {
	c.t.Helper()
	offsets, err := c.adm.FetchOffsets(c.t.Context(), c.member.Prefix+"g")
	require.NoError(c.t, err)
	ends, err := c.adm.ListEndOffsets(c.t.Context(), c.consumed...)
	require.NoError(c.t, err)
	ends.Each(func(end kadm.ListedOffset) {
		if end.Err != nil {
			left++
			return
		}
		at := int64(0)
		if o, ok := offsets.Lookup(end.Topic, end.Partition); ok {
			at = max(o.At, 0)
		}
		place := fmt.Sprint(end.Topic, " ", end.Partition)
		assert.GreaterOrEqual(c.t, at, c.seen[place], "%s: the committed offset went back", place)
		c.seen[place] = at
		if end.Topic == c.member.Prefix+"t" {
			done += at
		}
		left += end.Offset - at
	})
	return done, left
}

// read reads a topic as it is now.
func (c *crew) read(topic string) []harness.Record {
	c.t.Helper()
	topic = strings.Replace(strings.Replace(topic, "t.", c.member.Prefix+"t.", 1), ".g.", "."+c.member.Prefix+"g.", 1)
	ends, err := c.adm.ListEndOffsets(c.t.Context(), topic)
	require.NoError(c.t, err)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.member.Brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(c.t, err)
	defer cl.Close()
	var records []harness.Record
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	for int64(len(records)) < left {
		fetches := cl.PollFetches(c.t.Context())
		require.NoError(c.t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			out := harness.Record{Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value}
			for _, h := range r.Headers {
				h.Value = []byte(strings.ReplaceAll(string(h.Value), c.member.Prefix, ""))
				out.Headers = append(out.Headers, adapter.Header(h))
			}
			records = append(records, out)
		})
	}
	return records
}

// Three processes share the work. One is killed in it, and one is stopped for longer
// than its session and goes on with what it had: 100,000 records later each has its
// end, and what was handled twice has one of the two to thank.
func TestRunOnKafka_processesAreKilledAndStopped(t *testing.T) {
	brokers := os.Getenv("KAFKA_BROKERS")
	if brokers == "" {
		t.Skip("opt in with KAFKA_BROKERS=HOST:PORT, of a Kafka that runs")
	}
	for order, records := range map[string]int{"ByKey": 100_000, "Unordered with tiers": 20_000} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			c := &crew{t: t, seen: map[string]int64{}, member: member{
				Brokers: strings.Split(brokers, ","), Order: order, Seed: seed,
				Prefix: fmt.Sprintf("kafkatest-%012x-", seed>>16), Diary: filepath.Join(t.TempDir(), "diary"),
			}}
			c.run(records)
		})
	}
}

func (c *crew) run(records int) {
	t := c.t
	var err error
	c.diary, err = openDiary(c.member.Diary, "", c.member.Prefix)
	require.NoError(t, err)
	c.cl, err = kgo.NewClient(kgo.SeedBrokers(c.member.Brokers...))
	require.NoError(t, err)
	t.Cleanup(c.cl.Close)
	c.adm = kadm.NewClient(c.cl)
	s := c.member.subscription()
	a, err := adapter.New(adapter.Config{Brokers: c.member.Brokers})
	require.NoError(t, err)
	require.NoError(t, a.EnsureTopics(t.Context(), adapter.TopicSpec{Name: s.Topics[0], Partitions: 6}))
	require.NoError(t, a.Close(t.Context()))
	t.Cleanup(func() { c.clean(s) })
	c.consumed = append(c.consumed, s.Topics[0])
	for _, tier := range s.Retry.Tiers {
		c.consumed = append(c.consumed, adapter.RetryTopic(s.Topics[0], s.Group, tier))
	}
	processes := map[string]*process{}
	for _, name := range []string{"p1", "p2", "p3"} {
		m := c.member
		m.Name = name
		processes[name] = m.start(t)
	}
	c.publish(records / 2)
	c.await(int64(records / 10))

	victim := processes["p1"]
	require.NoError(t, victim.cmd.Process.Kill())
	require.Error(t, victim.cmd.Wait())
	c.diary.who = "p1"
	c.diary.note(happened{What: itIsKilled})

	c.publish(records / 4)
	c.await(int64(records * 6 / 10))
	sleeper := processes["p2"]
	c.diary.who = "p2"
	c.diary.note(happened{What: itIsStopped})
	require.NoError(t, sleeper.cmd.Process.Signal(syscall.SIGSTOP))
	time.Sleep(session + 2*time.Second)
	require.NoError(t, sleeper.cmd.Process.Signal(syscall.SIGCONT))
	c.publish(records - len(c.recs))
	c.await(0)
	for _, name := range []string{"p2", "p3"} {
		p := processes[name]
		require.NoError(t, p.input.Close())
		require.NoError(t, p.cmd.Wait(), name)
	}
	_, left := c.progress()
	assert.Zero(t, left, "committed after all has been settled")

	w := newWitness(s, c.member.decide)
	all, err := history(c.member.Diary)
	require.NoError(t, err)
	w.overlaps = func(name string) bool { return name == "p2" }
	w.learn(all)
	w.records = c.read
	require.NoError(t, w.verdict(c.recs, ofThese("p1", "p2")))
	t.Log(w.repeated(), "of", len(c.recs), "records were handled to an end more than once")
}

// ofThese allows repeats of what one of these members has run.
func ofThese(members ...string) func(before, again *handling) bool {
	return func(before, again *handling) bool {
		for _, m := range members {
			if before.by.member == m || again.by.member == m {
				return true
			}
		}
		return false
	}
}

// clean deletes what the processes have left on the cluster. Where they have not left
// the group, as after a failure, it is there until their sessions have expired.
func (c *crew) clean(s adapter.Subscription) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if topics, err := c.adm.ListTopics(ctx); assert.NoError(c.t, err) {
		for _, name := range topics.Names() {
			if strings.HasPrefix(name, c.member.Prefix) {
				_, err := c.adm.DeleteTopic(ctx, name)
				assert.NoError(c.t, err)
			}
		}
	}
	for {
		_, err := c.adm.DeleteGroup(ctx, s.Group)
		if err == nil || errors.Is(err, kerr.GroupIDNotFound) {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			assert.NoError(c.t, err)
			return
		}
	}
}
