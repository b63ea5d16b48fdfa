package harness_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
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

// failures are tests that must fail, and what they must say. Each runs in a
// process of its own.
var failures = []struct {
	name string
	body func(t *testing.T)
	says []string
}{
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
		[]string{"failures_test.go", "will never settle: t[0] in group g is blocked", "TOPIC_AUTHORIZATION_FAILED", "t/0/0 delivered to g, attempt 1"},
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
		[]string{"not settled after 1h0m0s (", "of real time): handlers run for 1 record: t[0]@0 in g", "t/0/0 published"},
	},
	{
		"settle with a broker that never comes back",
		inBubble(harness.Config{Limit: 2 * time.Hour}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
				return adapter.RetryAfter(errors.New("not yet"), time.Hour)
			})
			h.Publish(text{topic: "t"})
			h.Broker().TakeDown(0)
			h.Settle()
		}),
		[]string{"not settled after 2h0m0s", "a consumer of group g is not a member of it; adapter 1 is disconnected", "further lines are dropped"},
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
			h.Publish(text{topic: "t"})
			c := h.Subscribe(adapter.Subscription{Topics: []string{"t"}, Group: "g", Handler: adapter.HandlerFunc(commit)})
			assert.NoError(t, c.Close(t.Context()))
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
		[]string{`no topic "order" to look into (topics: orders)`},
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
		[]string{"a goroutine [chan receive (durable)] in example.com/kafkatest/harness_test.leaveMe, created by", "failures_test.go"},
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

func leaveMe(c chan int) { <-c }

type unserializable struct{}

func (unserializable) TopicName() string  { return "t" }
func (unserializable) MessageKey() string { return "" }
func (unserializable) MessageData() any   { return func() {} }

func inBubble(c harness.Config, body func(t *testing.T, h *harness.Harness)) func(*testing.T) {
	return func(t *testing.T) { c.Run(t, body) }
}

func TestFailures_sayWhatIsWrong(t *testing.T) {
	const variable = "HARNESS_TEST_FAILURE"
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			if os.Getenv(variable) == f.name {
				f.body(t)
				return
			}
			run := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
			cmd := exec.Command(os.Args[0], "-test.run="+run, "-test.timeout=1m")
			cmd.Env = append(os.Environ(), variable+"="+f.name)
			out, err := cmd.CombinedOutput()
			if testing.Verbose() {
				t.Logf("%s", out)
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("want a failure, got %v:\n%s", err, out)
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
