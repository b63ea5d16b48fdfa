package harness_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// What does not exist is answered with what does, at the line that asks.
var badInputs = []failure{
	{
		"a fate of a topic that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.CreateTopics("orders")
			h.Fate(harness.Record{Topic: "order", Offset: 3})
		}),
		[]string{"badinput_test.go:", `order[0]@3 has no fate: there is no topic "order" (topics: orders)`},
	},
	{
		"a fate of a partition that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", commit)
			h.Fate(harness.Record{Topic: "t", Partition: 1})
		}),
		[]string{"badinput_test.go:", "t[1]@0 has no fate: topic t has no partition 1, only 1 partition"},
	},
	{
		"a fate of a record that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", commit)
			h.Publish(text{topic: "t"})
			h.Group("g").Fate(harness.Record{Topic: "t", Offset: 1})
		}),
		[]string{"badinput_test.go:", "t[0]@1 has no fate: there is no such record, the next one of t[0] will be at 1"},
	},
	{
		"wait for a group that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "orders", "t", commit)
			h.Group("order").WaitAssigned()
		}),
		[]string{"badinput_test.go:", "group order has not assigned its partitions: it has no members (groups: orders) after 24h0m0s"},
	},
	{
		"a member whose service cannot be made",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.Start(harness.Consume(adapter.Subscription{Topics: []string{"t"}, Group: "g"}))
		}),
		[]string{"badinput_test.go:", `subscribe group "g": Subscription.Handler: is nil`},
	},
	{
		"rebalance a group that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "orders", "t", commit)
			h.Group("order").Rebalance()
		}),
		[]string{"badinput_test.go:", "group order has no members to rebalance (groups: orders)"},
	},
	{
		"wait for a member that joins no group",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "orders", "t", commit)
			h.Start(func(harness.Env) harness.Service {
				return harness.ServiceFunc(func(ctx context.Context) error { <-ctx.Done(); return nil })
			}).WaitAssigned()
		}),
		[]string{"badinput_test.go:", "member 1 has not been assigned its partitions: it is a member of no group (groups: orders) after 24h0m0s"},
	},
	{
		"hide a broker that is not there",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.Start(func(harness.Env) harness.Service {
				return harness.ServiceFunc(func(ctx context.Context) error { <-ctx.Done(); return nil })
			}).PauseNetwork(7)
		}),
		[]string{"badinput_test.go:", "there is no broker 7 (brokers: [0])"},
	},
	{
		"stop a member twice",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			m := h.Start(func(harness.Env) harness.Service {
				return harness.ServiceFunc(func(ctx context.Context) error { <-ctx.Done(); return nil })
			})
			m.Kill()
			m.Stop()
		}),
		[]string{"badinput_test.go:", "member 1 was stopped or killed before"},
	},
	{
		"go back in time",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) { h.Advance(-time.Second) }),
		[]string{"badinput_test.go:", "time does not go backwards"},
	},
	{
		"settle while a reader without a group goes on",
		inBubble(harness.Config{Limit: time.Hour}, func(t *testing.T, h *harness.Harness) {
			h.Publish(text{topic: "audit"})
			cl := plain(t, h, "auditor", kgo.ConsumeTopics("audit"))
			cl.PollFetches(t.Context())
			h.Settle() // it is not waited for
			plain(t, h, "reader", kgo.ConsumerGroup("g"), kgo.ConsumeTopics("audit"), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			h.Settle()
		}),
		[]string{"badinput_test.go:", "group g has committed nothing of audit[0]", "auditor reads audit without a group, and is not waited for"},
	},
}

func TestBadInput_namesWhatThereIs(t *testing.T) { sayWhatIsWrong(t, badInputs) }
