package harness_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

func TestFate_everyKind(t *testing.T) {
	onBothClocks(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		early := h.Publish(text{topic: "t", value: "early"})
		h.Subscribe(adapter.Subscription{
			Topics: []string{"t"}, Group: "late", StartFrom: adapter.FromLatest, Handler: adapter.HandlerFunc(commit),
		})
		h.Subscribe(adapter.Subscription{
			Topics: []string{"t"}, Group: "hook",
			OnReject: func(context.Context, *adapter.Message, error) error { return nil },
			Handler: adapter.HandlerFunc(func(context.Context, *adapter.Message) adapter.Result {
				return adapter.Reject(errors.New("never"))
			}),
		})
		subscribe(h, "dead", "t", func(context.Context, *adapter.Message) adapter.Result {
			return adapter.Reject(errors.New("no good"))
		})
		h.Settle()

		assertKind(t, harness.Skipped, h.Group("late").Fate(early))
		assertKind(t, harness.Rejected, h.Group("hook").Fate(early))
		dead := h.Group("dead").Fate(early)
		assertKind(t, harness.DeadLettered, dead)
		assert.EqualError(t, dead.Err, "no good")
		letters := h.Topic(adapter.DeadLetterTopic("t", "dead")).Records()
		require.Len(t, letters, 1)
		assert.Equal(t, letters[0], dead.Final)
		assert.Equal(t, "early", string(letters[0].Value))
		assert.Equal(t, "no good", letters[0].Header(adapter.HeaderError))

		rec := h.Publish(text{topic: "t", value: "later"})
		h.Settle()
		assertKind(t, harness.Committed, h.Group("late").Fate(rec))
		assert.Equal(t, "t[0]@1 in group late: committed after 1 attempt", h.Group("late").Fate(rec).String())
	})
}

func TestFate_pendingBeforeTheCommit(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		release := make(chan struct{})
		running := make(chan struct{})
		subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
			close(running)
			<-release
			return adapter.Commit()
		})
		rec := h.Publish(text{topic: "t"})
		<-running
		assertKind(t, harness.Pending, h.Fate(rec))
		close(release)
		h.Settle()
		assertKind(t, harness.Committed, h.Fate(rec))
	})
}

func TestFate_countsDeliveriesAcrossMembers(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		// The first member never ends its handler, and closes without it.
		stuck := make(chan struct{})
		running := make(chan struct{}, 1)
		first, err := h.NewAdapter().Subscribe(t.Context(), adapter.Subscription{
			Topics: topic(h, "t"), Group: "g",
			Handler: adapter.HandlerFunc(func(context.Context, *adapter.Message) adapter.Result {
				running <- struct{}{}
				<-stuck
				return adapter.Commit()
			}),
		})
		require.NoError(t, err)
		rec := h.Publish(text{topic: "t"})
		<-running
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, first.Close(ctx), context.DeadlineExceeded)
		subscribe(h, "g", "t", commit)
		close(stuck)
		h.Settle()
		f := h.Fate(rec)
		assertKind(t, harness.Committed, f)
		assert.Equal(t, 2, f.Deliveries)
		assert.Equal(t, "t[0]@0 in group g: committed after 1 attempt (2 deliveries in all)", f.String())
	})
}

func TestFate_skippedWhereSomebodyElseSetTheOffset(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		recs := h.PublishAll(text{topic: "t"}, text{topic: "t"}, text{topic: "t"}, text{topic: "t"})
		commitBehind(t, h, "g", "t", 1)
		c := h.Subscribe(adapter.Subscription{Topics: []string{"t"}, Group: "g", Handler: adapter.HandlerFunc(func(context.Context, *adapter.Message) adapter.Result {
			return adapter.RetryAfter(errors.New("down"), time.Hour)
		})})
		time.Sleep(time.Minute)
		require.NoError(t, c.Close(t.Context()))
		commitBehind(t, h, "g", "t", 3)
		subscribe(h, "g", "t", commit)
		h.Settle()
		assertKind(t, harness.Skipped, h.Fate(recs[0]))
		assertKind(t, harness.Skipped, h.Fate(recs[1])) // though it was tried
		assertKind(t, harness.Skipped, h.Fate(recs[2]))
		assertKind(t, harness.Committed, h.Fate(recs[3]))
	})
}

func topic(h *harness.Harness, name string) []string {
	h.CreateTopics(name)
	return []string{name}
}

// commitBehind commits an offset as an operator would, behind the group's
// back.
func commitBehind(t *testing.T, h *harness.Harness, group, topic string, offset int64) {
	t.Helper()
	cl, err := kgo.NewClient(h.Broker().ClientOptions()...)
	require.NoError(t, err)
	defer cl.Close()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, offset, -1)
	require.NoError(t, kadm.NewClient(cl).CommitAllOffsets(t.Context(), group, offsets))
}
