package adapter_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

func TestResume_afterAKillNothingSettledRunsAgainAndAttemptsGoOn(t *testing.T) {
	needsTag(t)
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[string]
		handle := func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(fmt.Sprint(string(m.Value), " ", m.Attempt))
			if string(m.Value) == "bad" {
				return adapter.RetryAfter(errDown, time.Hour)
			}
			return adapter.Commit()
		}
		s := subscription(handle)
		s.Retry.Attempts = 3
		h.CreateTopics("t")
		h.Adapter()
		second := h.NewAdapter() // p2
		subscribe(t, second, s)
		start := time.Now()
		bad := h.Publish(event{"t", "a", "bad"})
		h.PublishAll(event{"t", "b", "one"}, event{"t", "c", "two"})
		time.Sleep(time.Hour)
		until(t, "the second attempt has failed", func() bool { return handled.len() == 4 })
		time.Sleep(time.Second) // it is committed that it has
		assert.Zero(t, committed(h, 0))
		kill(h, "p2", second)
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		all := handled.all()
		assert.ElementsMatch(t, []string{"bad 1", "one 1", "two 1"}, all[:3])
		assert.Equal(t, []string{"bad 2", "bad 3"}, all[3:])
		assert.GreaterOrEqual(t, time.Since(start), 2*time.Hour, "the wait was not cut short")
		assert.Equal(t, harness.DeadLettered, h.Fate(bad).Kind)
		var attempts *adapter.AttemptsError
		require.ErrorAs(t, h.Fate(bad).Err, &attempts)
		assert.Equal(t, 3, attempts.Attempts)
		assert.WithinDuration(t, start, mustTime(t, h.Topic("t.g.dlt").Records()[0].Header(adapter.HeaderFirstFailed)), time.Second,
			"the first failure is known, too")
	})
}

func mustTime(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err)
	return at
}

func TestResume_metadataOfSomebodyElseIsIgnored(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		h.PublishAll(numbered(3)...)
		cl, err := kgo.NewClient(h.ClientOptions("somebody")...)
		require.NoError(t, err)
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: "t", At: 1, LeaderEpoch: -1, Metadata: "kafkatest.1:AAAA"})
		_, err = kadm.NewClient(cl).CommitOffsets(t.Context(), "g", offsets)
		require.NoError(t, err)
		cl.Close()
		var seen list[int64]
		h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			seen.add(m.Offset)
			return adapter.Commit()
		}))
		h.Settle()
		assert.ElementsMatch(t, []int64{1, 2}, seen.all())
	})
}

func TestResume_metadataThatTheBrokerFindsTooLongIsShortened(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		c := h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt == 1 {
				return adapter.RetryAfter(errDown, time.Hour)
			}
			return adapter.Commit()
		}))
		longest := 0
		h.Broker().Observe(fakebroker.Observer{Committed: func(c fakebroker.Committed) { longest = max(longest, len(c.Metadata)) }})
		scope := commitsOfG()
		scope.Count = 1
		f := h.Broker().Refuse(kerr.OffsetMetadataTooLarge, scope)
		h.PublishAll(numbered(30)...)
		until(t, "refused", func() bool { return f.Hits() == 1 })
		h.Settle()
		assert.EqualValues(t, 30, committed(h, 0))
		assert.Less(t, longest, 200, "not more than half of what was refused")
		assert.NoError(t, c.Status().Partitions[0].Full)
	})
}

// Without the count, a record that ends the process would do so for ever.
func TestCountBeforeRun_aRecordThatEndsTheProcessIsGivenUp(t *testing.T) {
	needsTag(t)
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		attempts := make(chan int)
		var rejected list[error]
		s := subscription(func(ctx context.Context, m *adapter.Message) adapter.Result {
			attempts <- m.Attempt
			<-ctx.Done()
			return adapter.Commit() // of a process that is no more
		})
		s.Retry.Attempts = 3
		s.CountBeforeRun = true
		s.OnReject = func(_ context.Context, _ *adapter.Message, cause error) error {
			rejected.add(cause)
			return nil
		}
		h.CreateTopics("t")
		h.Adapter()
		rec := h.Publish(event{"t", "k", "poison"})
		for i := range 3 {
			a := h.NewAdapter()
			subscribe(t, a, s)
			assert.Equal(t, i+1, <-attempts)
			kill(h, fmt.Sprint("p", i+2), a)
		}
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		assert.Equal(t, harness.Rejected, h.Fate(rec).Kind)
		require.Len(t, rejected.all(), 1)
		require.ErrorIs(t, rejected.all()[0], adapter.ErrInterrupted)
	})
}

// A handler must not begin before its attempt is counted.
func TestCountBeforeRun_withoutACommitNothingRuns(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[int]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(m.Attempt)
			return adapter.Commit()
		})
		s.CountBeforeRun = true
		h.Subscribe(s)
		h.Settle()
		f := h.Broker().Refuse(kerr.GroupAuthorizationFailed, commitsOfG())
		h.Publish(event{"t", "k", ""})
		until(t, "a commit is refused", func() bool { return f.Hits() > 3 })
		assert.Zero(t, handled.len())
		f.Clear()
		h.Settle()
		assert.Equal(t, []int{1}, handled.all())
	})
}

// Where the metadata has no room for the count, the record waits for others.
func TestCountBeforeRun_anAttemptThatTheCommitLeavesOutDoesNotBegin(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[string]
		release := make(chan struct{})
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(string(m.Value))
			<-release
			return adapter.Commit()
		})
		s.CountBeforeRun, s.Order = true, adapter.Unordered
		h.Subscribe(s)
		recs := h.PublishAll(numbered(6)...)
		until(t, "six run", func() bool { return handled.len() == 6 })
		time.Sleep(time.Second)
		scope := commitsOfG()
		scope.Count = 1
		f := h.Broker().Refuse(kerr.OffsetMetadataTooLarge, scope) // less than half of it is allowed from here on
		recs = append(recs, h.PublishAll(numbered(6)...)...)
		until(t, "refused", func() bool { return f.Hits() == 1 })
		time.Sleep(time.Minute)
		assert.Equal(t, 6, handled.len())
		close(release)
		h.Settle()
		assert.Equal(t, 12, handled.len())
		for _, r := range recs {
			assert.Equal(t, 1, h.Fate(r).Attempts)
		}
	})
}

func TestCountBeforeRun_anAttemptThatDoesNotBeginDoesNotCount(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[int]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(m.Attempt)
			return adapter.Commit()
		})
		s.CountBeforeRun, s.Retry.Attempts = true, 1
		h.CreateTopics("t")
		first := subscribe(t, h.NewAdapter(), s)
		h.Settle()
		scope := commitsOfG()
		f := h.Broker().Refuse(kerr.CoordinatorLoadInProgress, scope)
		rec := h.Publish(event{"t", "k", ""})
		until(t, "a commit is refused", func() bool { return f.Hits() > 0 })
		closed := make(chan error)
		go func() { closed <- first.Close(t.Context()) }()
		time.Sleep(time.Second) // it drains, and has its last commit to do
		f.Clear()
		require.NoError(t, <-closed)
		assert.Zero(t, handled.len())
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		assert.Equal(t, []int{1}, handled.all())
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

func TestCountBeforeRun_anUnavailableDependencyUsesNoAttempt(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		gate := &harness.GateSpy{}
		var handled list[int]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if handled.add(m.Attempt); handled.len() == 1 {
				gate.Down(errDown)
				return adapter.Unavailable(errDown)
			}
			return adapter.Commit()
		})
		s.CountBeforeRun, s.Retry.Attempts, s.Gate = true, 1, gate.Check
		h.CreateTopics("t")
		first := subscribe(t, h.NewAdapter(), s)
		rec := h.Publish(event{"t", "k", ""})
		until(t, "handled", func() bool { return handled.len() == 1 })
		time.Sleep(time.Minute)
		require.NoError(t, first.Close(t.Context()))
		gate.Up()
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		assert.Equal(t, []int{1, 1}, handled.all())
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

// A batch keeps the order of its partition, so all of it waits.
func TestResume_aBatchWaitsUntilItsRetryIsDue(t *testing.T) {
	needsTag(t)
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		h.Adapter()
		start := time.Now()
		var failed, again list[time.Time]
		s := batches(func(context.Context, *adapter.Batch) error {
			failed.add(time.Now())
			return errDown
		})
		s.Retry = adapter.RetryPolicy{MinBackoff: 10 * time.Hour, MaxBackoff: 10 * time.Hour}
		first := h.NewAdapter() // p2
		_, err := first.SubscribeBatch(t.Context(), s)
		require.NoError(t, err)
		recs := h.PublishAll(event{"t", "a", ""}, event{"t", "b", ""})
		until(t, "it has failed", func() bool { return failed.len() == 1 })
		time.Sleep(time.Second) // it is committed that it has
		kill(h, "p2", first)

		attempts := map[int64]int{}
		s.Handler = adapter.BatchHandlerFunc(func(_ context.Context, b *adapter.Batch) error {
			again.add(time.Now())
			for _, m := range b.Messages {
				attempts[m.Offset] = m.Attempt
			}
			return nil
		})
		c, err := h.NewAdapter().SubscribeBatch(t.Context(), s)
		require.NoError(t, err)
		until(t, "it is held", func() bool {
			ps := c.Status().Partitions
			return len(ps) == 1 && ps[0].Held > 0
		})
		due := c.Status().Partitions[0].Due
		h.Settle()
		require.NotZero(t, again.len())
		assert.GreaterOrEqual(t, again.all()[0].Sub(start), 5*time.Hour, "the backoff is cut by half at most")
		assert.WithinDuration(t, due, again.all()[0], time.Second)
		assert.Equal(t, 2, attempts[recs[0].Offset])
		for _, r := range recs {
			assert.Equal(t, harness.Committed, h.Fate(r).Kind)
		}
	})
}

// What is known of a partition may come from a subscription that is not by batch.
func TestResume_aBatchEndsBeforeARecordThatIsNotDue(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		hold := make(chan struct{})
		s := subscription(func(ctx context.Context, m *adapter.Message) adapter.Result {
			if string(m.Value) == "slow" {
				select {
				case <-hold:
				case <-ctx.Done():
				}
				return adapter.Retry(errDown)
			}
			return adapter.RetryAfter(errDown, time.Hour)
		})
		h.CreateTopics("t")
		one := subscribe(t, h.NewAdapter(), s)
		start := time.Now()
		h.PublishAll(event{"t", "a", "slow"}, event{"t", "b", "fails"}, event{"t", "c", "slow"})
		until(t, "one has failed", func() bool {
			ps := one.Status().Partitions
			return len(ps) == 1 && ps[0].Held == 1
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = one.Close(ctx) // handlers are cut off
		var calls list[[]int64]
		_, err := h.NewAdapter().SubscribeBatch(t.Context(), batches(func(_ context.Context, b *adapter.Batch) error {
			calls.add([]int64{b.FirstOffset(), b.LastOffset()})
			if b.LastOffset() > 0 {
				assert.GreaterOrEqual(t, time.Since(start), time.Hour)
			}
			return nil
		}))
		require.NoError(t, err)
		h.Settle()
		assert.Equal(t, [][]int64{{0, 0}, {1, 2}}, calls.all())
	})
}
