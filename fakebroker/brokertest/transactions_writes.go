package brokertest

import (
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func writingBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "transactions/records go with the transactional id of their producer",
			Source: "KafkaApis.handleProduceRequest, TransactionCoordinator.handleVerifyPartitionsInTransaction; KIP-890",
			Run:    recordsOfOthers,
		},
		{
			Name:   "transactions/records of a later epoch than the producer's are refused",
			Source: "KIP-890; TransactionCoordinator.handleVerifyPartitionsInTransaction",
			Run:    recordsOfLaterEpoch,
		},
		{
			Name:   "transactions/a fenced producer begins nothing by writing",
			Source: "KIP-890: partitions are added before records are, for the producer of the present epoch",
			Run:    fencedProducerBeginsNothing,
		},
		{
			Name:   "produce/a refused batch does not raise the epoch of its producer",
			Source: "ProducerAppendInfo.checkSequence",
			Run:    refusedBatchRaisesNothing,
		},
	}
}

const transactional = 1 << 4 // of a batch's attributes

// batchOf is a batch of one record by a producer.
func batchOf(attributes int16, pid int64, epoch int16, sequence int32) []byte {
	now := time.Now().UnixMilli()
	return encode(kmsg.RecordBatch{
		Attributes: attributes, ProducerID: pid, ProducerEpoch: epoch, FirstSequence: sequence, FirstTimestamp: now, MaxTimestamp: now,
	}, "value")
}

// produceAs produces batches, each to a partition of a topic in order, under a
// transactional id.
func produceAs(t T, cl *kgo.Client, id *string, topic string, batches ...[]byte) []kmsg.ProduceResponseTopicPartition {
	t.Helper()
	m := describe(t, cl, topic)
	resp, err := cl.Broker(int(m.Partitions[0].Leader)).Request(within(t), produceRequest(-1, id, m, batches...))
	noError(t, err)
	parts := resp.(*kmsg.ProduceResponse).Topics[0].Partitions
	slices.SortFunc(parts, func(a, b kmsg.ProduceResponseTopicPartition) int { return int(a.Partition - b.Partition) })
	return parts
}

func produceRequest(acks int16, id *string, m kmsg.MetadataResponseTopic, batches ...[]byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID, req.Acks, req.TimeoutMillis = id, acks, int32(patience.Milliseconds())
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = *m.Topic, m.TopicID
	for i, b := range batches {
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = int32(i), b
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

func recordsOfOthers(t T, c Cluster) {
	p, other := newProducer(t, c), newProducer(t, c)
	nobody := name("transaction")
	for _, v := range versions(3, 13) {
		cl := newClient(t, c, version(kmsg.Produce, v))
		topic := newTopic(t, cl, 1)
		for _, try := range []struct {
			what string
			id   *string
			pid  int64
			want *kerr.Error
		}{
			{"no transactional id", nil, p.pid, kerr.TransactionalIDAuthorizationFailed},
			{"somebody else's transactional id", &other.id, p.pid, kerr.InvalidProducerIDMapping},
			{"nobody's transactional id", &nobody, p.pid, kerr.InvalidProducerIDMapping},
			{"nobody's producer id and no transactional id", nil, math.MaxInt64, kerr.TransactionalIDAuthorizationFailed},
			{"nobody's producer id", &p.id, math.MaxInt64, kerr.InvalidProducerIDMapping},
			{"nobody's producer id and transactional id", &nobody, math.MaxInt64, kerr.InvalidProducerIDMapping},
		} {
			got := produceAs(t, cl, try.id, topic, batchOf(transactional, try.pid, p.epoch, 0))[0]
			what := "v" + number(int32(v)) + ", " + try.what
			code(t, what, got.ErrorCode, try.want)
			equal(t, "base offset, "+what, got.BaseOffset, -1)
			equal(t, "log start, "+what, got.LogStartOffset, -1)
			equal(t, "message, "+what, text(got.ErrorMessage), "null")
		}
		equal(t, "state", p.state().State == "Ongoing" || other.state().State == "Ongoing", false)
		equal(t, "end", offsetAt(t, cl, topic, -1).Offset, 0)

		two := newTopic(t, cl, 2)
		where := describe(t, cl, two).Partitions
		if where[0].Leader == where[1].Leader {
			for _, got := range produceAs(t, cl, nil, two, batchOf(0, -1, -1, -1), batchOf(transactional, p.pid, p.epoch, 0)) {
				code(t, "all of a request with records of a transaction", got.ErrorCode, kerr.TransactionalIDAuthorizationFailed)
			}
		}
		conn := dialNode(t, c, cl, where[0].Leader)
		req := produceRequest(0, nil, describe(t, cl, two), batchOf(transactional, p.pid, p.epoch, 0))
		req.Version = v
		conn.send(req)
		conn.closed()

		// What is in the transaction already is not asked about again.
		code(t, "add", p.addPartition(3, topic), nil)
		code(t, "own id", produceAs(t, cl, &p.id, topic, batchOf(transactional, p.pid, p.epoch, 0))[0].ErrorCode, nil)
		code(t, "somebody else's in the transaction", produceAs(t, cl, &other.id, topic, batchOf(transactional, p.pid, p.epoch, 1))[0].ErrorCode, nil)
		code(t, "none in the transaction", produceAs(t, cl, nil, topic, batchOf(transactional, p.pid, p.epoch, 2))[0].ErrorCode, kerr.TransactionalIDAuthorizationFailed)
		code(t, "end", p.end(3, true).ErrorCode, nil)
	}
}

// dialNode connects to a broker by its node id.
func dialNode(t T, c Cluster, cl *kgo.Client, node int32) *raw {
	t.Helper()
	for _, b := range ask[*kmsg.MetadataResponse](t, cl, kmsg.NewPtrMetadataRequest()).Brokers {
		if b.NodeID == node {
			return dial(t, append(slices.Clone(c.Options), kgo.SeedBrokers(address(b.Host, b.Port))))
		}
	}
	t.Errorf("node %d is no broker", node)
	t.FailNow()
	return nil
}

func recordsOfLaterEpoch(t T, c Cluster) {
	for _, v := range versions(3, 13) {
		cl := newClient(t, c, version(kmsg.Produce, v))
		topic := newTopic(t, cl, 1)
		p := newProducer(t, c)
		code(t, "add", p.addPartition(3, topic), nil)
		for _, sequence := range []int32{0, 7} {
			got := produceAs(t, cl, &p.id, topic, batchOf(transactional, p.pid, p.epoch+1, sequence))[0]
			code(t, "v"+number(int32(v))+", later epoch", got.ErrorCode, kerr.InvalidProducerEpoch)
			equal(t, "base offset", got.BaseOffset, -1)
		}
		code(t, "own epoch", produceAs(t, cl, &p.id, topic, batchOf(transactional, p.pid, p.epoch, 0))[0].ErrorCode, nil)
		for _, sequence := range []int32{0, 7} {
			code(t, "v"+number(int32(v))+", later epoch in the transaction", produceAs(t, cl, &p.id, topic, batchOf(transactional, p.pid, p.epoch+3, sequence))[0].ErrorCode, kerr.InvalidProducerEpoch)
		}
		code(t, "end", p.end(4, true).ErrorCode, nil)
	}
}

func fencedProducerBeginsNothing(t T, c Cluster) {
	for _, v := range versions(12, 13) {
		cl := newClient(t, c, version(kmsg.Produce, v))
		topic := newTopic(t, cl, 1)
		p := newProducer(t, c)
		write := func(q *producer) int16 {
			return produceAs(t, cl, &q.id, topic, batchOf(transactional, q.pid, q.epoch, 0))[0].ErrorCode
		}
		code(t, "v"+number(int32(v)), write(p), nil)
		code(t, "end", p.end(4, true).ErrorCode, nil)
		for range 2 { // the second time by a producer that has just written
			equal(t, "ongoing", p.state().State == "Ongoing", false)
			q := *p
			p.begin()
			code(t, "fenced", write(&q), kerr.InvalidProducerEpoch)
			equal(t, "ongoing after a fenced producer wrote", p.state().State == "Ongoing", false)
			code(t, "present", write(p), nil)
			equal(t, "ongoing", p.state().State, "Ongoing")
			code(t, "end", p.end(4, true).ErrorCode, nil)
			eventually(t, "the end", func() bool { return p.state().State == "CompleteCommit" })
		}
	}
}

func refusedBatchRaisesNothing(t T, c Cluster) {
	for _, v := range versions(3, 13) {
		cl := newClient(t, c, version(kmsg.Produce, v))
		topic := newTopic(t, cl, 1)
		req := kmsg.NewPtrInitProducerIDRequest()
		in := ask[*kmsg.InitProducerIDResponse](t, cl, req)
		pid, epoch := in.ProducerID, in.ProducerEpoch
		for i, try := range []struct {
			later    int16
			sequence int32
			want     *kerr.Error
		}{
			{0, 0, nil},
			{1, 7, kerr.OutOfOrderSequenceNumber},
			{0, 1, nil},
			{3, 1, kerr.OutOfOrderSequenceNumber},
			{0, 3, kerr.OutOfOrderSequenceNumber},
			{0, 2, nil},
			{1, 0, nil},
			{0, 3, kerr.InvalidProducerEpoch},
			{1, 1, nil},
			{2, 5, kerr.OutOfOrderSequenceNumber},
			{1, 2, nil},
			{4, 0, nil},
			{4, 1, nil},
		} {
			got := produceAs(t, cl, nil, topic, batchOf(0, pid, epoch+try.later, try.sequence))[0]
			what := "v" + number(int32(v)) + ", batch " + number(int32(i)) + ", of epoch " + number(int32(try.later)) + " and sequence " + number(try.sequence)
			code(t, what, got.ErrorCode, try.want)
			if try.want != nil {
				equal(t, "base offset of "+what, got.BaseOffset, -1)
				equal(t, "message of "+what, text(got.ErrorMessage), "null")
				if v >= 5 {
					equal(t, "log start of "+what, got.LogStartOffset, 0)
				}
			}
		}
	}
}
