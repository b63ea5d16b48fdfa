package brokertest

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func leaderBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "topics/leaders are spread over the brokers",
			Source: "CreateTopics; StripedReplicaPlacer",
			Needs:  Needs{Brokers: 2},
			Run:    leadersAreSpread,
		},
		{
			Name:   "topics/new partitions are in their first leader epoch",
			Source: "KIP-320; ReplicationControlManager.createTopic",
			Needs:  Needs{Brokers: 2},
			Run:    newPartitionsAreInTheirFirstEpoch,
		},
		{
			Name:   "topics/leaders of added partitions are spread over the brokers",
			Source: "CreatePartitions; StripedReplicaPlacer",
			Needs:  Needs{Brokers: 2},
			Run:    addedLeadersAreSpread,
		},
		{
			Name:   "topics/partitions are where they were assigned",
			Source: "CreateTopics, CreatePartitions: assignments",
			Needs:  Needs{Brokers: 2},
			Run:    partitionsAreWhereAssigned,
		},
		{
			Name:   "topics/no election where the preferred replica leads",
			Source: "KIP-460: ElectLeaders, ELECTION_NOT_NEEDED",
			Run:    electionIsNotNeeded,
		},
		{
			Name:   "topics/the preferred replica is elected",
			Source: "KIP-460: ElectLeaders",
			Needs:  Needs{Brokers: 2},
			Run:    preferredReplicaIsElected,
		},
	}
}

// spread fails unless each round of partitions, as many as there are brokers, is
// led by all of them, and each partition has so many different replicas, the first
// of which leads.
func spread(t T, cl *kgo.Client, partitions []kmsg.MetadataResponseTopicPartition, replicas int) {
	t.Helper()
	nodes := len(brokers(t, cl))
	for round := range slices.Chunk(partitions, nodes) {
		leads := make(map[int32]bool)
		for _, p := range round {
			leads[p.Leader] = true
			equal(t, "different replicas", len(slices.Compact(slices.Sorted(slices.Values(p.Replicas)))), replicas)
			equal(t, "leader", p.Leader, p.Replicas[0])
		}
		equal(t, "brokers that lead in a round of partitions", len(leads), len(round))
	}
}

// created creates a topic of a new name and waits until each partition has a
// leader.
func created(t T, cl *kgo.Client, partitions int32, factor int16, assignment ...[]int32) (string, []kmsg.MetadataResponseTopicPartition) {
	t.Helper()
	topic := name("topic")
	deleteLater(t, cl, topic)
	rt := ask[*kmsg.CreateTopicsResponse](t, cl, newTopicRequest(topicToCreate(topic, partitions, factor, assignment...))).Topics[0]
	code(t, topic, rt.ErrorCode, nil)
	return topic, haveLeaders(t, cl, topic, max(int(partitions), len(assignment)))
}

// haveLeaders waits until every broker knows so many partitions of a topic, each
// with a leader that knows that it leads: a broker of Kafka tells what the
// controller decided before it has acted on it.
func haveLeaders(t T, cl *kgo.Client, topic string, partitions int) (ps []kmsg.MetadataResponseTopicPartition) {
	t.Helper()
	for _, node := range brokers(t, cl) {
		eventually(t, "leaders of "+topic, func() bool {
			resp, err := cl.Broker(int(node)).Request(within(t), metadataOf(false, topic))
			if err != nil {
				return false
			}
			rt := resp.(*kmsg.MetadataResponse).Topics[0]
			ps = rt.Partitions
			return rt.ErrorCode == 0 && len(ps) == partitions && !slices.ContainsFunc(ps, func(p kmsg.MetadataResponseTopicPartition) bool {
				return p.ErrorCode != 0 || p.Leader < 0
			})
		})
	}
	led := make(map[int32][]int32)
	for _, p := range ps {
		led[p.Leader] = append(led[p.Leader], p.Partition)
	}
	for leader, of := range led {
		eventually(t, "broker "+number(leader)+" as a leader of "+topic, func() bool { return leads(t, cl, leader, topic, of) })
	}
	slices.SortFunc(ps, func(a, b kmsg.MetadataResponseTopicPartition) int { return int(a.Partition - b.Partition) })
	return ps
}

// leads reports whether a broker serves partitions as their leader, by asking it
// where they end.
func leads(t T, cl *kgo.Client, node int32, topic string, partitions []int32) bool {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for _, p := range partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, -1 // the latest
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := cl.Broker(int(node)).Request(within(t), req)
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions, func(p kmsg.ListOffsetsResponseTopicPartition) bool {
		return p.ErrorCode != 0
	})
}

func leadersAreSpread(t T, c Cluster) {
	cl := newClient(t, c)
	for _, factor := range []int16{1, 2} {
		for _, partitions := range []int32{2, 6, 13} {
			_, ps := created(t, cl, partitions, factor)
			spread(t, cl, ps, int(factor))
		}
	}
}

func newPartitionsAreInTheirFirstEpoch(t T, c Cluster) {
	cl := newClient(t, c)
	for range 3 { // by chance, some leaders are right
		topic, _ := created(t, cl, 9, 2)
		count := int32(18)
		code(t, "added", ask[*kmsg.CreatePartitionsResponse](t, cl, partitionsToAdd(topic, count)).Topics[0].ErrorCode, nil)
		for _, p := range haveLeaders(t, cl, topic, int(count)) {
			equal(t, "leader epoch of partition "+number(p.Partition), p.LeaderEpoch, 0)
		}
	}
}

func addedLeadersAreSpread(t T, c Cluster) {
	cl := newClient(t, c)
	topic, _ := created(t, cl, 1, 2)
	count := 1 + 20*len(brokers(t, cl))
	code(t, "added", ask[*kmsg.CreatePartitionsResponse](t, cl, partitionsToAdd(topic, int32(count))).Topics[0].ErrorCode, nil)
	spread(t, cl, haveLeaders(t, cl, topic, count)[1:], 2) // Kafka begins anew
}

func partitionsAreWhereAssigned(t T, c Cluster) {
	cl := newClient(t, c)
	b := brokers(t, cl)[:2]
	want := [][]int32{{b[0], b[1]}, {b[1], b[0]}, {b[1], b[0]}, {b[0], b[1]}}
	topic, _ := created(t, cl, -1, -1, want...)
	more := [][]int32{{b[1], b[0]}, {b[0], b[1]}}
	code(t, "added", ask[*kmsg.CreatePartitionsResponse](t, cl, partitionsToAdd(topic, 6, more...)).Topics[0].ErrorCode, nil)
	for i, p := range haveLeaders(t, cl, topic, 6) {
		replicas := slices.Concat(want, more)[i]
		equal(t, "replicas of partition "+number(p.Partition), p.Replicas, replicas)
		equal(t, "leader of partition "+number(p.Partition), p.Leader, replicas[0])
	}
}

func elect(t T, cl *kgo.Client, unclean bool, topic string, partitions ...int32) *kmsg.ElectLeadersResponse {
	t.Helper()
	req := kmsg.NewPtrElectLeadersRequest()
	req.TimeoutMillis = int32(patience.Milliseconds())
	if unclean {
		req.ElectionType = 1
	}
	if topic != "" {
		rt := kmsg.NewElectLeadersRequestTopic()
		rt.Topic, rt.Partitions = topic, partitions
		req.Topics = append(req.Topics, rt)
	}
	return ask[*kmsg.ElectLeadersResponse](t, cl, req)
}

func electionIsNotNeeded(t T, c Cluster) {
	for _, v := range []int16{0, 1, 2} {
		cl := newClient(t, c, version(kmsg.ElectLeaders, v))
		topic, missing := newTopic(t, cl, 2), name("missing")
		was := describedPartitions(t, cl, topic)
		resp := elect(t, cl, false, topic, 0, 1, 7)
		code(t, "election", resp.ErrorCode, nil)
		equal(t, "answers", len(resp.Topics[0].Partitions), 3)
		for _, p := range resp.Topics[0].Partitions[:2] {
			code(t, "preferred leader", p.ErrorCode, kerr.ElectionNotNeeded)
			equal(t, "message", text(p.ErrorMessage), "Leader election not needed for topic partition.")
		}
		p := resp.Topics[0].Partitions[2]
		code(t, "unknown partition", p.ErrorCode, kerr.UnknownTopicOrPartition)
		equal(t, "message", text(p.ErrorMessage), "No such partition as "+topic+"-7")
		p = elect(t, cl, false, missing, 0).Topics[0].Partitions[0]
		code(t, "unknown topic", p.ErrorCode, kerr.UnknownTopicOrPartition)
		equal(t, "message", text(p.ErrorMessage), "No such topic as "+missing)
		if v > 0 {
			code(t, "unclean", elect(t, cl, true, topic, 0).Topics[0].Partitions[0].ErrorCode, kerr.ElectionNotNeeded)
		}
		for _, rt := range elect(t, cl, false, "").Topics { // of all partitions, those that need one
			if rt.Topic == topic && len(rt.Partitions) > 0 {
				t.Errorf("election of %v", rt)
			}
		}
		equal(t, "partitions", describedPartitions(t, cl, topic), was)
	}
}

func preferredReplicaIsElected(t T, c Cluster) {
	cl := newClient(t, c)
	b := brokers(t, cl)[:2]
	topic, _ := created(t, cl, -1, -1, []int32{b[0], b[1]})
	settled(t, cl, topic, b[0], b[1])
	reassign(t, cl, topic, b[1], b[0])
	was := settled(t, cl, topic, b[1], b[0])
	equal(t, "leader before", was.Leader, b[0])
	code(t, "election", elect(t, cl, false, topic, 0).Topics[0].Partitions[0].ErrorCode, nil)
	now := knownAs(t, cl, "the preferred leader", topic, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Leader == b[1] })
	if now.LeaderEpoch <= was.LeaderEpoch {
		t.Errorf("leader epoch: %d after %d, want a later one", now.LeaderEpoch, was.LeaderEpoch)
	}
	code(t, "once more", elect(t, cl, false, topic, 0).Topics[0].Partitions[0].ErrorCode, kerr.ElectionNotNeeded)
}
