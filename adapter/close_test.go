package adapter_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

func TestClose_drainsAndCommits(t *testing.T) {
	p := placeOf(t)
	p.test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		r := newRunning()
		c := h.Subscribe(subscription(r.handle))
		rec := h.Publish(event{"t", "", "one"})
		<-r.entered
		closed := make(chan error)
		go func() { closed <- c.Close(t.Context()) }()
		time.Sleep(p.beat)
		select {
		case <-c.Done():
			t.Error("closed while a handler runs")
		default:
		}
		r.release <- adapter.Commit()
		require.NoError(t, <-closed)
		assert.NoError(t, <-r.ended)
		<-c.Done()
		assert.NoError(t, c.Err())
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
		assert.Empty(t, h.Adapter().Consumers())
		require.NoError(t, c.Close(t.Context()), "again")
		assert.Zero(t, members(t, h), "it has left")
	})
}

func TestClose_pastItsDeadlineCutsOffWhatRuns(t *testing.T) {
	p := placeOf(t)
	p.test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		r := newRunning()
		c := h.Subscribe(subscription(r.handle))
		h.Publish(event{"t", "", "one"})
		<-r.entered
		ctx, cancel := context.WithTimeout(t.Context(), p.minute)
		defer cancel()
		start := time.Now()
		err := c.Close(ctx)
		assert.GreaterOrEqual(t, time.Since(start), p.minute)
		assert.Less(t, time.Since(start), p.minute+p.late)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "1 handlers did not end in time")
		assert.Equal(t, err, c.Close(t.Context()), "again")
		r.release <- adapter.Commit()
		assert.ErrorIs(t, <-r.ended, context.Canceled)
		assert.EqualValues(t, -1, offset(t, h))
		var again list[string]
		h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			again.add(m.ID())
			return adapter.Commit()
		}))
		h.Settle()
		assert.Equal(t, []string{"t/0/0/g"}, again.all())
	})
}

func TestClose_aSecondCallerInAHurryIsHeard(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending()
		r := newRunning()
		c := h.Subscribe(subscription(r.handle))
		h.Publish(event{"t", "", "one"})
		<-r.entered
		patient := make(chan error)
		go func() { patient <- c.Close(context.Background()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, h.Adapter().Close(ctx), context.DeadlineExceeded)
		assert.Less(t, time.Since(start), 3*time.Second)
		require.ErrorIs(t, <-patient, context.DeadlineExceeded)
		r.release <- adapter.Commit()
	})
}

func TestClose_dropsAWaitForTheNextAttempt(t *testing.T) {
	placeOf(t).test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		h.AllowPending()
		c := h.Subscribe(subscription(func(context.Context, *adapter.Message) adapter.Result {
			return adapter.RetryAfter(errors.New("later"), 10*time.Hour)
		}))
		h.Publish(event{"t", "", "one"})
		until(t, "it waits", func() bool { return held(c) == 1 })
		start := time.Now()
		require.NoError(t, c.Close(t.Context()))
		assert.Less(t, time.Since(start), time.Second)
	})
}

func TestClose_withTheBrokerGoneEndsInTime(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending()
		r := newRunning()
		h.Subscribe(subscription(r.handle))
		h.Publish(event{"t", "", "one"})
		<-r.entered
		h.Broker().TakeDown(0)
		r.release <- adapter.Commit()
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := h.Adapter().Close(ctx)
		assert.ErrorContains(t, err, "commit offsets of group")
		assert.Less(t, time.Since(start), 15*time.Second)
		assert.Equal(t, err, h.Adapter().Close(ctx), "again")
	})
}

func TestClose_whileJoiningEndsInTime(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		slow := h.Broker().Delay(10*time.Minute, fakebroker.Scope{APIs: []kmsg.Key{kmsg.JoinGroup}})
		c := h.Subscribe(subscription(commits))
		time.Sleep(time.Second)
		require.NotZero(t, slow.Hits())
		start := time.Now()
		require.NoError(t, c.Close(t.Context()))
		assert.Less(t, time.Since(start), 15*time.Second)
	})
}

func TestClose_cutsShortARebalanceThatWaitsForAHandler(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending()
		h.CreateTopics("t:2")
		r := newRunning()
		a := h.NewAdapter()
		subscribe(t, a, subscription(r.handle))
		h.Settle()
		other := h.NewAdapter()
		for p := range int32(2) {
			require.NoError(t, other.Publish(t.Context(), at(p, "")))
			<-r.entered
		}
		subscribe(t, other, subscription(commits))
		time.Sleep(100 * time.Second) // p1 has heard of it, and drains
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := a.Close(ctx)
		assert.Less(t, time.Since(start), 10*time.Second)
		assert.Error(t, err)
		close(r.release)
		h.Settle() // by the other
	})
}

func TestClose_waitsForWhatWasPublished(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		a := h.NewAdapter()
		require.NoError(t, a.Ready(t.Context()))
		h.Broker().Delay(5*time.Second, fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}})
		published := make(chan error)
		go func() { published <- a.Publish(context.Background(), event{"t", "", "one"}) }()
		until(t, "under way", func() bool { return a.Buffered() == 1 })
		require.NoError(t, a.Close(t.Context()))
		require.NoError(t, <-published)
	})
}

// lostAnswer has the adapter publish a record that the broker takes without a word,
// and then takes the broker down.
func lostAnswer(t *testing.T, h *harness.Harness) (a *adapter.Adapter, published <-chan error) {
	h.AllowPending()
	h.CreateTopics("t")
	a = h.NewAdapter()
	require.NoError(t, a.Ready(t.Context()))
	f := h.Broker().DropAfter(fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}})
	said := make(chan error, 1)
	go func() { said <- a.Publish(context.Background(), event{"t", "", "one"}) }()
	until(t, "the broker has it", func() bool { return f.Hits() > 0 })
	h.Broker().TakeDown(0)
	return a, said
}

func TestClose_doesNotWaitLongerThanWhoeverPublishes(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		a, published := lostAnswer(t, h)
		start := time.Now()
		err := a.Close(context.Background())
		assert.Equal(t, 33*time.Second, time.Since(start))
		require.ErrorIs(t, err, adapter.ErrTimeout)
		require.ErrorContains(t, err, "1 records not acknowledged: no answer within 33s")
		require.ErrorIs(t, <-published, adapter.ErrTimeout)
	})
}

func TestClose_ofAnAdapterBySomebodyInAHurryIsHeard(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		a, _ := lostAnswer(t, h)
		patient := make(chan error)
		go func() { patient <- a.Close(context.Background()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, a.Close(ctx), context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, <-patient, context.DeadlineExceeded)
	})
}

func TestClosed(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		a := h.NewAdapter()
		changes := a.StateChanges()
		require.NoError(t, a.Ready(t.Context()))
		require.NoError(t, a.Close(t.Context()))
		require.NoError(t, a.Close(t.Context()), "again")
		var last adapter.State
		for s := range changes {
			last = s.State
		}
		assert.Equal(t, adapter.Closed, last)
		assert.Equal(t, adapter.Closed, a.State())
		assert.ErrorIs(t, a.Ready(t.Context()), adapter.ErrClosed)
		err := a.Publish(t.Context(), event{"t", "", "one"})
		assert.ErrorIs(t, err, adapter.ErrClosed)
		assert.False(t, adapter.Retryable(err))
		assert.ErrorIs(t, a.EnsureTopics(t.Context(), adapter.TopicSpec{Name: "t"}), adapter.ErrClosed)
		_, err = a.Subscribe(t.Context(), subscription(commits))
		assert.ErrorIs(t, err, adapter.ErrClosed)
	})
}

// held is how many partitions of a consumer hold a record for its next attempt.
func held(c *adapter.Consumer) int {
	n := 0
	for _, p := range c.Status().Partitions {
		n += p.Held
	}
	return n
}
