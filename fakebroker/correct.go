package fakebroker

import (
	"context"
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/correct"
	"example.com/kafkatest/fakebroker/wire"
)

// correct adds the rules that every cluster goes by: answers restored to Apache
// Kafka's, and what the inspection and the outages need to see. They come before
// any fault.
func (b *Broker) correct() {
	const most = 20
	rules := make([]wire.Rule, 0, most)
	if v, _ := release(b.cfg.AsVersion); v != nil { // checked before
		b.older = isBefore4(v)
		rules = append(rules, b.speakAs(v))
	}
	if len(b.cfg.NodeIDs) > 0 {
		rules = append(rules, b.translateRequests())
	}
	if b.cfg.AllowEveryone {
		rules = append(rules, b.allowEveryone())
	}
	if b.cfg.FirstFetchWait > 0 {
		rules = append(rules, b.hurryFirstFetches())
	}
	b.rules.Take(append(rules,
		b.noticeGroups(),
		b.askController(),
		b.serveWhereCoordinated(),
		correct.Notice(corrected{b}),
		correct.Rule(corrected{b}, b.cfg.without), // answers of other brokers are corrected like a broker's own
		b.noticeTransactions(),
		b.noticeUsers(),
		b.hideBrokersDown(),
		b.nameCoordinators(),
		b.refuseElsewhere(),
		b.translateAnswers(),
		b.translateEndpoints(),
		b.confirmProduced(),
		b.hurryAcknowledged(),
		b.observeActs(),
		b.observeFetches(),
		b.observeAssignments(),
	))
}

// corrected is the cluster as corrections see it.
type corrected struct{ *Broker }

// Ask puts a question to a broker past all rules and faults.
func (b corrected) Ask(ctx context.Context, node int32, req kmsg.Request) (kmsg.Response, error) {
	if t := tags(req); t != nil {
		t.Set(ownTag, []byte{1})
	}
	return b.ask(ctx, node, req)
}

// AskAs is Ask as the user whom an exchange is from.
func (b corrected) AskAs(x *wire.Exchange, node int32, req kmsg.Request) (kmsg.Response, error) {
	if t := tags(req); t != nil {
		t.Set(ownTag, []byte{1})
	}
	return b.askAs(x.Context(), x, node, req)
}

// Forward hands a client's request to a broker.
func (b corrected) Forward(ctx context.Context, x *wire.Exchange, node int32, req kmsg.Request) (kmsg.Response, error) {
	return b.askAs(ctx, x, node, req)
}

// Older reports whether the brokers speak as a release before Kafka 4.
func (b corrected) Older() bool { return b.older }

// SASL reports whether those who come in by a listener have to authenticate.
func (b corrected) SASL(listener int) bool { return b.cfg.Listeners[listener].SASL }

// Log tells about a partition.
func (b corrected) Log(topic string, partition int32) (correct.Log, bool) {
	var p *kfake.PartitionInfo
	err := b.do(func() error {
		p = b.cluster.PartitionInfo(topic, partition)
		return nil
	})
	if err != nil || p == nil {
		return correct.Log{}, false
	}
	l := correct.Log{Leader: p.Leader, LeaderEpoch: p.Epoch, LastEpoch: -1, Start: p.LogStartOffset, HighWatermark: p.HighWatermark}
	if l.Start < l.HighWatermark {
		at := Partition{Partition: partition, Leader: p.Leader}
		if got, err := b.fetchOnce(topic, at, l.HighWatermark-1); err == nil && len(got.RecordBatches) >= batchHeader {
			l.LastEpoch = int32(binary.BigEndian.Uint32(got.RecordBatches[batchEpoch:]))
		}
	}
	return l, true
}

// TopicName is the name of a topic id.
func (b corrected) TopicName(id [16]byte) (string, bool) {
	name := b.topicByID(id)
	return name, name != ""
}

// noticeTransactions tells when logs begin to hold control records: before that,
// data ends at the high watermark and nothing need be read.
func (b *Broker) noticeTransactions() wire.Rule {
	api := wire.Keys(kmsg.InitProducerID)
	return wire.Rule{
		Name:  "transactions",
		Keys:  api,
		Wants: func(wire.Header) bool { return !b.transactional.Load() },
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
