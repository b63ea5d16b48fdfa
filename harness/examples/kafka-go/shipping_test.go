package shipping_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
	shipping "example.com/kafkatest/harness/examples/kafka-go"
)

// order is one as the shop publishes it.
type order string

func (order) TopicName() string    { return shipping.Topic }
func (o order) MessageKey() string { return string(o) }
func (o order) MessageData() any   { return string(o) }

// consumer is an instance that ships with ship.
func consumer(ship func(member, order string) error) func(harness.Env) harness.Service {
	return func(e harness.Env) harness.Service {
		return &shipping.Consumer{
			Brokers: e.Brokers,
			Dialer:  &kafka.Dialer{DialFunc: e.Dial},
			Backoff: time.Minute,
			Ship:    func(_ context.Context, order string) error { return ship(e.Name, order) },
		}
	}
}

func TestConsumer_shipsEveryOrder(t *testing.T) {
	for name, run := range map[string]func(*testing.T, func(*testing.T, *harness.Harness)){"virtual time": harness.Run, "real time": harness.RunRealTime} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("orders")
				var shipped []string
				m := h.Start(consumer(func(_, order string) error {
					shipped = append(shipped, order)
					return nil
				}))
				m.WaitAssigned()
				recs := h.PublishAll(order("a"), order("b"), order("c"))
				h.Settle()
				if !slices.Equal(shipped, []string{"a", "b", "c"}) {
					t.Fatal(shipped)
				}
				for _, r := range recs {
					if f := h.Fate(r); f.Kind != harness.Committed || f.Deliveries != 1 {
						t.Error(f)
					}
				}
			})
		})
	}
}

func TestConsumer_shipsAgainWhatFailed(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("orders")
		attempts := 0
		h.Start(consumer(func(_, order string) error {
			if attempts++; attempts == 1 {
				return errors.New("no van")
			}
			return nil
		}))
		rec, start := h.Publish(order("a")), time.Now()
		h.Settle()
		if took := time.Since(start); attempts != 2 || took < time.Minute {
			t.Fatal(attempts, took)
		}
		if f := h.Fate(rec); f.Kind != harness.Committed {
			t.Fatal(f)
		}
	})
}

func TestConsumer_anotherTakesOverFromOneThatIsKilled(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("orders")
		shipped := map[string][]string{}
		ship := func(member, order string) error {
			if shipped[member] = append(shipped[member], order); member == "member 1" && order == "b" {
				return errors.New("out of memory")
			}
			return nil
		}
		first := h.Start(consumer(ship))
		first.WaitAssigned()
		a := h.Publish(order("a"))
		h.Settle()
		b := h.Publish(order("b"))
		h.Until(func() bool { return slices.Contains(shipped["member 1"], "b") })
		first.Kill()
		second := h.Start(consumer(ship))
		second.WaitAssigned()
		h.Settle()
		if !slices.Equal(shipped["member 2"], []string{"b"}) {
			t.Fatal(shipped)
		}
		if f := h.Fate(a); f.Kind != harness.Committed || f.Deliveries != 1 {
			t.Error(f)
		}
		if f := h.Fate(b); f.Kind != harness.Committed || f.Deliveries != 2 {
			t.Error(f)
		}
	})
}

func TestConsumer_comesBackWhenItsConnectionIsDropped(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("orders")
		var shipped []string
		h.Start(consumer(func(_, order string) error { shipped = append(shipped, order); return nil })).WaitAssigned()
		h.Publish(order("a"))
		h.Settle()
		drop := h.Broker().DropBefore(fakebroker.Scope{APIs: []kmsg.Key{kmsg.Fetch}, Count: 1})
		rec := h.Publish(order("b"))
		h.Settle()
		if f := h.Fate(rec); f.Kind != harness.Committed || drop.Hits() != 1 || !slices.Equal(shipped, []string{"a", "b"}) {
			t.Fatal(f, drop, shipped)
		}
	})
}
