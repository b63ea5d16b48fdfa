package fakebroker

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// correct adds the rules that every cluster goes by: answers restored to Apache
// Kafka's, and what the inspection and the outages need to see. They come before
// any fault.
func (b *Broker) correct() {
	b.rules.Add(wire.CorrectLeaderEpochEnd(b.log))
	b.rules.Add(b.noticeTransactions())
	b.rules.Add(b.hideBrokersDown())
	b.rules.Add(b.askBrokersDown())
}

// log tells a correction about a partition.
func (b *Broker) log(topic string, partition int32) (wire.Log, bool) {
	var p *kfake.PartitionInfo
	err := b.do(func() error {
		p = b.cluster.PartitionInfo(topic, partition)
		return nil
	})
	if err != nil || p == nil {
		return wire.Log{}, false
	}
	l := wire.Log{LeaderEpoch: p.Epoch, LastEpoch: -1, Start: p.LogStartOffset, HighWatermark: p.HighWatermark}
	if l.Start < l.HighWatermark {
		at := Partition{Partition: partition, Leader: p.Leader}
		if got, err := b.fetchOnce(topic, at, l.HighWatermark-1); err == nil && len(got.RecordBatches) >= batchHeader {
			l.LastEpoch = int32(binary.BigEndian.Uint32(got.RecordBatches[batchEpoch:]))
		}
	}
	return l, true
}

// noticeTransactions tells when logs begin to hold control records: before that,
// data ends at the high watermark and nothing need be read.
func (b *Broker) noticeTransactions() wire.Rule {
	api := wire.Keys(kmsg.InitProducerID)
	return wire.Rule{
		Name:  "transactions",
		Wants: func(h wire.Header) bool { return api(h) && !b.transactional.Load() },
		Request: func(x *wire.Exchange) {
			req, err := x.Request()
			if err != nil {
				return
			}
			if r, ok := req.(*kmsg.InitProducerIDRequest); ok && r.TransactionalID != nil {
				b.transactional.Store(true)
			}
		},
	}
}
