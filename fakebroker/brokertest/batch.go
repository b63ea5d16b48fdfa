package brokertest

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// batch is a record batch (message format 2) of records without keys, as a
// producer without an id sends it.
func batch(values ...string) []byte {
	return encode(kmsg.RecordBatch{ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1}, values...)
}

// encode fills a batch with records, and in with its length and checksum.
func encode(b kmsg.RecordBatch, values ...string) []byte {
	const lengthAt, headerEnd, crcAt, crcEnd = 8, 12, 17, 21
	for i, v := range values {
		r := kmsg.Record{OffsetDelta: int32(i), Value: []byte(v)}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // without the length itself, which is 0 in one byte
		b.Records = r.AppendTo(b.Records)
	}
	b.Magic, b.PartitionLeaderEpoch = 2, -1
	b.NumRecords, b.LastOffsetDelta = int32(len(values)), int32(len(values)-1)
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[lengthAt:], uint32(len(raw)-headerEnd))
	binary.BigEndian.PutUint32(raw[crcAt:], crc32.Checksum(raw[crcEnd:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}
