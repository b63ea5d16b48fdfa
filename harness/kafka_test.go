package harness_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// existing is a cluster that is there already: the one that KAFKA_BROKERS names,
// or a fake one, which other tests use at the same time.
func existing(t *testing.T) harness.Config {
	t.Helper()
	if brokers := os.Getenv("KAFKA_BROKERS"); brokers != "" {
		return harness.Config{Kafka: harness.Kafka{Brokers: strings.Split(brokers, ",")}}
	}
	b, err := fakebroker.Start(fakebroker.Config{Brokers: 3})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.Close()) })
	return harness.Config{Kafka: harness.Kafka{Brokers: b.Addrs()}}
}

// on is a client of the cluster itself, which has no names of its own.
func on(t *testing.T, c harness.Config) *kadm.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Kafka.Brokers...))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

// marked are the topics and groups on the cluster that have a mark in their name.
func marked(t *testing.T, cl *kadm.Client, mark string) (all []string) {
	t.Helper()
	topics, err := cl.ListTopics(kadm.WithAuthorizedOps(t.Context())) // not those that the client remembers
	require.NoError(t, err)
	groups, err := cl.ListGroups(t.Context())
	require.NoError(t, err)
	all = append(topics.Names(), groups.Groups()...)
	return slices.DeleteFunc(all, func(name string) bool { return !strings.Contains(name, mark) })
}

// assertGone asserts that nothing is left on the cluster that has a mark. Brokers
// hear of it one after the other.
func assertGone(t *testing.T, c harness.Config, mark string) {
	t.Helper()
	cl := on(t, c)
	assert.Eventually(t, func() bool { return len(marked(t, cl, mark)) == 0 }, 30*time.Second, 10*time.Millisecond, "%v is left", marked(t, cl, mark))
}

func TestRunOnKafka_testsShareAClusterAndLeaveNothingBehind(t *testing.T) {
	c := existing(t)
	mark := rand.Text()
	t.Run("at once", func(t *testing.T) {
		for i := range 3 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				c.RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
					var got []string
					subscribe(h, mark, mark, func(_ context.Context, m *adapter.Message) adapter.Result {
						if m.Attempt < 3 {
							return adapter.RetryAfter(assert.AnError, 10*time.Millisecond)
						}
						got = append(got, string(m.Value))
						return adapter.Commit()
					})
					rec := h.Publish(text{mark, "", fmt.Sprint(i)})
					h.Settle()
					f := h.Fate(rec)
					assertKind(t, harness.Committed, f)
					assert.Equal(t, 3, f.Attempts)
					assert.Equal(t, []string{fmt.Sprint(i)}, got, "nothing of the others'")
				})
			})
		}
	})
	assertGone(t, c, mark)
}

func TestRunOnKafka_namesOnTheClusterHaveAPrefix(t *testing.T) {
	c := existing(t)
	cl, mark := on(t, c), rand.Text()
	c.RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
		subscribe(h, mark, mark, commit)
		h.Settle()
		own := marked(t, cl, mark)
		assert.Len(t, own, 3, "the topic, its dead letters and the group")
		for _, name := range own {
			assert.Regexp(t, "^kafkatest-[0-9a-f]{12}-"+mark, name)
		}
	})
}

func TestRunOnKafka_fates(t *testing.T) {
	existing(t).RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
		h.Topic("t").Create(2)
		given := h.Topic("t").Append(record(1, "k", "given"), record(1, "k", "more"))
		h.Group("g").Commit("t", 1, 1)
		subscribe(h, "g", "t", func(ctx context.Context, m *adapter.Message) adapter.Result {
			switch string(m.Value) {
			case "bad":
				return adapter.Reject(assert.AnError)
			case "forward":
				if err := h.Adapter().Publish(ctx, text{topic: "next"}); err != nil {
					return adapter.Retry(err)
				}
			}
			return adapter.Commit()
		})
		h.CreateTopics("next")
		subscribe(h, "last", "next", commit)
		recs := h.PublishAll(text{"t", "a", "bad"}, text{"t", "b", "forward"})
		h.Settle()
		assertKind(t, harness.Skipped, h.Fate(given[0]))
		assertKind(t, harness.Committed, h.Fate(given[1]))
		dead := h.Fate(recs[0])
		assertKind(t, harness.DeadLettered, dead)
		assert.Equal(t, "bad", string(dead.Final.Value))
		assert.Equal(t, "t.g.dlt", dead.Final.Topic)
		assert.Equal(t, []harness.Record{{Topic: "next"}}, h.Fate(recs[1]).Published)
		assert.Len(t, harness.Values[string](h.Topic("t"), harness.WithKey("k")), 2)
	})
}

// reads is a consumer of t in g that is no adapter.
func reads(f func(*kgo.Record), opts ...kgo.Opt) func(harness.Env) harness.Service {
	return func(e harness.Env) harness.Service {
		return harness.ServiceFunc(func(ctx context.Context) error {
			cl, err := kgo.NewClient(append(append(e.ClientOptions(), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), opts...)...)
			if err != nil {
				return err
			}
			defer cl.CloseAllowingRebalance()
			return loop(cl, f)(e).Run(ctx)
		})
	}
}

func TestRunOnKafka_settlesWithEveryKindOfGroup(t *testing.T) {
	c := existing(t)
	for name, opts := range map[string][]kgo.Opt{
		"classic":     {kgo.Balancers(kgo.RangeBalancer())},
		"cooperative": {kgo.Balancers(kgo.CooperativeStickyBalancer())},
		"server-side": {kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer())},
		"by pattern":  {kgo.ConsumeRegex(), kgo.ConsumeTopics("^t.*")},
	} {
		t.Run(name, func(t *testing.T) {
			c.RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t:3", "unread:1")
				var seen atomic.Int64
				for range 2 {
					h.Start(reads(func(*kgo.Record) { seen.Add(1) }, opts...)).WaitAssigned()
					h.PublishAll(events(6)...)
					h.Settle()
				}
				assert.GreaterOrEqual(t, seen.Load(), int64(12))
			})
		})
	}
}

func TestRunOnKafka_settlesAfterTransactions(t *testing.T) {
	existing(t).RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		aborted := h.Topic("t").AppendAborted(harness.Record{Value: []byte("no")})
		subscribe(h, "g", "t", commit)
		rec := h.Publish(text{topic: "t"})
		h.Settle()
		h.Topic("t").AppendAborted(harness.Record{Value: []byte("no")}) // the end is a control record
		h.Settle()
		assertKind(t, harness.Committed, h.Fate(rec))
		assert.Len(t, h.Topic("t").Records(), 3)
		assert.Len(t, h.Topic("t").Records(harness.ReadCommitted()), 1)
		assertKind(t, harness.Committed, h.Fate(aborted[0])) // it reads uncommitted
	})
}

// What is killed leaves no group, and has to be put out of it before that can be
// deleted. What is still connected would come back.
func TestRunOnKafka_deletesGroupsThatHaveMembers(t *testing.T) {
	c := existing(t)
	mark := rand.Text()
	t.Run("run", func(t *testing.T) {
		c.RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
			m := h.Start(harness.Consume(adapter.Subscription{Topics: []string{mark}, Group: mark + "killed", Handler: adapter.HandlerFunc(commit)}))
			m.WaitAssigned()
			m.Kill()
			for name, opts := range map[string][]kgo.Opt{"classic": nil, "server-side": {kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer())}} {
				plain(t, h, name, append(opts, kgo.ConsumerGroup(mark+name), kgo.ConsumeTopics(mark))...) // closed after the test has ended
				h.Group(mark + name).WaitAssigned()
			}
			plain(t, h, "shares", kgo.ShareGroup(mark+"shares"), kgo.ConsumeTopics(mark))
			h.Group(mark + "shares").WaitAssigned()
			h.AllowPending()
		})
	})
	assertGone(t, c, mark)
}

// Names get longer on the cluster, and the longest that Kafka has is known.
func TestRunOnKafka_theLongestName(t *testing.T) {
	existing(t).RunOnKafka(t, func(_ *testing.T, h *harness.Harness) { h.CreateTopics(strings.Repeat("x", 226)) })
}

func TestRunOnKafka_needsAKafka(t *testing.T) {
	t.Setenv("KAFKA_BROKERS", "")
	t.Run("skipped", func(t *testing.T) {
		t.Cleanup(func() { assert.True(t, t.Skipped()) })
		harness.RunOnKafka(t, func(t *testing.T, _ *harness.Harness) { t.Error("it runs") })
	})
}

var onKafkaFailures = []failure{
	{
		"no Kafka",
		func(t *testing.T) {
			harness.Config{Kafka: harness.Kafka{Brokers: []string{"127.0.0.1:1"}}}.RunOnKafka(t, func(*testing.T, *harness.Harness) {})
		},
		[]string{"kafka_test.go:", "no Kafka answers at 127.0.0.1:1, which Config.Kafka or KAFKA_BROKERS names"},
	},
	{
		"a fault on a Kafka",
		func(t *testing.T) {
			existing(t).RunOnKafka(t, func(_ *testing.T, h *harness.Harness) { h.Broker().TakeDown(0) })
		},
		[]string{"kafka_test.go:", "Broker was called on a Kafka that is there already"},
	},
	{
		"end on a Kafka with a record that a plain client lost",
		func(t *testing.T) {
			existing(t).RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t")
				cl := plain(t, h, "reader", kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit())
				cl.PauseFetchTopics("t") // before it is assigned
				h.Group("g").WaitAssigned()
				rec := h.Publish(text{topic: "t"})
				cl.CommitOffsetsSync(t.Context(), map[string]map[int32]kgo.EpochOffset{"t": {0: {Epoch: -1, Offset: 1}}}, nil)
				h.Settle()
				assertKind(t, harness.Lost, h.Fate(rec))
			})
		},
		[]string{"kafka_test.go:", "t[0]@0 in group g: lost: the group's committed offset passed it, and no handler settled it, never delivered", "reader in g committed t[0] through 1"},
	},
	{
		"a name that is too long with its prefix",
		func(t *testing.T) {
			existing(t).RunOnKafka(t, func(_ *testing.T, h *harness.Harness) { h.CreateTopics(strings.Repeat("x", 227)) })
		},
		[]string{"kafka_test.go:", "invalid topic: xxx"},
	},
	{
		"a topic that is there",
		func(t *testing.T) {
			existing(t).RunOnKafka(t, func(_ *testing.T, h *harness.Harness) { h.Topic("t").Create(1).Create(1) })
		},
		[]string{"kafka_test.go:", "create topic t: topic exists: t"},
	},
	{
		"a group that is in use",
		func(t *testing.T) {
			existing(t).RunOnKafka(t, func(_ *testing.T, h *harness.Harness) {
				subscribe(h, "g", "t", commit)
				h.Settle()
				h.Group("g").Commit("t", 0, 1)
			})
		},
		[]string{"kafka_test.go:", `for group "g": group has members: g; stop them first`},
	},
}

func TestRunOnKafka_saysWhatIsWrong(t *testing.T) { sayWhatIsWrong(t, onKafkaFailures) }
