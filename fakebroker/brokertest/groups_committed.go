package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func committedOffsetBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "groups/an offset is committed with its metadata and leader epoch",
			Source: "OffsetCommit: committed_metadata, since v6 committed_leader_epoch (KIP-320)",
			Run:    committedWithMetadata,
		},
		{
			Name:   "groups/a later commit takes the place of an earlier one also when it goes back",
			Source: "OffsetCommit; OffsetMetadataManager.replay",
			Run:    laterCommitCounts,
		},
		{
			Name:   "groups/offsets are committed for each partition by itself",
			Source: "OffsetCommit: UNKNOWN_TOPIC_OR_PARTITION; KafkaApis.handleOffsetCommitRequest",
			Run:    committedByThemselves,
		},
		{
			Name:   "groups/groups have offsets of their own",
			Source: "OffsetCommit, OffsetFetch v8 (KIP-709)",
			Run:    offsetsOfGroups,
		},
		{
			Name:   "groups/a deleted offset is gone and the others stay",
			Source: "KIP-496: OffsetDelete",
			Run:    deletedOffsetIsGone,
		},
		{
			Name:   "groups/offsets of a topic that a classic member subscribes to are not deleted",
			Source: "KIP-496: GROUP_SUBSCRIBED_TO_TOPIC; ClassicGroup.isSubscribedToTopic",
			Run:    subscribedOffsetsStay,
		},
		{
			Name:   "groups/offsets of an unknown group are not deleted",
			Source: "KIP-496: GROUP_ID_NOT_FOUND",
			Run:    deleteOffsetsOfNobody,
		},
		{
			Name:   "groups/a deleted group has no offsets",
			Source: "KIP-229: DeleteGroups; GroupCoordinatorShard.deleteGroups",
			Run:    deletedGroupHasNone,
		},
		{
			Name:   "groups/a deleted topic has no offsets",
			Source: "GroupCoordinatorService.onPartitionsDeleted",
			Run:    deletedTopicHasNone,
		},
	}
}

// commits has a group without members commit offsets of partitions of a topic, from
// partition 0 on. It is deleted with the test.
func commits(t T, c Cluster, group string, topic topicOf, offsets ...int64) {
	t.Helper()
	req := commitOf(group, "", -1, topic)
	req.Topics[0].Partitions = nil
	for i, at := range offsets {
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset, rp.LeaderEpoch = int32(i), at, -1
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, rp)
	}
	for _, p := range askIn[*kmsg.OffsetCommitResponse](t, c, 8, req).Topics[0].Partitions {
		code(t, "commit", p.ErrorCode, nil)
	}
	t.Cleanup(func() { deleteGroup(t, c, group) })
}

// committedIn are the offsets of partitions 0 and 1 of a topic in a group.
func committedIn(t T, c Cluster, group string, topic topicOf) []offset {
	t.Helper()
	const v = 8
	return offsetsIn(t, v, askIn[*kmsg.OffsetFetchResponse](t, c, v, offsetsOf(v, false, &topic, group)), group)
}

// bare is a committed offset without metadata.
func bare(partition int32, at int64) offset { return offset{partition, at, -1, "", 0} }

func committedWithMetadata(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	for _, v := range versions(2, 10) {
		req := commitOf(name("group"), "", -1, topic)
		p := &req.Topics[0].Partitions[0]
		p.Offset, p.LeaderEpoch, p.Metadata = 1<<40, 3, kmsg.StringPtr("mé")
		code(t, "commit", commitCode(t, c, v, req), nil)
		want := offset{0, 1 << 40, 3, "mé", 0}
		if v < 6 {
			want.leaderEpoch = -1
		}
		equal(t, "v"+number(int32(v)), committedIn(t, c, req.Group, topic), []offset{want, noOffset(1)})
		deleteGroup(t, c, req.Group)
	}
}

func laterCommitCounts(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := name("group")
	for _, at := range []int64{5, 9, 0, 3} {
		commits(t, c, group, topic, at)
		equal(t, "offsets", committedIn(t, c, group, topic), []offset{bare(0, at), noOffset(1)})
	}
	// What has metadata loses it by a commit without.
	req := commitOf(group, "", -1, topic)
	req.Topics[0].Partitions[0].Metadata = kmsg.StringPtr("m")
	code(t, "commit", commitCode(t, c, 8, req), nil)
	commits(t, c, group, topic, 5)
	equal(t, "offsets without metadata", committedIn(t, c, group, topic), []offset{bare(0, 5), noOffset(1)})
}

func committedByThemselves(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	for _, v := range versions(2, 10) {
		req := commitOf(name("group"), "", -1, topic)
		rp := req.Topics[0].Partitions[0]
		rp.Partition = 7
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, rp)
		rp.Partition = 1
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, rp)
		codes := make(map[int32]int16)
		for _, p := range askIn[*kmsg.OffsetCommitResponse](t, c, v, req).Topics[0].Partitions {
			codes[p.Partition] = p.ErrorCode
		}
		what := "v" + number(int32(v))
		equal(t, what, codes, map[int32]int16{0: 0, 1: 0, 7: kerr.UnknownTopicOrPartition.Code})
		equal(t, what+", offsets", committedIn(t, c, req.Group, topic), []offset{bare(0, 5), bare(1, 5)})
		deleteGroup(t, c, req.Group)
	}
}

func offsetsOfGroups(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	one, two := name("group"), name("group")
	commits(t, c, one, topic, 1, 2)
	commits(t, c, two, topic, 3)
	resp := askIn[*kmsg.OffsetFetchResponse](t, c, 8, offsetsOf(8, false, &topic, one, two))
	equal(t, "of the first", offsetsIn(t, 8, resp, one), []offset{bare(0, 1), bare(1, 2)})
	equal(t, "of the second", offsetsIn(t, 8, resp, two), []offset{bare(0, 3), noOffset(1)})
}

func deletedOffsetIsGone(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := name("group")
	commits(t, c, group, topic, 1, 2)
	code(t, "deletion", deleteOffset(t, c, group, topic.name, 0), nil)
	equal(t, "offsets", committedIn(t, c, group, topic), []offset{noOffset(0), bare(1, 2)})
	code(t, "deletion of what is gone", deleteOffset(t, c, group, topic.name, 0), nil)
	commits(t, c, group, topic, 7)
	equal(t, "offsets after a new commit", committedIn(t, c, group, topic), []offset{bare(0, 7), bare(1, 2)})
}

func subscribedOffsetsStay(t T, c Cluster) {
	cl := newClient(t, c)
	topic, other := newTopicOf(t, cl, 2), newTopicOf(t, cl, 2)
	m := joined(t, c, nil, topic.name)
	for _, topic := range []topicOf{topic, other} {
		code(t, "commit", commitCode(t, c, 8, commitOf(m.group, m.id, m.generation, topic)), nil)
	}
	code(t, "subscribed", deleteOffset(t, c, m.group, topic.name, 0), kerr.GroupSubscribedToTopic)
	equal(t, "offsets", committedIn(t, c, m.group, topic), []offset{bare(0, 5), noOffset(1)})
	code(t, "not subscribed", deleteOffset(t, c, m.group, other.name, 0), nil)
	equal(t, "offsets of the other topic", committedIn(t, c, m.group, other), []offset{noOffset(0), noOffset(1)})
}

func deleteOffsetsOfNobody(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = name("group")
	rt := kmsg.NewOffsetDeleteRequestTopic()
	rt.Topic = topic.name
	rt.Partitions = append(rt.Partitions, kmsg.NewOffsetDeleteRequestTopicPartition())
	req.Topics = append(req.Topics, rt)
	resp := askIn[*kmsg.OffsetDeleteResponse](t, c, 0, req)
	code(t, "answer", resp.ErrorCode, kerr.GroupIDNotFound)
	equal(t, "topics", len(resp.Topics), 0)
}

func deletedGroupHasNone(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := name("group")
	commits(t, c, group, topic, 1, 2)
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{group}
	code(t, "deletion", askIn[*kmsg.DeleteGroupsResponse](t, c, 2, req).Groups[0].ErrorCode, nil)
	equal(t, "offsets", committedIn(t, c, group, topic), []offset{noOffset(0), noOffset(1)})
	code(t, "deletion again", askIn[*kmsg.DeleteGroupsResponse](t, c, 2, req).Groups[0].ErrorCode, kerr.GroupIDNotFound)
}

func deletedTopicHasNone(t T, c Cluster) {
	cl := newClient(t, c)
	topic, other := newTopicOf(t, cl, 2), newTopicOf(t, cl, 2)
	group := name("group")
	commits(t, c, group, topic, 1, 2)
	commits(t, c, group, other, 3)
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.TimeoutMillis, del.TopicNames = int32(patience.Milliseconds()), []string{topic.name}
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.Topic = &topic.name
	del.Topics = append(del.Topics, rt)
	code(t, "deletion", ask[*kmsg.DeleteTopicsResponse](t, cl, del).Topics[0].ErrorCode, nil)
	all := func() []offset {
		return offsetsIn(t, 7, askIn[*kmsg.OffsetFetchResponse](t, c, 7, offsetsOf(7, false, nil, group)), group)
	}
	eventually(t, "the offsets of the other topic alone", func() bool { return len(all()) == 1 })
	equal(t, "offsets", all(), []offset{bare(0, 3)})
}
