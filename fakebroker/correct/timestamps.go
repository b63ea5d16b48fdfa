package correct

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// timestamps are what a topic demands of the timestamps of records.
type timestamps struct {
	appended      bool  // they are when the broker appends
	before, after int64 // else, how far from now they may be, in milliseconds
}

// Timestamps is which topics take other timestamps than most: all that there are.
// The zero value knows none. It is safe for concurrent use.
type Timestamps struct {
	particular[timestamps]
	stamped particular[struct{}] // those whose logs may hold batches that are marked
}

// look: what the topic does not say, the configuration says that its brokers were
// started with.
func (p *Timestamps) look(c Cluster, topic string, t Topic, ok bool) {
	if !ok {
		p.set(topic, t.ID, timestamps{}, false)
		p.stamped.set(topic, t.ID, struct{}{}, false)
		return
	}
	brokers := c.BrokerConfigs(c.Nodes()[0])
	config := func(name string) (value string, given bool) {
		if value, given = t.Configs[name]; !given {
			value, given = brokers["log."+name]
		}
		return value, given
	}
	bounded := false
	bound := func(name string, otherwise int64) int64 {
		value, _ := config(name)
		ms, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return otherwise
		}
		bounded = true
		return ms
	}
	kind, _ := config("message.timestamp.type")
	v := timestamps{
		appended: kind == "LogAppendTime",
		before:   bound("message.timestamp.before.max.ms", math.MaxInt64),
		after:    bound("message.timestamp.after.max.ms", time.Hour.Milliseconds()),
	}
	p.set(topic, t.ID, v, v.appended || bounded)
	p.stamped.set(topic, t.ID, struct{}{}, v.appended || p.stamped.has(nil, t.ID[:]))
}

// Append returns the timestamp that a record gets which has this one, zero for
// now. An error wraps [kerr.InvalidTimestamp].
func (p *Timestamps) Append(topic string, at time.Time) (time.Time, error) {
	t, is := p.get(topic)
	now := time.Now()
	if t.appended || at.IsZero() {
		return now, nil
	}
	if is && t.outOfRange(at.UnixMilli(), now.UnixMilli()) {
		return at, fmt.Errorf("timestamp %s is further from now than the topic allows: %w", at.Format(time.RFC3339), kerr.InvalidTimestamp)
	}
	return at, nil
}

func (t timestamps) outOfRange(at, now int64) bool {
	return now-at > t.before || at-now > t.after
}

func timestamping(c Cluster) []Correction {
	decompressor := sync.OnceValue(func() kgo.Decompressor { return c.Decompressor() })
	demanding := func() topicSet { return c.Timestamps() }
	of := func(appended bool) func(string) judge {
		return func(topic string) judge {
			t, is := c.Timestamps().get(topic)
			if !is || t.appended != appended {
				return nil
			}
			return func(_ place, batch []byte) ([]byte, *refusal) {
				return t.judge(batch, time.Now().UnixMilli(), decompressor())
			}
		}
	}
	return []Correction{
		{
			Rule:      stamping(c, of(true)),
			Restores:  "KIP-32; LogValidator: with message.timestamp.type=LogAppendTime batches are stamped by the broker, and a producer may not do it",
			Upstream:  "00_produce.go does not look at the configuration",
			Behaviour: "topics/records have the time at which they are appended",
		},
		{
			Rule:      judging(c, "records are refused whose timestamps are too far from now", demanding, of(false)),
			Restores:  "KIP-937; LogValidator: INVALID_TIMESTAMP and the records, beyond message.timestamp.before.max.ms and after.max.ms",
			Upstream:  "00_produce.go does not look at the configuration",
			Behaviour: "topics/records are refused whose timestamps are too far from now",
		},
	}
}

// stamping judges, and restores batches that are read.
func stamping(c Cluster, of func(topic string) judge) wire.Rule {
	rule := judging(c, "records have the time at which they are appended", func() topicSet { return c.Timestamps() }, of)
	reading := wire.Keys(kmsg.Fetch, kmsg.ShareFetch)
	wants, skips, answer := rule.Wants, rule.SkipRequest, rule.Answer
	rule.Keys = rule.Keys.Or(reading)
	rule.Wants = func(h wire.Header) bool {
		if reading.Has(h.Key) {
			return c.Timestamps().stamped.some()
		}
		return wants(h)
	}
	rule.SkipRequest = func(h wire.Header, body []byte) bool { return !reading.Has(h.Key) && skips(h, body) }
	rule.Answer = func(x *wire.Exchange) {
		if !reading.Has(x.Key) {
			answer(x)
			return
		}
		amended(restoreFetched)(x)
	}
	return rule
}

func restoreFetched(_ *wire.Exchange, resp kmsg.Response) (restored bool) {
	switch r := resp.(type) {
	case *kmsg.FetchResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				restored = RestoreTimes(p.RecordBatches) || restored
			}
		}
	case *kmsg.ShareFetchResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				restored = RestoreTimes(p.Records) || restored
			}
		}
	}
	return restored
}

// Places in a record batch of message format 2.
const (
	batchMagic          = 16
	batchChecksum       = 17
	batchAttributes     = 21
	batchFirstTimestamp = 27
	batchMaxTimestamp   = 35
)

// appendTime is the attribute of batches whose time is the broker's. kfake puts
// its own time into those, and leaves the checksum as it was; so they are stored
// with a mark in its place, which is an attribute that the protocol does not use.
const appendTime, mark = 1 << 3, 1 << 14

// judge leaves what is no batch, or a broken one, to the broker.
func (t timestamps) judge(batch []byte, now int64, d kgo.Decompressor) ([]byte, *refusal) {
	var b kmsg.RecordBatch
	if b.ReadFrom(batch) != nil || b.Magic != 2 || b.CRC != int32(checksum(batch)) {
		return batch, nil
	}
	stamped := b.Attributes&appendTime != 0
	if t.appended && !stamped {
		return stamp(batch, b.Attributes, now), nil
	}
	var wrong []wrongRecord
	eachRecord(&b, d, func(r record) {
		at := b.FirstTimestamp + r.timestamp
		if stamped {
			at = b.MaxTimestamp
		}
		switch {
		case !t.appended && at != -1:
			if t.outOfRange(at, now) {
				wrong = append(wrong, wrongRecord{r.at, fmt.Sprintf(
					"Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]",
					at, r.at, now-t.before, now+t.after)})
			}
		case stamped:
			wrong = append(wrong, wrongRecord{r.at, fmt.Sprintf(
				"Invalid timestamp type in message DefaultRecord(offset=%d, timestamp=%d, key=%d bytes, value=%d bytes). Producer should not set timestamp type to LogAppendTime.",
				r.at, at, max(r.key, 0), max(r.value, 0))})
		}
	})
	if wrong == nil {
		return batch, nil
	}
	return nil, &refusal{kerr.InvalidTimestamp.Code, "One or more records have been rejected due to invalid timestamp", wrong, true}
}

// stamp is a batch with the time at which it is appended, marked. The records,
// which may be compressed, stay as they are: readers go by the batch then.
func stamp(batch []byte, attributes int16, now int64) []byte {
	out := bytes.Clone(batch)
	binary.BigEndian.PutUint16(out[batchAttributes:], uint16(attributes|mark))
	binary.BigEndian.PutUint64(out[batchFirstTimestamp:], uint64(now))
	binary.BigEndian.PutUint64(out[batchMaxTimestamp:], uint64(now))
	binary.BigEndian.PutUint32(out[batchChecksum:], checksum(out))
	return out
}

// RestoreTimes changes batches as kfake has stored them to what Kafka has: those
// that are marked have the broker's time. It reports whether there are any.
func RestoreTimes(batches []byte) (found bool) {
	for len(batches) >= batchHeaderSize {
		size := int64(binary.BigEndian.Uint32(batches[batchLength:])) + batchLength + 4
		if size < batchHeaderSize || size > int64(len(batches)) {
			return found // cut off
		}
		batch := batches[:size]
		if a := binary.BigEndian.Uint16(batch[batchAttributes:]); a&mark != 0 {
			binary.BigEndian.PutUint16(batch[batchAttributes:], a&^mark|appendTime)
			binary.BigEndian.PutUint32(batch[batchChecksum:], checksum(batch))
			found = true
		}
		batches = batches[size:]
	}
	return found
}

func checksum(batch []byte) uint32 {
	return crc32.Checksum(batch[batchAttributes:], crc32.MakeTable(crc32.Castagnoli))
}
