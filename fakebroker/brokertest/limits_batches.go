package brokertest

import (
	"bytes"
	"compress/gzip"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// plainRecords are small records as they are in a batch.
func plainRecords(n int) (out []byte) {
	for i := range n {
		r := kmsg.Record{OffsetDelta: int32(i), Value: []byte("v"), Headers: []kmsg.Header{{Key: "h"}}}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // without the length itself, which is 0 in one byte
		out = r.AppendTo(out)
	}
	return out
}

// counted is a batch that says it has so many records, and has these bytes.
func counted(t T, records int32, content []byte, compressed bool) []byte {
	t.Helper()
	b := kmsg.RecordBatch{
		Magic: 2, PartitionLeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, MaxTimestamp: 1000,
		NumRecords: records, LastOffsetDelta: records - 1, Records: content,
	}
	if compressed {
		var zipped bytes.Buffer
		w := gzip.NewWriter(&zipped)
		_, err := w.Write(content)
		noError(t, err)
		noError(t, w.Close())
		b.Attributes, b.Records = 1, zipped.Bytes()
	}
	return checked(b.AppendTo(nil))
}

// lyingBatches are accepted by nobody; that a later question of a good client is
// answered shows that they were not.
func lyingBatches(t T, c Cluster) {
	two := plainRecords(2)
	change := func(at int, to ...byte) []byte {
		b := bytes.Clone(two)
		copy(b[at:], to)
		return b
	}
	const key, value, headers = 4, 5, 7 // in a record, behind its length
	for _, try := range []struct {
		what    string
		records int32
		content []byte
		plain   bool // Kafka looks for it only in what is not compressed
	}{
		{"fewer records than it says", 3, two, false},
		{"billions of records", 1<<31 - 1, two, false},
		{"more records than it says", 1, two, false},
		{"no records, and says so", 0, nil, false},
		{"records, and says none", 0, two, false},
		{"less than no records", -5, two, false},
		{"a record longer than itself", 2, change(0, 0xfe), false},
		{"a last record longer than itself", 2, change(len(two)/2, 0x7e), true},
		{"a record of no bytes", 2, change(0, 0), true},
		{"a record of less than no bytes", 2, change(0, 1), true},
		{"a record shorter than its fields", 2, change(0, 4), true},
		{"a key longer than the record", 2, change(key, 0x40), false},
		{"a value longer than the record", 2, change(value, 0x40), false},
		{"headers that are not there", 2, change(headers, 0x40), false},
		{"less than no headers", 2, change(headers, 1), false},
		{"bytes behind its records", 2, append(bytes.Clone(two), 1, 2, 3), false},
	} {
		for _, compressed := range []bool{false, true} {
			if compressed && try.plain {
				continue
			}
			what := try.what
			if compressed {
				what += ", compressed"
			}
			cl := newClient(t, c)
			topic := newTopic(t, cl, 1)
			code(t, "one record", produceRaw(t, cl, topic, counted(t, 1, plainRecords(1), compressed)).ErrorCode, nil)
			code(t, what, produceRaw(t, cl, topic, counted(t, try.records, try.content, compressed)).ErrorCode, kerr.InvalidRecord)
			equal(t, "the first record after 1970 beside "+what, offsetAt(t, cl, topic, 1).Offset, -1)
			equal(t, "the end beside "+what, offsetAt(t, cl, topic, -1).Offset, 1)
		}
	}
	// What is said to be compressed and is not.
	const codecAt, gzipped = 22, 1
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	plain := counted(t, 2, two, false)
	plain[codecAt] |= gzipped
	code(t, "plain records for compressed ones", produceRaw(t, cl, topic, checked(plain)).ErrorCode, kerr.UnknownServerError)
	// The offsets that follow go by another place than the number of records.
	const lastDeltaAt = 26
	other := counted(t, 2, two, false)
	other[lastDeltaAt] = 7
	code(t, "another last offset", produceRaw(t, cl, topic, checked(other)).ErrorCode, kerr.InvalidRecord)
	equal(t, "the end beside those", offsetAt(t, cl, topic, -1).Offset, 0)
}
