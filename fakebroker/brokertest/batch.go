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

// encode fills a batch with records without keys.
func encode(b kmsg.RecordBatch, values ...string) []byte {
	var records []kmsg.Record
	for _, v := range values {
		records = append(records, kmsg.Record{Value: []byte(v)})
	}
	return encodeRecords(b, records...)
}

// encodeRecords fills a batch with small records, and in with its length and
// checksum.
func encodeRecords(b kmsg.RecordBatch, records ...kmsg.Record) []byte {
	for i, r := range records {
		r.OffsetDelta = int32(i)
		r.Length = int32(len(r.AppendTo(nil)) - 1) // without the length itself, which is 0 in one byte
		b.Records = r.AppendTo(b.Records)
	}
	b.Magic, b.PartitionLeaderEpoch = 2, -1
	b.NumRecords, b.LastOffsetDelta = int32(len(records)), int32(len(records)-1)
	return checked(b.AppendTo(nil))
}

// checked fills in a batch's length and checksum.
func checked(raw []byte) []byte {
	const lengthAt, headerEnd, crcAt, crcEnd = 8, 12, 17, 21
	binary.BigEndian.PutUint32(raw[lengthAt:], uint32(len(raw)-headerEnd))
	binary.BigEndian.PutUint32(raw[crcAt:], crc32.Checksum(raw[crcEnd:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}
