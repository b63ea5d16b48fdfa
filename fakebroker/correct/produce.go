package correct

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func producing(c Cluster) []Correction {
	t := &transactions{c: c}
	return []Correction{
		{
			Rule: wire.Rule{
				Name:        "a fenced producer is told so, and others that they can abort",
				Wants:       wire.Keys(kmsg.Produce),
				SkipRequest: outsideTransactions,
				Answer:      answered(t.fencesWriter),
			},
			Restores:  "KIP-588, KIP-890: INVALID_PRODUCER_EPOCH to an earlier epoch; else TRANSACTION_ABORTABLE since v11 when the partition was not added",
			Upstream:  "00_produce.go answers 48 before it looks at the epoch",
			Behaviour: "transactions/a fenced producer cannot write",
		},
	}
}

// outsideTransactions reports that a produce request has no transactional id.
func outsideTransactions(h wire.Header, body []byte) bool {
	s := startOfProduce(h, body)
	return s.ok && !s.transactional
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
			if pid, epoch, ok := writer(req, rt, p.Partition); ok && t.fenced(x, *req.TransactionID, pid, epoch) {
				p.ErrorCode, changed = kerr.InvalidProducerEpoch.Code, true
			} else if req.Version >= firstAbortable {
				p.ErrorCode, changed = kerr.TransactionAbortable.Code, true
			}
		}
	}
	return changed
}

func (t *transactions) fenced(x *wire.Exchange, id string, pid int64, epoch int16) bool {
	now, ok := t.find(x, id)
	return ok && now.ErrorCode == 0 && now.ProducerID == pid && epoch < now.ProducerEpoch
}

// writer says who wrote the batch for a partition of an answer.
func writer(req *kmsg.ProduceRequest, topic *kmsg.ProduceResponseTopic, partition int32) (pid int64, epoch int16, ok bool) {
	const pidAt, epochAt, header = 43, 51, 61 // of a batch, message format 2
	for _, t := range req.Topics {
		if t.Topic != topic.Topic || t.TopicID != topic.TopicID {
			continue
		}
		for _, p := range t.Partitions {
			if p.Partition == partition && len(p.Records) >= header {
				return int64(binary.BigEndian.Uint64(p.Records[pidAt:])), int16(binary.BigEndian.Uint16(p.Records[epochAt:])), true
			}
		}
	}
	return 0, 0, false
}
