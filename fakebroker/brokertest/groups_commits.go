package brokertest

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupCommitBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "groups/a consumer that assigns itself commits with an instance id",
			Source: "ClassicGroup.validateOffsetCommit",
			Run:    strangerCommitsWithInstanceID,
		},
		{
			Name:   "groups/a commit by who is no member says why it is refused",
			Source: "OffsetMetadataManager.validateOffsetCommit",
			Run:    commitsByStrangers,
		},
		{
			Name:   "groups/metadata of offsets has a limit",
			Source: "offset.metadata.max.bytes",
			Run:    metadataHasLimit,
		},
		{
			Name:   "groups/a transaction adds offsets to a group with a name",
			Source: "GroupCoordinatorService.commitTransactionalOffsets",
			Run:    transactionNamesGroup,
		},
		{
			Name:   "groups/offsets of partitions that do not exist cannot be deleted",
			Source: "OffsetDelete; KafkaApis.handleOffsetDeleteRequest",
			Run:    deleteOffsetsOfNothing,
		},
		{
			Name:   "groups/a group of the consumer protocol deletes offsets of topics that it does not subscribe to",
			Source: "OffsetDelete; ConsumerGroup.isSubscribedToTopic",
			Run:    deleteOffsetsOfConsumers,
		},
		{
			Name:   "groups/a deleted offset is not listed",
			Source: "OffsetFetch of all topics",
			Run:    deletedOffsetIsNotListed,
		},
	}
}

// commitCode is the answer for the one partition of a commit.
func commitCode(t T, c Cluster, v int16, req *kmsg.OffsetCommitRequest) int16 {
	t.Helper()
	return askIn[*kmsg.OffsetCommitResponse](t, c, v, req).Topics[0].Partitions[0].ErrorCode
}

func strangerCommitsWithInstanceID(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	for _, v := range versions(7, 10) {
		req := commitOf(name("group"), "", -1, topic)
		req.InstanceID = kmsg.StringPtr("instance")
		code(t, "v"+number(int32(v)), commitCode(t, c, v, req), nil)
	}
}

func commitsByStrangers(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	for _, v := range versions(2, 10) {
		what := "v" + number(int32(v))
		want := kerr.IllegalGeneration
		if v >= 9 {
			want = kerr.GroupIDNotFound
		}
		code(t, what+", unknown group", commitCode(t, c, v, commitOf(name("group"), "nobody", 1, topic)), want)
		if v >= 7 {
			static := commitOf(name("group"), "nobody", 1, topic)
			static.InstanceID = kmsg.StringPtr("instance")
			code(t, what+", unknown group, static", commitCode(t, c, v, static), want)
		}
		code(t, what+", empty group", commitCode(t, c, v, commitOf(committed(t, c, topic), "nobody", 1, topic)), kerr.UnknownMemberID)
	}
	m := joined(t, c, nil, topic.name)
	for _, v := range versions(2, 10) {
		what := "v" + number(int32(v)) + ", stable group"
		code(t, what, commitCode(t, c, v, commitOf(m.group, "nobody", m.generation, topic)), kerr.UnknownMemberID)
		code(t, what+", wrong generation", commitCode(t, c, v, commitOf(m.group, m.id, m.generation+1, topic)), kerr.IllegalGeneration)
		code(t, what+", member", commitCode(t, c, v, commitOf(m.group, m.id, m.generation, topic)), nil)
	}
	m = consuming(t, c, topic, 0)
	for _, v := range versions(2, 10) {
		what := "v" + number(int32(v)) + ", consumer protocol"
		code(t, what, commitCode(t, c, v, commitOf(m.group, "nobody", m.generation, topic)), kerr.UnknownMemberID)
		code(t, what+", no membership", commitCode(t, c, v, commitOf(m.group, "", -1, topic)), kerr.UnknownMemberID)
		if v >= 9 {
			code(t, what+", wrong epoch", commitCode(t, c, v, commitOf(m.group, m.id, m.generation+1, topic)), kerr.StaleMemberEpoch)
			code(t, what+", member", commitCode(t, c, v, commitOf(m.group, m.id, m.generation, topic)), nil)
		}
	}
}

func metadataHasLimit(t T, c Cluster) {
	const limit = 4096
	topic := newTopicOf(t, newClient(t, c), 1)
	for _, v := range versions(2, 10) {
		what := "v" + number(int32(v))
		req := commitOf(name("group"), "", -1, topic)
		partition := &req.Topics[0].Partitions[0]
		partition.Metadata = kmsg.StringPtr(strings.Repeat("m", limit))
		code(t, what+", at the limit", commitCode(t, c, v, req), nil)
		partition.Metadata = kmsg.StringPtr(strings.Repeat("m", limit+1))
		resp := askIn[*kmsg.OffsetCommitResponse](t, c, v, req)
		equal(t, what+", partition", resp.Topics[0].Partitions[0].Partition, 0)
		code(t, what+", above the limit", resp.Topics[0].Partitions[0].ErrorCode, kerr.OffsetMetadataTooLarge)
		if v < 10 {
			unknown := commitOf(req.Group, "", -1, topicOf{name: name("nowhere")})
			unknown.Topics[0].Partitions[0].Metadata = partition.Metadata
			code(t, what+", unknown topic", commitCode(t, c, v, unknown), kerr.UnknownTopicOrPartition)
		}
	}
}

func transactionNamesGroup(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	for _, v := range versions(0, 5) {
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		req.TransactionalID, req.ProducerID, req.Generation = name("transaction"), 1, -1
		rt := kmsg.NewTxnOffsetCommitRequestTopic()
		rt.Topic = topic.name
		rt.Partitions = append(rt.Partitions, kmsg.NewTxnOffsetCommitRequestTopicPartition())
		req.Topics = append(req.Topics, rt)
		resp := askIn[*kmsg.TxnOffsetCommitResponse](t, c, v, req)
		code(t, "v"+number(int32(v)), resp.Topics[0].Partitions[0].ErrorCode, kerr.InvalidGroupID)
	}
}

func deleteOffset(t T, c Cluster, group, topic string, partition int32) int16 {
	t.Helper()
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	rt := kmsg.NewOffsetDeleteRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewOffsetDeleteRequestTopicPartition()
	rp.Partition = partition
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp := askIn[*kmsg.OffsetDeleteResponse](t, c, 0, req)
	code(t, "deleting offsets of "+topic, resp.ErrorCode, nil)
	if resp.ErrorCode != 0 || len(resp.Topics) != 1 {
		t.FailNow()
	}
	return resp.Topics[0].Partitions[0].ErrorCode
}

func deleteOffsetsOfNothing(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	group := committed(t, c, topic)
	code(t, "unknown topic", deleteOffset(t, c, group, name("nowhere"), 0), kerr.UnknownTopicOrPartition)
	code(t, "unknown partition", deleteOffset(t, c, group, topic.name, 7), kerr.UnknownTopicOrPartition)
	code(t, "partition", deleteOffset(t, c, group, topic.name, 0), nil)
}

func deleteOffsetsOfConsumers(t T, c Cluster) {
	cl := newClient(t, c)
	topic, other := newTopicOf(t, cl, 1), newTopicOf(t, cl, 1)
	m := consuming(t, c, topic, 0)
	for _, topic := range []topicOf{topic, other} {
		code(t, "commit", commitCode(t, c, 9, commitOf(m.group, m.id, m.generation, topic)), nil)
	}
	code(t, "subscribed", deleteOffset(t, c, m.group, topic.name, 0), kerr.GroupSubscribedToTopic)
	code(t, "unknown topic", deleteOffset(t, c, m.group, name("nowhere"), 0), kerr.UnknownTopicOrPartition)
	code(t, "not subscribed", deleteOffset(t, c, m.group, other.name, 0), nil)
	resp := askIn[*kmsg.OffsetFetchResponse](t, c, 7, offsetsOf(7, false, &other, m.group))
	equal(t, "what is left", offsetsIn(t, 7, resp, m.group), []offset{noOffset(0), noOffset(1)})
}

func deletedOffsetIsNotListed(t T, c Cluster) {
	cl := newClient(t, c)
	topic, other := newTopicOf(t, cl, 1), newTopicOf(t, cl, 1)
	m := consuming(t, c, topic, 0)
	for _, topic := range []topicOf{topic, other} {
		code(t, "commit", commitCode(t, c, 9, commitOf(m.group, m.id, m.generation, topic)), nil)
	}
	code(t, "delete", deleteOffset(t, c, m.group, other.name, 0), nil)
	for _, v := range versions(2, 10) {
		resp := askIn[*kmsg.OffsetFetchResponse](t, c, v, offsetsOf(v, false, nil, m.group))
		equal(t, "v"+number(int32(v)), offsetsIn(t, v, resp, m.group), []offset{{0, 5, -1, "", 0}})
	}
}
