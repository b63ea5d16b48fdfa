package harness_test

import (
	"context"
	"errors"
	"fmt"
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
	own := messages("a", "b")
	own[0].Offset = 7
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
		{"a first offset of its own", own, harness.BatchConfig{}, 7, 8, 9, 0, 1, false, []int64{7, 8}},
		{"empty, from an offset on", nil, harness.BatchConfig{FirstOffset: 5}, -1, 4, 5, 0, 0, true, nil},
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
	b.ResolveOffset(0)
	b.RejectAt(2, errBad)
	b.Pause()()
	assert.Equal(t, []int64{0}, resolved)
	assert.Equal(t, []int64{2}, rejected)
	assert.True(t, paused && resumed)
	assert.ErrorIs(t, b.Heartbeat(t.Context()), errRebalance)
	assert.ErrorIs(t, b.CommitOffsetsIfNecessary(t.Context()), errRebalance)
	assert.Equal(t, map[string]map[int32]int64{"x": {1: 2}}, b.UncommittedOffsets())
	assert.False(t, b.IsRunning())
	assert.True(t, b.IsStale())
	assert.Equal(t, "ResolveOffset(0), RejectAt(2): bad, Pause, resume, Heartbeat: rebalance, CommitOffsetsIfNecessary: rebalance",
		b.Calls().String(), "what is replaced is recorded")
	assert.Empty(t, b.Calls().Commits)
	assert.Len(t, b.Calls().Heartbeats, 1)
	assert.Equal(t, 2, b.Calls().Checks)
}

var errBad = errors.New("bad")

func TestNewBatch_aReplacedIsStaleCountsForTheOtherControls(t *testing.T) {
	b := harness.NewBatch("orders", messages("a"), harness.BatchConfig{Members: adapter.BatchFuncs{IsRunning: func() bool { return false }}})
	assert.True(t, b.IsStale(), "a consumer that is closing gives its partitions away")
	assert.ErrorIs(t, b.Heartbeat(t.Context()), adapter.ErrStale)
	b = harness.NewBatch("orders", messages("a"), harness.BatchConfig{Members: adapter.BatchFuncs{IsStale: func() bool { return true }}})
	assert.True(t, b.IsRunning())
	assert.ErrorIs(t, b.CommitOffsetsIfNecessary(t.Context()), adapter.ErrStale)
}

func TestNewBatch_whatHasBecomeTrueStaysSo(t *testing.T) {
	second := func(s harness.BatchState) bool { return s.Checks == 1 }
	b := harness.NewBatch("orders", messages("a"), harness.BatchConfig{Stale: second})
	assert.Equal(t, []bool{false, true, true, true}, []bool{b.IsStale(), b.IsStale(), b.IsStale(), b.IsStale()})
}

func TestNewBatch_laysWhatAMessageSaysOverTheDefaults(t *testing.T) {
	failed := time.Unix(5, 0)
	at := time.Unix(6, 0)
	shop := []adapter.Header{{Key: "source", Value: []byte("shop")}}
	web := []adapter.Header{{Key: "source", Value: []byte("web")}}
	origin := adapter.Origin{Topic: "first", Offset: 9}
	b := harness.NewBatch("orders",
		[]*adapter.Message{
			{Value: []byte("a")},
			{Key: []byte("own"), Value: []byte("b"), Headers: web, Attempt: 7, Timestamp: at.Add(1), FirstFailed: failed.Add(1), Origin: adapter.Origin{Topic: "own"}},
		},
		harness.BatchConfig{Partition: 3, FirstOffset: 10, Defaults: adapter.Message{
			Key: []byte("k"), Headers: shop, Attempt: 2, Timestamp: at, FirstFailed: failed, Group: "g", Origin: origin,
		}})
	assert.Equal(t, []*adapter.Message{
		{Topic: "orders", Partition: 3, Offset: 10, Key: []byte("k"), Value: []byte("a"), Headers: shop, Attempt: 2, Timestamp: at, FirstFailed: failed, Group: "g", Origin: origin},
		{Topic: "orders", Partition: 3, Offset: 11, Key: []byte("own"), Value: []byte("b"), Headers: web, Attempt: 7, Timestamp: at.Add(1), FirstFailed: failed.Add(1), Group: "g", Origin: adapter.Origin{Topic: "own"}},
	}, b.Messages)
}

func TestNewBatch_refusesWhatContradictsItself(t *testing.T) {
	at := func(offsets ...int64) []*adapter.Message {
		ms := make([]*adapter.Message, len(offsets))
		for i, o := range offsets {
			ms[i] = &adapter.Message{Offset: o}
		}
		return ms
	}
	for _, c := range []struct {
		want     string
		topic    string
		messages []*adapter.Message
		config   harness.BatchConfig
	}{
		{"the topic is empty", "", nil, harness.BatchConfig{}},
		{"partition -1 is negative", "t", nil, harness.BatchConfig{Partition: -1}},
		{"a first offset of -1 is negative", "t", nil, harness.BatchConfig{FirstOffset: -1}},
		{"a high watermark of -1 is negative", "t", nil, harness.BatchConfig{HighWatermark: -1}},
		{"a high watermark of 12 is below 13, the offset after the last message", "t", at(11, 0), harness.BatchConfig{HighWatermark: 12}},
		{"a high watermark of 4 is below 5, the offset after the last message", "t", nil, harness.BatchConfig{FirstOffset: 5, HighWatermark: 4}},
		{"message 2 has offset 3, and the one before it 7: offsets ascend", "t", at(7, 3), harness.BatchConfig{}},
		{"message 2 has offset 7, and the one before it 7: offsets ascend", "t", at(7, 7), harness.BatchConfig{}},
		{"message 1 has offset 3, and the batch begins at 5", "t", at(3), harness.BatchConfig{FirstOffset: 5}},
		{"message 1 has offset -3, and the batch begins at 0", "t", at(-3), harness.BatchConfig{}},
		{"message 2 is of topic u, and the batch of t", "t", []*adapter.Message{{}, {Topic: "u"}}, harness.BatchConfig{}},
		{"message 1 is of partition 2, and the batch of 0: use BatchConfig.Partition", "t", []*adapter.Message{{Partition: 2}}, harness.BatchConfig{}},
		{"message 1 is of group h, and the batch of g", "t", []*adapter.Message{{Group: "h"}}, harness.BatchConfig{Group: "g"}},
		{"message 1 has attempt -1: 1 is the first", "t", []*adapter.Message{{Attempt: -1}}, harness.BatchConfig{}},
		{"message 2 is nil", "t", []*adapter.Message{{}, nil}, harness.BatchConfig{}},
		{"Defaults has an offset: use FirstOffset", "t", nil, harness.BatchConfig{Defaults: adapter.Message{Offset: 1}}},
		{"Defaults is of topic u, and the batch of t", "t", nil, harness.BatchConfig{Defaults: adapter.Message{Topic: "u"}}},
		{"Defaults is of partition 1, and the batch of 0: use BatchConfig.Partition", "t", nil, harness.BatchConfig{Defaults: adapter.Message{Partition: 1}}},
		{"Defaults is of group h, and the batch of g", "t", nil, harness.BatchConfig{Group: "g", Defaults: adapter.Message{Group: "h"}}},
		{"Stale and Members.IsStale are both set", "t", nil, harness.BatchConfig{Stale: harness.AfterChecks(1), Members: adapter.BatchFuncs{IsStale: func() bool { return true }}}},
		{"Stopped and Members.IsRunning are both set", "t", nil, harness.BatchConfig{Stopped: harness.AfterChecks(1), Members: adapter.BatchFuncs{IsRunning: func() bool { return true }}}},
	} {
		t.Run(c.want, func(t *testing.T) {
			defer func() {
				said := fmt.Sprint(recover())
				assert.Contains(t, said, "harness: NewBatch: "+c.want)
			}()
			harness.NewBatch(c.topic, c.messages, c.config)
		})
	}
	assert.PanicsWithValue(t, "harness: AfterMessages(-1): it cannot be negative", func() { harness.AfterMessages(-1) })
	assert.PanicsWithValue(t, "harness: AfterChecks(-1): it cannot be negative", func() { harness.AfterChecks(-1) })
	assert.PanicsWithValue(t, "harness: AfterTime(-1): it cannot be negative", func() { harness.AfterTime(-1) })
	assert.PanicsWithValue(t, "harness: the event is nil", func() { harness.NewMessage(nil) })
}

// untilTold is a handler that resolves as it goes, until it is told to stop.
func untilTold(each func()) adapter.BatchHandlerFunc {
	return func(ctx context.Context, b *adapter.Batch) error {
		for _, m := range b.Messages {
			if !b.IsRunning() || b.IsStale() {
				break
			}
			each()
			b.ResolveOffset(m.Offset)
			if err := b.Heartbeat(ctx); err != nil {
				return err
			}
		}
		return b.CommitOffsetsIfNecessary(ctx)
	}
}

func TestNewBatch_becomesStaleOrStopsWhenItIsTold(t *testing.T) {
	for _, c := range []struct {
		name   string
		config harness.BatchConfig
		says   string
	}{
		{"never", harness.BatchConfig{}, "ResolveOffset(0), Heartbeat, ResolveOffset(1), Heartbeat, ResolveOffset(2), Heartbeat, CommitOffsetsIfNecessary(3)"},
		{"at once", harness.BatchConfig{Stale: harness.AfterMessages(0)}, "CommitOffsetsIfNecessary: " + adapter.ErrStale.Error()},
		{"after two messages", harness.BatchConfig{Stale: harness.AfterMessages(2)}, "ResolveOffset(0), Heartbeat, ResolveOffset(1), Heartbeat: " + adapter.ErrStale.Error()},
		{"after checks", harness.BatchConfig{Stopped: harness.AfterChecks(2)}, "ResolveOffset(0), Heartbeat: " + adapter.ErrStale.Error()},
		{"after a time", harness.BatchConfig{Stopped: harness.AfterTime(2 * time.Minute)}, "ResolveOffset(0), Heartbeat, ResolveOffset(1), Heartbeat: " + adapter.ErrStale.Error()},
		{"by a rule of its own", harness.BatchConfig{Stale: func(s harness.BatchState) bool { return s.Done == 1 && s.Since == time.Minute }}, "ResolveOffset(0), Heartbeat: " + adapter.ErrStale.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				b := harness.NewBatch("orders", messages("a", "b", "c"), c.config)
				calls, _ := harness.HandleBatch(t.Context(), untilTold(func() { time.Sleep(time.Minute) }), b)
				assert.Equal(t, c.says, calls.String())
				for i, at := range calls.Heartbeats {
					assert.Equal(t, time.Duration(i+1)*time.Minute, at.Sub(start))
				}
				if c.name != "never" {
					assert.True(t, b.IsStale(), "for good")
					assert.Equal(t, c.config.Stopped == nil, b.IsRunning())
					assert.Empty(t, b.UncommittedOffsets())
				}
			})
		})
	}
}

func TestHandleBatch_tellsWhatTheHandlerDecidedAndCalled(t *testing.T) {
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
	assert.Equal(t, []int64{0, 2}, calls.Resolved)
	assert.Equal(t, []harness.Rejection{{Offset: 1, Err: errBad}}, calls.Rejected)
	assert.Len(t, calls.Heartbeats, 2)
	assert.Equal(t, []int{1, 1, 6}, []int{calls.Pauses, calls.Resumes, calls.Checks})
	assert.Equal(t, []int64{1}, calls.Commits, "a record that is rejected is settled when the handler has returned")
	assert.Equal(t, "Pause, ResolveOffset(0), Heartbeat, RejectAt(1): bad, ResolveOffset(2), Heartbeat, CommitOffsetsIfNecessary(1), resume", calls.String())
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
	needsTag(t)
	// The same handler, once on a batch that was built and once on what the
	// broker gives, sees the same.
	var built, fetched []string
	see := func(to *[]string) adapter.BatchHandler {
		return adapter.BatchHandlerFunc(func(ctx context.Context, b *adapter.Batch) error {
			*to = append(*to, fmt.Sprint(b.FirstOffset(), b.LastOffset(), b.HighWatermark, b.OffsetLag(), b.OffsetLagLow(), len(b.Messages)))
			look := func(what string) {
				*to = append(*to, fmt.Sprint(what, b.UncommittedOffsets(), b.IsRunning(), b.IsStale(), b.Heartbeat(ctx)))
			}
			look("nothing is resolved")
			b.ResolveOffset(1)
			look("two are resolved")
			b.ResolveOffset(0)
			look("one is resolved again")
			b.RejectAt(0, errBad)
			b.RejectAt(3, errBad)
			look("the fourth is rejected")
			b.ResolveOffset(99)
			look("what is not there is resolved")
			b.ResolveOffset(4)
			look("all are resolved")
			*to = append(*to, fmt.Sprint(b.CommitOffsetsIfNecessary(ctx)))
			look("committed")
			b.RejectAt(4, errBad)
			look("what is resolved is rejected")
			return nil
		})
	}
	_, err := harness.HandleBatch(t.Context(), see(&built), harness.NewBatch("orders", messages("a", "b", "c", "d", "e"), harness.BatchConfig{}))
	require.NoError(t, err)
	harness.Run(t, func(_ *testing.T, h *harness.Harness) {
		orders := h.Topic("orders").Create(1)
		for range 5 {
			orders.Append(record(0, "", "a"))
		}
		// The adapter commits by itself what is resolved, and is to have done it no
		// earlier than the handler asks.
		h.Broker().Delay(time.Second, fakebroker.Scope{APIs: []kmsg.Key{kmsg.OffsetCommit}})
		h.SubscribeBatch(adapter.BatchSubscription{Topics: []string{"orders"}, Group: "g", Handler: see(&fetched)})
		h.Settle()
	})
	assert.Equal(t, fetched, built)
}
