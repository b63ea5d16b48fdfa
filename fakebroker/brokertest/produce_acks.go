package brokertest

import (
	"bytes"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func acksBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "produce/a record is there when all in-sync replicas have it",
			Source: "Produce: acks -1; KafkaApis.handleProduceRequest",
			Run:    func(t T, c Cluster) { acknowledged(t, c, -1) },
		},
		{
			Name:   "produce/a record is there when the leader alone acknowledges it",
			Source: "Produce: acks 1; KafkaApis.handleProduceRequest",
			Run:    func(t T, c Cluster) { acknowledged(t, c, 1) },
		},
		{
			Name:   "produce/without acks a record is there and nothing is answered",
			Source: "Produce: acks 0; KafkaApis.handleProduceRequest",
			Run:    unacknowledged,
		},
		{
			Name:   "produce/without acks a refusal ends the connection",
			Source: "KafkaApis.handleProduceRequest: closes the connection, so that the producer learns of it",
			Run:    unacknowledgedRefusal,
		},
		{
			Name:   "produce/a topic that is not there is refused and the others are not",
			Source: "Produce: UNKNOWN_TOPIC_OR_PARTITION, since v13 UNKNOWN_TOPIC_ID (KIP-516)",
			Run:    unknownTopicProducedTo,
		},
		{
			Name:   "produce/a batch of max.message.bytes is taken and a larger one is not",
			Source: "max.message.bytes; UnifiedLog.append: MESSAGE_TOO_LARGE",
			Run:    largestBatch,
		},
	}
}

// recordsProduced is a batch of records with these values, as of now.
func recordsProduced(values ...string) []byte {
	now := time.Now().UnixMilli()
	return encode(kmsg.RecordBatch{ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, FirstTimestamp: now, MaxTimestamp: now}, values...)
}

// valuesOf are the values of the first records of a topic, as a consumer has them.
func valuesOf(t T, c Cluster, topic string, records int, opts ...kgo.Opt) (values []string) {
	t.Helper()
	for _, r := range consumed(t, c, topic, records, opts...) {
		values = append(values, string(r.Value))
	}
	return values
}

// consumed are the first records of a topic, as a consumer has them; more when the
// last answer brings more.
func consumed(t T, c Cluster, topic string, records int, opts ...kgo.Opt) (all []*kgo.Record) {
	t.Helper()
	start := kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())
	cl := newClient(t, c, append([]kgo.Opt{kgo.ConsumeTopics(topic), start}, opts...)...)
	for len(all) < records {
		fetches := cl.PollFetches(within(t))
		noError(t, fetches.Err())
		all = append(all, fetches.Records()...)
	}
	return all
}

func acknowledged(t T, c Cluster, acks int16) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	m := describe(t, cl, topic)
	for i := range int64(2) {
		resp := askOf[*kmsg.ProduceResponse](t, cl, m.Partitions[0].Leader, produceRequest(acks, nil, m, recordsProduced("a", "b")))
		p := resp.Topics[0].Partitions[0]
		code(t, "answer", p.ErrorCode, nil)
		equal(t, "base offset", p.BaseOffset, 2*i)
		equal(t, "log start", p.LogStartOffset, 0)
		equal(t, "append time", p.LogAppendTime, -1)
	}
	equal(t, "records", valuesOf(t, c, topic, 4), []string{"a", "b", "a", "b"})
}

// The next answer on the connection is that to the next request.
func unacknowledged(t T, c Cluster) {
	cl := newClient(t, c)
	for _, v := range []int16{3, 9, 12, 13} {
		topic := newTopic(t, cl, 1)
		m := describe(t, cl, topic)
		conn := dialNode(t, c, cl, m.Partitions[0].Leader)
		req := produceRequest(0, nil, m, recordsProduced("a"))
		req.Version = v
		conn.send(req)
		if _, ok := conn.ask(3, kmsg.NewPtrApiVersionsRequest()).(*kmsg.ApiVersionsResponse); !ok {
			t.Errorf("v%d: no answer to the next request", v)
		}
		equal(t, "records", valuesOf(t, c, topic, 1), []string{"a"})
	}
}

func unacknowledgedRefusal(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	m := describe(t, cl, topic)
	for _, v := range []int16{3, 9, 12, 13} {
		conn := dialNode(t, c, cl, m.Partitions[0].Leader)
		wrong := bytes.Clone(recordsProduced("a"))
		wrong[len(wrong)-1]++ // and so the checksum is
		req := produceRequest(0, nil, m, wrong)
		req.Version = v
		conn.send(req)
		conn.closed()
	}
	equal(t, "end", offsetAt(t, cl, topic, -1).Offset, 0)
}

func unknownTopicProducedTo(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	m := describe(t, cl, topic)
	conn := dialNode(t, c, cl, m.Partitions[0].Leader)
	for i, v := range []int16{3, 8, 9, 12, 13} {
		missing := m
		missing.Topic, missing.TopicID = kmsg.StringPtr(name("missing")), [16]byte{1, 2, 3}
		req := produceRequest(-1, nil, m, recordsProduced("a"))
		req.Topics = append(req.Topics, produceRequest(-1, nil, missing, recordsProduced("a")).Topics...)
		resp, ok := conn.ask(v, req).(*kmsg.ProduceResponse)
		if !ok {
			t.Errorf("v%d: no answer", v)
			return
		}
		want := kerr.UnknownTopicOrPartition
		if v >= 13 {
			want = kerr.UnknownTopicID
		}
		equal(t, "topics", len(resp.Topics), 2)
		for _, rt := range resp.Topics {
			p := rt.Partitions[0]
			if rt.Topic == topic || rt.TopicID == m.TopicID {
				code(t, "the topic that is there", p.ErrorCode, nil)
				equal(t, "base offset", p.BaseOffset, int64(i))
				continue
			}
			code(t, "v"+number(int32(v)), p.ErrorCode, want)
			equal(t, "base offset of what is refused", p.BaseOffset, -1)
		}
	}
}

func largestBatch(t T, c Cluster) {
	cl := newClient(t, c)
	const bytes = 1000 // of a batch with its header, of one record of two-byte length
	overhead := len(recordsProduced(string(make([]byte, 500)))) - 500
	topic := newTopic(t, cl, 1, "max.message.bytes", number(bytes))
	for range 2 {
		code(t, "as large as may be", produceRaw(t, cl, topic, recordsProduced(string(make([]byte, bytes-overhead)))).ErrorCode, nil)
		code(t, "larger", produceRaw(t, cl, topic, recordsProduced(string(make([]byte, bytes-overhead+1)))).ErrorCode, kerr.MessageTooLarge)
	}
	equal(t, "end", offsetAt(t, cl, topic, -1).Offset, 2)
}
