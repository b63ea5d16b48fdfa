package correct

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// answeringProduce completes what is said of partitions that took nothing: those
// that were refused, and batches that were there already.
func answeringProduce(c Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name: "refused partitions have no offset",
				Keys: wire.Keys(kmsg.Produce),
				Skip: tookAll,
				Answer: answered(func(_ *wire.Exchange, req *kmsg.ProduceRequest, resp *kmsg.ProduceResponse) bool {
					return tellRefused(c, req, resp)
				}),
			},
			Restores:  "ReplicaManager.appendToLocalLog: offset -1 with each error, and where the log starts when it was the log that refused",
			Upstream:  "00_produce.go answers base offset 0 and messages of its own",
			Behaviour: "produce/refused partitions have no offset",
		},
		{
			Rule: wire.Rule{
				Name:   "a batch that is sent again is answered with its own time",
				Keys:   wire.Keys(kmsg.Produce),
				Wants:  func(h wire.Header) bool { return h.Version >= firstWithStart },
				Skip:   tookAll,
				Answer: amended(func(_ *wire.Exchange, resp *kmsg.ProduceResponse) bool { return tellTimes(c, resp) }),
			},
			Restores:  "UnifiedLog.append: a duplicate is answered with the time of the batch, and where the log starts",
			Upstream:  "00_produce.go answers -1 for both",
			Behaviour: "produce/a batch that is sent again is answered with its own time",
		},
	}
}

// firstWithStart is the first version of Produce that says where logs start.
const firstWithStart = 5

// tookAll reports, from the bytes of an answer to produce, that every partition took
// what it was sent, for the first time as far as that can be seen.
func tookAll(h wire.Header, answer []byte) bool {
	const firstFlexible, firstWithErrors = 9, 8
	flexible := h.Version >= firstFlexible
	r := kbin.Reader{Src: answer}
	r.Int32() // correlation
	length := r.ArrayLen
	if flexible {
		kmsg.SkipTags(&r)
		length = r.CompactArrayLen
	}
	for topics := length(); topics > 0 && r.Ok(); topics-- {
		switch {
		case h.Version >= producedByID:
			r.Span(len([16]byte{}))
		case flexible:
			r.Span(int(r.Uvarint()) - 1)
		default:
			r.Span(int(r.Int16()))
		}
		for partitions := length(); partitions > 0 && r.Ok(); partitions-- {
			r.Int32() // partition
			if r.Int16() != 0 {
				return false
			}
			r.Int64() // base offset
			r.Int64() // append time
			if h.Version >= firstWithStart && r.Int64() < 0 {
				return false
			}
			if h.Version >= firstWithErrors && (length() > 0 || hasText(&r, flexible)) {
				return false
			}
			if flexible {
				kmsg.SkipTags(&r)
			}
		}
		if flexible {
			kmsg.SkipTags(&r)
		}
	}
	return r.Ok()
}

func hasText(r *kbin.Reader, compact bool) bool {
	if compact {
		return r.CompactNullableString() != nil
	}
	return r.NullableString() != nil
}

// tellRefused is about what kfake has refused: corrections answer offset -1.
func tellRefused(c Cluster, req *kmsg.ProduceRequest, resp *kmsg.ProduceResponse) (changed bool) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.ErrorCode == 0 || p.BaseOffset != 0 {
				continue
			}
			p.BaseOffset, p.ErrorMessage, changed = -1, nil, true
			w, _ := writtenBy(req, t, p.Partition)
			switch p.ErrorCode {
			case kerr.InvalidTxnState.Code:
				if w.transactional {
					p.ErrorMessage = kmsg.StringPtr("Partition was not added to the transaction")
					continue
				}
			case kerr.InvalidRecord.Code, kerr.OutOfOrderSequenceNumber.Code, kerr.UnknownServerError.Code:
			case kerr.InvalidProducerEpoch.Code:
				if w.transactional {
					continue
				}
			default:
				continue
			}
			if l, ok := c.Log(topicName(c, t), p.Partition); ok {
				p.LogStartOffset = l.Start
			}
		}
	}
	return changed
}

// topicName is the name of a topic in any version.
func topicName(c Cluster, t *kmsg.ProduceResponseTopic) string {
	if t.Topic != "" {
		return t.Topic
	}
	name, _ := c.TopicName(t.TopicID)
	return name
}

func tellTimes(c Cluster, resp *kmsg.ProduceResponse) (changed bool) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.ErrorCode != 0 || p.LogStartOffset >= 0 {
				continue
			}
			name := topicName(c, t)
			if l, ok := c.Log(name, p.Partition); ok {
				p.LogStartOffset, changed = l.Start, true
			}
			_ = c.Batches(name, p.Partition, func(batch []byte) { // deleted meanwhile: the time stays unknown
				if int64(binary.BigEndian.Uint64(batch)) == p.BaseOffset {
					p.LogAppendTime, changed = int64(binary.BigEndian.Uint64(batch[batchMaxTimestamp:])), true
				}
			})
		}
	}
	return changed
}
