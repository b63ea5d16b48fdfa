package integration

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
	"example.com/kafkatest/integration/kafka"
)

var errModes = errors.New("down")

// order is an event for topic orders.
type order struct{ key, value string }

func (order) TopicName() string    { return "orders" }
func (o order) MessageKey() string { return o.key }
func (o order) MessageData() any   { return o.value }

// worked counts what a handler was called for.
type worked struct {
	mu    sync.Mutex
	calls map[string]int
}

// handle commits, but for what says otherwise by its value.
func (w *worked) handle(_ context.Context, m *adapter.Message) adapter.Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls == nil {
		w.calls = map[string]int{}
	}
	w.calls[string(m.Value)]++
	switch string(m.Value) {
	case "twice":
		if m.Attempt == 1 {
			return adapter.Retry(errModes)
		}
	case "later":
		if m.Attempt == 1 {
			return adapter.RetryAfter(errModes, time.Second)
		}
	case "never":
		return adapter.Reject(errModes)
	}
	return adapter.Commit()
}

// What the adapter does in each of its modes, its own tests say, in virtual time on a
// fake broker. Here a real one takes part.
func TestModes_onARealKafka(t *testing.T) {
	k := kafka.Run(t, kafka.Config{})
	tiers := adapter.RetryPolicy{MinBackoff: 100 * time.Millisecond, Tiers: []time.Duration{time.Second}}
	for name, s := range map[string]adapter.Subscription{
		"classic":               {},
		"static member":         {InstanceID: "one", LeaveOnClose: true},
		"static, server side":   {InstanceID: "one", LeaveOnClose: true, Mode: adapter.ServerSide},
		"server side":           {Mode: adapter.ServerSide},
		"exactly-once hops":     {ExactlyOnceHops: true, Order: adapter.Unordered, Retry: tiers},
		"the same, server side": {ExactlyOnceHops: true, Order: adapter.Unordered, Retry: tiers, Mode: adapter.ServerSide},
		"share group":           {Mode: adapter.ShareGroup, Order: adapter.Unordered, Retry: tiers},
	} {
		t.Run(name, func(t *testing.T) {
			c := harness.Config{Kafka: harness.Kafka{Brokers: k.Addrs()}, Partitions: 2}
			c.RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
				var w worked
				s.Topics, s.Group, s.Handler = []string{"orders"}, "billing", adapter.HandlerFunc(w.handle)
				consumer := h.Subscribe(s)
				values := []string{"once", "twice", "later", "never"}
				var events []adapter.Event
				for _, v := range values {
					events = append(events, order{v, v})
				}
				recs := h.PublishAll(events...)
				h.Settle()
				for i, v := range values {
					f := h.Fate(recs[i])
					want := harness.Committed
					if v == "never" {
						want = harness.DeadLettered
					}
					if f.Kind != want {
						t.Errorf("%s: %v", v, f)
					}
					w.mu.Lock()
					if n := w.calls[v]; n != 1 && v != "twice" && v != "later" || n != 2 && (v == "twice" || v == "later") {
						t.Errorf("%s: handled %d times", v, n)
					}
					w.mu.Unlock()
				}
				if err := consumer.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A transaction is there for others as a whole, and not before.
func TestModes_exactlyOnceHopsAfterAKill(t *testing.T) {
	k := kafka.Run(t, kafka.Config{})
	c := harness.Config{
		Kafka:   harness.Kafka{Brokers: k.Addrs()},
		Adapter: func(c *adapter.Config) { c.PublishTimeout = 3 * time.Second }, // which those that were killed wait for
	}
	c.RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
		s := adapter.Subscription{
			Topics: []string{"orders"}, Group: "billing", Order: adapter.Unordered, ExactlyOnceHops: true, InstanceID: "one",
			Retry: adapter.RetryPolicy{Attempts: 2, InPlace: 1, Tiers: []time.Duration{time.Second}},
			Handler: adapter.HandlerFunc(func(context.Context, *adapter.Message) adapter.Result {
				return adapter.Retry(errModes)
			}),
		}
		var recs []harness.Record
		for _, v := range []string{"a", "b", "c", "d", "e", "f"} {
			m := h.Start(harness.Consume(s))
			m.WaitAssigned()
			recs = append(recs, h.Publish(order{v, v}))
			time.Sleep(time.Duration(20*len(recs)) * time.Millisecond) // at another step of its hop each time
			m.Kill()
		}
		h.Start(harness.Consume(s))
		h.SettleWithin(2 * time.Minute)
		var letters []string
		topic := adapter.DeadLetterTopic("orders", "billing")
		cl, err := kgo.NewClient(append(h.ClientOptions("reader"), kgo.ConsumeTopics(topic),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		end, _ := ends.Lookup(topic, 0)
		for at := int64(0); at < end.Offset; {
			cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
				if at = r.Offset + 1; !r.Attrs.IsControl() {
					letters = append(letters, string(r.Value))
				}
			})
		}
		slices.Sort(letters)
		if len(letters) != len(recs) || len(slices.Compact(letters)) != len(recs) {
			t.Error("the dead letters are", letters)
		}
	})
}

// A static member comes back at once where the brokers share the partitions, too: well
// before its session would have expired, which is longer than the harness waits.
func TestModes_aStaticMemberComesBack(t *testing.T) {
	k := kafka.Run(t, kafka.Config{})
	for _, mode := range []adapter.Mode{adapter.Classic, adapter.ServerSide} {
		t.Run(mode.String(), func(t *testing.T) {
			c := harness.Config{Kafka: harness.Kafka{Brokers: k.Addrs()}}
			c.RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
				var w worked
				s := adapter.Subscription{
					Topics: []string{"orders"}, Group: "billing", Mode: mode, InstanceID: "one",
					Handler: adapter.HandlerFunc(w.handle),
				}
				for range 3 {
					m := h.Start(harness.Consume(s))
					m.WaitAssigned()
					rec := h.Publish(order{"k", "once"})
					h.Settle()
					if f := h.Fate(rec); f.Kind != harness.Committed {
						t.Error(f)
					}
					m.Stop()
				}
			})
		})
	}
}
