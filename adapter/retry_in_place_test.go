package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

func TestRetry_attemptsAreCountedAndBackOff(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		type run struct {
			at time.Time
			m  *adapter.Message
		}
		var runs list[run]
		h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			runs.add(run{time.Now(), m})
			return adapter.Retry(fmt.Errorf("failure %d", m.Attempt))
		}))
		rec := h.Publish(event{"t", "k", "v"})
		h.Settle()
		got := runs.all()
		require.Len(t, got, 10)
		full := 200 * time.Millisecond
		for i, r := range got {
			assert.Equal(t, i+1, r.m.Attempt, "kept messages are not changed by later attempts")
			assert.Equal(t, "v", string(r.m.Value))
			if i == 0 {
				assert.Zero(t, r.m.FirstFailed)
				continue
			}
			assert.True(t, r.m.FirstFailed.Equal(got[0].at), "attempt %d", i+1)
			wait := r.at.Sub(got[i-1].at)
			assert.GreaterOrEqual(t, wait, full/2, "before attempt %d", i+1)
			assert.LessOrEqual(t, wait, full, "before attempt %d", i+1)
			full = min(2*full, 30*time.Second)
		}
		f := h.Fate(rec)
		assert.Equal(t, harness.DeadLettered, f.Kind)
		var attempts *adapter.AttemptsError
		require.ErrorAs(t, f.Err, &attempts)
		assert.Equal(t, 10, attempts.Attempts)
		assert.EqualError(t, attempts.Err, "failure 10")
		dead := h.Topic("t.g.dlt").Records()[0]
		assert.Equal(t, "10", dead.Header(adapter.HeaderAttempt))
		assert.Equal(t, got[0].at.UTC().Format(time.RFC3339Nano), dead.Header(adapter.HeaderFirstFailed))
	})
}

func TestRetry_delays(t *testing.T) {
	err := errors.New("no")
	for _, c := range []struct {
		name     string
		result   adapter.Result
		policy   adapter.RetryPolicy
		min, max time.Duration
	}{
		{"RetryAfter is exact", adapter.RetryAfter(err, 3*time.Hour), adapter.RetryPolicy{}, 3 * time.Hour, 3 * time.Hour},
		{"RetryAfter zero is at once", adapter.RetryAfter(err, 0), adapter.RetryPolicy{}, 0, time.Microsecond},
		{"Unavailable backs off", adapter.Unavailable(err), adapter.RetryPolicy{MinBackoff: time.Minute}, 30 * time.Second, time.Minute},
		{"Retry backs off", adapter.Retry(err), adapter.RetryPolicy{MinBackoff: time.Second, MaxBackoff: time.Second}, 500 * time.Millisecond, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				var runs list[time.Time]
				s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
					runs.add(time.Now())
					if m.Attempt == 2 {
						return adapter.Commit()
					}
					return c.result
				})
				s.Retry = c.policy
				h.Subscribe(s)
				rec := h.Publish(event{"t", "", ""})
				h.Settle()
				assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
				waited := runs.all()[1].Sub(runs.all()[0])
				assert.GreaterOrEqual(t, waited, c.min)
				assert.LessOrEqual(t, waited, c.max)
			})
		})
	}
}

func TestRetry_holdsUpItsOwnPartitionOnly(t *testing.T) {
	harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[string]
		c := h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if string(m.Value) == "bad" && m.Attempt == 1 {
				return adapter.RetryAfter(errors.New("later"), time.Hour)
			}
			handled.add(string(m.Value))
			return adapter.Commit()
		}))
		h.PublishAll(at(0, "bad"), at(0, "behind"), at(1, "beside"), at(1, "beside"))
		until(t, "the other partition is done", func() bool { return committed(h, 1) == 2 })
		assert.Equal(t, []string{"beside", "beside"}, handled.all())
		p := c.Status().Partitions[0]
		assert.Equal(t, 1, p.Held)
		assert.Equal(t, 1, p.Queued)
		assert.False(t, p.Due.IsZero())
		assert.NoError(t, p.Blocked)
		h.Settle()
		assert.Equal(t, []string{"bad", "behind"}, handled.all()[2:])
	})
}

func TestRetry_aHandlerThatPanicsOrExitsIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		how  func()
		want error
	}{
		"panic":     {func() { panic("oh no") }, adapter.ErrHandlerPanicked},
		"panic nil": {func() { panic(nil) }, adapter.ErrHandlerPanicked},
		"exit":      {runtime.Goexit, adapter.ErrHandlerExited},
	} {
		t.Run(name, func(t *testing.T) {
			placeOf(t).test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
				var attempts list[int]
				s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
					attempts.add(m.Attempt)
					if string(m.Value) == "bad" {
						c.how()
					}
					return adapter.Commit()
				})
				s.Retry.Attempts = 3
				s.Order = adapter.ByPartition
				h.Subscribe(s)
				recs := h.PublishAll(event{"t", "", "bad"}, event{"t", "", "good"})
				h.Settle()
				assert.Equal(t, []int{1, 2, 3, 1}, attempts.all())
				assert.ErrorIs(t, h.Fate(recs[0]).Err, c.want)
				assert.Equal(t, harness.DeadLettered, h.Fate(recs[0]).Kind)
				assert.Equal(t, harness.Committed, h.Fate(recs[1]).Kind)
			})
		})
	}
}

func TestReject_theZeroResultIsOne(t *testing.T) {
	placeOf(t).test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(subscription(func(context.Context, *adapter.Message) adapter.Result { return adapter.Result{} }))
		rec := h.Publish(event{"t", "", ""})
		h.Settle()
		assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
		assert.ErrorIs(t, h.Fate(rec).Err, adapter.ErrNoResult)
	})
}
