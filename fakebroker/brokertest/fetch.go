package brokertest

import (
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func fetchBehaviours() []Behaviour {
	return append(fullFetchBehaviours(), []Behaviour{
		{
			Name:   "fetch/an epoch ends where the log does when nothing was written since",
			Source: "KIP-320: OffsetForLeaderEpoch",
			Needs:  Needs{Brokers: 2},
			Run:    epochEndsWhereTheLogDoes,
		},
	}...)
}

// The partition moves to the other broker, which begins an epoch that nothing is
// written in.
func epochEndsWhereTheLogDoes(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	produce(t, cl, topic, "a", "b", "c")
	before := partition(t, cl, topic)
	reassign(t, cl, topic, otherBroker(t, cl, before.Leader))
	eventually(t, "a new leader", func() bool {
		now := partition(t, cl, topic)
		return now.Leader != before.Leader && now.LeaderEpoch > before.LeaderEpoch && now.ErrorCode == 0
	})
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.LeaderEpoch, rp.CurrentLeaderEpoch = before.LeaderEpoch, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	p := ask[*kmsg.OffsetForLeaderEpochResponse](t, cl, req).Topics[0].Partitions[0]
	code(t, "partition", p.ErrorCode, nil)
	equal(t, "epoch", p.LeaderEpoch, before.LeaderEpoch)
	equal(t, "end", p.EndOffset, 3)
}

// partition is a topic's first partition.
func partition(t T, cl *kgo.Client, topic string) kmsg.MetadataResponseTopicPartition {
	t.Helper()
	resp := ask[*kmsg.MetadataResponse](t, cl, metadataOf(false, topic))
	code(t, "topic "+topic, resp.Topics[0].ErrorCode, nil)
	for _, p := range resp.Topics[0].Partitions {
		if p.Partition == 0 {
			return p
		}
	}
	t.Errorf("topic %s has no partition 0", topic)
	t.FailNow()
	return kmsg.MetadataResponseTopicPartition{}
}

func otherBroker(t T, cl *kgo.Client, than int32) int32 {
	t.Helper()
	for _, b := range ask[*kmsg.MetadataResponse](t, cl, kmsg.NewPtrMetadataRequest()).Brokers {
		if b.NodeID != than {
			return b.NodeID
		}
	}
	t.Errorf("there is no broker but %d", than)
	t.FailNow()
	return -1
}
