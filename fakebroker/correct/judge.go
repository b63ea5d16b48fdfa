package correct

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// judge looks at a batch that is to be written to a partition, of which it is told
// the topic's name in any version. It returns the batch as it is to be written, in bytes of its own when it
// differs, or why it is refused.
type judge func(at place, batch []byte) (written []byte, refused *refusal)

// refusal is why a batch is not written.
type refusal struct {
	code    int16
	message string        // empty for none
	records []wrongRecord // those that are wrong
	asked   bool          // whether the log was looked at, so that the answer says where it starts
}

// wrongRecord is a record by its place in the batch, and what is wrong with it.
type wrongRecord struct {
	at      int32
	message string
}

func (r *refusal) answer(partition int32) kmsg.ProduceResponseTopicPartition {
	p := kmsg.NewProduceResponseTopicPartition()
	p.Partition, p.ErrorCode, p.BaseOffset = partition, r.code, -1
	if r.message != "" {
		p.ErrorMessage = &r.message
	}
	for _, w := range r.records {
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		e.RelativeOffset, e.ErrorMessage = w.at, &w.message
		p.ErrorRecords = append(p.ErrorRecords, e)
	}
	return p
}

// verdict is what came of the batches of a request: those that are refused, and
// the times of those that were changed.
type verdict struct {
	refused []kmsg.ProduceResponseTopic
	stamped map[place]int64
}

// place is a partition as a produce request has it.
type place struct {
	topic     string
	id        [16]byte
	partition int32
}

// topicSet is a set of topics that changes with their configurations.
type topicSet interface {
	some() bool
	has(name, id []byte) bool
}

// judging is a rule that judges batches for some topics; of is nil for others.
func judging(c Cluster, name string, topics func() topicSet, of func(topic string) judge) wire.Rule {
	return wire.Rule{
		Name:        name,
		Keys:        wire.Keys(kmsg.Produce),
		Wants:       func(wire.Header) bool { return topics().some() },
		SkipRequest: func(h wire.Header, body []byte) bool { return writesElsewhere(topics(), h, body) },
		Request: asked(func(x *wire.Exchange, req *kmsg.ProduceRequest) {
			if v := judgeBatches(c, x, req, of); v.refused != nil || v.stamped != nil {
				keep(x, name, v)
			}
		}),
		Answer: completed(name, func(_ *wire.Exchange, v verdict, resp *kmsg.ProduceResponse) {
			addTimes(resp, v.stamped)
			addRefused(resp, v.refused)
		}),
	}
}

// writesElsewhere reports, from how it begins, that a produce request is for a
// single topic that is none of these.
func writesElsewhere(p topicSet, h wire.Header, body []byte) bool {
	s := startOfProduce(h, body)
	return s.first && s.topics == 1 && !p.has(s.name, s.id)
}

// judgeBatches takes batches that are refused out of a request, and changes
// others as they are to be written.
func judgeBatches(c Cluster, x *wire.Exchange, req *kmsg.ProduceRequest, of func(topic string) judge) (v verdict) {
	rest := *req
	rest.Topics = nil
	for _, t := range req.Topics {
		name := t.Topic
		if req.Version >= producedByID {
			name, _ = c.TopicName(t.TopicID)
		}
		judged := of(name)
		topic, ok := c.Topic(name)
		if judged == nil || !ok {
			rest.Topics = append(rest.Topics, t)
			continue
		}
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		good := t
		good.Partitions = nil
		for _, p := range t.Partitions {
			// What is not there, or led elsewhere, is refused for that.
			if p.Partition < 0 || int(p.Partition) >= len(topic.Leaders) || topic.Leaders[p.Partition] != x.Node {
				good.Partitions = append(good.Partitions, p)
				continue
			}
			written, why := judged(place{name, topic.ID, p.Partition}, p.Records)
			if why == nil {
				if !bytes.Equal(written, p.Records) {
					if v.stamped == nil {
						v.stamped = make(map[place]int64)
					}
					v.stamped[place{t.Topic, t.TopicID, p.Partition}] = int64(binary.BigEndian.Uint64(written[batchMaxTimestamp:]))
				}
				p.Records = written
				good.Partitions = append(good.Partitions, p)
				continue
			}
			rp := why.answer(p.Partition)
			if l, ok := c.Log(name, p.Partition); ok && why.asked {
				rp.LogStartOffset = l.Start
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		if len(good.Partitions) > 0 {
			rest.Topics = append(rest.Topics, good)
		}
		if len(rt.Partitions) > 0 {
			v.refused = append(v.refused, rt)
		}
	}
	if v.stamped != nil || v.refused != nil {
		x.SetRequest(&rest)
	}
	return v
}

// addTimes leaves batches that were there already their times.
func addTimes(resp *kmsg.ProduceResponse, stamped map[place]int64) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if at, ok := stamped[place{t.Topic, t.TopicID, p.Partition}]; ok && p.ErrorCode == 0 && p.LogAppendTime < 0 {
				p.LogAppendTime = at
			}
		}
	}
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

// record is what is looked at of a record.
type record struct {
	at         int32 // its place in the batch
	timestamp  int64 // after the first of the batch
	key, value int32 // bytes, negative for null
}

// eachRecord reads the records of a batch, none when they cannot be decompressed.
func eachRecord(b *kmsg.RecordBatch, d kgo.Decompressor, look func(record)) {
	const codec = 7 // bits of the attributes
	records, err := d.Decompress(b.Records, kgo.CompressionCodecType(b.Attributes&codec))
	if err != nil {
		return
	}
	r := kbin.Reader{Src: records}
	for i := int32(0); i < b.NumRecords && len(r.Src) > 0; i++ {
		fields := kbin.Reader{Src: r.Span(int(r.Varint()))}
		fields.Int8() // attributes
		got := record{at: i, timestamp: fields.Varlong()}
		fields.Varint() // offset
		got.key = fields.Varint()
		fields.Span(max(int(got.key), 0))
		got.value = fields.Varint()
		if r.Ok() && fields.Ok() {
			look(got)
		}
	}
}
