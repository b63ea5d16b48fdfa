package adapter_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"example.com/kafkatest/adapter"
)

func TestBatch_numbers(t *testing.T) {
	messages := []*adapter.Message{{Offset: 10}, {Offset: 12}, {Offset: 15}}
	for _, c := range []struct {
		name                     string
		batch                    *adapter.Batch
		first, last, lag, lagLow int64
		empty                    bool
	}{
		{"with messages", adapter.NewBatch("t", 1, messages, 20, adapter.BatchFuncs{}), 10, 15, 4, 9, false},
		{"at the end", adapter.NewBatch("t", 1, messages, 16, adapter.BatchFuncs{}), 10, 15, 0, 5, false},
		{"empty", adapter.NewBatch("t", 1, nil, 20, adapter.BatchFuncs{}), -1, 19, 0, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.first, c.batch.FirstOffset())
			assert.Equal(t, c.last, c.batch.LastOffset())
			assert.Equal(t, c.lag, c.batch.OffsetLag())
			assert.Equal(t, c.lagLow, c.batch.OffsetLagLow())
			assert.Equal(t, c.empty, c.batch.IsEmpty())
		})
	}
}

func TestBatch_controlsDoNothingWithoutAConsumer(t *testing.T) {
	b := adapter.NewBatch("t", 0, nil, 0, adapter.BatchFuncs{})
	b.ResolveOffset(1)
	b.RejectAt(1, nil)
	b.Pause()()
	assert.NoError(t, b.Heartbeat(t.Context()))
	assert.NoError(t, b.CommitOffsetsIfNecessary(t.Context()))
	assert.Empty(t, b.UncommittedOffsets())
	assert.True(t, b.IsRunning())
	assert.False(t, b.IsStale())
}
