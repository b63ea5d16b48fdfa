package harness_test

import (
	"context"
	"errors"
	"fmt"
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

// Each of these holds the end back by one thing alone.

func TestSettle_waitsForAHandlerThatSleeps(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		done := false
		subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
			time.Sleep(2 * time.Hour)
			done = true
			return adapter.Commit()
		})
		start := time.Now()
		h.Publish(text{topic: "t"})
		h.Settle()
		assert.True(t, done)
		assert.InDelta(t, 2*time.Hour, time.Since(start), float64(time.Second))
	})
}

func TestSettle_waitsForARetryThatIsHeld(t *testing.T) {
	onBothClocks(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		attempts := 0
		subscribe(h, "g", "t", func(_ context.Context, m *adapter.Message) adapter.Result {
			attempts++
			if m.Attempt == 1 {
				return adapter.RetryAfter(errors.New("not yet"), 50*time.Millisecond)
			}
			return adapter.Commit()
		})
		h.Publish(text{topic: "t"})
		h.Settle()
		assert.Equal(t, 2, attempts)
	})
}

func TestSettle_passesHoursOfBackoffWithoutOversleeping(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		waits := []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour}
		subscribe(h, "g", "t", func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt <= len(waits) {
				return adapter.RetryAfter(errors.New("down"), waits[m.Attempt-1])
			}
			return adapter.Commit()
		})
		rec := h.Publish(text{topic: "t"})
		start := time.Now()
		h.Settle()
		assert.InDelta(t, 7*time.Hour+11*time.Minute, time.Since(start), float64(time.Second))
		assert.Equal(t, 5, h.Fate(rec).Attempts)
	})
}

func TestSettle_followsAChainOfThreeTopics(t *testing.T) {
	const n = 200
	onBothClocks(t, harness.Config{Partitions: 3}, func(t *testing.T, h *harness.Harness) {
		arrived := 0
		forward := func(next string) func(context.Context, *adapter.Message) adapter.Result {
			return func(ctx context.Context, m *adapter.Message) adapter.Result {
				if err := h.Adapter().Publish(ctx, text{next, string(m.Key), string(m.Value)}); err != nil {
					return adapter.Retry(err)
				}
				return adapter.Commit()
			}
		}
		h.CreateTopics("a", "b", "c:1")
		subscribe(h, "ga", "a", forward("b"))
		subscribe(h, "gb", "b", forward("c"))
		subscribe(h, "gc", "c", func(context.Context, *adapter.Message) adapter.Result {
			arrived++
			return adapter.Commit()
		})
		var events []adapter.Event
		for i := range n {
			events = append(events, text{"a", fmt.Sprint(i), "x"})
		}
		h.PublishAll(events...)
		h.Settle()
		assert.Equal(t, n, arrived)
	})
}

func TestSettle_waitsForRecordsOnTheirWayToTheBroker(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		seen := 0
		subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
			seen++
			return adapter.Commit()
		})
		h.Settle()
		h.Broker().Delay(time.Minute, fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, Count: 1})
		published := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { published <- h.Adapter().Publish(ctx, text{topic: "t"}) }()
		for h.Adapter().Buffered() == 0 { // Publish has begun
			time.Sleep(time.Millisecond)
		}
		cancel()
		assert.ErrorIs(t, <-published, adapter.ErrTimeout)
		h.Settle()
		assert.Equal(t, 1, seen)
		assert.Zero(t, h.Adapter().Buffered())
	})
}

func TestSettle_waitsForARebalance(t *testing.T) {
	onBothClocks(t, harness.Config{Partitions: 4}, func(t *testing.T, h *harness.Harness) {
		subscribe(h, "g", "t", commit)
		h.Settle()
		second, err := h.NewAdapter().Subscribe(t.Context(), adapter.Subscription{
			Topics: []string{"t"}, Group: "g", Handler: adapter.HandlerFunc(commit),
		})
		assert.NoError(t, err)
		// The broker knows of the second member before it is done.
		for g, _ := h.Broker().Group("g"); len(g.Members) < 2; g, _ = h.Broker().Group("g") {
			time.Sleep(time.Millisecond)
		}
		h.Settle()
		assert.Len(t, second.Status().Partitions, 2)
		g, _ := h.Broker().Group("g")
		assert.Equal(t, "Stable", g.State)
	})
}

func TestSettle_endsWhereThereIsNothingToDo(t *testing.T) {
	onBothClocks(t, harness.Config{Partitions: 3}, func(t *testing.T, h *harness.Harness) {
		h.Settle() // nobody consumes anything
		subscribe(h, "g", "empty", commit)
		h.Settle()
		assert.Len(t, h.Adapter().Consumers()[0].Status().Partitions, 3, "settled with an unassigned partition")
	})
}

func TestSettle_doesNotWaitForControlRecords(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		cl, err := kgo.NewClient(append(h.Broker().ClientOptions(), kgo.TransactionalID("x"), kgo.ProducerLinger(0))...)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		assert.NoError(t, cl.BeginTransaction())
		assert.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr())
		assert.NoError(t, cl.EndTransaction(t.Context(), kgo.TryCommit))
		subscribe(h, "g", "t", commit)
		h.Settle()
		assertKind(t, harness.Committed, h.Fate(h.Topic("t").Records()[0]))
	})
}

func TestSettle_waitsForTheCommit(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		subscribe(h, "g", "t", commit)
		h.Settle()
		refused := h.Broker().Refuse(kerr.CoordinatorLoadInProgress, fakebroker.Scope{APIs: []kmsg.Key{kmsg.OffsetCommit}, Count: 3})
		rec := h.Publish(text{topic: "t"})
		h.Settle()
		assert.Equal(t, 3, refused.Hits())
		assertKind(t, harness.Committed, h.Fate(rec))
	})
}

func TestSettle_withoutTheLocksOfTheAdapter(t *testing.T) {
	// The race detector fails this if Settle does not order what handlers
	// wrote before what the test reads.
	onBothClocks(t, harness.Config{Partitions: 4}, func(t *testing.T, h *harness.Harness) {
		seen := make([]int, 4)
		subscribe(h, "g", "t", func(_ context.Context, m *adapter.Message) adapter.Result {
			seen[m.Partition]++
			return adapter.Commit()
		})
		for range 3 {
			var events []adapter.Event
			for i := range 20 {
				events = append(events, text{"t", fmt.Sprint(i), ""})
			}
			h.PublishAll(events...)
			h.Settle()
		}
		assert.Equal(t, 60, seen[0]+seen[1]+seen[2]+seen[3])
	})
}

func TestSettle_withOneOfThreeBrokersDown(t *testing.T) {
	c := harness.Config{Broker: fakebroker.Config{Brokers: 3}, Partitions: 3}
	for node := range int32(3) {
		t.Run(fmt.Sprint("virtual time, broker ", node), func(t *testing.T) { c.Run(t, withBrokerDown(node)) })
	}
	t.Run("real time", func(t *testing.T) { c.RunRealTime(t, withBrokerDown(2)) })
}

func withBrokerDown(node int32) func(*testing.T, *harness.Harness) {
	return func(t *testing.T, h *harness.Harness) {
		handled := make([]int, 3)
		subscribe(h, "g", "t", func(_ context.Context, m *adapter.Message) adapter.Result {
			handled[m.Partition]++
			return adapter.Commit()
		})
		publish := func() {
			for i := range 6 {
				h.Publish(text{"t", fmt.Sprint(i), ""})
			}
		}
		publish()
		h.Settle()
		down := h.Broker().TakeDown(node)
		publish()
		h.Settle()
		down.Clear()
		publish()
		h.Settle()
		assert.GreaterOrEqual(t, handled[0]+handled[1]+handled[2], 18)
	}
}
