package brokertest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func produceBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "produce/refused partitions have no offset",
			Source: "ProduceRequest.validateRecords, UnifiedLog.analyzeAndValidateRecords, LogValidator; ReplicaManager.appendToLocalLog",
			Run:    refusedPartitions,
		},
		{
			Name:   "produce/batches are refused by their headers",
			Source: "ProduceRequest.validateRecords, UnifiedLog.analyzeAndValidateRecords, LogValidator",
			Run:    refusedHeaders,
		},
		{
			Name:   "produce/a batch that is sent again is answered with its own time",
			Source: "UnifiedLog.append: the metadata of the duplicate",
			Run:    duplicateBatches,
		},
	}
}

// Places in a batch.
const (
	batchFirstOffset = 0
	batchLength      = 8
	batchMagic       = 16
	batchAttributes  = 21
	batchHeaderSize  = 61
)

// altered is a batch with other bytes at a place, and the checksum for them.
func altered(batch []byte, at int, to ...byte) []byte {
	out := bytes.Clone(batch)
	copy(out[at:], to)
	return checked(out)
}

// refusedAs holds a refused partition to what it has beside its error code.
func refusedAs(t T, what string, version int16, p kmsg.ProduceResponseTopicPartition, want *kerr.Error, logStart int64, message string) {
	t.Helper()
	code(t, what, p.ErrorCode, want)
	equal(t, "base offset, "+what, p.BaseOffset, -1)
	equal(t, "append time, "+what, p.LogAppendTime, -1)
	if version >= 5 {
		equal(t, "log start, "+what, p.LogStartOffset, logStart)
	}
	if version >= 8 {
		equal(t, "message, "+what, text(p.ErrorMessage), message)
	}
	equal(t, "records, "+what, len(p.ErrorRecords), 0)
}

func refusedPartitions(t T, c Cluster) {
	p := newProducer(t, c)
	for _, v := range versions(3, 13) {
		cl := newClient(t, c, version(kmsg.Produce, v))
		topic := newTopic(t, cl, 1, "max.message.bytes", "1000")
		in := ask[*kmsg.InitProducerIDResponse](t, cl, kmsg.NewPtrInitProducerIDRequest())
		produceAs(t, cl, nil, topic, batchOf(0, in.ProducerID, 1, 0))
		good := batch("v")
		m := describe(t, cl, topic)
		try := func(what string, acks int16, id *string, records []byte, partition int32, want *kerr.Error, logStart int64, message string) {
			t.Helper()
			req := produceRequest(acks, id, m, records)
			req.Topics[0].Partitions[0].Partition = partition
			resp, ok := dialNode(t, c, cl, m.Partitions[0].Leader).ask(v, req).(*kmsg.ProduceResponse)
			if !ok {
				t.Errorf("v%d %s: no answer", v, what)
				return
			}
			refusedAs(t, "v"+number(int32(v))+" "+what, v, resp.Topics[0].Partitions[0], want, logStart, message)
		}
		wrong := bytes.Clone(good)
		wrong[len(wrong)-1]++
		try("acks", 5, nil, good, 0, kerr.InvalidRequiredAcks, -1, "null")
		try("partition", -1, nil, good, 7, kerr.UnknownTopicOrPartition, -1, "null")
		try("too large", -1, nil, batch(string(make([]byte, 2000))), 0, kerr.MessageTooLarge, -1, "null")
		try("checksum", -1, nil, wrong, 0, kerr.CorruptMessage, -1, "null")
		try("count", -1, nil, counted(t, 3, plainRecords(2), false), 0, kerr.InvalidRecord, 0, "null")
		try("sequence", -1, nil, batchOf(0, in.ProducerID, 1, 5), 0, kerr.OutOfOrderSequenceNumber, 0, "null")
		try("epoch", -1, nil, batchOf(0, in.ProducerID, 0, 1), 0, kerr.InvalidProducerEpoch, 0, "null")
		switch {
		case v < 11:
			try("not added", -1, &p.id, batchOf(transactional, p.pid, p.epoch, 0), 0, kerr.InvalidTxnState, -1, "Partition was not added to the transaction")
		case v == 11:
			try("not added", -1, &p.id, batchOf(transactional, p.pid, p.epoch, 0), 0, kerr.TransactionAbortable, -1, "null")
		}
	}
}

func refusedHeaders(t T, c Cluster) {
	for _, v := range versions(3, 13) {
		cl := newClient(t, c, version(kmsg.Produce, v))
		topic := newTopic(t, cl, 1)
		good := batchOf(0, 77, 0, 0)
		produceAs(t, cl, nil, topic, batch("v"))
		m := describe(t, cl, topic)
		length := binary.BigEndian.Uint32(good[batchLength:])
		longer, shorter := bytes.Clone(good), bytes.Clone(good)
		binary.BigEndian.PutUint32(longer[batchLength:], length+1)
		binary.BigEndian.PutUint32(shorter[batchLength:], length-1)
		tiny := bytes.Clone(good)
		binary.BigEndian.PutUint32(tiny[batchLength:], 3)
		const nowhere, firstZstd = -1, 7
		zstd, asked := kerr.UnsupportedCompressionType, int64(nowhere)
		if v >= firstZstd {
			zstd, asked = kerr.UnknownServerError, 0 // what is not zstd
		}
		conn := func() *raw { return dialNode(t, c, cl, m.Partitions[0].Leader) }
		for _, try := range []struct {
			what     string
			records  []byte
			want     *kerr.Error
			logStart int64
			message  string
		}{
			{"nothing", []byte{}, kerr.InvalidRecord, nowhere, "null"},
			{"three bytes", good[:3], kerr.InvalidRecord, nowhere, "null"},
			{"16 bytes", good[:16], kerr.InvalidRecord, nowhere, "null"},
			{"half a header", good[:40], kerr.InvalidRecord, nowhere, "null"},
			{"a header", good[:batchHeaderSize], kerr.InvalidRecord, nowhere, "null"},
			{"longer", longer, kerr.InvalidRecord, nowhere, "null"},
			{"shorter", shorter, kerr.CorruptMessage, nowhere, "null"},
			{"tiny", tiny, kerr.CorruptMessage, nowhere, "Record size 3 is less than the minimum record overhead (14)"},
			{"two batches", append(bytes.Clone(good), good...), kerr.InvalidRecord, nowhere, "null"},
			{"magic 0", altered(good, batchMagic, 0), kerr.InvalidRecord, nowhere, "null"},
			{"magic 1", altered(good, batchMagic, 1), kerr.InvalidRecord, nowhere, "null"},
			{"magic 3", altered(good, batchMagic, 3), kerr.CorruptMessage, nowhere, "Invalid magic found in record: 3"},
			{"magic -1", altered(good, batchMagic, 0xff), kerr.CorruptMessage, nowhere, "Invalid magic found in record: -1"},
			{"another base offset", altered(good, batchFirstOffset+7, 5), kerr.InvalidRecord, 0, "null"},
			{"a control batch", altered(good, batchAttributes+1, 0x20), kerr.InvalidRecord, 0, "null"},
			{"a control batch of a transaction", altered(good, batchAttributes+1, 0x30), kerr.TransactionalIDAuthorizationFailed, nowhere, "null"},
			{"a producer without a sequence", batchOf(0, 77, 0, -1), kerr.InvalidRecord, 0, "null"},
			{"a producer without a sequence or epoch", batchOf(0, 77, -1, -1), kerr.InvalidRecord, 0, "null"},
			{"codec 5", altered(good, batchAttributes+1, 5), kerr.UnknownServerError, asked, "null"},
			{"zstd", altered(good, batchAttributes+1, 4), zstd, asked, "null"},
		} {
			resp, ok := conn().ask(v, produceRequest(-1, nil, m, try.records)).(*kmsg.ProduceResponse)
			if !ok {
				t.Errorf("v%d %s: no answer", v, try.what)
				continue
			}
			refusedAs(t, "v"+number(int32(v))+" "+try.what, v, resp.Topics[0].Partitions[0], try.want, try.logStart, try.message)
		}
	}
}

func duplicateBatches(t T, c Cluster) {
	for _, v := range versions(5, 13) {
		for _, configs := range [][]string{nil, {"message.timestamp.type", "LogAppendTime"}} {
			cl := newClient(t, c, version(kmsg.Produce, v))
			topic := newTopic(t, cl, 1, configs...)
			in := ask[*kmsg.InitProducerIDResponse](t, cl, kmsg.NewPtrInitProducerIDRequest())
			at := time.Now().Add(-time.Minute).UnixMilli()
			b := encode(kmsg.RecordBatch{
				ProducerID: in.ProducerID, ProducerEpoch: in.ProducerEpoch, FirstTimestamp: at, MaxTimestamp: at,
			}, "a")
			first := produceAs(t, cl, nil, topic, b)[0]
			code(t, "first", first.ErrorCode, nil)
			again := produceAs(t, cl, nil, topic, b)[0]
			what := fmt.Sprintf("v%d %v", v, configs)
			code(t, what, again.ErrorCode, nil)
			equal(t, "base offset "+what, again.BaseOffset, 0)
			if configs != nil {
				at = first.LogAppendTime
			}
			equal(t, "time "+what, again.LogAppendTime, at)
			equal(t, "log start "+what, again.LogStartOffset, 0)
		}
	}
}
