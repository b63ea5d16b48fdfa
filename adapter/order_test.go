package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

var errDown = errors.New("down")

// inOrder records when each record is in the handler, and says what broke the
// order of keys.
type inOrder struct {
	mu      sync.Mutex
	at      map[string]bool  // keys in the handler
	last    map[string]int64 // the last offset that was settled, by key
	most    int              // keys in the handler at once
	problem string
}

func newInOrder() *inOrder { return &inOrder{at: map[string]bool{}, last: map[string]int64{}} }

func (o *inOrder) handle(m *adapter.Message, f func() adapter.Result) adapter.Result {
	key := string(m.Key)
	o.mu.Lock()
	if o.at[key] {
		o.problem = fmt.Sprintf("two of key %s at once", key)
	}
	if last, ok := o.last[key]; ok && m.Offset <= last {
		o.problem = fmt.Sprintf("offset %d of key %s after %d", m.Offset, key, last)
	}
	o.at[key] = true
	o.most = max(o.most, len(o.at))
	o.mu.Unlock()
	r := f()
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.at, key)
	if r.Type() != adapter.ResultRetry {
		o.last[key] = m.Offset
	}
	return r
}

func TestOrder_byKeyAFailingKeyDelaysNoOther(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var done list[string]
		c := h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if string(m.Key) == "bad" && m.Attempt == 1 && string(m.Value) == "0" {
				return adapter.RetryAfter(errDown, time.Hour)
			}
			done.add(string(m.Key) + string(m.Value))
			return adapter.Commit()
		}))
		var es []adapter.Event
		for i := range 5 {
			es = append(es, event{"t", "bad", fmt.Sprint(i)}, event{"t", "good", fmt.Sprint(i)})
		}
		start := time.Now()
		h.PublishAll(es...)
		until(t, "the good key is done", func() bool { return done.len() == 5 })
		assert.Less(t, time.Since(start), time.Minute)
		assert.Equal(t, []string{"good0", "good1", "good2", "good3", "good4"}, done.all())
		p := c.Status().Partitions[0]
		assert.Equal(t, 1, p.Held)
		assert.Equal(t, 4, p.Stalled)
		assert.Equal(t, 4, p.Queued)
		assert.EqualValues(t, 0, p.Settled)
		h.Settle()
		assert.Equal(t, []string{"bad0", "bad1", "bad2", "bad3", "bad4"}, done.all()[5:], "in order")
		assert.GreaterOrEqual(t, time.Since(start), time.Hour)
	})
}

func TestOrder_byKeyNullKeysWaitForNobody(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var done list[string]
		h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if string(m.Value) == "bad" && m.Attempt == 1 {
				return adapter.RetryAfter(errDown, time.Hour)
			}
			done.add(string(m.Value))
			return adapter.Commit()
		}))
		h.PublishAll(event{"t", "", "bad"}, event{"t", "", "good"})
		h.Settle()
		assert.Equal(t, []string{"good", "bad"}, done.all())
	})
}

// Slow and failing handlers, keys that repeat, and every way to end a record.
func TestOrder_holdsUnderEverythingAtOnce(t *testing.T) {
	for _, order := range []adapter.Order{adapter.ByKey, adapter.ByPartition} {
		t.Run(order.String(), func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				o := newInOrder()
				s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
					return o.handle(m, func() adapter.Result {
						switch rand.N(20) {
						case 0:
							time.Sleep(rand.N(20 * time.Millisecond))
						case 1:
							return adapter.Retry(errDown)
						case 2:
							return adapter.Reject(errDown)
						case 3:
							return adapter.RetryAfter(errDown, time.Millisecond)
						case 4:
							panic("oh no")
						case 5:
							if rand.N(4) == 0 {
								exit()
							}
						}
						return adapter.Commit()
					})
				})
				s.Order = order
				s.Handler = recovering(o, s.Handler)
				h.Subscribe(s)
				var es []adapter.Event
				for i := range 2000 {
					es = append(es, event{"t", fmt.Sprint("k", rand.N(50)), fmt.Sprint(i)})
				}
				recs := h.PublishAll(es...)
				h.Settle()
				assert.Empty(t, o.problem)
				if order == adapter.ByPartition {
					assert.Equal(t, 1, o.most)
				} else {
					assert.Greater(t, o.most, 1, "never two at once")
				}
				for _, r := range recs {
					k := h.Fate(r).Kind
					require.True(t, k == harness.Committed || k == harness.DeadLettered, h.Fate(r))
				}
				assert.EqualValues(t, 2000, committed(h, 0))
			})
		})
	}
}

// recovering has a handler that panics or exits leave the key.
func recovering(o *inOrder, next adapter.Handler) adapter.Handler {
	return adapter.HandlerFunc(func(ctx context.Context, m *adapter.Message) adapter.Result {
		returned := false
		defer func() {
			if !returned {
				o.mu.Lock()
				delete(o.at, string(m.Key))
				o.mu.Unlock()
			}
		}()
		r := next.Handle(ctx, m)
		returned = true
		return r
	})
}

func TestOrder_maxInFlight(t *testing.T) {
	for order, want := range map[adapter.Order]int{adapter.ByKey: 3, adapter.Unordered: 3, adapter.ByPartition: 1} {
		t.Run(order.String(), func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				var mu sync.Mutex
				running, most := 0, 0
				s := subscription(func(context.Context, *adapter.Message) adapter.Result {
					mu.Lock()
					running++
					most = max(most, running)
					mu.Unlock()
					time.Sleep(time.Second)
					mu.Lock()
					running--
					mu.Unlock()
					return adapter.Commit()
				})
				if s.Order = order; order != adapter.ByPartition {
					s.MaxInFlight = 3
				}
				h.Subscribe(s)
				h.PublishAll(numbered(30)...)
				start := time.Now()
				h.Settle()
				assert.Equal(t, want, most)
				assert.Less(t, time.Since(start), time.Duration(30/want+3)*time.Second, "as many as may be, all the time")
			})
		})
	}
}

func TestOrder_unorderedARetryHoldsUpNothing(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var done list[string]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if string(m.Value) == "0" && m.Attempt == 1 {
				return adapter.RetryAfter(errDown, time.Minute)
			}
			done.add(string(m.Value))
			return adapter.Commit()
		})
		s.Order = adapter.Unordered
		h.Subscribe(s)
		h.PublishAll(event{"t", "same", "0"}, event{"t", "same", "1"}, event{"t", "same", "2"})
		h.Settle()
		assert.ElementsMatch(t, []string{"1", "2"}, done.all()[:2])
		assert.Equal(t, "0", done.all()[2])
	})
}

func TestHeld_atTheLimitNoOtherRecordIsStarted(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		open := false
		var seen list[string]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			seen.add(string(m.Value))
			if !open {
				return adapter.RetryAfter(errDown, time.Hour)
			}
			return adapter.Commit()
		})
		s.MaxHeldRecords = 5
		s.MaxInFlight = 1
		c := h.Subscribe(s)
		h.PublishAll(numbered(20)...)
		until(t, "full", func() bool {
			ps := c.Status().Partitions
			return len(ps) == 1 && ps[0].Full != nil
		})
		time.Sleep(time.Minute)
		p := c.Status().Partitions[0]
		assert.Equal(t, 5, seen.len())
		assert.Equal(t, 5, p.Held)
		assert.ErrorContains(t, p.Full, "MaxHeldRecords")
		assert.Contains(t, p.Paused, "as many records are held for another attempt as may be")
		open = true
		h.Settle()
		p = c.Status().Partitions[0]
		assert.NoError(t, p.Full)
		assert.Empty(t, p.Paused)
		assert.EqualValues(t, 20, committed(h, 0))
	})
}

func TestHeld_recordsBehindAFailingKeyCount(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var good list[string]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if string(m.Key) == "bad" && m.Attempt == 1 && m.Offset == 0 {
				return adapter.RetryAfter(errDown, time.Hour)
			}
			good.add(string(m.Key))
			return adapter.Commit()
		})
		s.MaxHeldRecords = 5
		s.MaxInFlight = 1 // others would have some of the good ones wait for their key
		c := h.Subscribe(s)
		var es []adapter.Event
		for range 10 {
			es = append(es, event{"t", "bad", ""}, event{"t", "good", ""})
		}
		h.PublishAll(es...)
		until(t, "full", func() bool {
			ps := c.Status().Partitions
			return len(ps) == 1 && ps[0].Full != nil
		})
		time.Sleep(time.Minute)
		assert.Equal(t, 4, good.len(), "those before the fifth that is held")
		h.Settle()
		assert.Equal(t, 20, good.len())
	})
}

func TestHeld_forTooLong(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if string(m.Value) == "bad" && m.Attempt < 4 {
				return adapter.RetryAfter(errDown, time.Hour)
			}
			return adapter.Commit()
		})
		s.MaxHeldAge = 90 * time.Minute
		c := h.Subscribe(s)
		h.Publish(event{"t", "a", "bad"})
		time.Sleep(time.Hour)
		h.Publish(event{"t", "b", "good"})
		until(t, "the good one is done", func() bool { return c.Status().Partitions[0].Queued == 0 })
		time.Sleep(time.Hour)
		h.Publish(event{"t", "b", "good"})
		time.Sleep(time.Minute)
		p := c.Status().Partitions[0]
		assert.ErrorContains(t, p.Full, "MaxHeldAge")
		h.Settle()
		assert.NoError(t, c.Status().Partitions[0].Full)
		assert.EqualValues(t, 3, committed(h, 0))
	})
}

// The metadata of a commit has its limits: before they are reached, no other
// record is started, so that a crash repeats nothing.
func TestHeld_whatIsKnownOfThemAlwaysFitsIntoACommit(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		open := false
		var done list[string]
		handle := func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Offset%3 == 0 && !open {
				return adapter.RetryAfter(errDown, 20*time.Hour)
			}
			done.add(string(m.Value))
			return adapter.Commit()
		}
		s := subscription(handle)
		s.MaxHeldRecords = 10_000
		h.CreateTopics("t")
		first := h.NewAdapter()
		c := subscribe(t, first, s)
		var es []adapter.Event
		for i := range 3000 {
			es = append(es, event{"t", fmt.Sprint(i), fmt.Sprint(i)})
		}
		h.PublishAll(es...)
		until(t, "full", func() bool {
			ps := c.Status().Partitions
			return len(ps) == 1 && ps[0].Full != nil
		})
		time.Sleep(time.Minute)
		p := c.Status().Partitions[0]
		assert.ErrorContains(t, p.Full, "metadata")
		assert.Greater(t, p.Held, 100)
		assert.Zero(t, committed(h, 0))
		require.NoError(t, first.Close(t.Context()))
		before := done.len()
		require.Positive(t, before)
		open = true
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		all := done.all()
		slices.Sort(all)
		assert.Len(t, slices.Compact(all), 3000)
		assert.Equal(t, 3000, done.len(), "nothing that was settled ran again")
	})
}
