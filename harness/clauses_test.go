package harness_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// In each of these one clause of Settle alone holds the end back: all others
// hold already.

// The consumer has gone, another one has done its work, and its handler still
// runs.
func TestSettle_waitsForAHandlerThatOutlivesItsConsumer(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		ended := false
		running := make(chan struct{}, 1)
		first, err := h.NewAdapter().Subscribe(t.Context(), adapter.Subscription{
			Topics: topic(h, "slow"), Group: "g",
			Handler: adapter.HandlerFunc(func(context.Context, *adapter.Message) adapter.Result {
				running <- struct{}{}
				time.Sleep(time.Hour)
				ended = true
				return adapter.Commit()
			}),
		})
		require.NoError(t, err)
		h.Publish(text{topic: "slow"})
		<-running
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, first.Close(ctx), context.DeadlineExceeded)
		subscribe(h, "g", "slow", commit)
		h.Settle()
		assert.True(t, ended)
	})
}

// Nobody follows the records, and the handler has committed what it works on.
func TestSettle_waitsForABatchThatIsCommitted(t *testing.T) {
	harness.Config{WithoutFates: true}.Run(t, func(t *testing.T, h *harness.Harness) {
		ended := false
		h.SubscribeBatch(adapter.BatchSubscription{
			Topics: []string{"t"}, Group: "g",
			Handler: adapter.BatchHandlerFunc(func(ctx context.Context, b *adapter.Batch) error {
				b.ResolveOffset(b.LastOffset())
				assert.NoError(t, b.CommitOffsetsIfNecessary(ctx))
				time.Sleep(time.Hour)
				ended = true
				return nil
			}),
		})
		h.Publish(text{topic: "t"})
		h.Settle()
		assert.True(t, ended)
	})
}

// Nobody follows the records, the partition was taken away, and its new member
// has done the work.
func TestSettle_waitsForAHandlerWhosePartitionWasTakenAway(t *testing.T) {
	harness.Config{WithoutFates: true, Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		var begun, ended [2]atomic.Int64
		release := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
		h.Subscribe(adapter.Subscription{Topics: []string{"t"}, Group: "g", Handler: adapter.HandlerFunc(func(_ context.Context, m *adapter.Message) adapter.Result {
			begun[m.Partition].Add(1)
			select {
			case <-release[m.Partition]:
			case <-time.After(5 * time.Hour):
			}
			ended[m.Partition].Add(1)
			return adapter.Commit()
		})})
		h.PublishAll(events(4)...)
		h.Until(func() bool { return begun[0].Load() == 1 && begun[1].Load() == 1 })
		second, err := h.NewAdapter().Subscribe(t.Context(), adapter.Subscription{Topics: []string{"t"}, Group: "g", Handler: adapter.HandlerFunc(commit)})
		require.NoError(t, err)
		h.Advance(time.Hour) // the handlers of what is taken away have had their time
		require.Len(t, second.Status().Partitions, 1)
		taken := second.Status().Partitions[0].Partition
		close(release[1-taken])
		require.Positive(t, begun[taken].Load())
		h.Settle()
		assert.Equal(t, begun[taken].Load(), ended[taken].Load())
	})
}

// The group is stable without the second consumer, and the topic is empty.
func TestSettle_waitsForAConsumerToJoin(t *testing.T) {
	needsTag(t)
	harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		subscribe(h, "g", "t", commit)
		h.Settle()
		h.Broker().Delay(time.Minute, fakebroker.Scope{APIs: []kmsg.Key{kmsg.FindCoordinator}, Count: 1})
		second, err := h.NewAdapter().Subscribe(t.Context(), adapter.Subscription{Topics: []string{"t"}, Group: "g", Handler: adapter.HandlerFunc(commit)})
		require.NoError(t, err)
		h.Settle()
		assert.True(t, second.Status().Joined)
	})
}

// The client is no adapter, so all that is known of it is that it has a group.
func TestSettle_waitsForAPlainClientToJoin(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		h.Broker().Delay(time.Minute, fakebroker.Scope{APIs: []kmsg.Key{kmsg.FindCoordinator}, Count: 1})
		plain(t, h, "reader", kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))
		h.Settle()
		g, _ := h.Broker().Group("g")
		assert.Len(t, g.Members, 1)
	})
}

// A member that has done nothing yet may do anything.
func TestSettle_waitsForAMemberToConnect(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		h.Start(func(e harness.Env) harness.Service {
			return harness.ServiceFunc(func(ctx context.Context) error {
				time.Sleep(time.Hour) // migrates its database
				cl, err := kgo.NewClient(e.ClientOptions()...)
				if err != nil {
					return err
				}
				defer cl.Close()
				err = cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr()
				<-ctx.Done()
				return err
			})
		})
		h.Settle()
		assert.Len(t, h.Topic("t").Records(), 1)
	})
}

// All partitions are given away, as they were before, and nothing is on them.
func TestSettle_waitsForARebalanceThatChangesNothing(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		plain(t, h, "reader", kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.Balancers(kgo.RangeBalancer()))
		h.Settle()
		leave := h.Group("g").StartRebalance()
		g, _ := h.Broker().Group("g")
		assert.NotEqual(t, "Stable", g.State)
		h.Settle()
		g, _ = h.Broker().Group("g")
		assert.Equal(t, "Stable", g.State)
		leave()
	})
}

// The group is stable, and does not know of the partition yet, which is empty.
func TestSettle_waitsForAPartitionThatIsNew(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		plain(t, h, "reader", kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))
		h.Settle()
		_, err := kadm.NewClient(plain(t, h, "admin")).CreatePartitions(t.Context(), 1, "t")
		require.NoError(t, err)
		h.Settle()
		g, _ := h.Broker().Group("g")
		require.Len(t, g.Members, 1)
		assert.Len(t, g.Members[0].Assignment["t"], 2)
	})
}

// Nothing is left on the partition, and a record that was is tried again.
func TestSettle_waitsForARetryOfARecordThatWasDeleted(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		attempts := 0
		subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
			if attempts++; attempts == 1 {
				return adapter.RetryAfter(assert.AnError, time.Hour)
			}
			return adapter.Commit()
		})
		h.Publish(text{topic: "t"})
		h.Until(func() bool { return attempts == 1 })
		var offsets kadm.Offsets
		offsets.AddOffset("t", 0, 1, -1)
		_, err := kadm.NewClient(plain(t, h, "admin")).DeleteRecords(t.Context(), offsets)
		require.NoError(t, err)
		h.Settle()
		assert.Equal(t, 2, attempts)
	})
}

// The broker has given partitions to both members, and one of them, which has
// been in the group for long, has not heard of its new one.
func TestSettle_waitsForAMemberToHearOfItsAssignment(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		c := h.Subscribe(adapter.Subscription{Topics: topic(h, "t"), Group: "g", Handler: adapter.HandlerFunc(commit)})
		h.Settle()
		_, err := kadm.NewClient(plain(t, h, "admin")).CreatePartitions(t.Context(), 1, "t")
		require.NoError(t, err)
		h.Broker().Delay(time.Minute, fakebroker.Scope{APIs: []kmsg.Key{kmsg.SyncGroup}, Count: 1})
		h.Until(func() bool {
			g, _ := h.Broker().Group("g")
			return g.State == "Stable" && len(g.Members[0].Assignment["t"]) == 2
		})
		h.Settle()
		assert.Len(t, c.Status().Partitions, 2)
	})
}

// What a handler publishes after a while holds the end back as it does itself.
func TestSettle_waitsForWhatAHandlerPublishesAfterSleeping(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("next")
		arrived := 0
		subscribe(h, "first", "t", func(ctx context.Context, _ *adapter.Message) adapter.Result {
			time.Sleep(time.Hour)
			if err := h.Adapter().Publish(ctx, text{topic: "next"}); err != nil {
				return adapter.Retry(err)
			}
			return adapter.Commit()
		})
		subscribe(h, "second", "next", func(context.Context, *adapter.Message) adapter.Result {
			time.Sleep(time.Hour)
			arrived++
			return adapter.Commit()
		})
		h.Publish(text{topic: "t"})
		h.Settle()
		assert.Equal(t, 1, arrived)
	})
}

// A group that the test has stopped holds nothing back, whatever it has left.
func TestSettle_doesNotWaitForAGroupThatWasStopped(t *testing.T) {
	onBothClocks(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		c := h.Subscribe(adapter.Subscription{Topics: topic(h, "t"), Group: "g", Handler: adapter.HandlerFunc(commit)})
		h.Settle()
		require.NoError(t, c.Close(t.Context()))
		rec := h.Publish(text{topic: "t"})
		h.Settle()
		assertKind(t, harness.Pending, h.Fate(rec))
		h.AllowPending()
	})
}

func TestConfig_clientDefaults(t *testing.T) {
	onBothClocks(t, harness.Config{ClientDefaults: true}, func(t *testing.T, h *harness.Harness) {
		cl := plain(t, h, "client")
		assert.Equal(t, 3*time.Second, cl.OptValue(kgo.HeartbeatInterval))
		subscribe(h, "g", "t", func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt == 1 {
				return adapter.Retry(assert.AnError)
			}
			return adapter.Commit()
		})
		rec := h.Publish(text{topic: "t"})
		h.Settle()
		assertKind(t, harness.Committed, h.Fate(rec))
	})
}
