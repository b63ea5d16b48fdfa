package correct

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// writer is who wrote a batch, as its header has it.
type writer struct {
	pid           int64 // negative for nobody
	epoch         int16
	sequence      int32 // of the first record
	transactional bool
}

// writerOf is false for what is no batch.
func writerOf(batch []byte) (w writer, ok bool) {
	const pidAt, epochAt, sequenceAt, transactional = 43, 51, 53, 1 << 4
	if len(batch) < batchHeaderSize || batch[batchMagic] != 2 {
		return w, false
	}
	return writer{
		pid:           int64(binary.BigEndian.Uint64(batch[pidAt:])),
		epoch:         int16(binary.BigEndian.Uint16(batch[epochAt:])),
		sequence:      int32(binary.BigEndian.Uint32(batch[sequenceAt:])),
		transactional: binary.BigEndian.Uint16(batch[batchAttributes:])&transactional != 0,
	}, true
}

// anyBatch reports whether one of the batches of a request is so.
func anyBatch(req *kmsg.ProduceRequest, is func(batch []byte) bool) bool {
	return slices.ContainsFunc(req.Topics, func(t kmsg.ProduceRequestTopic) bool {
		return slices.ContainsFunc(t.Partitions, func(p kmsg.ProduceRequestTopicPartition) bool { return is(p.Records) })
	})
}

func inTransaction(batch []byte) bool {
	w, ok := writerOf(batch)
	return ok && w.transactional
}

// last is what a producer wrote last to a partition; false when it is not in the
// log. Open says that it is in a transaction there.
func last(c Cluster, at place, pid int64) (epoch int16, open, ok bool) {
	const control = 1 << 5
	err := c.Batches(at.topic, at.partition, func(batch []byte) {
		if w, is := writerOf(batch); is && w.pid == pid {
			epoch, open, ok = w.epoch, w.transactional && binary.BigEndian.Uint16(batch[batchAttributes:])&control == 0, true
		}
	})
	return epoch, open, ok && err == nil
}

// verified is for whom a transactional id is, as far as it is known without asking.
type verified struct {
	pid   int64
	epoch int16
	until time.Time // when a transaction can have timed out, which fences the producer
}

// verifies keeps records from logs that are not of the transaction they say. The
// coordinator is asked once for each epoch of a producer.
func (t *transactions) verifies(x *wire.Exchange, req *kmsg.ProduceRequest) {
	if !anyBatch(req, inTransaction) {
		return
	}
	if req.TransactionID == nil {
		refuseAll(x, req, kerr.TransactionalIDAuthorizationFailed)
		return
	}
	id := *req.TransactionID
	if !anyBatch(req, func(batch []byte) bool { return inTransaction(batch) && !t.knows(id, batch) }) {
		return
	}
	before := t.changes.Load()
	now, ok := t.find(x, id)
	if !ok {
		return
	}
	judged := judgeBatches(t.c, x, req, func(string) judge {
		return func(at place, batch []byte) ([]byte, *refusal) {
			w, is := writerOf(batch)
			if !is || !w.transactional || now.ErrorCode == 0 && w.pid == now.ProducerID && w.epoch == now.ProducerEpoch {
				return batch, nil
			}
			if epoch, open, written := last(t.c, at, w.pid); written && open && epoch == w.epoch {
				return batch, nil // it was asked about when the transaction came to the partition
			}
			if now.ErrorCode != 0 || w.pid != now.ProducerID {
				return nil, &refusal{code: kerr.InvalidProducerIDMapping.Code}
			}
			return nil, &refusal{code: kerr.InvalidProducerEpoch.Code}
		}
	})
	if judged.refused != nil {
		keep(x, verifying, judged)
	}
	if now.ErrorCode == 0 {
		t.knew(id, now, before)
	}
}

const verifying = "records go with the transactional id of their producer"

// refuseAll answers every partition of a request alike, and nobody who wants no
// answer: then Kafka closes the connection.
func refuseAll(x *wire.Exchange, req *kmsg.ProduceRequest, why *kerr.Error) {
	if x.Silent {
		x.Cut()
		return
	}
	resp := kmsg.NewPtrProduceResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, (&refusal{code: why.Code}).answer(p.Partition))
		}
		resp.Topics = append(resp.Topics, rt)
	}
	x.Reply(resp)
}

// knows reports whether a batch is by the producer that a transactional id is known
// to have.
func (t *transactions) knows(id string, batch []byte) bool {
	w, _ := writerOf(batch)
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.verified[id]
	return ok && k.pid == w.pid && k.epoch == w.epoch && time.Now().Before(k.until)
}

// knew keeps what the coordinator said, unless a producer began or ended a
// transaction since before.
func (t *transactions) knew(id string, now kmsg.DescribeTransactionsResponseTransactionState, before uint64) {
	began := time.Now()
	if now.StartTimestamp >= 0 {
		began = time.UnixMilli(now.StartTimestamp)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changes.Load() == before {
		t.verified[id] = verified{now.ProducerID, now.ProducerEpoch, began.Add(time.Duration(now.TimeoutMillis) * time.Millisecond)}
	}
}

// forget has the coordinator asked about a transactional id again.
func (t *transactions) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes.Add(1)
	delete(t.verified, id)
}

// epochs is the latest epoch of producers without a transaction that kfake has
// seen. Like kfake it keeps them all.
type epochs struct {
	c Cluster

	mu sync.Mutex
	of map[int64]int16
}

const raising = "a refused batch does not raise the epoch of its producer"

// raise is what a request may have raised, and from what; -1 from nothing.
type raise struct {
	pid      int64
	from, to int16
}

// guards keeps batches from kfake that it would refuse, because they are not the
// first of the epoch that they begin, but not before it has taken that epoch for the
// producer's.
func (e *epochs) guards(x *wire.Exchange, req *kmsg.ProduceRequest) {
	var raised []raise
	suspicious := false
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			w, ok := writerOf(p.Records)
			if !ok || w.pid < 0 || w.epoch < 0 || w.transactional {
				continue
			}
			e.mu.Lock()
			known, ok := e.of[w.pid]
			switch {
			case ok && w.epoch <= known:
			case w.sequence == 0:
				if !ok {
					known = -1
				}
				e.of[w.pid] = w.epoch
				raised = append(raised, raise{w.pid, known, w.epoch})
			default:
				suspicious = true
			}
			e.mu.Unlock()
		}
	}
	if raised != nil {
		keep(x, raising, raised)
	}
	if !suspicious {
		return
	}
	judged := judgeBatches(e.c, x, req, func(string) judge { return e.judge })
	if judged.refused != nil {
		keep(x, raising+": refused", judged)
	}
}

func (e *epochs) judge(at place, batch []byte) ([]byte, *refusal) {
	w, ok := writerOf(batch)
	if !ok || w.pid < 0 || w.epoch < 0 || w.transactional || w.sequence == 0 {
		return batch, nil
	}
	before, _, written := last(e.c, at, w.pid)
	e.mu.Lock()
	defer e.mu.Unlock()
	if known, ok := e.of[w.pid]; ok && w.epoch <= known {
		return batch, nil
	}
	if written && w.epoch > before {
		return nil, &refusal{code: kerr.OutOfOrderSequenceNumber.Code, asked: true}
	}
	if written {
		e.of[w.pid] = before
	}
	return batch, nil
}

// answered takes back what a refused request has not raised after all.
func (e *epochs) answered(x *wire.Exchange) {
	completed(raising+": refused", func(_ *wire.Exchange, v verdict, resp *kmsg.ProduceResponse) { addRefused(resp, v.refused) })(x)
	raised, ok := recall[[]raise](x, raising)
	if !ok {
		return
	}
	amended(func(_ *wire.Exchange, resp *kmsg.ProduceResponse) bool {
		refused := false
		for _, t := range resp.Topics {
			refused = refused || slices.ContainsFunc(t.Partitions, func(p kmsg.ProduceResponseTopicPartition) bool { return p.ErrorCode != 0 })
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, r := range raised {
			switch {
			case !refused || e.of[r.pid] != r.to:
			case r.from < 0:
				delete(e.of, r.pid)
			default:
				e.of[r.pid] = r.from
			}
		}
		return false
	})(x)
}
