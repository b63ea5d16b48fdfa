package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func sequenceBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "produce/a batch that is sent again is stored once",
			Source: "KIP-98: idempotent producer; ProducerStateEntry.NUM_BATCHES_TO_RETAIN",
			Run:    storedOnce,
		},
		{
			Name:   "produce/a batch that is sent again too late is out of order",
			Source: "KIP-98; ProducerStateEntry.NUM_BATCHES_TO_RETAIN, ProducerAppendInfo.checkSequence",
			Run:    sentAgainTooLate,
		},
		{
			Name:   "produce/a gap in the sequence is refused",
			Source: "KIP-98: OUT_OF_ORDER_SEQUENCE_NUMBER; ProducerAppendInfo.checkSequence",
			Run:    sequenceGap,
		},
		{
			Name:   "produce/a sequence is one partition's",
			Source: "KIP-98: sequence numbers are per topic partition",
			Run:    sequencesOfPartitions,
		},
		{
			Name:   "produce/a producer that a partition does not know begins anywhere",
			Source: "KIP-360: the producer id may have expired; ProducerAppendInfo.checkSequence",
			Run:    beginsAnywhere,
		},
		{
			Name:   "produce/producers have ids of their own",
			Source: "KIP-98: InitProducerId",
			Run:    producerIDs,
		},
	}
}

// numbered is an idempotent producer, which has an id and an epoch.
type numbered struct {
	t     T
	cl    *kgo.Client
	topic string
	id    int64
	epoch int16
}

func newNumbered(t T, c Cluster, partitions int32) *numbered {
	t.Helper()
	cl := newClient(t, c)
	in := ask[*kmsg.InitProducerIDResponse](t, cl, kmsg.NewPtrInitProducerIDRequest())
	code(t, "producer id", in.ErrorCode, nil)
	return &numbered{t, cl, newTopic(t, cl, partitions), in.ProducerID, in.ProducerEpoch}
}

// write sends a batch of one record to partition 0 and compares its base offset;
// want is nil when it is to be taken.
func (n *numbered) write(what string, sequence int32, want *kerr.Error, offset int64) {
	n.t.Helper()
	p := produceAs(n.t, n.cl, nil, n.topic, batchOf(0, n.id, n.epoch, sequence))[0]
	code(n.t, what, p.ErrorCode, want)
	equal(n.t, "base offset, "+what, p.BaseOffset, offset)
}

func (n *numbered) end(want int64) {
	n.t.Helper()
	equal(n.t, "end", offsetAt(n.t, n.cl, n.topic, -1).Offset, want)
}

// Each of the last five batches is known.
func storedOnce(t T, c Cluster) {
	n := newNumbered(t, c, 1)
	for s := range int32(5) {
		n.write("batch "+number(s), s, nil, int64(s))
		for again := range s + 1 {
			n.write("batch "+number(again)+" again", again, nil, int64(again))
		}
	}
	n.end(5)
}

func sentAgainTooLate(t T, c Cluster) {
	n := newNumbered(t, c, 1)
	for s := range int32(6) {
		n.write("batch "+number(s), s, nil, int64(s))
	}
	n.write("the sixth from the end again", 0, kerr.OutOfOrderSequenceNumber, -1)
	n.write("the fifth from the end again", 1, nil, 1)
	n.end(6)
}

func sequenceGap(t T, c Cluster) {
	n := newNumbered(t, c, 1)
	n.write("the first", 0, nil, 0)
	n.write("one left out", 2, kerr.OutOfOrderSequenceNumber, -1)
	n.end(1)
	n.write("the one left out", 1, nil, 1)
	n.write("the refused one", 2, nil, 2)
	n.end(3)
}

func sequencesOfPartitions(t T, c Cluster) {
	n := newNumbered(t, c, 2)
	m := describe(t, n.cl, n.topic)
	for s := range int32(3) {
		for p := range int32(2) {
			req := produceRequest(-1, nil, m, batchOf(0, n.id, n.epoch, s))
			req.Topics[0].Partitions[0].Partition = p
			for _, at := range m.Partitions {
				if at.Partition != p {
					continue
				}
				got := askOf[*kmsg.ProduceResponse](t, n.cl, at.Leader, req).Topics[0].Partitions[0]
				code(t, "sequence "+number(s)+" in partition "+number(p), got.ErrorCode, nil)
				equal(t, "base offset", got.BaseOffset, int64(s))
			}
		}
	}
}

func beginsAnywhere(t T, c Cluster) {
	n := newNumbered(t, c, 1)
	n.write("the first", 7, nil, 0)
	n.write("the first again", 7, nil, 0)
	n.write("a gap", 9, kerr.OutOfOrderSequenceNumber, -1)
	n.write("the second", 8, nil, 1)
	n.end(2)
}

func producerIDs(t T, c Cluster) {
	cl := newClient(t, c)
	seen := make(map[int64]bool)
	for range 3 {
		in := ask[*kmsg.InitProducerIDResponse](t, cl, kmsg.NewPtrInitProducerIDRequest())
		code(t, "answer", in.ErrorCode, nil)
		equal(t, "epoch", in.ProducerEpoch, 0)
		equal(t, "known", in.ProducerID < 0 || seen[in.ProducerID], false)
		seen[in.ProducerID] = true
	}
}
