package correct

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func describingProducers(c Cluster) []Correction {
	var raised raisedEpochs
	return []Correction{{
		Rule: wire.Rule{
			Name: "DescribeProducers lists idle producers",
			Wants: func(h wire.Header) bool {
				return h.Key == kmsg.DescribeProducers || h.Key == kmsg.EndTxn && h.Version >= firstRaising
			},
			AnswerOnly: true,
			Answer: amended(func(_ *wire.Exchange, resp kmsg.Response) bool {
				switch r := resp.(type) {
				case *kmsg.EndTxnResponse:
					if r.ErrorCode == 0 && r.ProducerID >= 0 {
						raised.Store(r.ProducerID, true)
					}
				case *kmsg.DescribeProducersResponse:
					listProducers(c, &raised, r)
					return true
				}
				return false
			}),
		},
		Restores:  "KIP-664, ProducerStateManager: every producer with an id that has written to the partition, and where its transaction begins once it has written in it",
		Upstream:  "txns.go, txnProducers: those that have added the partition to an open transaction",
		Behaviour: "transactions/producers are listed with what they wrote last",
	}}
}

// firstRaising is the version of EndTxn with which each transaction ends in an epoch
// of its own (KIP-890).
const firstRaising = 5

// raisedEpochs is the ids of producers that end transactions so. kfake raises their
// epoch as well, but writes the marker of the end with the one before. Like kfake it
// keeps them all.
type raisedEpochs struct{ sync.Map }

type activeProducer = kmsg.DescribeProducersResponseTopicPartitionActiveProducer

// listProducers reads from the log what a broker knows of producers. Those whose
// transaction began below the log start are known to kfake alone.
func listProducers(c Cluster, raised *raisedEpochs, resp *kmsg.DescribeProducersResponse) {
	for _, t := range resp.Topics {
		for i := range t.Partitions {
			p := &t.Partitions[i]
			if p.ErrorCode != 0 {
				if _, ok := c.Topic(t.Topic); !ok && p.ErrorCode == kerr.UnknownTopicOrPartition.Code && p.ErrorMessage == nil {
					p.ErrorMessage = kmsg.StringPtr(kerr.UnknownTopicOrPartition.Description)
				}
				continue
			}
			known := producers{make(map[int64]*activeProducer), raised}
			if c.Batches(t.Topic, p.Partition, known.follow) != nil {
				continue // deleted meanwhile
			}
			for _, open := range p.ActiveProducers {
				if _, ok := known.by[open.ProducerID]; !ok && open.CurrentTxnStartOffset >= 0 {
					known.by[open.ProducerID] = &open
				}
			}
			p.ActiveProducers = nil
			for _, a := range known.by {
				p.ActiveProducers = append(p.ActiveProducers, *a)
			}
			slices.SortFunc(p.ActiveProducers, func(a, b activeProducer) int { return cmp.Compare(a.ProducerID, b.ProducerID) })
		}
	}
}

// producers are those that have written to a partition.
type producers struct {
	by     map[int64]*activeProducer // by producer id
	raised *raisedEpochs
}

// follow is called with each batch of a log, in order.
func (s producers) follow(batch []byte) {
	const transactional, control = 1 << 4, 1 << 5
	var b kmsg.RecordBatch
	if b.ReadFrom(batch) != nil || b.ProducerID < 0 {
		return
	}
	a := s.by[b.ProducerID]
	if a != nil && b.Attributes&control != 0 && a.ProducerEpoch == int32(b.ProducerEpoch) {
		if _, ok := s.raised.Load(b.ProducerID); ok {
			b.ProducerEpoch++
		}
	}
	if a == nil || a.ProducerEpoch != int32(b.ProducerEpoch) {
		before := a
		a = new(kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer())
		a.ProducerID, a.ProducerEpoch = b.ProducerID, int32(b.ProducerEpoch)
		a.LastSequence, a.CoordinatorEpoch, a.CurrentTxnStartOffset = -1, -1, -1
		if before != nil {
			a.CoordinatorEpoch, a.CurrentTxnStartOffset = before.CoordinatorEpoch, before.CurrentTxnStartOffset
		}
		s.by[b.ProducerID] = a
	}
	a.LastTimestamp = b.MaxTimestamp
	switch {
	case b.Attributes&control != 0:
		a.CoordinatorEpoch, a.CurrentTxnStartOffset = coordinatorEpoch(&b), -1
	case b.Attributes&transactional != 0 && a.CurrentTxnStartOffset < 0:
		a.CurrentTxnStartOffset = b.FirstOffset
		fallthrough
	default:
		const sequences = math.MaxInt32 + 1 // after which they begin again
		a.LastSequence = int32((int64(b.FirstSequence) + int64(b.LastOffsetDelta)) % sequences)
	}
}

// coordinatorEpoch is what a batch with the marker of a transaction's end has of its
// coordinator.
func coordinatorEpoch(b *kmsg.RecordBatch) int32 {
	r := kbin.Reader{Src: b.Records}
	r.Varint()              // length
	r.Int8()                // attributes
	r.Varlong()             // timestamp
	r.Varint()              // offset
	r.Span(int(r.Varint())) // key: whether it was committed
	value := r.Span(int(r.Varint()))
	const version = 2 // bytes
	if !r.Ok() || len(value) < version+4 {
		return 0
	}
	return int32(binary.BigEndian.Uint32(value[version:]))
}
