package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// delivered is what a call of a batch handler got.
type delivered struct {
	offsets  []int64
	attempts []int
	at       time.Time
}

func deliveryOf(b *adapter.Batch) delivered {
	d := delivered{at: time.Now()}
	for _, m := range b.Messages {
		d.offsets = append(d.offsets, m.Offset)
		d.attempts = append(d.attempts, m.Attempt)
	}
	return d
}

// withBatch runs a batch handler for n records that are there before it.
func withBatch(t *testing.T, n int, change func(*adapter.BatchSubscription), handle adapter.BatchHandlerFunc, after func(t *testing.T, h *harness.Harness, c *adapter.Consumer, recs []harness.Record)) {
	t.Helper()
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		recs := h.PublishAll(numbered(n)...)
		s := batches(handle)
		if change != nil {
			change(&s)
		}
		c := h.SubscribeBatch(s)
		after(t, h, c, recs)
	})
}

func kinds(h *harness.Harness, recs []harness.Record) []harness.Kind {
	var ks []harness.Kind
	for _, r := range recs {
		ks = append(ks, h.Fate(r).Kind)
	}
	return ks
}

func TestBatch_isWhatOneFetchBrought(t *testing.T) {
	var calls list[delivered]
	withBatch(t, 5, nil, func(_ context.Context, b *adapter.Batch) error {
		calls.add(deliveryOf(b))
		assert.Equal(t, "t", b.Topic)
		assert.EqualValues(t, 0, b.Partition)
		assert.EqualValues(t, 5, b.HighWatermark)
		assert.EqualValues(t, 0, b.OffsetLag())
		assert.EqualValues(t, 4, b.OffsetLagLow())
		assert.True(t, b.IsRunning())
		assert.False(t, b.IsStale())
		assert.NoError(t, b.Heartbeat(t.Context()))
		assert.Equal(t, "g", b.Messages[0].Group)
		return nil
	}, func(t *testing.T, h *harness.Harness, _ *adapter.Consumer, recs []harness.Record) {
		h.Settle()
		require.Len(t, calls.all(), 1)
		assert.Equal(t, []int64{0, 1, 2, 3, 4}, calls.all()[0].offsets)
		for _, k := range kinds(h, recs) {
			assert.Equal(t, harness.Committed, k)
		}
	})
}

func TestBatch_anErrorDeliversAgainFromTheFirstUnresolved(t *testing.T) {
	var calls list[delivered]
	withBatch(t, 5, nil, func(_ context.Context, b *adapter.Batch) error {
		calls.add(deliveryOf(b))
		if calls.len() == 1 {
			b.ResolveOffset(2)
			b.ResolveOffset(1)  // before it: nothing
			b.ResolveOffset(99) // outside: nothing
			return errors.New("database is down")
		}
		return nil
	}, func(t *testing.T, h *harness.Harness, _ *adapter.Consumer, _ []harness.Record) {
		h.Settle()
		got := calls.all()
		require.Len(t, got, 2)
		assert.Equal(t, []int64{3, 4}, got[1].offsets)
		assert.Equal(t, []int{2, 2}, got[1].attempts)
		wait := got[1].at.Sub(got[0].at)
		assert.GreaterOrEqual(t, wait, 100*time.Millisecond)
		assert.LessOrEqual(t, wait, 200*time.Millisecond)
	})
}

func TestBatch_rejectAtIsolatesOne(t *testing.T) {
	for _, fail := range []error{nil, errors.New("the others, too")} {
		t.Run(fmt.Sprint(fail), func(t *testing.T) {
			var calls list[delivered]
			withBatch(t, 4, nil, func(_ context.Context, b *adapter.Batch) error {
				calls.add(deliveryOf(b))
				if calls.len() > 1 {
					return nil
				}
				b.RejectAt(2, errors.New("bad"))
				b.RejectAt(2, errors.New("twice"))
				b.RejectAt(9, errors.New("outside"))
				return fail
			}, func(t *testing.T, h *harness.Harness, _ *adapter.Consumer, recs []harness.Record) {
				h.Settle()
				want := []delivered{{offsets: []int64{0, 1, 2, 3}}}
				if fail != nil {
					want = append(want, delivered{offsets: []int64{0, 1, 3}})
				}
				require.Len(t, calls.all(), len(want))
				for i := range want {
					assert.Equal(t, want[i].offsets, calls.all()[i].offsets)
				}
				assert.Equal(t, []harness.Kind{harness.Committed, harness.Committed, harness.DeadLettered, harness.Committed}, kinds(h, recs))
				assert.EqualError(t, h.Fate(recs[2]).Err, "bad")
			})
		})
	}
}

func TestBatch_usedUpAttemptsGiveUpTheFirstUnresolvedOnly(t *testing.T) {
	var calls list[delivered]
	withBatch(t, 4, func(s *adapter.BatchSubscription) { s.Retry.Attempts = 3 }, func(_ context.Context, b *adapter.Batch) error {
		calls.add(deliveryOf(b))
		for _, m := range b.Messages {
			if m.Offset == 1 {
				return errors.New("cannot do 1")
			}
			b.ResolveOffset(m.Offset)
		}
		return nil
	}, func(t *testing.T, h *harness.Harness, _ *adapter.Consumer, recs []harness.Record) {
		h.Settle()
		assert.Equal(t, []harness.Kind{harness.Committed, harness.DeadLettered, harness.Committed, harness.Committed}, kinds(h, recs))
		var attempts *adapter.AttemptsError
		require.ErrorAs(t, h.Fate(recs[1]).Err, &attempts)
		assert.Equal(t, 3, attempts.Attempts)
		last := calls.all()[calls.len()-1]
		assert.Equal(t, []int64{2, 3}, last.offsets)
		assert.NotEmpty(t, h.Topic("t.g.dlt").Records()[0].Header(adapter.HeaderFirstFailed))
	})
}

func TestBatch_withoutAutoResolveOnlyWhatIsResolvedIsSettled(t *testing.T) {
	var calls list[delivered]
	withBatch(t, 3, func(s *adapter.BatchSubscription) { s.NoAutoResolve = true }, func(_ context.Context, b *adapter.Batch) error {
		calls.add(deliveryOf(b))
		if calls.len() != 2 {
			b.ResolveOffset(b.FirstOffset())
		}
		return nil
	}, func(t *testing.T, h *harness.Harness, _ *adapter.Consumer, _ []harness.Record) {
		h.Settle()
		got := calls.all()
		require.Len(t, got, 4)
		assert.Equal(t, []int64{1, 2}, got[1].offsets)
		assert.Equal(t, got[0].at, got[1].at, "at once after progress")
		assert.Equal(t, []int64{1, 2}, got[2].offsets)
		assert.True(t, got[2].at.After(got[1].at), "with backoff without")
		assert.Equal(t, []int64{2}, got[3].offsets)
	})
}

func TestBatch_aPanicOrAnExitIsARetry(t *testing.T) {
	for name, how := range map[string]func(){"panic": func() { panic("oh no") }, "exit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			var calls list[delivered]
			withBatch(t, 3, nil, func(_ context.Context, b *adapter.Batch) error {
				calls.add(deliveryOf(b))
				if calls.len() == 1 {
					b.ResolveOffset(0)
					how()
				}
				return nil
			}, func(t *testing.T, h *harness.Harness, _ *adapter.Consumer, _ []harness.Record) {
				h.Settle()
				require.Len(t, calls.all(), 2)
				assert.Equal(t, []int64{1, 2}, calls.all()[1].offsets)
			})
		})
	}
}

func TestBatch_commitsNowWhenAsked(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.PublishAll(numbered(3)...)
		h.SubscribeBatch(batches(func(ctx context.Context, b *adapter.Batch) error {
			assert.Empty(t, b.UncommittedOffsets())
			require.NoError(t, b.CommitOffsetsIfNecessary(ctx), "nothing to do")
			b.ResolveOffset(0)
			time.Sleep(50 * time.Millisecond)
			assert.EqualValues(t, 1, committed(h, 0), "commits follow by themselves, but not at once after another")
			b.ResolveOffset(1)
			assert.Equal(t, map[string]map[int32]int64{"t": {0: 2}}, b.UncommittedOffsets())
			require.NoError(t, b.CommitOffsetsIfNecessary(ctx))
			assert.EqualValues(t, 2, committed(h, 0))
			assert.Empty(t, b.UncommittedOffsets())
			return nil
		}))
		h.Settle()
	})
}

func TestBatch_aCommitBehindASlowOneEndsWithItsContext(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.PublishAll(numbered(3)...)
		late := h.Broker().Delay(20*time.Second, commitsOfG())
		h.SubscribeBatch(batches(func(ctx context.Context, b *adapter.Batch) error {
			b.ResolveOffset(0)
			time.Sleep(time.Second)
			assert.Equal(t, 1, late.Hits(), "a commit is under way")
			b.ResolveOffset(1)
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			start := time.Now()
			require.ErrorIs(t, b.CommitOffsetsIfNecessary(ctx), context.DeadlineExceeded)
			late.Clear()
			assert.Equal(t, time.Second, time.Since(start))
			return nil
		}))
		h.Settle()
	})
}

func TestBatch_controlsAreInertAfterTheCall(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var kept list[*adapter.Batch]
		hold := make(chan struct{})
		c := h.SubscribeBatch(batches(func(_ context.Context, b *adapter.Batch) error {
			kept.add(b)
			if b.FirstOffset() >= 3 {
				<-hold
			}
			return nil
		}))
		h.PublishAll(numbered(3)...)
		h.Settle()
		old := kept.all()[0]
		had := len(old.Messages)
		before := kept.len()
		require.NoError(t, h.Adapter().Publish(t.Context(), numbered(3)...))
		until(t, "another runs", func() bool { return kept.len() > before })
		old.ResolveOffset(2)
		old.ResolveOffset(5)
		old.RejectAt(1, errors.New("late"))
		old.Pause()
		assert.Empty(t, c.Status().Partitions[0].Paused)
		assert.True(t, old.IsStale())
		assert.ErrorIs(t, old.Heartbeat(t.Context()), adapter.ErrStale)
		assert.ErrorIs(t, old.CommitOffsetsIfNecessary(t.Context()), adapter.ErrStale)
		assert.Empty(t, old.UncommittedOffsets())
		assert.EqualValues(t, 3, c.Status().Partitions[0].Settled)
		assert.Len(t, old.Messages, had, "a kept batch keeps its messages")
		assert.NotNil(t, old.Messages[0])
		close(hold)
		h.Settle()
	})
}

func TestBatch_aRebalanceMakesItStale(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		var stale, first, second list[int64]
		entered := make(chan struct{}, 2)
		_, err := h.NewAdapter().SubscribeBatch(t.Context(), batches(func(ctx context.Context, b *adapter.Batch) error {
			entered <- struct{}{}
			for _, m := range b.Messages {
				time.Sleep(time.Minute)
				if err := b.Heartbeat(ctx); err != nil {
					assert.ErrorIs(t, err, adapter.ErrStale)
					assert.True(t, b.IsStale())
					assert.True(t, b.IsRunning())
					stale.add(m.Offset)
					return nil // which is not to settle what was not done
				}
				first.add(m.Offset)
				b.ResolveOffset(m.Offset)
			}
			return nil
		}))
		require.NoError(t, err)
		h.Settle()
		publisher := h.NewAdapter()
		for p := range int32(2) {
			var es []adapter.Event
			for i := range 5 {
				es = append(es, at(p, fmt.Sprint(i)))
			}
			require.NoError(t, publisher.Publish(t.Context(), es...))
			<-entered
		}
		_, err = h.NewAdapter().SubscribeBatch(t.Context(), batches(func(_ context.Context, b *adapter.Batch) error {
			for _, m := range b.Messages {
				second.add(m.Offset)
			}
			return nil
		}))
		require.NoError(t, err)
		h.Settle()
		require.Len(t, stale.all(), 1)
		assert.Len(t, first.all(), 5+int(stale.all()[0]))
		assert.Equal(t, stale.all()[0], second.all()[0], "from the first that was not resolved")
		assert.Len(t, second.all(), 5-int(stale.all()[0]))
	})
}

func TestBatch_isNotRunningWhileClosing(t *testing.T) {
	withBatch(t, 3, nil, func(_ context.Context, b *adapter.Batch) error {
		b.ResolveOffset(0)
		for b.IsRunning() {
			time.Sleep(time.Second)
		}
		return nil
	}, func(t *testing.T, h *harness.Harness, c *adapter.Consumer, _ []harness.Record) {
		h.AllowPending()
		until(t, "it runs", func() bool { return len(c.Status().Partitions) == 1 && c.Status().Partitions[0].InFlight == 3 })
		require.NoError(t, c.Close(t.Context()))
		assert.EqualValues(t, 1, committed(h, 0), "it was told to stop, so the rest is not settled")
	})
}

func TestBatch_pauseStopsFetchingUntilEveryReasonIsGone(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var got list[int64]
		var resume func()
		c := h.SubscribeBatch(batches(func(_ context.Context, b *adapter.Batch) error {
			got.add(b.FirstOffset())
			if resume == nil {
				resume = b.Pause()
			}
			return nil
		}))
		h.Publish(event{"t", "", "one"})
		h.Settle()
		c.Pause()
		require.NoError(t, h.Adapter().Publish(t.Context(), event{"t", "", "two"}))
		nothing := func() {
			time.Sleep(time.Hour)
			synctest.Wait()
			assert.Equal(t, []int64{0}, got.all())
		}
		nothing()
		assert.Len(t, c.Status().Partitions[0].Paused, 2)
		c.Resume()
		nothing()
		c.Pause()
		resume()
		resume() // changes nothing
		nothing()
		c.Resume()
		h.Settle()
		assert.Equal(t, []int64{0, 1}, got.all())
	})
}
