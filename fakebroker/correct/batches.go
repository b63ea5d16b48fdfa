package correct

import (
	"encoding/binary"
	"slices"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// checkingBatches keeps batches out of logs that are not what they say. All that are
// produced are looked at, because kfake goes by what is in its logs without another
// look: by the number of records when it numbers those that follow, by their lengths
// when it looks for a timestamp.
func checkingBatches(c Cluster) Correction {
	const rule = "batches are refused that are not what they say"
	decompressor := sync.OnceValue(func() kgo.Decompressor { return c.Decompressor() })
	return Correction{
		Rule: wire.Rule{
			Name: rule,
			Keys: wire.Keys(kmsg.Produce),
			Request: asked(func(x *wire.Exchange, req *kmsg.ProduceRequest) {
				if lies := emptyLies(c, x, req, decompressor); lies != nil {
					keep(x, rule, lies)
				}
			}),
			Answer: completed(rule, func(_ *wire.Exchange, lies map[place]*kerr.Error, resp *kmsg.ProduceResponse) { refuseLies(resp, lies) }),
		},
		Restores:  "LogValidator, DefaultRecordBatch: a batch whose records are others than it counts, or go beyond their own length, is refused with INVALID_RECORD",
		Upstream:  "00_produce.go adds the number of records that a batch claims, negative or not, and data.go panics on lengths",
		Behaviour: "limits/batches are refused that are not what they say",
		Fatal:     true,
	}
}

// emptyLies takes the bytes of such batches out of a request, and says where they
// were. The broker refuses what is left of them, unless there is something else to
// refuse first.
func emptyLies(c Cluster, x *wire.Exchange, req *kmsg.ProduceRequest, d func() kgo.Decompressor) (lies map[place]*kerr.Error) {
	for i, t := range req.Topics {
		for j, p := range t.Partitions {
			why := lie(p.Records, func() kgo.Decompressor {
				if len(p.Records) > defaultLargest && len(p.Records) > largestBatch(c, req.Version, t) {
					return nil
				}
				return d()
			})
			if why == nil {
				continue
			}
			if lies == nil { // the request is for everybody: a copy is changed
				whole := *req
				whole.Topics = slices.Clone(req.Topics)
				for k := range whole.Topics {
					whole.Topics[k].Partitions = slices.Clone(whole.Topics[k].Partitions)
				}
				req, lies = &whole, make(map[place]*kerr.Error)
			}
			req.Topics[i].Partitions[j].Records = nil
			lies[place{t.Topic, t.TopicID, p.Partition}] = why
		}
	}
	if lies != nil {
		x.SetRequest(req)
	}
	return lies
}

func refuseLies(resp *kmsg.ProduceResponse, lies map[place]*kerr.Error) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if why := lies[place{t.Topic, t.TopicID, p.Partition}]; why != nil && p.ErrorCode == kerr.CorruptMessage.Code {
				p.ErrorCode = why.Code
			}
		}
	}
}

// defaultLargest is the default of max.message.bytes and message.max.bytes.
const defaultLargest = 1048588

// largestBatch is the most bytes that a topic takes in one batch.
func largestBatch(c Cluster, version int16, t kmsg.ProduceRequestTopic) int {
	name := t.Topic
	if version >= producedByID {
		name, _ = c.TopicName(t.TopicID)
	}
	return LargestBatch(c, name)
}

// LargestBatch is the most bytes that a topic takes in one batch: its
// max.message.bytes, or message.max.bytes of the brokers.
func LargestBatch(c Cluster, topic string) int {
	t, _ := c.TopicAlone(topic)
	value, given := t.Configs["max.message.bytes"]
	if n, err := strconv.Atoi(value); err == nil && given {
		return n
	}
	return largestMessage(c)
}

// largestMessage is message.max.bytes of the brokers.
func largestMessage(c Cluster) int {
	if n, err := strconv.Atoi(c.BrokerConfigs(c.Nodes()[0])["message.max.bytes"]); err == nil {
		return n
	}
	return defaultLargest
}

// lie is what is wrong with a batch that has other records than it says. What the
// broker itself refuses is not looked at: what is no batch, of another message format,
// or has a wrong checksum; nor is what is compressed and larger than the topic takes,
// for which d returns nil.
func lie(batch []byte, d func() kgo.Decompressor) *kerr.Error {
	const lastDeltaAt, countAt, codec, codecs, control = 23, 57, 7, 4, 1 << 5
	if len(batch) < batchHeaderSize || batch[batchMagic] != 2 ||
		int64(binary.BigEndian.Uint32(batch[batchLength:]))+batchLength+4 != int64(len(batch)) {
		return nil
	}
	attributes := binary.BigEndian.Uint16(batch[batchAttributes:])
	if attributes&control != 0 || attributes&codec > codecs {
		return nil
	}
	why := kerr.InvalidRecord
	count := int32(binary.BigEndian.Uint32(batch[countAt:]))
	if last := int32(binary.BigEndian.Uint32(batch[lastDeltaAt:])); count > 0 && last == count-1 {
		records := batch[batchHeaderSize:]
		if attributes&codec != 0 {
			decompressor := d()
			if decompressor == nil {
				return nil
			}
			var err error
			if records, err = decompressor.Decompress(records, kgo.CompressionCodecType(attributes&codec)); err != nil {
				why = kerr.UnknownServerError
			}
		}
		if why == kerr.InvalidRecord && hasRecords(records, int(count)) {
			return nil
		}
	}
	if int32(binary.BigEndian.Uint32(batch[batchChecksum:])) != int32(checksum(batch)) {
		return nil
	}
	return why
}

// hasRecords reports whether these are so many records, and nothing else.
func hasRecords(records []byte, count int) bool {
	for ; count > 0; count-- {
		size, n := kbin.Varint(records)
		if n <= 0 || size < 0 || int(size) > len(records)-n {
			return false
		}
		if !isRecord(records[n : n+int(size)]) {
			return false
		}
		records = records[n+int(size):]
	}
	return len(records) == 0
}

// isRecord reports whether this is a record, without its length.
func isRecord(b []byte) bool {
	if len(b) < 1 {
		return false
	}
	b = b[1:] // attributes
	_, n := kbin.Varlong(b)
	if n <= 0 {
		return false
	}
	b = b[n:] // timestamp
	if _, n = kbin.Varint(b); n <= 0 {
		return false
	}
	b = b[n:] // offset
	var ok bool
	if b, ok = pastBytes(b, true); !ok {
		return false
	}
	if b, ok = pastBytes(b, true); !ok {
		return false
	}
	headers, n := kbin.Varint(b)
	if n <= 0 || headers < 0 {
		return false
	}
	for b = b[n:]; headers > 0; headers-- {
		if b, ok = pastBytes(b, false); !ok {
			return false
		}
		if b, ok = pastBytes(b, true); !ok {
			return false
		}
	}
	return len(b) == 0
}

// pastBytes is what follows bytes with their length, of which null may be one.
func pastBytes(b []byte, nullable bool) (rest []byte, ok bool) {
	size, n := kbin.Varint(b)
	switch {
	case n <= 0:
		return nil, false
	case size < 0:
		return b[n:], nullable
	case int(size) > len(b)-n:
		return nil, false
	}
	return b[n+int(size):], true
}
