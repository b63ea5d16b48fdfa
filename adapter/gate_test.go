package adapter_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

func TestGate_closedNoHandlerRunsAndFetchingPauses(t *testing.T) {
	var changes list[error]
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.Trace = &adapter.Trace{Gate: func(_ adapter.GroupMember, closed error) { changes.add(closed) }}
	}}
	p := placeOf(t)
	p.test(t, cfg, func(t *testing.T, h *harness.Harness) {
		var handled list[int]
		gate := &harness.GateSpy{}
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(m.Attempt)
			return adapter.Commit()
		})
		s.Gate, s.Retry.MaxBackoff = gate.Check, p.minute/2
		c := h.Subscribe(s)
		gate.Down(errDown)
		h.Publish(event{"t", "k", ""})
		time.Sleep(60 * p.minute)
		assert.Zero(t, handled.len())
		assert.ErrorIs(t, c.Status().Gate, errDown)
		assert.Contains(t, c.Status().Partitions[0].Paused, "the gate is closed")
		asked := gate.Calls.Count()
		assert.Less(t, asked, 400, "with backoff")
		assert.Greater(t, asked, 10, "again and again")
		gate.Up()
		h.Settle()
		assert.Equal(t, []int{1}, handled.all(), "no attempt was used")
		assert.Empty(t, c.Status().Partitions[0].Paused)
		require.Len(t, changes.all(), 2, "one of each change")
		assert.NoError(t, changes.all()[1])
	})
}

func TestGate_isAskedOnceASecondAtMost(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		gate := &harness.GateSpy{}
		s := subscription(func(context.Context, *adapter.Message) adapter.Result {
			time.Sleep(10 * time.Millisecond)
			return adapter.Commit()
		})
		s.Gate, s.Order = gate.Check, adapter.ByPartition
		h.Subscribe(s)
		h.PublishAll(numbered(500)...) // 5 seconds
		h.Settle()
		assert.LessOrEqual(t, gate.Calls.Count(), 7)
		assert.GreaterOrEqual(t, gate.Calls.Count(), 4)
	})
}

func TestGate_anUnavailableDependencyUsesNoAttemptWhileItIsClosed(t *testing.T) {
	p := placeOf(t)
	p.test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		gate := &harness.GateSpy{}
		var attempts list[int]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			attempts.add(m.Attempt)
			if attempts.len() == 1 {
				gate.DownUntil(time.Now().Add(10*p.minute), errDown)
				return adapter.Unavailable(errDown)
			}
			return adapter.Commit()
		})
		s.Gate, s.Retry.MaxBackoff = gate.Check, p.minute
		s.Retry.Attempts = 1
		h.Subscribe(s)
		rec := h.Publish(event{"t", "k", ""})
		until(t, "the gate has opened, and it is handled", func() bool { return attempts.len() == 2 })
		h.Settle()
		assert.Equal(t, []int{1, 1}, attempts.all())
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

// Unavailable is a retry like any other where the gate says that it is open.
func TestGate_openAnUnavailableDependencyUsesAttempts(t *testing.T) {
	for name, check := range map[string]func(context.Context) error{"no gate": nil, "open": func(context.Context) error { return nil }} {
		t.Run(name, func(t *testing.T) {
			placeOf(t).test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
				var attempts list[int]
				s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
					attempts.add(m.Attempt)
					return adapter.Unavailable(errDown)
				})
				s.Gate, s.Retry.Attempts = check, 2
				h.Subscribe(s)
				rec := h.Publish(event{"t", "k", ""})
				h.Settle()
				assert.Equal(t, []int{1, 2}, attempts.all())
				assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
			})
		})
	}
}

func TestGate_closedARecordDoesNotAge(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		gate := &harness.GateSpy{}
		var attempts list[int]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if attempts.add(m.Attempt); m.Attempt < 3 {
				return adapter.RetryAfter(errDown, 10*time.Minute)
			}
			return adapter.Commit()
		})
		s.Gate = gate.Check
		s.Retry.MaxAge = time.Hour
		h.Subscribe(s)
		rec := h.Publish(event{"t", "k", ""})
		until(t, "the first attempt", func() bool { return attempts.len() == 1 })
		gate.DownUntil(time.Now().Add(4*time.Hour), errDown)
		time.Sleep(5 * time.Hour)
		h.Settle()
		assert.Equal(t, []int{1, 2, 3}, attempts.all())
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

func TestGate_thatPanicsExitsOrHangsIsClosed(t *testing.T) {
	for name, c := range map[string]struct {
		check func(context.Context) error
		want  string
	}{
		"panic": {func(context.Context) error { panic("oh no") }, "the gate panicked: oh no"},
		"exit":  {func(context.Context) error { exit(); return nil }, "the gate exited its goroutine"},
		"hang":  {func(ctx context.Context) error { <-ctx.Done(); return nil }, "the gate did not answer within 10s"},
	} {
		t.Run(name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				var good atomic.Bool
				var handled list[int]
				s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
					handled.add(m.Attempt)
					return adapter.Commit()
				})
				s.Gate = func(ctx context.Context) error {
					if good.Load() {
						return nil
					}
					return c.check(ctx)
				}
				consumer := h.Subscribe(s)
				h.Publish(event{"t", "k", ""})
				until(t, "closed", func() bool { return consumer.Status().Gate != nil })
				assert.EqualError(t, consumer.Status().Gate, c.want)
				assert.Zero(t, handled.len())
				good.Store(true)
				time.Sleep(time.Minute)
				h.Settle()
				assert.Equal(t, []int{1}, handled.all())
			})
		})
	}
}

// A check that takes its time must not hold up a rebalance, or Close.
func TestGate_thatIsBeingAskedHoldsUpNoClose(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		asked := make(chan struct{}, 10)
		s := subscription(commits)
		s.Gate = func(ctx context.Context) error {
			asked <- struct{}{}
			<-ctx.Done()
			return errors.New("too late")
		}
		c := h.Subscribe(s)
		rec := h.Publish(event{"t", "k", ""})
		<-asked
		start := time.Now()
		require.NoError(t, c.Close(t.Context()))
		assert.Less(t, time.Since(start), time.Second)
		h.AllowPending()
		assert.Equal(t, harness.Pending, h.Fate(rec).Kind)
	})
}

func TestGate_ofBatches(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		gate := &harness.GateSpy{}
		gate.DownUntil(time.Now().Add(time.Hour), errDown)
		var seen list[int]
		s := batches(func(_ context.Context, b *adapter.Batch) error {
			seen.add(len(b.Messages))
			return nil
		})
		s.Gate = gate.Check
		h.SubscribeBatch(s)
		h.Publish(event{"t", "k", ""})
		time.Sleep(50 * time.Minute)
		assert.Zero(t, seen.len())
		time.Sleep(20 * time.Minute)
		h.Settle()
		assert.Equal(t, []int{1}, seen.all())
	})
}

func TestGate_closedABatchDoesNotAge(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		gate := &harness.GateSpy{}
		var attempts list[int]
		s := batches(func(_ context.Context, b *adapter.Batch) error {
			if attempts.add(b.Messages[0].Attempt); attempts.len() < 3 {
				return errDown
			}
			return nil
		})
		s.Gate = gate.Check
		s.Retry.MaxAge, s.Retry.MinBackoff, s.Retry.MaxBackoff = time.Hour, time.Minute, time.Minute
		h.SubscribeBatch(s)
		rec := h.Publish(event{"t", "k", ""})
		until(t, "the first attempt", func() bool { return attempts.len() == 1 })
		gate.DownUntil(time.Now().Add(5*time.Hour), errDown)
		time.Sleep(6 * time.Hour)
		h.Settle()
		assert.Equal(t, []int{1, 2, 3}, attempts.all())
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

// While a consumer closes the gate does not answer any more.
func TestGate_unavailableWhileClosingUsesNoAttempt(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		gate := &harness.GateSpy{}
		r := newRunning()
		s := subscription(r.handle)
		s.Gate, s.Retry.Attempts = gate.Check, 1
		h.CreateTopics("t")
		first := subscribe(t, h.NewAdapter(), s)
		rec := h.Publish(event{"t", "k", ""})
		<-r.entered
		gate.Down(errDown)
		closed := make(chan error)
		go func() { closed <- first.Close(t.Context()) }()
		time.Sleep(time.Second)
		r.release <- adapter.Unavailable(errDown)
		require.NoError(t, <-closed)
		gate.Up()
		r.release <- adapter.Commit()
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}
