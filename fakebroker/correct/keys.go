package correct

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func keying(c Cluster) []Correction {
	const rule = "a compacted topic takes no record without a key"
	notice := noticeCompaction(c)
	decompressor := sync.OnceValue(func() kgo.Decompressor { return c.Decompressor() })
	return []Correction{
		{
			Rule: wire.Rule{
				Name: rule,
				Wants: func(h wire.Header) bool {
					return h.Key == kmsg.Produce && c.Compaction().any.Load() || notice.Wants(h)
				},
				SkipRequest: func(h wire.Header, body []byte) bool {
					return h.Key == kmsg.Produce && writesElsewhere(c.Compaction(), h, body)
				},
				Request: func(x *wire.Exchange) {
					if x.Key != kmsg.Produce {
						return
					}
					req, err := x.Request()
					if err != nil {
						return
					}
					if refused := refuseKeyless(c, x, req.(*kmsg.ProduceRequest), decompressor()); refused != nil {
						keep(x, rule, refused)
					}
				},
				Answer: func(x *wire.Exchange) {
					if x.Key != kmsg.Produce {
						notice.Answer(x)
						return
					}
					refused, ok := recall[[]kmsg.ProduceResponseTopic](x, rule)
					if !ok {
						return
					}
					if resp, err := x.Response(); err == nil {
						addRefused(resp.(*kmsg.ProduceResponse), refused)
						x.SetResponse(resp)
					}
				},
			},
			Restores:  "LogValidator: a batch with a record without key is refused with INVALID_RECORD and the records (KIP-467), when cleanup.policy has compact",
			Upstream:  "00_produce.go takes it",
			Behaviour: "topics/a compacted topic takes no record without a key",
		},
	}
}

// writesElsewhere reports, from how it begins, that a produce request is for a
// single topic that is not compacted.
func writesElsewhere(p *Compaction, h wire.Header, body []byte) bool {
	const firstTransactional, firstFlexible = 3, 9
	r := kbin.Reader{Src: body}
	flexible := h.Version >= firstFlexible
	switch {
	case flexible:
		kmsg.SkipTags(&r)
		r.CompactNullableString()
	case h.Version >= firstTransactional:
		r.NullableString()
	}
	r.Int16() // acks
	r.Int32() // timeout
	var topics int32
	var name, id []byte
	switch {
	case h.Version >= producedByID:
		topics, id = r.CompactArrayLen(), r.Span(len([16]byte{}))
	case flexible:
		topics, name = r.CompactArrayLen(), r.Span(int(r.Uvarint())-1)
	default:
		topics, name = r.ArrayLen(), r.Span(int(r.Int16()))
	}
	return r.Ok() && topics == 1 && !p.has(name, id)
}

// refuseKeyless takes partitions out of a request whose records have no key and
// need one, and returns the answer for them.
func refuseKeyless(c Cluster, x *wire.Exchange, req *kmsg.ProduceRequest, d kgo.Decompressor) (refused []kmsg.ProduceResponseTopic) {
	rest := *req
	rest.Topics = nil
	for _, t := range req.Topics {
		name := t.Topic
		if req.Version >= producedByID {
			name, _ = c.TopicName(t.TopicID)
		}
		topic, ok := c.Topic(name)
		if !ok || !topic.Compacted {
			rest.Topics = append(rest.Topics, t)
			continue
		}
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		keyed := t
		keyed.Partitions = nil
		for _, p := range t.Partitions {
			// What is not there, or led elsewhere, is refused for that.
			known := p.Partition >= 0 && int(p.Partition) < len(topic.Leaders) && topic.Leaders[p.Partition] == x.Node
			without := keyless(p.Records, d)
			if !known || len(without) == 0 {
				keyed.Partitions = append(keyed.Partitions, p)
				continue
			}
			rp := recordErrors(fmt.Sprintf("%s-%d", name, p.Partition), without)
			rp.Partition = p.Partition
			if l, ok := c.Log(name, p.Partition); ok {
				rp.LogStartOffset = l.Start
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		if len(keyed.Partitions) > 0 {
			rest.Topics = append(rest.Topics, keyed)
		}
		if len(rt.Partitions) > 0 {
			refused = append(refused, rt)
		}
	}
	if refused != nil {
		x.SetRequest(&rest)
	}
	return refused
}

// recordErrors is the answer for a partition of which these records have no key.
func recordErrors(partition string, records []int32) kmsg.ProduceResponseTopicPartition {
	const shown = 3
	p := kmsg.NewProduceResponseTopicPartition()
	p.ErrorCode, p.BaseOffset = kerr.InvalidRecord.Code, -1
	message := "Compacted topic cannot accept message without key in topic partition " + partition
	var first []string
	for _, i := range records {
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		e.RelativeOffset, e.ErrorMessage = i, &message
		p.ErrorRecords = append(p.ErrorRecords, e)
		if len(first) < shown {
			first = append(first, fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", i, message))
		}
	}
	p.ErrorMessage = kmsg.StringPtr(fmt.Sprintf(
		"One or more records have been rejected due to %d record errors in total, and only showing the first three errors at most: [%s]",
		len(records), strings.Join(first, ", ")))
	return p
}

func addRefused(resp *kmsg.ProduceResponse, refused []kmsg.ProduceResponseTopic) {
	for _, rt := range refused {
		at := slices.IndexFunc(resp.Topics, func(t kmsg.ProduceResponseTopic) bool {
			return t.Topic == rt.Topic && t.TopicID == rt.TopicID
		})
		if at < 0 {
			resp.Topics = append(resp.Topics, rt)
		} else {
			resp.Topics[at].Partitions = append(resp.Topics[at].Partitions, rt.Partitions...)
		}
	}
}

// keyless lists the records of a batch that have no key, by their place in it. It
// is nil for what is no batch, which the broker refuses by itself.
func keyless(batch []byte, d kgo.Decompressor) (out []int32) {
	const codec = 7 // bits of the attributes
	var b kmsg.RecordBatch
	if b.ReadFrom(batch) != nil || b.Magic != 2 {
		return nil
	}
	records, err := d.Decompress(b.Records, kgo.CompressionCodecType(b.Attributes&codec))
	if err != nil {
		return nil
	}
	r := kbin.Reader{Src: records}
	for i := int32(0); i < b.NumRecords && len(r.Src) > 0; i++ {
		record := kbin.Reader{Src: r.Span(int(r.Varint()))}
		record.Int8()    // attributes
		record.Varlong() // timestamp
		record.Varint()  // offset
		if n := record.Varint(); r.Ok() && record.Ok() && n < 0 {
			out = append(out, i)
		}
	}
	return out
}
