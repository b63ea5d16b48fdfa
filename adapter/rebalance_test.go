package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

func TestGroup_membersShareAndNothingIsLost(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:6")
		var mu sync.Mutex
		last := map[int32]int64{}
		seen := map[string]int{}
		by := map[string]int{}
		handler := func(name string) adapter.HandlerFunc {
			return func(_ context.Context, m *adapter.Message) adapter.Result {
				time.Sleep(20 * time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				if o, ok := last[m.Partition]; ok && m.Offset != o+1 {
					t.Errorf("%v after %d", m, o)
				}
				last[m.Partition] = m.Offset
				seen[m.ID()]++
				by[name]++
				return adapter.Commit()
			}
		}
		subscribe(t, h.NewAdapter(), subscription(handler("first")))
		h.Settle()
		publisher := h.NewAdapter()
		publish := func(n int) {
			for i := range n {
				require.NoError(t, publisher.Publish(t.Context(), at(int32(i%6), fmt.Sprint(i))))
			}
		}
		publish(300)
		second := h.NewAdapter()
		subscribe(t, second, subscription(handler("second")))
		publish(300)
		h.Settle()
		publish(300)
		time.Sleep(time.Second)
		require.NoError(t, second.Close(t.Context()))
		publish(300)
		h.Settle()
		assert.Len(t, seen, 1200)
		for id, n := range seen {
			assert.Equal(t, 1, n, id)
		}
		assert.NotZero(t, by["first"])
		assert.NotZero(t, by["second"])
	})
}

// running is a handler that reports that it runs, and returns when it is told.
type running struct {
	entered chan *adapter.Message
	release chan adapter.Result
	ended   chan error // its context's error
}

func newRunning() *running {
	return &running{make(chan *adapter.Message, 100), make(chan adapter.Result, 100), make(chan error, 100)}
}

func (r *running) handle(ctx context.Context, m *adapter.Message) adapter.Result {
	r.entered <- m
	result := <-r.release
	r.ended <- ctx.Err()
	return result
}

func TestRebalance_aRunningHandlerDrainsAndItsResultCounts(t *testing.T) {
	needsTag(t)
	p := placeOf(t)
	p.test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		first := newRunning()
		subscribe(t, h.NewAdapter(), subscription(first.handle))
		h.Settle()
		publisher := h.NewAdapter()
		for p := range int32(2) { // one of the two partitions is to move
			require.NoError(t, publisher.Publish(t.Context(), at(p, fmt.Sprint(p))))
			<-first.entered
		}
		var second list[string]
		subscribe(t, h.NewAdapter(), subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			second.add(string(m.Value))
			return adapter.Commit()
		}))
		time.Sleep(p.beat) // and within the grace
		assert.Zero(t, second.len())
		first.release <- adapter.Commit()
		first.release <- adapter.Commit()
		h.Settle()
		assert.NoError(t, <-first.ended)
		assert.NoError(t, <-first.ended)
		assert.Zero(t, second.len(), "delivered twice")
		for p := range int32(2) {
			require.NoError(t, publisher.Publish(t.Context(), at(p, fmt.Sprint("again ", p))))
		}
		first.release <- adapter.Commit()
		h.Settle()
		assert.Equal(t, 1, second.len(), "it has one of the partitions")
	})
}

func TestRebalance_pastTheGraceTheHandlerIsFenced(t *testing.T) {
	needsTag(t)
	var fenced list[string]
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.Trace = &adapter.Trace{Fenced: func(m *adapter.Message) { fenced.add(m.ID()) }}
	}}
	placeOf(t).test(t, cfg, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		first := newRunning()
		one := subscribe(t, h.NewAdapter(), subscription(first.handle))
		h.Settle()
		publisher := h.NewAdapter()
		for p := range int32(2) {
			require.NoError(t, publisher.Publish(t.Context(), at(p, fmt.Sprint(p))))
			<-first.entered
		}
		var second list[string]
		subscribe(t, h.NewAdapter(), subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			second.add(m.ID())
			return adapter.Commit()
		}))
		until(t, "delivered to the second member", func() bool { return second.len() == 1 })
		assert.Equal(t, 1, one.Status().Fenced)
		first.release <- adapter.Reject(errors.New("must not be published"))
		first.release <- adapter.Reject(errors.New("must not be published"))
		var cancelled int
		for range 2 {
			if <-first.ended != nil {
				cancelled++
			}
		}
		assert.Equal(t, 1, cancelled)
		h.Settle()
		assert.Len(t, h.Topic("t.g.dlt").Records(), 1, "that of the partition that stayed")
		assert.Equal(t, second.all(), fenced.all())
		assert.Zero(t, one.Status().Fenced)
	})
}

func TestRebalance_aLaneThatUsesUpTheGraceDoesNotCostTheOthersTheirCommit(t *testing.T) {
	needsTag(t)
	// Commits are refused until the rebalance, so that it has one to make.
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:4")
		stuck := newRunning()
		var second, handled list[string]
		subscribe(t, h.NewAdapter(), subscription(func(ctx context.Context, m *adapter.Message) adapter.Result {
			if string(m.Value) == "stuck" {
				return stuck.handle(ctx, m)
			}
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Minute): // ends within the grace
			}
			handled.add(m.ID())
			return adapter.Commit()
		}))
		h.Settle()
		publisher := h.NewAdapter()
		// Two of the four move. Whichever they are, a stuck one is next to
		// one that is not.
		for p := range int32(4) {
			require.NoError(t, publisher.Publish(t.Context(), at(p, []string{"stuck", "slow"}[p%2])))
		}
		two := subscribe(t, h.NewAdapter(), subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			second.add(string(m.Value))
			return adapter.Commit()
		}))
		until(t, "the second has its partitions", func() bool { return len(two.Status().Partitions) == 2 })
		close(stuck.release) // zero results: rejects
		h.Settle()
		assert.NotContains(t, second.all(), "slow", "delivered again, though it ended within the grace")
	})
}

func TestRebalance_aWaitForTheNextAttemptDoesNotDelayIt(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		start := time.Now()
		var attempts list[int]
		handle := func(_ context.Context, m *adapter.Message) adapter.Result {
			attempts.add(m.Attempt)
			if time.Since(start) < time.Hour {
				return adapter.RetryAfter(errors.New("later"), 2*time.Hour)
			}
			return adapter.Commit()
		}
		subscribe(t, h.NewAdapter(), subscription(handle))
		h.Settle()
		publisher := h.NewAdapter()
		for p := range int32(2) {
			require.NoError(t, publisher.Publish(t.Context(), at(p, "")))
		}
		until(t, "both wait", func() bool { return attempts.len() == 2 })
		joining := time.Now()
		two := subscribe(t, h.NewAdapter(), subscription(handle))
		until(t, "the second has a partition", func() bool { return len(two.Status().Partitions) == 1 })
		assert.Less(t, time.Since(joining), 100*time.Second, "a heartbeat, and no more")
		h.Settle()
		assert.Equal(t, []int{1, 1, 2, 2}, attempts.all(), "both after their wait, which goes on where the partition goes")
	})
}

// The member that is fenced while its handler runs gets the partition back, and
// waits for the handler: there are never two for a partition in a process.
func TestRebalance_aPartitionThatComesBackWaitsForItsFencedHandler(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		var mu sync.Mutex
		now, most := map[int32]int{}, 0
		release := make(chan struct{})
		stuck := true
		own := func(_ context.Context, m *adapter.Message) adapter.Result {
			mu.Lock()
			now[m.Partition]++
			most = max(most, now[m.Partition])
			wait := stuck
			mu.Unlock()
			if wait {
				<-release
			}
			mu.Lock()
			defer mu.Unlock()
			now[m.Partition]--
			return adapter.Commit()
		}
		one := h.NewAdapter()
		c := subscribe(t, one, subscription(own))
		h.Settle()
		publisher := h.NewAdapter()
		for p := range int32(2) {
			require.NoError(t, publisher.Publish(t.Context(), at(p, "")))
		}
		until(t, "both run", func() bool { mu.Lock(); defer mu.Unlock(); return now[0]+now[1] == 2 })
		reject := adapter.HandlerFunc(func(ctx context.Context, _ *adapter.Message) adapter.Result {
			<-ctx.Done() // leaves the record for the next
			return adapter.Retry(errors.New("closing"))
		})
		// Others come and go: with each the partition moves away and back.
		for range 3 {
			other := h.NewAdapter()
			o := subscribe(t, other, subscription(reject))
			until(t, "it has a partition", func() bool { return len(o.Status().Partitions) == 1 })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_ = other.Close(ctx) // its handler does not end in time
			cancel()
			until(t, "the partition is back", func() bool { return len(c.Status().Partitions) == 2 })
			time.Sleep(time.Minute)
		}
		mu.Lock()
		assert.Equal(t, 1, most)
		stuck = false
		mu.Unlock()
		close(release)
		h.Settle()
		assert.Equal(t, 1, most)
	})
}

func TestRebalance_theSameHoldsForTwoConsumersOfOneAdapter(t *testing.T) {
	needsTag(t)
	p := placeOf(t)
	p.test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		first := newRunning()
		a := h.NewAdapter()
		one := subscribe(t, a, subscription(first.handle))
		h.Settle()
		require.NoError(t, a.Publish(t.Context(), at(0, "")))
		<-first.entered
		var second list[int64]
		two := subscribe(t, a, subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			second.add(m.Offset)
			return adapter.Commit()
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, one.Close(ctx), context.DeadlineExceeded)
		until(t, "the second has the partition", func() bool { return len(two.Status().Partitions) == 1 })
		time.Sleep(5 * p.beat)
		assert.Zero(t, second.len())
		first.release <- adapter.Commit()
		h.Settle()
		assert.Equal(t, []int64{0}, second.all())
	})
}

// Losing the session, and not a rebalance, takes the partition away: even a lane
// that only waits for its turn must not let the next one in.
func TestRebalance_lossesInARowNeverRunTwo(t *testing.T) {
	needsTag(t)
	cfg := processes()
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		var mu sync.Mutex
		now, most, runs := 0, 0, 0
		release := make(chan struct{})
		c := subscribe(t, h.Adapter(), subscription(func(context.Context, *adapter.Message) adapter.Result {
			mu.Lock()
			now++
			runs++
			most = max(most, now)
			mu.Unlock()
			<-release
			mu.Lock()
			defer mu.Unlock()
			now--
			return adapter.Commit()
		}))
		h.Settle()
		require.NoError(t, h.NewAdapter().Publish(t.Context(), at(0, "")))
		until(t, "it runs", func() bool { mu.Lock(); defer mu.Unlock(); return now == 1 })
		for range 3 {
			fault := cut(h, "p1")
			until(t, "expelled", func() bool {
				g, _ := h.Broker().Group("g")
				return len(g.Members) == 0
			})
			fault.Clear()
			until(t, "back", func() bool {
				g, _ := h.Broker().Group("g")
				return g.State == "Stable" && len(c.Status().Partitions) == 1
			})
			time.Sleep(2 * time.Minute)
		}
		assert.Equal(t, 1, most)
		close(release)
		h.Settle()
		assert.Equal(t, 1, most)
		assert.Equal(t, 2, runs, "and once more for the result that did not count")
	})
}

// A member joins while the other one polls: the poll must not hold the
// rebalance up, not even one that brought nothing.
func TestRebalance_pollingDoesNotHoldItUp(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		subscribe(t, h.NewAdapter(), subscription(commits))
		h.Settle()
		h.PublishAll(numbered(10)...)
		h.Settle()
		start := time.Now()
		two := subscribe(t, h.NewAdapter(), subscription(commits))
		until(t, "the second has a partition", func() bool { return len(two.Status().Partitions) == 1 })
		assert.Less(t, time.Since(start), 2*time.Minute)
	})
}

func TestRebalance_dueToALeaveIsQuick(t *testing.T) {
	needsTag(t)
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.ClientOptions = []kgo.Opt{kgo.HeartbeatInterval(time.Second)}
	}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		subscribe(t, h.NewAdapter(), subscription(commits))
		other := h.NewAdapter()
		subscribe(t, other, subscription(commits))
		h.Settle()
		start := time.Now()
		require.NoError(t, other.Close(t.Context()))
		h.Settle()
		assert.Less(t, time.Since(start), 10*time.Second)
	})
}

// A commit waits for the one before it as long as the grace lasts: whoever gives it up
// earlier has others do again what is done.
func TestRebalance_aSlowCommitIsWaitedForWithinTheGrace(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		entered := make(chan string, 4)
		release := map[string]chan struct{}{"early": make(chan struct{}), "late": make(chan struct{})}
		subscribe(t, h.NewAdapter(), subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			entered <- string(m.Key)
			<-release[string(m.Key)]
			return adapter.Commit()
		}))
		h.Settle()
		publisher := h.NewAdapter()
		for p := range int32(2) {
			for _, key := range []string{"early", "late"} {
				require.NoError(t, publisher.Publish(t.Context(), placed{event: event{"t", key, ""}, partition: p}))
				<-entered
			}
		}
		var second list[string]
		subscribe(t, h.NewAdapter(), subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			second.add(m.ID())
			return adapter.Commit()
		}))
		time.Sleep(2 * time.Minute) // a heartbeat, and within the grace
		slow := h.Broker().Delay(8*time.Second, commitsOfG())
		close(release["early"])
		time.Sleep(time.Second) // what is settled is on its way
		close(release["late"])
		h.Settle()
		assert.Greater(t, slow.Hits(), 1)
		assert.Zero(t, second.len(), "delivered again")
	})
}

// outlast has a member's handlers outlast the grace: a second member joins, and
// the partition that moves is fenced.
func outlast(t *testing.T, h *harness.Harness, first *adapter.Consumer) {
	t.Helper()
	publisher := h.NewAdapter()
	for p := range int32(2) {
		require.NoError(t, publisher.Publish(t.Context(), at(p, "")))
	}
	subscribe(t, h.NewAdapter(), subscription(commits))
	until(t, "a handler is fenced", func() bool { return first.Status().Fenced == 1 })
}

func TestFenced_aRejectDoesNotReachOnReject(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		first := newRunning()
		s := subscription(first.handle)
		var taken list[string]
		s.OnReject = func(_ context.Context, m *adapter.Message, _ error) error {
			taken.add(m.ID())
			return nil
		}
		c := subscribe(t, h.NewAdapter(), s)
		h.Settle()
		outlast(t, h, c)
		first.release <- adapter.Reject(errors.New("bad"))
		first.release <- adapter.Reject(errors.New("bad"))
		h.Settle()
		assert.Len(t, taken.all(), 1, "that of the partition that stayed")
	})
}

func TestFenced_whatABatchResolvesIsNotSettled(t *testing.T) {
	needsTag(t)
	var settled list[string]
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.Trace = &adapter.Trace{Settled: func(ms []*adapter.Message) {
			for _, m := range ms {
				settled.add(m.ID())
			}
		}}
	}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		release := make(chan struct{})
		c, err := h.NewAdapter().SubscribeBatch(t.Context(), batches(func(_ context.Context, b *adapter.Batch) error {
			<-release
			b.ResolveOffset(b.LastOffset())
			return nil
		}))
		require.NoError(t, err)
		h.Settle()
		outlast(t, h, c)
		until(t, "the second member has it", func() bool { return settled.len() == 1 })
		close(release)
		h.Settle()
		assert.Len(t, settled.all(), 2, "one by each")
	})
}
