package adapter_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// A member that closes is a member until it has left: a rebalance takes
// partitions from it as from any other, and what its handlers end with after
// that must not set the group back.
func TestClose_aRebalanceMeanwhileStillTakesPartitions(t *testing.T) {
	needsTag(t)
	c := processes()
	c.Broker.Topics = []fakebroker.Topic{{Name: "t", Partitions: 2}}
	var mu sync.Mutex
	offsets := map[int32][]int64{}
	inner := c.Adapter
	c.Adapter = func(cfg *adapter.Config) {
		inner(cfg)
		cfg.Trace = &adapter.Trace{Committed: func(_ adapter.GroupMember, _ string, p int32, offset int64) {
			mu.Lock()
			defer mu.Unlock()
			offsets[p] = append(offsets[p], offset)
		}}
	}
	c.Run(t, func(t *testing.T, h *harness.Harness) {
		publisher := h.Adapter()
		for range 10 {
			require.NoError(t, publisher.Publish(t.Context(), at(0, ""), at(1, "")))
		}
		gate := make(chan struct{})
		var running sync.WaitGroup
		running.Add(2)
		first := subscribe(t, h.NewAdapter(), subscription(func(context.Context, *adapter.Message) adapter.Result {
			running.Done()
			<-gate
			return adapter.Commit()
		}))
		running.Wait()
		closed := make(chan error, 1)
		go func() { closed <- first.Close(context.Background()) }()
		time.Sleep(time.Second)
		subscribe(t, h.NewAdapter(), subscription(commitAll))
		time.Sleep(30 * time.Minute) // far longer than the grace
		close(gate)
		require.NoError(t, <-closed)
		h.Settle()
		assert.EqualValues(t, 10, committed(h, 0))
		assert.EqualValues(t, 10, committed(h, 1))
		mu.Lock()
		defer mu.Unlock()
		for p, os := range offsets {
			assert.IsNonDecreasing(t, os, "partition %d", p)
		}
	})
}

func commitAll(context.Context, *adapter.Message) adapter.Result { return adapter.Commit() }

// What the group gives a member that closes waits for the next member.
func TestClose_nothingThatIsAssignedMeanwhileIsWorkedOn(t *testing.T) {
	needsTag(t)
	var mu sync.Mutex
	assigned := 0
	c := processes()
	inner := c.Adapter
	c.Adapter = func(cfg *adapter.Config) {
		inner(cfg)
		if cfg.ClientID != "p1" {
			return
		}
		cfg.Trace = &adapter.Trace{Assigned: func(adapter.GroupMember, map[string][]int32) {
			mu.Lock()
			defer mu.Unlock()
			assigned++
		}}
	}
	c.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		release := make(chan struct{})
		var entered list[int32]
		closes := subscribe(t, h.NewAdapter(), subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			entered.add(m.Partition)
			<-release
			return adapter.Commit()
		}))
		leaves := subscribe(t, h.NewAdapter(), subscription(commits))
		until(t, "each has one", func() bool { return len(closes.Status().Partitions) == 1 && len(leaves.Status().Partitions) == 1 })
		mine := closes.Status().Partitions[0].Partition
		publisher := h.NewAdapter()
		require.NoError(t, publisher.Publish(t.Context(), at(mine, "")))
		until(t, "its handler runs", func() bool { return entered.len() == 1 })
		closed := make(chan error, 1)
		go func() { closed <- closes.Close(context.Background()) }()
		time.Sleep(time.Second)
		mu.Lock()
		before := assigned
		mu.Unlock()
		require.NoError(t, leaves.Close(t.Context()))
		require.NoError(t, publisher.Publish(t.Context(), at(1-mine, "")))
		time.Sleep(10 * time.Minute)
		close(release)
		require.NoError(t, <-closed)
		mu.Lock()
		assert.Equal(t, before, assigned, "it was told of no more")
		mu.Unlock()
		assert.Equal(t, []int32{mine}, entered.all())
		subscribe(t, h.NewAdapter(), subscription(commits))
		h.Settle()
	})
}

func TestBatch_stoppingWhenToldIsNoFailure(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		running := make(chan struct{}, 1)
		s := batches(func(ctx context.Context, b *adapter.Batch) error {
			running <- struct{}{}
			for {
				if err := b.Heartbeat(ctx); err != nil {
					return err
				}
				time.Sleep(time.Millisecond)
			}
		})
		s.Retry.Attempts = 1
		c, err := h.Adapter().SubscribeBatch(t.Context(), s)
		require.NoError(t, err)
		rec := h.Publish(event{"t", "", "healthy"})
		<-running
		require.NoError(t, c.Close(t.Context()))
		assert.Equal(t, harness.Pending, h.Fate(rec).Kind)
		assert.Empty(t, h.Topic(adapter.DeadLetterTopic("t", "g")).Records())
		h.AllowPending()
	})
}
