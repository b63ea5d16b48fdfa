package harness_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

func messages(values ...string) []*adapter.Message {
	var ms []*adapter.Message
	for _, v := range values {
		ms = append(ms, harness.NewMessage(text{"orders", "key", v}))
	}
	return ms
}

func TestNewBatch_isConsistentByConstruction(t *testing.T) {
	gap := messages("a", "b", "c")
	gap[1].Offset = 17
	low := messages("a", "b")
	low[0].Offset, low[1].Offset = 7, 3
	for _, c := range []struct {
		name                           string
		messages                       []*adapter.Message
		config                         harness.BatchConfig
		first, last, high, lag, lagLow int64
		empty                          bool
		offsets                        []int64
	}{
		{"defaults", messages("a", "b", "c"), harness.BatchConfig{}, 0, 2, 3, 0, 2, false, []int64{0, 1, 2}},
		{"first offset", messages("a", "b"), harness.BatchConfig{FirstOffset: 10}, 10, 11, 12, 0, 1, false, []int64{10, 11}},
		{"behind", messages("a", "b"), harness.BatchConfig{FirstOffset: 10, HighWatermark: 20}, 10, 11, 20, 8, 9, false, []int64{10, 11}},
		{"offsets of their own", gap, harness.BatchConfig{FirstOffset: 5}, 5, 18, 19, 0, 13, false, []int64{5, 17, 18}},
		{"below the first offset", low, harness.BatchConfig{FirstOffset: 100}, 7, 3, 8, 4, 0, false, []int64{7, 3}},
		{"empty", nil, harness.BatchConfig{HighWatermark: 7}, -1, 6, 7, 0, 0, true, nil},
		{"empty and new", nil, harness.BatchConfig{}, -1, -1, 0, 0, 0, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := harness.NewBatch("orders", c.messages, c.config)
			assert.Equal(t, c.first, b.FirstOffset(), "first offset")
			assert.Equal(t, c.last, b.LastOffset(), "last offset")
			assert.Equal(t, c.high, b.HighWatermark, "high watermark")
			assert.Equal(t, c.lag, b.OffsetLag(), "lag")
			assert.Equal(t, c.lagLow, b.OffsetLagLow(), "lag of the first")
			assert.Equal(t, c.empty, b.IsEmpty(), "empty")
			var offsets []int64
			for _, m := range b.Messages {
				offsets = append(offsets, m.Offset)
				assert.Equal(t, "orders", m.Topic)
				assert.Equal(t, 1, m.Attempt)
				assert.Equal(t, m.Offset, m.Origin.Offset)
				assert.False(t, m.Timestamp.IsZero())
			}
			assert.Equal(t, c.offsets, offsets)
		})
	}
}

func TestNewBatch_leavesGivenMessagesAlone(t *testing.T) {
	given := messages("a", "b")
	harness.NewBatch("orders", given, harness.BatchConfig{FirstOffset: 10, Group: "g", Partition: 3})
	assert.Zero(t, given[1].Offset)
	assert.Empty(t, given[1].Group)
}

func TestNewBatch_everyMemberCanBeReplaced(t *testing.T) {
	seven := func() int64 { return 7 }
	var resolved, rejected []int64
	paused, resumed := false, false
	errRebalance := errors.New("rebalance")
	b := harness.NewBatch("orders", messages("a"), harness.BatchConfig{Members: adapter.BatchFuncs{
		FirstOffset: seven, LastOffset: seven, OffsetLag: seven, OffsetLagLow: seven,
		IsEmpty:                  func() bool { return true },
		ResolveOffset:            func(o int64) { resolved = append(resolved, o) },
		RejectAt:                 func(o int64, _ error) { rejected = append(rejected, o) },
		Heartbeat:                func(context.Context) error { return errRebalance },
		Pause:                    func() func() { paused = true; return func() { resumed = true } },
		CommitOffsetsIfNecessary: func(context.Context) error { return errRebalance },
		UncommittedOffsets:       func() map[string]map[int32]int64 { return map[string]map[int32]int64{"x": {1: 2}} },
		IsRunning:                func() bool { return false },
		IsStale:                  func() bool { return true },
	}})
	assert.Equal(t, []int64{7, 7, 7, 7}, []int64{b.FirstOffset(), b.LastOffset(), b.OffsetLag(), b.OffsetLagLow()})
	assert.True(t, b.IsEmpty())
	b.ResolveOffset(1)
	b.RejectAt(2, nil)
	b.Pause()()
	assert.Equal(t, []int64{1}, resolved)
	assert.Equal(t, []int64{2}, rejected)
	assert.True(t, paused && resumed)
	assert.ErrorIs(t, b.Heartbeat(t.Context()), errRebalance)
	assert.ErrorIs(t, b.CommitOffsetsIfNecessary(t.Context()), errRebalance)
	assert.Equal(t, map[string]map[int32]int64{"x": {1: 2}}, b.UncommittedOffsets())
	assert.False(t, b.IsRunning())
	assert.True(t, b.IsStale())
	assert.Equal(t, harness.BatchCalls{}, b.Calls(), "what is replaced is not recorded")
}

func TestHandleBatch_tellsWhatTheHandlerDecidedAndCalled(t *testing.T) {
	errBad := errors.New("bad")
	handler := adapter.BatchHandlerFunc(func(ctx context.Context, b *adapter.Batch) error {
		resume := b.Pause()
		defer resume()
		for _, m := range b.Messages {
			if !b.IsRunning() || b.IsStale() {
				return nil
			}
			if string(m.Value) == "bad" {
				b.RejectAt(m.Offset, errBad)
				continue
			}
			if string(m.Value) == "stop" {
				return errBad
			}
			b.ResolveOffset(m.Offset)
			if err := b.Heartbeat(ctx); err != nil {
				return err
			}
		}
		return b.CommitOffsetsIfNecessary(ctx)
	})

	b := harness.NewBatch("orders", messages("a", "bad", "c"), harness.BatchConfig{})
	calls, err := harness.HandleBatch(t.Context(), handler, b)
	require.NoError(t, err)
	assert.Equal(t, harness.BatchCalls{
		Resolved: []int64{0, 2}, Rejected: []harness.Rejection{{Offset: 1, Err: errBad}},
		Heartbeats: 2, Pauses: 1, Resumes: 1, Commits: []int64{3},
	}, calls)
	assert.Empty(t, b.UncommittedOffsets())

	b = harness.NewBatch("orders", messages("a", "stop"), harness.BatchConfig{})
	calls, err = harness.HandleBatch(t.Context(), handler, b)
	assert.ErrorIs(t, err, errBad)
	assert.Equal(t, []int64{0}, calls.Resolved)
	assert.Equal(t, map[string]map[int32]int64{"orders": {0: 1}}, b.UncommittedOffsets())
}

func TestHandleBatch_resolvesNothingOutsideTheBatch(t *testing.T) {
	b := harness.NewBatch("orders", messages("a"), harness.BatchConfig{FirstOffset: 5})
	b.ResolveOffset(99)
	b.ResolveOffset(4)
	assert.Equal(t, []int64{99, 4}, b.Calls().Resolved)
	assert.Empty(t, b.UncommittedOffsets())
	require.NoError(t, b.CommitOffsetsIfNecessary(t.Context()))
	assert.Empty(t, b.Calls().Commits)
}

func TestHandle_tellsWhatTheHandlerDecided(t *testing.T) {
	handler := adapter.JSON(func(_ context.Context, n int, m *adapter.Message) adapter.Result {
		if n < 0 {
			return adapter.Reject(errors.New(m.Topic))
		}
		return adapter.Commit()
	})
	assert.Equal(t, adapter.ResultCommit, harness.Handle(t.Context(), handler, harness.NewMessage(text{"n", "", "1"})).Type())
	assert.Equal(t, adapter.ResultReject, harness.Handle(t.Context(), handler, harness.NewMessage(text{"n", "", "-1"})).Type())
	assert.ErrorIs(t, harness.Handle(t.Context(), handler, harness.NewMessage(text{"n", "", "x"})).Err(), adapter.ErrDecode)
}

func TestHandleBatch_doesWhatTheAdapterDoes(t *testing.T) {
	// The same handler, once on a batch that was built and once on what the
	// broker gives, sees the same numbers.
	var built, fetched []int64
	see := func(to *[]int64) adapter.BatchHandler {
		return adapter.BatchHandlerFunc(func(_ context.Context, b *adapter.Batch) error {
			*to = append(*to, b.FirstOffset(), b.LastOffset(), b.HighWatermark, b.OffsetLag(), b.OffsetLagLow(), int64(len(b.Messages)))
			return nil
		})
	}
	_, err := harness.HandleBatch(t.Context(), see(&built), harness.NewBatch("orders", messages("a", "b", "c"), harness.BatchConfig{}))
	require.NoError(t, err)
	harness.Run(t, func(_ *testing.T, h *harness.Harness) {
		h.PublishAll(text{"orders", "key", "a"}, text{"orders", "key", "b"}, text{"orders", "key", "c"})
		h.SubscribeBatch(adapter.BatchSubscription{Topics: []string{"orders"}, Group: "g", Handler: see(&fetched)})
		h.Settle()
	})
	assert.Equal(t, fetched, built)
}
