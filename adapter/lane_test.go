package adapter

import (
	"context"
	"hash/maphash"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// newTestLane is a lane without a broker.
func newTestLane() *lane {
	a := &Adapter{cfg: Config{Trace: &Trace{}}, turns: map[groupPartition]chan struct{}{}}
	c := &Consumer{a: a, log: slog.New(slog.DiscardHandler), dirty: make(chan struct{}, 1), seed: maphash.MakeSeed()}
	c.sub.Subscription = c.sub.withDefaults()
	c.metadataLimit.Store(maxMetadata)
	return newLane(c, topicPartition{"t", 0})
}

// popOne takes the next record off the queue, as its next delivery.
func popOne(l *lane) *Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.pop(1)
	m := &Message{}
	l.message(m, c.records[0], c.cut)
	return m
}

// records are those of topic t from the first on.
func records(n int64) []*kgo.Record {
	var rs []*kgo.Record
	for o := range n {
		rs = append(rs, &kgo.Record{Topic: "t", Offset: o, Value: []byte("v"), Context: context.Background()})
	}
	return rs
}

// failFirst makes a task of the first record that is queued, as one that failed.
func failFirst(t *testing.T, s *scheduler) *task {
	t.Helper()
	s.l.mu.Lock()
	r := s.find()
	s.l.mu.Unlock()
	_, ok := r.begin()
	require.True(t, ok)
	failed := s.keep(r, &r.items[0])
	require.NotNil(t, failed)
	return failed
}

func TestStartAt_keepsTheFirstPin(t *testing.T) {
	l := newTestLane()
	assert.EqualValues(t, 5, l.startAt(5))
	assert.EqualValues(t, 5, l.startAt(9), "found again, after a rebalance and before a commit")
	p, ok := l.uncommitted()
	assert.True(t, ok)
	assert.EqualValues(t, 5, p.offset)
	l.committedTo(p)
	_, ok = l.uncommitted()
	assert.False(t, ok)
}

func TestLane_aLogThatWasCutSettlesNothingOfTheNewOne(t *testing.T) {
	l := newTestLane()
	l.push(records(10), 10)
	old := popOne(l)
	require.True(t, l.settle(old))
	p, _ := l.uncommitted()
	l.committedTo(p)
	running := popOne(l) // offset 1 of the old log

	l.push(records(3), 3)
	assert.Equal(t, 3, l.queued, "what was fetched of the old log is gone")
	require.True(t, l.settle(running), "it may end")
	for range 3 {
		m := popOne(l)
		_, ok := l.uncommitted()
		assert.Equal(t, m.Offset > 0, ok, "before offset %d", m.Offset)
		require.True(t, l.settle(m))
		p, ok := l.uncommitted()
		require.True(t, ok)
		assert.Equal(t, m.Offset+1, p.offset, "an offset that went back is committed, too")
	}
	assert.Zero(t, l.bytes)
}

func TestLane_aFencedOneSettlesNothing(t *testing.T) {
	l := newTestLane()
	l.push(records(1), 1)
	m := popOne(l)
	assert.Zero(t, l.fence(), "no handler runs")
	assert.False(t, l.settle(m))
	_, ok := l.uncommitted()
	assert.False(t, ok)
	assert.Error(t, l.ctx.Err())
}

// A record that failed, and is settled by a later attempt or by its dead letter.
func TestLane_aFencedTaskSettlesNothing(t *testing.T) {
	l := newTestLane()
	s := l.runner.(*scheduler)
	l.push(records(2), 2)
	task := failFirst(t, s)
	l.fence()
	s.settle(task)
	assert.Zero(t, l.ledger.first())
	assert.Len(t, l.runner.unsettled(), 1)
}

// What a handler returns after the fence does not count, nor what its run had
// settled and not marked.
func TestLane_aFencedRunSettlesNothing(t *testing.T) {
	l := newTestLane()
	s := l.runner.(*scheduler)
	l.push(records(2), 2)
	l.mu.Lock()
	r := s.find()
	s.runs = append(s.runs, r)
	l.mu.Unlock()
	_, ok := r.begin()
	require.True(t, ok)
	assert.Equal(t, 1, l.fence(), "a handler runs")
	s.end(r)
	assert.Zero(t, l.ledger.first())
	assert.Len(t, l.runner.unsettled(), 1)
}

func TestLane_whatWasSettledBeforeIsLeftOut(t *testing.T) {
	before := newTestLane()
	before.push(records(10), 10)
	for _, o := range []int64{3, 4, 8} {
		require.True(t, before.settle(&Message{Offset: o}))
	}
	commit, ok := before.uncommitted()
	require.True(t, ok)

	l := newTestLane()
	l.restore(commit.offset, commit.metadata)
	l.push(records(10), 10)
	var left []int64
	for l.queued > 0 {
		left = append(left, popOne(l).Offset)
	}
	assert.Equal(t, []int64{0, 1, 2, 5, 6, 7, 9}, left)
	assert.Zero(t, l.bytes)
}

// A look may come between the making of a task's run and its beginning.
func TestScheduler_aTaskIsNotGivenBack(t *testing.T) {
	l := newTestLane()
	s := l.runner.(*scheduler)
	l.push(records(1), 1)
	task := failFirst(t, s)
	l.mu.Lock()
	task.due = time.Now()
	s.hold(task)
	due := s.find()
	s.runs = append(s.runs, due)
	l.mu.Unlock()
	s.watch = time.AfterFunc(time.Hour, func() {})
	defer s.watch.Stop()
	s.look()
	_, ok := due.begin()
	assert.True(t, ok)
}

// What became of a record of a log that is no more counts nowhere.
func TestScheduler_aTaskOfALogThatWasCutLeavesNothingBehind(t *testing.T) {
	l := newTestLane()
	s := l.runner.(*scheduler)
	l.push(records(2), 2)
	task := failFirst(t, s)
	l.push(records(1), 1) // from the first offset again
	s.hop(task, 0)
	assert.Zero(t, s.leaving)
	assert.Empty(t, s.open)
}
