package brokertest

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func producerBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "transactions/producers are listed with what they wrote last",
			Source: "KIP-664: DescribeProducers; ProducerStateManager",
			Run:    producersAreListed,
		},
	}
}

// activeProducer is what DescribeProducers has of a producer, but for the time.
type activeProducer struct {
	epoch, lastSequence, coordinatorEpoch int32
	start                                 int64
}

// producersOf is the producers of a topic's only partition, by producer id.
func producersOf(t T, cl *kgo.Client, topic string) (all map[int64]activeProducer, times map[int64]int64) {
	t.Helper()
	req := kmsg.NewPtrDescribeProducersRequest()
	rt := kmsg.NewDescribeProducersRequestTopic()
	rt.Topic, rt.Partitions = topic, []int32{0}
	req.Topics = append(req.Topics, rt)
	resp := askOf[*kmsg.DescribeProducersResponse](t, cl, partition(t, cl, topic).Leader, req)
	p := resp.Topics[0].Partitions[0]
	code(t, "producers of "+topic, p.ErrorCode, nil)
	all, times = make(map[int64]activeProducer), make(map[int64]int64)
	for _, a := range p.ActiveProducers {
		all[a.ProducerID] = activeProducer{a.ProducerEpoch, a.LastSequence, a.CoordinatorEpoch, a.CurrentTxnStartOffset}
		times[a.ProducerID] = a.LastTimestamp
	}
	return all, times
}

func producersAreListed(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	all, _ := producersOf(t, cl, topic)
	equal(t, "producers of a new topic", all, map[int64]activeProducer{})

	at := time.Now().Add(-time.Minute)
	for i := range 3 {
		noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: topic, Timestamp: at.Add(time.Duration(i) * time.Second)}).FirstErr())
	}
	pid, epoch, err := cl.ProducerID(within(t))
	noError(t, err)
	plain := newClient(t, c, kgo.DisableIdempotentWrite())
	produce(t, plain, topic, "offset 3, of no producer")
	want := map[int64]activeProducer{pid: {int32(epoch), 2, -1, -1}}
	all, times := producersOf(t, cl, topic)
	equal(t, "idle producer", all, want)
	equal(t, "time", times[pid], at.Add(2*time.Second).UnixMilli())

	for i, end := range []struct {
		version int16
		commit  bool
		after   activeProducer
	}{
		{3, true, activeProducer{1, 0, 0, -1}},
		{3, false, activeProducer{1, 0, 0, -1}},
		{5, true, activeProducer{2, -1, 0, -1}}, // KIP-890: with the next epoch
	} {
		p := newProducer(t, c)
		code(t, "add", p.addPartition(3, topic), nil)
		all, _ := producersOf(t, cl, topic)
		equal(t, "before it writes", all, want)
		code(t, "write", p.write(c, 11, topic), nil)
		want[p.pid] = activeProducer{1, 0, -1, 4 + 2*int64(i)}
		all, times := producersOf(t, cl, topic)
		equal(t, "in a transaction", all, want)
		if since := time.Since(time.UnixMilli(times[p.pid])).Abs(); since > time.Minute {
			t.Errorf("last time is %v from now", since)
		}
		code(t, "end", p.end(end.version, end.commit).ErrorCode, nil)
		want[p.pid] = end.after
		eventually(t, "the end", func() bool {
			all, _ = producersOf(t, cl, topic)
			return all[p.pid].start < 0
		})
		equal(t, "after it", all, want)
	}

	missing := name("missing")
	req := kmsg.NewPtrDescribeProducersRequest()
	for _, of := range []string{topic, missing} {
		rt := kmsg.NewDescribeProducersRequestTopic()
		rt.Topic, rt.Partitions = of, []int32{7}
		req.Topics = append(req.Topics, rt)
	}
	resp := askOf[*kmsg.DescribeProducersResponse](t, cl, partition(t, cl, topic).Leader, req)
	messages := make(map[string]string)
	for _, rt := range resp.Topics {
		code(t, "no such partition", rt.Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
		messages[rt.Topic] = text(rt.Partitions[0].ErrorMessage)
	}
	equal(t, "messages", messages, map[string]string{topic: "null", missing: "This server does not host this topic-partition."})
}
