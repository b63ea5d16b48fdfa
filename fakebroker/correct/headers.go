package correct

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// readingHeaders refuses what is no batch, or cannot be one of a producer.
func readingHeaders(c Cluster) Correction {
	const rule = "batches are refused by their headers"
	return Correction{
		Rule: wire.Rule{
			Name: rule,
			Keys: wire.Keys(kmsg.Produce),
			Request: asked(func(x *wire.Exchange, req *kmsg.ProduceRequest) {
				wrong := func(batch []byte) bool { return headerOf(req.Version, batch) != nil }
				if !anyBatch(req, wrong) || req.TransactionID == nil && anyBatch(req, inTransaction) {
					return // the latter are refused for that
				}
				v := judgeBatches(c, x, req, func(string) judge {
					return func(_ place, batch []byte) ([]byte, *refusal) { return batch, headerOf(req.Version, batch) }
				})
				if v.refused != nil {
					keep(x, rule, v)
				}
			}),
			Answer: completed(rule, func(_ *wire.Exchange, v verdict, resp *kmsg.ProduceResponse) { addRefused(resp, v.refused) }),
		},
		Restores:  "ProduceRequest.validateRecords, LogValidator: INVALID_RECORD for what is not one batch of message format 2 from offset 0, or has a producer id without a sequence",
		Upstream:  "00_produce.go answers CORRUPT_MESSAGE, or that the sequence is out of order",
		Behaviour: "produce/batches are refused by their headers",
	}
}

// headerOf is why Kafka refuses a batch by its header, nil when it does not or kfake
// refuses it alike.
func headerOf(version int16, batch []byte) *refusal {
	const zstd, codec, firstZstd = 4, 7, 7
	size, why := sizeOfBatch(batch)
	switch {
	case why != nil:
		return why
	case size == 0, batch[batchMagic] != 2, size < batchHeaderSize:
		return &refusal{code: kerr.InvalidRecord.Code}
	}
	if next, why := sizeOfBatch(batch[size:]); next > 0 || why != nil {
		return &refusal{code: kerr.InvalidRecord.Code}
	}
	switch used := binary.BigEndian.Uint16(batch[batchAttributes:]) & codec; {
	case used > zstd:
		return &refusal{code: kerr.UnknownServerError.Code, asked: version >= firstZstd}
	case used == zstd && version < firstZstd:
		return &refusal{code: kerr.UnsupportedCompressionType.Code}
	}
	w, _ := writerOf(batch)
	if binary.BigEndian.Uint64(batch) != 0 || w.pid >= 0 && w.sequence < 0 {
		return &refusal{code: kerr.InvalidRecord.Code, asked: true}
	}
	return nil
}

// sizeOfBatch is how long the batch is with which bytes begin, 0 when there is none
// that is whole.
func sizeOfBatch(b []byte) (size int64, why *refusal) {
	const least, newest = 14, 2
	if len(b) <= batchMagic {
		return 0, nil
	}
	length := int32(binary.BigEndian.Uint32(b[batchLength:]))
	switch magic := int8(b[batchMagic]); {
	case length < least:
		return 0, &refusal{code: kerr.CorruptMessage.Code, message: fmt.Sprintf("Record size %d is less than the minimum record overhead (%d)", length, least)}
	case magic < 0 || magic > newest:
		return 0, &refusal{code: kerr.CorruptMessage.Code, message: fmt.Sprintf("Invalid magic found in record: %d", magic)}
	}
	if size = int64(length) + batchLength + 4; size > int64(len(b)) {
		return 0, nil
	}
	return size, nil
}
