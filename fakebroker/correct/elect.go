package correct

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Election types of KIP-460.
const preferred, unclean = 0, 1

func electing(c Cluster) []Correction {
	const rule = "ElectLeaders elects the preferred replica, where it does not lead"
	return []Correction{
		{
			Rule: wire.Rule{
				Name: rule,
				Keys: wire.Keys(kmsg.ElectLeaders),
				// kfake has a say in who may, but is not told about any
				// partition, which it would give to the next broker.
				Request: asked(func(x *wire.Exchange, req *kmsg.ElectLeadersRequest) {
					keep(x, rule, req)
					none := *req
					none.Topics = []kmsg.ElectLeadersRequestTopic{}
					x.SetRequest(&none)
				}),
				Answer: completed(rule, func(x *wire.Exchange, req *kmsg.ElectLeadersRequest, resp *kmsg.ElectLeadersResponse) {
					electAll(c, x, req, resp)
				}),
			},
			Restores:  "KIP-460: the preferred replica is elected; ELECTION_NOT_NEEDED where it leads, and any leader will do for an unclean election",
			Upstream:  "43_elect_leaders.go has the next broker lead",
			Behaviour: "topics/no election where the preferred replica leads",
		},
	}
}

func electAll(c Cluster, x *wire.Exchange, req *kmsg.ElectLeadersRequest, resp *kmsg.ElectLeadersResponse) {
	if resp.ErrorCode != 0 {
		return
	}
	topics, all := req.Topics, req.Topics == nil
	if all {
		for _, name := range topicNames(x.Context(), c) {
			t := kmsg.NewElectLeadersRequestTopic()
			t.Topic = name
			known, _ := c.Topic(name)
			for i := range known.Leaders {
				t.Partitions = append(t.Partitions, int32(i))
			}
			topics = append(topics, t)
		}
	}
	if req.ElectionType != preferred && req.ElectionType != unclean {
		resp.ErrorCode = kerr.InvalidRequest.Code
	}
	for _, t := range topics {
		rt := kmsg.NewElectLeadersResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			r := elect(c, t.Topic, p, req.ElectionType)
			if all && r != nil && r.err == kerr.ElectionNotNeeded {
				continue
			}
			rp := kmsg.NewElectLeadersResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.ErrorMessage = p, r.code(), r.text()
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
}

func elect(c Cluster, topic string, partition int32, kind int8) *rejection {
	t, ok := c.Topic(topic)
	switch {
	case kind != preferred && kind != unclean:
		return reject(kerr.InvalidRequest, "Unknown election type %d", kind)
	case !ok:
		return reject(kerr.UnknownTopicOrPartition, "No such topic as %s", topic)
	case partition < 0 || int(partition) >= len(t.Leaders):
		return reject(kerr.UnknownTopicOrPartition, "No such partition as %s-%d", topic, partition)
	}
	to := replicasOf(c, t, partition)[0]
	switch {
	case kind == unclean || to == t.Leaders[partition]:
		return reject(kerr.ElectionNotNeeded, "Leader election not needed for topic partition.")
	case !c.Up(to):
		return reject(kerr.PreferredLeaderNotAvailable, "The preferred leader was not available.")
	}
	_ = c.Move(topic, partition, to) // fails when it was deleted meanwhile
	return nil
}
