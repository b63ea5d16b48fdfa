package adapter

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// newTestLane is a lane without a broker.
func newTestLane() *lane {
	a := &Adapter{cfg: Config{Trace: &Trace{}}, turns: map[groupPartition]chan struct{}{}}
	c := &Consumer{a: a, log: slog.New(slog.DiscardHandler), dirty: make(chan struct{}, 1)}
	return newLane(c, topicPartition{"t", 0})
}

func records(from, to int64) []*kgo.Record {
	var rs []*kgo.Record
	for o := from; o < to; o++ {
		rs = append(rs, &kgo.Record{Topic: "t", Offset: o, Value: []byte("v"), Context: context.Background()})
	}
	return rs
}

func TestStartAt_keepsTheFirstPin(t *testing.T) {
	l := newTestLane()
	assert.EqualValues(t, 5, l.startAt(5))
	assert.EqualValues(t, 5, l.startAt(9), "found again, after a rebalance and before a commit")
	p, ok := l.uncommitted()
	assert.True(t, ok)
	assert.EqualValues(t, 5, p.offset)
	l.committedTo(5)
	_, ok = l.uncommitted()
	assert.False(t, ok)
}

func TestLane_aLogThatWasCutSettlesNothingOfTheNewOne(t *testing.T) {
	l := newTestLane()
	l.push(records(0, 10), 10)
	old := l.messages(l.pop(1))[0]
	require.True(t, l.settle(old))
	p, _ := l.uncommitted()
	l.committedTo(p.offset)
	running := l.messages(l.pop(1))[0] // offset 1 of the old log

	l.push(records(0, 3), 3)
	assert.Equal(t, 3, l.queued, "what was fetched of the old log is gone")
	require.True(t, l.settle(running), "it may end")
	for range 3 {
		m := l.messages(l.pop(1))[0]
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
	l.push(records(0, 1), 1)
	m := l.messages(l.pop(1))[0]
	assert.False(t, l.fence(), "no handler runs")
	assert.False(t, l.settle(m))
	_, ok := l.uncommitted()
	assert.False(t, ok)
	assert.Empty(t, l.pop(1).records, "it is to end")
	assert.Error(t, l.ctx.Err())
}
