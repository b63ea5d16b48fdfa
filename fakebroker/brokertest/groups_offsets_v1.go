package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func refusedOnPartitions() Behaviour {
	return Behaviour{
		Name:   "groups/who does not coordinate a group refuses its partitions in OffsetFetch v1",
		Source: "OffsetFetch v1: the answer has no error but those of partitions",
		Needs:  Needs{Brokers: 2},
		Run:    refusesOnPartitions,
	}
}

func refusesOnPartitions(t T, c Cluster) {
	cl := newClient(t, c, version(kmsg.OffsetFetch, 1))
	topic := newTopic(t, cl, 2)
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey = name("group")
	find.CoordinatorKeys = []string{find.CoordinatorKey}
	coordinator := ask[*kmsg.FindCoordinatorResponse](t, cl, find)
	node := coordinator.NodeID
	if len(coordinator.Coordinators) > 0 {
		node = coordinator.Coordinators[0].NodeID
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = find.CoordinatorKey
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic, rt.Partitions = topic, []int32{0, 1}
	req.Topics = append(req.Topics, rt)
	answer, err := cl.Broker(int(otherBroker(t, cl, node))).Request(within(t), req)
	noError(t, err)
	resp := answer.(*kmsg.OffsetFetchResponse)
	equal(t, "version", resp.Version, 1)
	equal(t, "topics", len(resp.Topics), 1)
	equal(t, "partitions", len(resp.Topics[0].Partitions), 2)
	for _, p := range resp.Topics[0].Partitions {
		code(t, "partition", p.ErrorCode, kerr.NotCoordinator)
		equal(t, "offset", p.Offset, -1)
		equal(t, "metadata", text(p.Metadata), "")
	}
}
