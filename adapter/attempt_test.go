package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

func TestHandlerTimeout_cancelsAndTriesAgain(t *testing.T) {
	p := placeOf(t)
	p.test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		var causes list[error]
		s := subscription(func(ctx context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt == 1 {
				<-ctx.Done()
				causes.add(context.Cause(ctx))
			}
			return adapter.Commit() // too late, the first time
		})
		s.Retry.HandlerTimeout = p.minute
		h.Subscribe(s)
		rec := h.Publish(event{"t", "k", ""})
		h.Settle()
		assert.Equal(t, []error{adapter.ErrHandlerTimeout}, causes.all())
		f := h.Fate(rec)
		assert.Equal(t, harness.Committed, f.Kind)
		assert.Equal(t, 2, f.Attempts)
	})
}

func TestHandlerTimeout_oneThatIgnoresItIsStuck(t *testing.T) {
	p := placeOf(t)
	p.test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		release := make(chan struct{})
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt == 1 {
				<-release
			}
			return adapter.Commit()
		})
		s.Retry.HandlerTimeout = p.minute
		c := h.Subscribe(s)
		rec := h.Publish(event{"t", "k", ""})
		time.Sleep(p.minute + 5*time.Second)
		assert.Zero(t, c.Status().Stuck, "it may need a moment")
		until(t, "stuck", func() bool { return c.Status().Stuck == 1 })
		close(release)
		h.Settle()
		assert.Zero(t, c.Status().Stuck)
		assert.Equal(t, 2, h.Fate(rec).Attempts)
	})
}

func TestHandlerTimeout_ofBatches(t *testing.T) {
	p := placeOf(t)
	p.test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		calls := 0
		s := batches(func(ctx context.Context, _ *adapter.Batch) error {
			if calls++; calls == 1 {
				<-ctx.Done()
			}
			return nil
		})
		s.Retry.HandlerTimeout = p.minute
		h.SubscribeBatch(s)
		rec := h.Publish(event{"t", "k", ""})
		h.Settle()
		assert.Equal(t, 2, calls)
		assert.Equal(t, 2, h.Fate(rec).Attempts)
	})
}

func TestWatchdog_aFencedHandlerThatIgnoresItsContextIsStuck(t *testing.T) {
	needsTag(t)
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		r := newRunning()
		h.CreateTopics("t")
		h.Adapter()
		c := subscribe(t, h.NewAdapter(), subscription(r.handle)) // p2
		h.Settle()
		h.Publish(event{"t", "", ""})
		<-r.entered
		f := cut(h, "p2")
		until(t, "fenced", func() bool { return c.Status().Fenced == 1 })
		f.Clear()
		assert.Zero(t, c.Status().Stuck)
		until(t, "stuck", func() bool { return c.Status().Stuck == 1 })
		r.release <- adapter.Commit()
		<-r.entered
		r.release <- adapter.Commit()
		h.Settle()
		assert.Zero(t, c.Status().Stuck)
	})
}

func TestMaxAge_givesUpAfterAnAttempt(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := subscription(func(context.Context, *adapter.Message) adapter.Result {
			return adapter.RetryAfter(errDown, 25*time.Minute)
		})
		s.Retry.MaxAge = time.Hour
		h.Subscribe(s)
		rec := h.Publish(event{"t", "k", ""})
		h.Settle()
		f := h.Fate(rec)
		assert.Equal(t, harness.DeadLettered, f.Kind)
		assert.Equal(t, 4, f.Attempts, "at 0, 25, 50 and 75 minutes")
		var age *adapter.AgeError
		require.ErrorAs(t, f.Err, &age)
		assert.InDelta(t, 75*time.Minute, age.Age, float64(time.Second))
		require.ErrorIs(t, f.Err, errDown)
	})
}

type opinion bool

func (o opinion) Error() string   { return fmt.Sprint("retryable: ", bool(o)) }
func (o opinion) Retryable() bool { return bool(o) }

func TestFromError_withoutAPolicy(t *testing.T) {
	assert.Equal(t, adapter.ResultCommit, adapter.FromError(nil).Type())
	assert.Equal(t, adapter.ResultRetry, adapter.FromError(errDown).Type())
	assert.Equal(t, adapter.ResultRetry, adapter.FromError(fmt.Errorf("in: %w", opinion(true))).Type())
	r := adapter.FromError(fmt.Errorf("in: %w", opinion(false)))
	assert.Equal(t, adapter.ResultReject, r.Type())
	assert.ErrorIs(t, r.Err(), opinion(false))
}

func TestClassify_decidesOnErrors(t *testing.T) {
	errGone := errors.New("gone")
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt > 1 {
				return adapter.FromError(nil)
			}
			if string(m.Value) == "gone" {
				return adapter.FromError(errGone)
			}
			return adapter.FromError(errDown)
		})
		s.Retry.Classify = func(err error) adapter.Result {
			switch {
			case err == nil:
				return adapter.Commit()
			case errors.Is(err, errGone):
				return adapter.Reject(err)
			}
			return adapter.RetryAfter(err, time.Hour)
		}
		h.Subscribe(s)
		start := time.Now()
		gone, down := h.Publish(event{"t", "a", "gone"}), h.Publish(event{"t", "b", "down"})
		h.Settle()
		assert.Equal(t, harness.DeadLettered, h.Fate(gone).Kind)
		assert.Equal(t, harness.Committed, h.Fate(down).Kind)
		assert.GreaterOrEqual(t, time.Since(start), time.Hour)
	})
}

func TestClassify_thatPanicsOrExitsSettlesNothing(t *testing.T) {
	for name, how := range map[string]func(){"panic": func() { panic("oh no") }, "exit": exit} {
		t.Run(name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				var classified list[int]
				s := subscription(func(context.Context, *adapter.Message) adapter.Result { return adapter.FromError(errDown) })
				s.Retry.Attempts = 2
				s.Retry.Classify = func(err error) adapter.Result {
					classified.add(1)
					how()
					return adapter.Reject(err)
				}
				h.Subscribe(s)
				rec := h.Publish(event{"t", "k", ""})
				h.Settle()
				assert.Equal(t, 2, classified.len())
				assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind, "its attempts are used up")
			})
		})
	}
}
