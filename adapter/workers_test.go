package adapter_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

func TestWorkers_whatIsDueAtOnceRunsAtOnce(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var ended list[time.Duration]
		start := time.Now()
		h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt == 1 {
				return adapter.RetryAfter(errDown, time.Minute)
			}
			time.Sleep(10 * time.Minute)
			ended.add(time.Since(start).Round(time.Minute))
			return adapter.Commit()
		}))
		h.PublishAll(numbered(10)...)
		h.Settle()
		require.Len(t, ended.all(), 10)
		for _, at := range ended.all() {
			assert.Equal(t, 11*time.Minute, at)
		}
	})
}

func TestWorkers_whatTheGateHeldRunsAtOnceWhenItOpens(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		gate := &harness.GateSpy{}
		var begun, ended list[time.Time]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt == 1 {
				return adapter.RetryAfter(errDown, time.Minute)
			}
			begun.add(time.Now())
			time.Sleep(10 * time.Minute)
			ended.add(time.Now())
			return adapter.Commit()
		})
		s.Gate = gate.Check
		h.Subscribe(s)
		h.PublishAll(numbered(10)...)
		time.Sleep(30 * time.Second)
		gate.Down(errDown)
		time.Sleep(time.Hour)
		require.Empty(t, begun.all())
		gate.Up()
		h.Settle()
		require.Len(t, ended.all(), 10)
		assert.True(t, begun.all()[9].Before(ended.all()[0]), "the last begins before the first has ended")
	})
}

func TestWorkers_aSlowRecordKeepsNoOtherWhenEachIsCountedBeforeItRuns(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		handled := map[string]time.Duration{}
		var mu sync.Mutex
		var start time.Time
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			mu.Lock()
			handled[string(m.Key)] = time.Since(start)
			mu.Unlock()
			if string(m.Key) == "slow" {
				time.Sleep(time.Hour)
			}
			return adapter.Commit()
		})
		s.CountBeforeRun = true
		h.Subscribe(s)
		h.PublishAll(numbered(20)...) // so that it seems to be quick
		h.Settle()
		start = time.Now()
		h.PublishAll(event{"t", "slow", ""}, event{"t", "a", ""}, event{"t", "b", ""})
		h.Settle()
		assert.Less(t, handled["a"], time.Minute)
		assert.Less(t, handled["b"], time.Minute)
	})
}

// The queue of a lone worker is long, and what is due comes first all the same.
func TestWorkers_aRetryIsNotLateBehindABacklog(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var failed, again time.Time
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			time.Sleep(1900 * time.Microsecond)
			switch {
			case m.Offset != 200:
			case m.Attempt == 1:
				failed = time.Now()
				return adapter.RetryAfter(errDown, 10*time.Millisecond)
			default:
				again = time.Now()
			}
			return adapter.Commit()
		})
		s.MaxInFlight = 1
		h.PublishAll(numbered(500)...)
		h.Subscribe(s)
		h.Settle()
		assert.Less(t, again.Sub(failed), 20*time.Millisecond)
	})
}

func TestGate_closedWhatIsTakenDoesNotBegin(t *testing.T) {
	var closed list[time.Time]
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.Trace = &adapter.Trace{Gate: func(_ adapter.GroupMember, err error) {
			if err != nil {
				closed.add(time.Now())
			}
		}}
	}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		gate := &harness.GateSpy{}
		var begun list[time.Time]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			begun.add(time.Now())
			time.Sleep(1500*time.Microsecond + time.Duration(m.Partition)*330*time.Microsecond) // they ask at other times
			return adapter.Commit()
		})
		s.Gate, s.Order = gate.Check, adapter.ByPartition
		h.CreateTopics("t:2")
		var es []adapter.Event
		for i := range 4000 {
			es = append(es, at(int32(i%2), "x"))
		}
		h.PublishAll(es...)
		h.Subscribe(s)
		until(t, "some are handled", func() bool { return begun.len() > 100 })
		gate.Down(errDown)
		until(t, "the gate is closed", func() bool { return closed.len() > 0 })
		time.Sleep(time.Second)
		for _, at := range begun.all() {
			assert.False(t, at.After(closed.all()[0]), "a handler has begun %v after the gate closed", at.Sub(closed.all()[0]))
		}
		gate.Up()
		h.Settle()
		assert.Equal(t, 4000, begun.len())
	})
}

func TestClose_countsTheHandlersThatItCutsOff(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending()
		release := make(chan struct{})
		var begun list[int64]
		c := h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			begun.add(m.Offset)
			<-release
			return adapter.Commit()
		}))
		h.PublishAll(numbered(5)...)
		until(t, "all run", func() bool { return begun.len() == 5 })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorContains(t, c.Close(ctx), "5 handlers did not end in time")
		assert.Equal(t, 5, c.Status().Fenced)
		time.Sleep(time.Minute)
		assert.Equal(t, 5, c.Status().Stuck)
		close(release)
		until(t, "they have ended", func() bool { return c.Status().Fenced == 0 && c.Status().Stuck == 0 })
	})
}

func TestClose_doesNotWaitForThoseWhoGoOnPublishing(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		a := h.NewAdapter()
		require.NoError(t, a.Ready(t.Context()))
		slow := h.Broker().Delay(10*time.Millisecond, fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				var err error
				for err == nil {
					err = a.Publish(t.Context(), event{"t", "", "one"})
				}
				assert.ErrorIs(t, err, adapter.ErrClosed)
			})
		}
		until(t, "they publish", func() bool { return slow.Hits() > 10 })
		start := time.Now()
		require.NoError(t, a.Close(t.Context()))
		assert.Less(t, time.Since(start), time.Second)
		wg.Wait()
	})
}
