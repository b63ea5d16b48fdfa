package correct

import (
	"bytes"
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func producing(c Cluster) []Correction {
	t := &transactions{c: c}
	return append([]Correction{
		{
			Rule: wire.Rule{
				Name:        "a fenced producer is told so, and others that they can abort",
				Keys:        wire.Keys(kmsg.Produce),
				SkipRequest: outsideTransactions,
				Skip:        refusesNoState,
				Answer:      answered(t.fencesWriter),
			},
			Restores:  "KIP-588, KIP-890: INVALID_PRODUCER_EPOCH to an earlier epoch; else TRANSACTION_ABORTABLE since v11 when the partition was not added",
			Upstream:  "00_produce.go answers 48 before it looks at the epoch",
			Behaviour: "transactions/a fenced producer cannot write",
		},
	}, answeringProduce(c)...)
}

// outsideTransactions reports that a produce request has no transactional id.
func outsideTransactions(h wire.Header, body []byte) bool {
	s := startOfProduce(h, body)
	return s.ok && !s.transactional
}

// refusesNoState reports that an answer to produce cannot have the error code that
// fencesWriter looks for: its bytes are nowhere.
func refusesNoState(_ wire.Header, answer []byte) bool {
	return !bytes.Contains(answer, binary.BigEndian.AppendUint16(nil, uint16(kerr.InvalidTxnState.Code)))
}

func (t *transactions) fencesWriter(x *wire.Exchange, req *kmsg.ProduceRequest, resp *kmsg.ProduceResponse) (changed bool) {
	if req.TransactionID == nil {
		return false
	}
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		for j := range rt.Partitions {
			p := &rt.Partitions[j]
			if p.ErrorCode != kerr.InvalidTxnState.Code {
				continue
			}
			const firstAbortable = 11
			if w, ok := writtenBy(req, rt, p.Partition); ok && t.fenced(x, *req.TransactionID, w) {
				p.ErrorCode, changed = kerr.InvalidProducerEpoch.Code, true
			} else if req.Version >= firstAbortable {
				p.ErrorCode, changed = kerr.TransactionAbortable.Code, true
			}
		}
	}
	return changed
}

func (t *transactions) fenced(x *wire.Exchange, id string, w writer) bool {
	now, ok := t.find(x, id)
	return ok && now.ErrorCode == 0 && now.ProducerID == w.pid && w.epoch < now.ProducerEpoch
}

// writtenBy says who wrote the batch for a partition of an answer.
func writtenBy(req *kmsg.ProduceRequest, topic *kmsg.ProduceResponseTopic, partition int32) (w writer, ok bool) {
	for _, t := range req.Topics {
		if t.Topic != topic.Topic || t.TopicID != topic.TopicID {
			continue
		}
		for _, p := range t.Partitions {
			if p.Partition == partition {
				return writerOf(p.Records)
			}
		}
	}
	return writer{}, false
}
