package harness_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// failure is a test that must fail, in a process of its own, and what it must
// say.
type failure struct {
	name string
	body func(t *testing.T)
	says []string
}

var failures = []failure{
	{
		"settle with a rejected record that nobody takes",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
				return adapter.Reject(errors.New("bad"))
			})
			h.Broker().Refuse(kerr.TopicAuthorizationFailed, fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, Topic: "t.g.dlt"})
			h.Publish(text{topic: "t"})
			h.Settle()
		}),
		[]string{"failures_test.go", "will never settle: t[0] in group g is blocked", "TOPIC_AUTHORIZATION_FAILED", "t[0]@0 delivered to g, attempt 1"},
	},
	{
		"settle past its limit",
		inBubble(harness.Config{Limit: time.Hour}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
				time.Sleep(3 * time.Hour)
				return adapter.Commit()
			})
			h.Publish(text{topic: "t"})
			h.Settle()
		}),
		[]string{"not settled after 1h0m0s (", "of real time): handlers run for 1 record: t[0]@0 in g", "t[0]@0 published"},
	},
	{
		"settle within a limit",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
				time.Sleep(time.Minute)
				return adapter.Commit()
			})
			h.Publish(text{topic: "t"})
			h.SettleWithin(time.Hour)
			t.Log("one is done")
			h.Publish(text{topic: "t"})
			h.SettleWithin(time.Second)
		}),
		[]string{"one is done", "failures_test.go:", "not settled after 1s (", "handlers run for 1 record: t[0]@1 in g"},
	},
	{
		"settle with a broker that never comes back",
		inBubble(harness.Config{Limit: 20 * time.Minute}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
				return adapter.RetryAfter(errors.New("not yet"), 10*time.Minute)
			})
			h.Publish(text{topic: "t"})
			h.Broker().TakeDown(0)
			h.Settle()
		}),
		[]string{"not settled after 20m0s", "a consumer of group g is not a member of it; adapter 1 is disconnected", "further lines are dropped"},
	},
	{
		"settle with a group that was refused",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.Broker().Refuse(kerr.GroupAuthorizationFailed, fakebroker.Scope{APIs: []kmsg.Key{kmsg.JoinGroup}})
			subscribe(h, "g", "t", commit)
			h.Publish(text{topic: "t"})
			h.Settle()
		}),
		[]string{"will never settle: the consumer of group g has stopped, and has not reached the end of t[0]", "GROUP_AUTHORIZATION_FAILED"},
	},
	{
		"end with a consumer that was closed before it began",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			c := h.Subscribe(adapter.Subscription{Topics: topic(h, "t"), Group: "g", Handler: adapter.HandlerFunc(commit)})
			assert.NoError(t, c.Close(t.Context()))
			h.Publish(text{topic: "t"}) // a consumer may be quick
		}),
		[]string{"t[0]@0 in group g: pending, never delivered"},
	},
	{
		"settle with a consumer that is paused",
		inBubble(harness.Config{Limit: time.Hour}, func(_ *testing.T, h *harness.Harness) {
			c := h.Subscribe(adapter.Subscription{Topics: topic(h, "t"), Group: "g", Handler: adapter.HandlerFunc(commit)})
			c.Pause()
			h.Settle()
			h.Publish(text{topic: "t"})
			h.Settle()
		}),
		[]string{"group g has committed nothing of t[0], and its data ends at 1: no record of it was delivered; t[0] is not fetched in group g: paused by Pause"},
	},
	{
		"end with a pending record",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
				return adapter.RetryAfter(errors.New("down"), time.Hour)
			})
			h.Publish(text{topic: "t"})
			time.Sleep(time.Minute)
		}),
		[]string{"t[0]@0 in group g: pending after 1 attempt, last error: down", "call Settle before the test ends, or AllowPending"},
	},
	{
		"end with a record that a plain client lost",
		inBubble(harness.Config{}, loses),
		[]string{"t[0]@4 in group g: lost: the group's committed offset passed it, and no handler settled it, never delivered", "reader in g committed t[0] through 5"},
	},
	{
		"end with a record that a share group has archived",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			recs := h.PublishAll(events(2)...)
			setShareReset(t, h, "s")
			cl := plain(t, h, "sharer", kgo.ShareGroup("s"), kgo.ConsumeTopics("t"))
			for released, accepted := 0, false; released < 5 || !accepted; {
				cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
					if r.Offset == 1 {
						accepted = true
						return
					}
					released++
					r.Ack(kgo.AckRelease)
				})
			}
			assert.NoError(t, cl.FlushAcks(t.Context()))
			h.Settle()
			assertKind(t, harness.Lost, h.Fate(recs[0]))
			assertKind(t, harness.Committed, h.Fate(recs[1]))
		}),
		[]string{"failures_test.go:", "t[0]@0 in group s: lost: the share group archived it, and nobody accepted or rejected it after 5 attempts"},
	},
	{
		"settle in a handler",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
				h.Settle()
				return adapter.Commit()
			})
			h.Publish(text{topic: "t"})
			time.Sleep(time.Minute)
		}),
		[]string{"failures_test.go", "Settle was called in a handler, and would wait for that handler to end"},
	},
	{
		"settle with producers that may have more",
		inBubble(harness.Config{Limit: time.Hour}, func(t *testing.T, h *harness.Harness) {
			h.CreateTopics("t")
			h.Start(func(e harness.Env) harness.Service {
				return harness.ServiceFunc(func(ctx context.Context) error {
					produceOne(t, append(e.ClientOptions(), kgo.ClientID("hooks"))...)
					produceOne(t, kgo.SeedBrokers(e.Brokers...), kgo.Dialer(e.Dial), kgo.ClientID("dialer"))
					produceOne(t, append(h.Broker().ClientOptions(), kgo.ClientID("nothing"))...)
					<-ctx.Done()
					return nil
				})
			})
			h.Until(func() bool { return len(h.Topic("t").Records()) == 3 })
			h.Settle()
			t.Fail()
		}),
		[]string{
			`client "nothing" publishes, and the harness did not make it: Settle does not know what it still has buffered`,
			"member 1 publishes with a client that has Env.Dial alone: Settle does not know",
		},
	},
	{
		"settle with a service that connects to nothing",
		inBubble(harness.Config{Limit: time.Hour}, func(_ *testing.T, h *harness.Harness) {
			h.Start(func(harness.Env) harness.Service {
				return harness.ServiceFunc(func(ctx context.Context) error { <-ctx.Done(); return nil })
			})
			h.Settle()
		}),
		[]string{"member 1 has made no connection to a broker yet, by Env.Dial or Env.ClientOptions"},
	},
	{
		"freeze a member without an adapter",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.Start(func(harness.Env) harness.Service {
				return harness.ServiceFunc(func(ctx context.Context) error { <-ctx.Done(); return nil })
			}).Freeze()
		}),
		[]string{"failures_test.go", "member 1 handles nothing through Env.Adapter"},
	},
	{
		"stop a member that ends by itself",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.Start(func(harness.Env) harness.Service {
				return harness.ServiceFunc(func(context.Context) error { return errors.New("no config") })
			})
		}),
		[]string{"member 1: no config"},
	},
	{
		"ask for a fate where two groups consume",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			rec := h.Publish(text{topic: "t"})
			subscribe(h, "one", "t", commit)
			subscribe(h, "two", "t", commit)
			h.Settle()
			h.Fate(rec)
		}),
		[]string{"t[0]@0 has a fate in each of the groups one, two: ask h.Group(name).Fate(record)"},
	},
	{
		"ask for a fate where no group consumes",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) { h.Fate(h.Publish(text{topic: "t"})) }),
		[]string{"t[0]@0 has no fate: no group consumes topic t (groups: none)"},
	},
	{
		"ask for a fate in a group that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			rec := h.Publish(text{topic: "t"})
			subscribe(h, "one", "t", commit)
			h.Settle()
			h.Group("won").Fate(rec)
		}),
		[]string{"no fate in group won, which does not consume topic t (groups: one)"},
	},
	{
		"look into a topic that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.CreateTopics("orders")
			h.Topic("order").Records()
		}),
		[]string{`there is no topic "order" (topics: orders)`},
	},
	{
		"read a partition that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.Topic("orders").Create(2).Records(harness.InPartition(2))
		}),
		[]string{"failures_test.go", "topic orders has no partition 2, only 2 partitions"},
	},
	{
		"read values that do not decode",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			orders := h.Topic("orders").Create(2)
			orders.Append(record(1, "", `{"id":"a"}`), record(1, "", `{"id":7}`))
			harness.Values[order](orders)
		}),
		[]string{"failures_test.go", "orders[1]@1 has no value of type harness_test.order", "cannot unmarshal number into Go struct field order.id of type string", `"{\"id\":7}"`},
	},
	{
		"read a long value that does not decode",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			orders := h.Topic("orders").Create(1)
			orders.Append(record(0, "", strings.Repeat("x", 1000)))
			harness.Values[order](orders)
		}),
		[]string{"failures_test.go", `orders[0]@0 has no value of type harness_test.order`, `xxx" and 800 bytes more`},
	},
	{
		"read a tombstone as what has no nil",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			orders := h.Topic("orders").Create(1)
			orders.Append(harness.Record{})
			harness.Values[string](orders)
		}),
		[]string{"failures_test.go", "orders[0]@0 has no value of type string: it is a tombstone: leave those out by WithoutTombstones, or ask for pointers: null"},
	},
	{
		"read values that cannot be read",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) { harness.Values[writeOnly](h.Topic("orders").Create(1)) }),
		[]string{"failures_test.go", "values of topic orders: harness_test.writeOnly writes itself in a form of its own, and has no UnmarshalBinary to be read by: use ValuesBy"},
	},
	{
		"read values of a topic that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) { harness.Values[order](h.Topic("orders")) }),
		[]string{"failures_test.go", `there is no topic "orders"`},
	},
	{
		"compare with a golden file that differs",
		golden("", strings.Replace(oneGolden, `"e": 5`, `"e": 6`, 1)),
		[]string{
			"golden_test.go", "what is in t differs from testdata/deep/t.golden (-file +test):", `@@ -6,5 +6,5 @@ t[0]@0 "k"`, "-\t\t\"e\": 6\n", "+\t\t\"e\": 5\n",
			"if that is meant:\n", "HARNESS_UPDATE=1 go test -run '^TestFailures_sayWhatIsWrong$/^compare_with_a_golden_file_that_differs$' .",
		},
	},
	{
		"compare with a golden file that is not there",
		golden("", ""),
		[]string{"golden_test.go", "there is no testdata/deep/t.golden: make it with\n", "HARNESS_UPDATE=1 go test -run", "Now that would be:\n", `t[0]@0 "k"`},
	},
	{
		"write a golden file in a test that has failed",
		golden("1", "something else", func(t *testing.T) { t.Error("it fails") }),
		[]string{"testdata/deep/t.golden is not written: the test has failed already"},
	},
	{
		"write a golden file, maybe",
		golden("maybe", ""),
		[]string{"golden_test.go", `HARNESS_UPDATE="maybe": use 1 to have golden files written, and leave it unset if not`},
	},
	{
		"compare with a golden file that is a directory",
		golden("", "", func(*testing.T) { _ = os.MkdirAll("testdata/deep/t.golden", 0o700) }),
		[]string{"golden_test.go", "golden file: read testdata/deep/t.golden"},
	},
	{
		"compare with a golden file outside of testdata",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) { h.Golden("../t") }),
		[]string{"failures_test.go", `golden file "../t": use a name, or a path below testdata with slashes`},
	},
	{
		"compare a topic that is not there with a golden file",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) { h.Golden("t", "orders") }),
		[]string{"failures_test.go", `there is no topic "orders"`},
	},
	{
		"create a topic that is there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) { h.Topic("orders").Create(1).Create(1) }),
		[]string{"failures_test.go", "create topic orders: topic exists"},
	},
	{
		"create a topic with a config that is none",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) { h.Topic("orders").Create(1, "compact") }),
		[]string{"failures_test.go", `create topic orders: config "compact": use NAME=VALUE`},
	},
	{
		"create a topic with a config twice",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.Topic("orders").Create(1, "retention.ms=1", "retention.ms=2")
		}),
		[]string{"failures_test.go", `config retention.ms is given twice, as "1" and "2"`},
	},
	{
		"create a topic that Kafka would refuse",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) { h.Topic("orders").Create(-1, "retention.ms=soon") }),
		[]string{"failures_test.go", "create topic orders: invalid topic"},
	},
	{
		"append to a topic that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) { h.Topic("orders").Append(harness.Record{}) }),
		[]string{"failures_test.go", `there is no topic "orders" (topics: none)`},
	},
	{
		"append to a partition that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.Topic("orders").Create(1).Append(harness.Record{}, harness.Record{Partition: 1})
		}),
		[]string{"failures_test.go", "append to topic orders: record 2 is for partition 1, and there is only 1 partition"},
	},
	{
		"append a record of another topic",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.Topic("orders").Create(1).AppendAborted(harness.Record{Topic: "invoices"})
		}),
		[]string{"failures_test.go", "append to topic orders: record 1 is of topic invoices"},
	},
	{
		"append a record at an offset that it cannot have",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.Topic("orders").Create(1).Append(harness.Record{Offset: 5})
		}),
		[]string{"failures_test.go", "record 1 was to have offset 5, and is orders[0]@0"},
	},
	{
		"append a record without a key where one is needed",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.Topic("orders").Create(1, "cleanup.policy=compact").Append(harness.Record{})
		}),
		[]string{"failures_test.go", "record 1 has no key, and a compacted topic needs one"},
	},
	{
		"commit for a topic that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.CreateTopics("orders")
			h.Group("g").Commit("order", 0, 1)
		}),
		[]string{"failures_test.go", `there is no topic "order" (topics: orders)`},
	},
	{
		"commit for a partition that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.CreateTopics("orders:2")
			h.Group("g").Commit("orders", 2, 1)
		}),
		[]string{"failures_test.go", "topic orders has no partition 2, only 2 partitions"},
	},
	{
		"commit a negative offset",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.CreateTopics("orders")
			h.Group("g").Commit("orders", 0, -1)
		}),
		[]string{"failures_test.go", `for group "g": offset -1 is negative`},
	},
	{
		"commit for a group that has members",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "orders", commit)
			h.Settle()
			h.Group("g").Commit("orders", 0, 1)
		}),
		[]string{"failures_test.go", `for group "g": group has members: g; stop them first`},
	},
	{
		"commit for a group without a name",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.CreateTopics("orders")
			h.Group("").Commit("orders", 0, 1)
		}),
		[]string{"failures_test.go", "a group has a name"},
	},
	{
		"commit with too much metadata",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.CreateTopics("orders")
			h.Group("g").CommitWith("orders", 0, 1, strings.Repeat("x", 4097))
		}),
		[]string{"failures_test.go", "offset metadata of 4097 bytes, of 4096 allowed"},
	},
	{
		"leave a client open",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			cl, err := kgo.NewClient(h.Broker().ClientOptions()...)
			assert.NoError(t, err)
			assert.NoError(t, cl.Ping(t.Context()))
		}),
		[]string{"a kgo client that was not closed", "close in the body what it opens"},
	},
	{
		"leave a client open in real time",
		func(t *testing.T) {
			harness.RunRealTime(t, func(t *testing.T, h *harness.Harness) {
				cl, err := kgo.NewClient(h.Broker().ClientOptions()...)
				assert.NoError(t, err)
				assert.NoError(t, cl.Ping(t.Context()))
			})
		},
		[]string{"this is left of it", "a kgo client that was not closed"},
	},
	{
		"leave a goroutine behind in real time",
		func(t *testing.T) {
			harness.RunRealTime(t, func(*testing.T, *harness.Harness) { go leaveMe(make(chan int)) })
		},
		[]string{"a goroutine in example.com/kafkatest/harness_test.leaveMe"},
	},
	{
		"leave a goroutine behind",
		inBubble(harness.Config{}, func(*testing.T, *harness.Harness) {
			go leaveMe(make(chan int))
		}),
		[]string{"[chan receive (durable)] in example.com/kafkatest/harness_test.leaveMe (failures_test.go:", "created by"},
	},
	{
		"publish what cannot be serialized",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) { h.Publish(unserializable{}) }),
		[]string{"failures_test.go", "cannot serialize harness_test.unserializable"},
	},
	{
		"subscribe without a group",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) { subscribe(h, "", "t", commit) }),
		[]string{"Subscription.Group", "a consumer group is required"},
	},
	{
		"an impossible broker",
		inBubble(harness.Config{Broker: fakebroker.Config{Brokers: -1}}, func(*testing.T, *harness.Harness) {}),
		[]string{"harness: start the broker"},
	},
}

func produceOne(t *testing.T, opts ...kgo.Opt) {
	cl, err := kgo.NewClient(opts...)
	assert.NoError(t, err)
	defer cl.Close()
	assert.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t"}).FirstErr())
}

func leaveMe(c chan int) { <-c }

type unserializable struct{}

func (unserializable) TopicName() string  { return "t" }
func (unserializable) MessageKey() string { return "" }
func (unserializable) MessageData() any   { return func() {} }

func inBubble(c harness.Config, body func(t *testing.T, h *harness.Harness)) func(*testing.T) {
	return func(t *testing.T) { c.Run(t, body) }
}

func TestFailures_sayWhatIsWrong(t *testing.T) { sayWhatIsWrong(t, failures) }

func sayWhatIsWrong(t *testing.T, failures []failure) {
	t.Helper()
	const variable = "HARNESS_TEST_FAILURE"
	line := regexp.MustCompile(`(?m)^ *\w+_test\.go:\d+: (harness: |not what was expected)`)
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			if os.Getenv(variable) == f.name {
				f.body(t)
				return
			}
			t.Parallel()
			run := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
			cmd := exec.Command(os.Args[0], "-test.run="+run, "-test.timeout=5m") // far longer than it takes to find out
			cmd.Env = append(os.Environ(), variable+"="+f.name)
			out, err := cmd.CombinedOutput()
			if testing.Verbose() {
				t.Logf("%s", out)
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("want a failure, got %v:\n%s", err, out)
			}
			if !line.Match(out) && !strings.Contains(string(out), "fatal error:") {
				t.Errorf("the failure does not point at a line of the test:\n%s", out)
			}
			for _, s := range f.says {
				if !strings.Contains(string(out), s) {
					t.Errorf("the failure does not say %q:\n%s", s, out)
				}
			}
			if strings.Contains(string(out), "panic:") {
				t.Errorf("the failure is a panic:\n%s", out)
			}
		})
	}
}
