package adapter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

func TestStatus_tellsWhereItIs(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.PublishAll(numbered(100)...)
		first := h.Subscribe(subscription(commits))
		h.Settle()
		s := first.Status()
		assert.Equal(t, "g", s.Group)
		assert.Equal(t, []string{"t"}, s.Topics)
		require.Len(t, s.Partitions, 1)
		p := s.Partitions[0]
		assert.EqualValues(t, []int64{100, 100, 100, 100}, []int64{p.Position, p.HighWatermark, p.Settled, p.Committed})
		assert.Zero(t, p.Lag())
		require.NoError(t, first.Close(t.Context()))

		require.NoError(t, h.Adapter().Publish(t.Context(), numbered(10)...))
		r := newRunning()
		second := h.Subscribe(subscription(r.handle))
		<-r.entered
		p = second.Status().Partitions[0]
		assert.EqualValues(t, 10, p.Lag(), "what the group had done before counts")
		assert.Equal(t, 1, p.InFlight)
		assert.Equal(t, 9, p.Queued)
		for range 10 {
			r.release <- adapter.Commit()
		}
		h.Settle()
		assert.Zero(t, second.Status().Partitions[0].Lag())
	})
}

func TestPause_stopsFetchingUntilResume(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var got list[string]
		c := h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			got.add(string(m.Value))
			return adapter.Commit()
		}))
		h.Publish(event{"t", "", "one"})
		h.Settle()
		c.Pause()
		c.Pause()
		h.Publish(event{"t", "", "two"})
		time.Sleep(time.Hour)
		assert.Equal(t, []string{"one"}, got.all())
		assert.Equal(t, []string{"paused by Pause"}, c.Status().Partitions[0].Paused)
		c.Resume()
		h.Settle()
		assert.Equal(t, []string{"one", "two"}, got.all())
		assert.Empty(t, c.Status().Partitions[0].Paused)
	})
}

func TestPause_countsForPartitionsThatComeLater(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.PublishAll(numbered(3)...)
		var got list[string]
		c := h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			got.add(string(m.Value))
			return adapter.Commit()
		}))
		c.Pause()
		time.Sleep(time.Hour)
		assert.Zero(t, got.len())
		c.Resume()
		h.Settle()
		assert.Equal(t, 3, got.len())
	})
}

func TestPause_holdsForPartitionsThatOthersLeave(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		var got list[string]
		c := subscribe(t, h.NewAdapter(), subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			got.add(string(m.Value))
			return adapter.Commit()
		}))
		other := subscribe(t, h.NewAdapter(), subscription(commits))
		until(t, "each has one", func() bool { return len(c.Status().Partitions) == 1 && len(other.Status().Partitions) == 1 })
		c.Pause()
		require.NoError(t, other.Close(t.Context()))
		until(t, "it has both", func() bool { return len(c.Status().Partitions) == 2 })
		publisher := h.NewAdapter()
		require.NoError(t, publisher.Publish(t.Context(), at(0, ""), at(1, "")))
		time.Sleep(time.Hour)
		assert.Zero(t, got.len())
		c.Resume()
		h.Settle()
		assert.Equal(t, 2, got.len())
	})
}

func TestBackpressure_memoryIsBoundedAndEverythingIsHandled(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		const n = 60_000
		h.CreateTopics("t")
		for range n / 1000 {
			require.NoError(t, h.Adapter().Publish(t.Context(), numbered(1000)...))
		}
		most, handled, paused := 0, 0, false
		var c *adapter.Consumer
		ready := make(chan struct{})
		s := subscription(func(context.Context, *adapter.Message) adapter.Result {
			<-ready
			handled++
			if handled%500 == 1 {
				time.Sleep(time.Second)
				p := c.Status().Partitions[0]
				most = max(most, p.Queued)
				paused = paused || len(p.Paused) > 0
			}
			return adapter.Commit()
		})
		s.Order = adapter.ByPartition
		c = h.Subscribe(s)
		close(ready)
		h.Settle()
		assert.Equal(t, n, handled)
		assert.Less(t, most, 40_000, "one fetch more than the bound")
		assert.True(t, paused)
		assert.Empty(t, c.Status().Partitions[0].Paused)
	})
}

func TestTrace_tellsInOrder(t *testing.T) {
	var told list[string]
	say := func(s string) { told.add(s) }
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.Trace = &adapter.Trace{
			Assigned: func(adapter.GroupMember, map[string][]int32) { say("assigned") },
			Started:  func(adapter.GroupMember, string, int32, int64) { say("started") },
			Delivered: func(ctx context.Context, _ *adapter.Message) context.Context {
				say("delivered")
				return ctx
			},
			Returned:     func(*adapter.Message, adapter.Result, time.Duration) { say("returned") },
			Waiting:      func(*adapter.Message, time.Time) { say("waiting") },
			DeadLettered: func(*adapter.Message, error, adapter.Origin) { say("dead-lettered") },
			Settled:      func([]*adapter.Message) { say("settled") },
			Committed:    func(adapter.GroupMember, string, int32, int64) { say("committed") },
			Revoked:      func(adapter.GroupMember, map[string][]int32, bool) { say("revoked") },
		}
	}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		s := subscription(func(context.Context, *adapter.Message) adapter.Result { return adapter.Retry(errors.New("no")) })
		s.Retry.Attempts = 2
		c := h.Subscribe(s)
		h.Settle()
		h.Publish(event{"t", "", ""})
		h.Settle()
		require.NoError(t, c.Close(t.Context()))
		assert.Equal(t, []string{
			"assigned", "started", "delivered", "returned", "waiting", "committed", // that it has failed
			"delivered", "returned", "dead-lettered", "settled", "committed", "revoked",
		}, told.all())
	})
}

type deliveredKey struct{}

func TestTrace_deliveredMakesTheHandlersContext(t *testing.T) {
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.Trace = &adapter.Trace{Delivered: func(ctx context.Context, m *adapter.Message) context.Context {
			seen, _ := ctx.Value(deliveredKey{}).([]int64)
			return context.WithValue(ctx, deliveredKey{}, append(seen, m.Offset))
		}}
	}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		var one, batch []any
		h.Subscribe(subscription(func(ctx context.Context, _ *adapter.Message) adapter.Result {
			one = append(one, ctx.Value(deliveredKey{}))
			return adapter.Commit()
		}))
		h.PublishAll(event{"t", "", ""}, event{"t", "", ""})
		h.SubscribeBatch(adapter.BatchSubscription{Topics: []string{"t"}, Group: "batches", Handler: adapter.BatchHandlerFunc(
			func(ctx context.Context, _ *adapter.Batch) error {
				batch = append(batch, ctx.Value(deliveredKey{}))
				return nil
			},
		)})
		h.Settle()
		assert.Equal(t, []any{[]int64{0}, []int64{1}}, one)
		assert.Equal(t, []any{[]int64{0, 1}}, batch)
	})
}
