package adapter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

func TestCommit_onlyTheSettledPrefix(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending()
		h.CreateTopics("t")
		h.SubscribeBatch(batches(func(_ context.Context, b *adapter.Batch) error {
			// The second is isolated, and its dead letter is refused.
			b.RejectAt(1, errors.New("bad"))
			return nil
		}))
		refuse := h.Broker().Refuse(kerr.TopicAuthorizationFailed, produceTo("t.g.dlt"))
		h.CreateTopics()
		require.NoError(t, h.Adapter().Publish(t.Context(), numbered(3)...))
		time.Sleep(time.Minute)
		assert.EqualValues(t, 1, committed(h, 0), "what comes after the blocked record is settled, and not committed")
		refuse.Clear()
		until(t, "committed", func() bool { return committed(h, 0) == 3 })
	})
}

func TestCommit_isTriedAgainUntilItIsTaken(t *testing.T) {
	for name, fault := range map[string]*kerr.Error{
		"retriable": kerr.CoordinatorLoadInProgress,
		"not":       kerr.GroupAuthorizationFailed,
	} {
		t.Run(name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				var handled list[string]
				h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
					handled.add(string(m.Value))
					return adapter.Commit()
				}))
				s := commitsOfG()
				s.Count = 3
				refused := h.Broker().Refuse(fault, s)
				h.Publish(event{"t", "", "one"})
				h.Settle()
				assert.Equal(t, 3, refused.Hits())
				assert.Equal(t, []string{"one"}, handled.all())
			})
		})
	}
}

func TestCommit_isPacedAndNeverTwice(t *testing.T) {
	var commits list[int64]
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.Trace = &adapter.Trace{Committed: func(_ adapter.GroupMember, _ string, _ int32, offset int64) { commits.add(offset) }}
	}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(subscription(func(context.Context, *adapter.Message) adapter.Result {
			time.Sleep(time.Millisecond)
			return adapter.Commit()
		}))
		h.PublishAll(numbered(1000)...)
		h.Settle()
		got := commits.all()
		assert.Less(t, len(got), 20, "a second's work, and a commit at most every tenth of it")
		for i := range got[1:] {
			assert.Less(t, got[i], got[i+1], "committed twice, or back")
		}
		time.Sleep(time.Hour)
		assert.Len(t, commits.all(), len(got))
	})
}

func TestCommit_aKillBeforeItDeliversAgainWithTheSameID(t *testing.T) {
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		var ids list[string]
		handle := func(_ context.Context, m *adapter.Message) adapter.Result {
			ids.add(m.ID())
			return adapter.Commit()
		}
		h.CreateTopics("t")
		first := h.Adapter()
		subscribe(t, first, subscription(handle))
		h.Settle()
		lost := h.Broker().DropBefore(commitsOfG())
		require.NoError(t, h.NewAdapter().Publish(t.Context(), event{"t", "", "one"}))
		until(t, "handled", func() bool { return ids.len() == 1 })
		kill(h, "p1", first)
		assert.EqualValues(t, -1, committed(h, 0))
		lost.Clear()
		subscribe(t, h.NewAdapter(), subscription(handle))
		h.Settle()
		assert.Equal(t, []string{"t/0/0/g", "t/0/0/g"}, ids.all())
	})
}

func TestCommit_nothingAfterTheSessionHasExpired(t *testing.T) {
	needsTag(t)
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[string]
		inFirst, release := make(chan struct{}), make(chan struct{})
		cancelled := make(chan struct{})
		h.CreateTopics("t")
		first := h.Adapter()
		subscribe(t, first, subscription(func(ctx context.Context, m *adapter.Message) adapter.Result {
			close(inFirst)
			<-ctx.Done()
			close(cancelled)
			<-release
			handled.add("first")
			return adapter.Commit()
		}))
		h.Settle()
		publisher := h.NewAdapter()
		require.NoError(t, publisher.Publish(t.Context(), event{"t", "", "one"}))
		<-inFirst
		fault := cut(h, "p1")
		h.NewAdapter()
		second := subscribe(t, h.NewAdapter(), subscription(func(context.Context, *adapter.Message) adapter.Result {
			handled.add("second")
			return adapter.Retry(errors.New("not yet"))
		}))
		until(t, "delivered to the second", func() bool { return handled.len() > 0 })
		fault.Clear()
		<-cancelled // p1 hears of its loss
		close(release)
		until(t, "the first has returned", func() bool {
			return len(handled.all()) > 1 && first.Consumers()[0].Status().Fenced == 0
		})
		time.Sleep(5 * time.Second)
		assert.Zero(t, committed(h, 0), "the first's result does not count")
		assert.NotEmpty(t, second.Status().Partitions)
		h.Settle() // dead-lettered by the second, or whoever has it now
	})
}
