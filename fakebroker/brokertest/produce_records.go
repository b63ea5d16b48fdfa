package brokertest

import (
	"bytes"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func writtenBehaviours() []Behaviour {
	out := []Behaviour{
		{
			Name:   "produce/headers come back in order with repeats and nulls",
			Source: "KIP-82: record headers; the record format",
			Run:    headersComeBack,
		},
		{
			Name:   "produce/a key that is null is not an empty one",
			Source: "the record format: key length -1",
			Run:    nullKeys,
		},
		{
			Name:   "produce/a tombstone is not an empty value",
			Source: "the record format: value length -1",
			Run:    tombstones,
		},
		{
			Name:   "produce/records keep the time of their producer",
			Source: "KIP-32: message.timestamp.type CreateTime",
			Run:    createTimes,
		},
		{
			Name:   "produce/records of a batch have offsets one after another",
			Source: "the record batch format: base offset and offset delta",
			Run:    offsetsFollow,
		},
	}
	for _, codec := range codecs() {
		out = append(out, Behaviour{
			Name:   "produce/records come back as sent with compression " + codec.name,
			Source: "compression.type producer; the record batch format, attributes; KIP-110 for zstd",
			Run:    func(t T, c Cluster) { compressedComeBack(t, c, codec.use, codec.number) },
		})
	}
	return out
}

// codec is a way to compress, with its number in a batch's attributes.
type codec struct {
	name   string
	use    kgo.CompressionCodec
	number uint8
}

func codecs() []codec {
	return []codec{
		{"none", kgo.NoCompression(), 0},
		{"gzip", kgo.GzipCompression(), 1},
		{"snappy", kgo.SnappyCompression(), 2},
		{"lz4", kgo.Lz4Compression(), 3},
		{"zstd", kgo.ZstdCompression(), 4},
	}
}

func compressedComeBack(t T, c Cluster, use kgo.CompressionCodec, number uint8) {
	cl := newClient(t, c, kgo.ProducerBatchCompression(use))
	topic := newTopic(t, cl, 1)
	value := bytes.Repeat([]byte("to be compressed "), 1000)
	var sent []*kgo.Record
	for _, key := range []string{"a", "b", "c"} {
		sent = append(sent, &kgo.Record{Topic: topic, Key: []byte(key), Value: value, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(key)}}})
	}
	noError(t, cl.ProduceSync(within(t), sent...).FirstErr())
	got := consumed(t, c, topic, len(sent))
	equal(t, "records", len(got), len(sent))
	for i, r := range got {
		equal(t, "codec", r.Attrs.CompressionType(), number)
		equal(t, "offset", r.Offset, int64(i))
		equal(t, "key", string(r.Key), string(sent[i].Key))
		equal(t, "value as sent", bytes.Equal(r.Value, value), true)
		equal(t, "headers", r.Headers, sent[i].Headers)
		equal(t, "time", r.Timestamp.UnixMilli(), sent[i].Timestamp.UnixMilli())
	}
}

// sentAlone writes a record and returns it as a consumer has it.
func sentAlone(t T, c Cluster, r kgo.Record) *kgo.Record {
	t.Helper()
	cl := newClient(t, c)
	r.Topic = newTopic(t, cl, 1)
	noError(t, cl.ProduceSync(within(t), &r).FirstErr())
	return consumed(t, c, r.Topic, 1)[0]
}

func headersComeBack(t T, c Cluster) {
	headers := []kgo.RecordHeader{
		{Key: "b", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "b", Value: []byte("1")},
		{Key: "b", Value: []byte("3")}, {Key: "null"}, {Key: "empty", Value: []byte{}}, {Key: "", Value: []byte("no key")},
	}
	equal(t, "headers", sentAlone(t, c, kgo.Record{Value: []byte("v"), Headers: headers}).Headers, headers)
	equal(t, "no headers", len(sentAlone(t, c, kgo.Record{Value: []byte("v")}).Headers), 0)
}

func nullKeys(t T, c Cluster) {
	equal(t, "null key", sentAlone(t, c, kgo.Record{Value: []byte("v")}).Key, nil)
	equal(t, "empty key", sentAlone(t, c, kgo.Record{Key: []byte{}, Value: []byte("v")}).Key, []byte{})
}

func tombstones(t T, c Cluster) {
	equal(t, "tombstone", sentAlone(t, c, kgo.Record{Key: []byte("k")}).Value, nil)
	equal(t, "empty value", sentAlone(t, c, kgo.Record{Key: []byte("k"), Value: []byte{}}).Value, []byte{})
}

// createTimes are in no order, and of long ago.
func createTimes(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	now := time.Now().UnixMilli()
	p := produceRaw(t, cl, topic, timedBatch(0, 1000, 0, 60, 30))
	code(t, "of long ago", p.ErrorCode, nil)
	equal(t, "append time", p.LogAppendTime, -1)
	p = produceRaw(t, cl, topic, timedBatch(0, now, 0, -5000, 5000))
	code(t, "of now", p.ErrorCode, nil)
	equal(t, "append time", p.LogAppendTime, -1)
	got, appended := timesOf(t, c, topic, 6)
	equal(t, "times", got, []int64{1000, 1060, 1030, now, now - 5000, now + 5000})
	equal(t, "the broker's", appended, false)
}

func offsetsFollow(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	for _, batch := range []struct {
		values []string
		offset int64
	}{{[]string{"a", "b", "c"}, 0}, {[]string{"d"}, 3}, {[]string{"e", "f"}, 4}} {
		p := produceRaw(t, cl, topic, recordsProduced(batch.values...))
		code(t, "batch", p.ErrorCode, nil)
		equal(t, "base offset", p.BaseOffset, batch.offset)
	}
	var got []string
	for _, r := range consumed(t, c, topic, 6) {
		got = append(got, number(int32(r.Offset))+string(r.Value))
	}
	equal(t, "records", got, []string{"0a", "1b", "2c", "3d", "4e", "5f"})
}
