package brokertest

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func timestampBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "topics/records have the time at which they are appended",
			Source: "KIP-32; message.timestamp.type; LogValidator",
			Run:    appendTimes,
		},
		{
			Name:   "topics/records are refused whose timestamps are too far from now",
			Source: "KIP-937; message.timestamp.before.max.ms, message.timestamp.after.max.ms; LogValidator",
			Run:    timestampBounds,
		},
	}
}

const appendTime = 8 // of a batch's attributes

// timedBatch is a batch of records so many milliseconds after the first.
func timedBatch(attributes int16, first int64, after ...int64) []byte {
	b := kmsg.RecordBatch{
		Attributes: attributes, FirstTimestamp: first, MaxTimestamp: first,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
	}
	var records []kmsg.Record
	for _, d := range after {
		b.MaxTimestamp = max(b.MaxTimestamp, first+d)
		records = append(records, kmsg.Record{TimestampDelta64: d, Value: []byte("v")})
	}
	return encodeRecords(b, records...)
}

// offsetAt asks for the first offset with a timestamp in partition 0.
func offsetAt(t T, cl *kgo.Client, topic string, timestamp int64) kmsg.ListOffsetsResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Timestamp, rp.CurrentLeaderEpoch = timestamp, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return ask[*kmsg.ListOffsetsResponse](t, cl, req).Topics[0].Partitions[0]
}

// timesOf are the timestamps of the first records of a topic, as a consumer has
// them, and whether all are the broker's.
func timesOf(t T, c Cluster, topic string, records int) (at []int64, appended bool) {
	t.Helper()
	cl := newClient(t, c, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	appended = true
	for len(at) < records {
		fetches := cl.PollFetches(within(t))
		noError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			at = append(at, r.Timestamp.UnixMilli())
			appended = appended && r.Attrs.TimestampType() == 1
		})
	}
	return at, appended
}

func appendTimes(t T, c Cluster) {
	for _, v := range []int16{3, 7, 8, 9, 12, 13} {
		cl := newClient(t, c, version(kmsg.Produce, v))
		topic := newTopic(t, cl, 1, "message.timestamp.type", "LogAppendTime")
		var want []int64
		for i, batch := range [][]byte{
			timedBatch(0, 1000, 0, 60, 30),
			timedBatch(0, 1<<50, 0, 1),
			timedBatch(0, -1, 0),
		} {
			p := produceRaw(t, cl, topic, batch)
			code(t, "batch", p.ErrorCode, nil)
			equal(t, "base offset", p.BaseOffset, []int64{0, 3, 5}[i])
			if d := time.Since(time.UnixMilli(p.LogAppendTime)).Abs(); d > time.Minute {
				t.Errorf("v%d: append time %d is %v from now", v, p.LogAppendTime, d)
			}
			for range []int{3, 2, 1}[i] {
				want = append(want, p.LogAppendTime)
			}
			first := offsetAt(t, cl, topic, p.LogAppendTime)
			if first.Offset < 0 || first.Timestamp != p.LogAppendTime {
				t.Errorf("v%d: at %d: offset %d with timestamp %d", v, p.LogAppendTime, first.Offset, first.Timestamp)
			}
			eventually(t, "another time for the next batch", func() bool { return time.Now().UnixMilli() > p.LogAppendTime })
		}
		got, appended := timesOf(t, c, topic, len(want))
		equal(t, "timestamps", got, want)
		equal(t, "the broker's", appended, true)
		for _, at := range []struct{ timestamp, offset int64 }{{0, 0}, {1050, 0}, {want[3], 3}, {want[5], 5}, {want[5] + 60_000, -1}} {
			equal(t, fmt.Sprintf("offset at %d", at.timestamp), offsetAt(t, cl, topic, at.timestamp).Offset, at.offset)
		}
		last := offsetAt(t, cl, topic, -3)
		equal(t, "offset of the latest", last.Offset, 5)
		equal(t, "the latest", last.Timestamp, want[5])

		p := produceRaw(t, cl, topic, timedBatch(appendTime, 1000, 0, 60))
		code(t, "batch that claims to have the broker's time", p.ErrorCode, kerr.InvalidTimestamp)
		equal(t, "append time", p.LogAppendTime, -1)
		equal(t, "base offset", p.BaseOffset, -1)
		if v >= 8 {
			equal(t, "message", text(p.ErrorMessage), "One or more records have been rejected due to invalid timestamp")
			const wrong = "%d Invalid timestamp type in message DefaultRecord(offset=%[1]d, timestamp=1060, key=0 bytes, value=1 bytes). Producer should not set timestamp type to LogAppendTime."
			equal(t, "records", wrongRecords(p), []string{fmt.Sprintf(wrong, 0), fmt.Sprintf(wrong, 1)})
		}
	}
	// Through a client: compressed, idempotent, next to a topic with the
	// producer's time; and for as long as the configuration says.
	long := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		cl := newClient(t, c, kgo.ProducerBatchCompression(codec))
		topic, other := newTopic(t, cl, 1), newTopic(t, cl, 1)
		write := func() {
			value := []byte(strings.Repeat("v", 1000))
			noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: topic, Value: value, Timestamp: long}, &kgo.Record{Topic: other, Value: value, Timestamp: long}).FirstErr())
		}
		kind := func(value string) {
			equal(t, value, alterConfigs(t, cl, someBroker(t, cl), false, alterResource(kmsg.ConfigResourceTypeTopic, topic, set("message.timestamp.type", value))), []string{"0"})
			eventually(t, value, func() bool {
				before := produceRaw(t, cl, topic, timedBatch(0, 1000, 0))
				return (before.LogAppendTime >= 0) == (value == "LogAppendTime")
			})
		}
		write()
		kind("LogAppendTime")
		began := offsetAt(t, cl, topic, -1).Offset
		write()
		kind("CreateTime")
		end := offsetAt(t, cl, topic, -1).Offset
		write()
		got, _ := timesOf(t, c, topic, int(end)+1)
		equal(t, "before", got[0], long.UnixMilli())
		equal(t, "after", got[end], long.UnixMilli())
		if time.Since(time.UnixMilli(got[began])).Abs() > time.Minute {
			t.Errorf("timestamp %d is not the broker's", got[began])
		}
		got, _ = timesOf(t, c, other, 3)
		equal(t, "elsewhere", got, []int64{long.UnixMilli(), long.UnixMilli(), long.UnixMilli()})
	}
}

func wrongRecords(p kmsg.ProduceResponseTopicPartition) (out []string) {
	for _, r := range p.ErrorRecords {
		out = append(out, number(r.RelativeOffset)+" "+text(r.ErrorMessage))
	}
	return out
}

func timestampBounds(t T, c Cluster) {
	const before, after = "message.timestamp.before.max.ms", "message.timestamp.after.max.ms"
	const second, hour = 1000, 3600 * 1000
	for _, v := range []int16{3, 7, 8, 13} {
		cl := newClient(t, c, version(kmsg.Produce, v))
		both := newTopic(t, cl, 1, before, "100000", after, "50000")
		early := newTopic(t, cl, 1, after, "50000")
		late := newTopic(t, cl, 1, before, "100000")
		now := time.Now().UnixMilli()
		for _, tt := range []struct {
			topic string
			batch []byte
			wrong []int32
			span  int64 // of what the message allows, 0 when it does not matter
		}{
			{both, timedBatch(0, now, 0, 60*second, 0, -110*second, 40*second, -90*second), []int32{1, 3}, 150 * second},
			{both, timedBatch(0, now, 0, 40*second, -90*second), nil, 0},
			{both, timedBatch(0, -1, 0), nil, 0},
			{both, timedBatch(0, -2, 0), []int32{0}, 150 * second},
			{both, timedBatch(appendTime, -1, 0), []int32{0}, 0},
			{early, timedBatch(0, 1, 0), nil, 0},
			{early, timedBatch(0, now, 0, 60*second), []int32{1}, 0},
			{late, timedBatch(0, 1, 0), []int32{0}, hour + 100*second},
			{late, timedBatch(0, now, 0, hour-60*second), nil, 0},
			{late, timedBatch(0, now, 0, hour+60*second), []int32{1}, hour + 100*second},
		} {
			end := offsetAt(t, cl, tt.topic, -1).Offset
			p := produceRaw(t, cl, tt.topic, tt.batch)
			if tt.wrong == nil {
				code(t, "batch", p.ErrorCode, nil)
				equal(t, "append time", p.LogAppendTime, -1)
				equal(t, "base offset", p.BaseOffset, end)
				continue
			}
			code(t, "batch", p.ErrorCode, kerr.InvalidTimestamp)
			equal(t, "base offset", p.BaseOffset, -1)
			equal(t, "end", offsetAt(t, cl, tt.topic, -1).Offset, end)
			if v < 8 {
				continue
			}
			equal(t, "message", text(p.ErrorMessage), "One or more records have been rejected due to invalid timestamp")
			var wrong []int32
			for _, r := range p.ErrorRecords {
				wrong = append(wrong, r.RelativeOffset)
				var at, offset, least, most int64
				_, err := fmt.Sscanf(text(r.ErrorMessage), "Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]", &at, &offset, &least, &most)
				switch {
				case tt.span == 0:
				case err != nil:
					t.Errorf("message %q: %v", text(r.ErrorMessage), err)
				default:
					equal(t, "offset", offset, int64(r.RelativeOffset))
					equal(t, "span", most-least, tt.span)
				}
			}
			equal(t, "records", wrong, tt.wrong)
		}
	}
	cl := newClient(t, c, kgo.ProducerBatchCompression(kgo.GzipCompression()))
	topic := newTopic(t, cl, 1, before, "1000", after, number(math.MaxInt32))
	err := cl.ProduceSync(within(t), &kgo.Record{Topic: topic, Value: []byte(strings.Repeat("v", 1000)), Timestamp: time.Now().Add(-time.Minute)}).FirstErr()
	if err == nil || !strings.Contains(err.Error(), kerr.InvalidTimestamp.Message) {
		t.Errorf("produced with an old timestamp: %v, want %v", err, kerr.InvalidTimestamp)
	}
}
