package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func topicBasicsBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "topics/a topic has the partitions and configurations that it is created with",
			Source: "KIP-4: CreateTopics",
			Run:    topicIsCreated,
		},
		{
			Name:   "topics/partitions are added behind those that there are",
			Source: "KIP-195: CreatePartitions",
			Run:    partitionsAreAdded,
		},
		{
			Name:   "topics/records that are deleted cannot be fetched",
			Source: "KIP-107: DeleteRecords; Fetch: OFFSET_OUT_OF_RANGE",
			Run:    deletedRecordsAreGone,
		},
		{
			Name:   "topics/a topic is deleted with its records",
			Source: "KIP-4: DeleteTopics; KIP-516",
			Run:    topicIsDeleted,
		},
		{
			Name:   "groups/a group with members is not deleted",
			Source: "KIP-229: DeleteGroups, NON_EMPTY_GROUP",
			Run:    groupInUseStays,
		},
		{
			Name:   "groups/a group is deleted with its offsets",
			Source: "KIP-229: DeleteGroups, GROUP_ID_NOT_FOUND",
			Run:    groupIsDeleted,
		},
	}
}

func topicIsCreated(t T, c Cluster) {
	cl := newClient(t, c)
	topic := name("topic")
	deleteLater(t, cl, topic)
	create := topicToCreate(topic, 3, 1)
	retention := kmsg.NewCreateTopicsRequestTopicConfig()
	retention.Name, retention.Value = "retention.ms", kmsg.StringPtr("12345")
	create.Configs = append(create.Configs, retention)
	got := ask[*kmsg.CreateTopicsResponse](t, cl, newTopicRequest(create)).Topics[0]
	code(t, "create", got.ErrorCode, nil)
	equal(t, "partitions in the answer", got.NumPartitions, 3)
	equal(t, "replicas in the answer", got.ReplicationFactor, 1)
	for i, p := range haveLeaders(t, cl, topic, 3) {
		equal(t, "partition", p.Partition, int32(i))
		equal(t, "replicas", len(p.Replicas), 1)
		equal(t, "leader", p.Leader, p.Replicas[0])
	}
	known := describe(t, cl, topic)
	equal(t, "id", known.TopicID, got.TopicID)
	equal(t, "internal", known.IsInternal, false)
	equal(t, "listed", topicListed(t, cl, topic), true)
	settles(t, cl, someBroker(t, cl), kmsg.ConfigResourceTypeTopic, topic, "retention.ms=12345 1 [retention.ms=12345 1]")
	again := ask[*kmsg.CreateTopicsResponse](t, cl, newTopicRequest(create)).Topics[0]
	code(t, "create again", again.ErrorCode, kerr.TopicAlreadyExists)
}

func partitionsAreAdded(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	produce(t, cl, topic, "a", "b")
	was := partition(t, cl, topic)
	code(t, "grow", ask[*kmsg.CreatePartitionsResponse](t, cl, partitionsToAdd(topic, 3)).Topics[0].ErrorCode, nil)
	now := haveLeaders(t, cl, topic, 3)
	equal(t, "leader of the first", now[0].Leader, was.Leader)
	equal(t, "leader epoch of the first", now[0].LeaderEpoch, was.LeaderEpoch)
	equal(t, "end of the first", offsetAt(t, cl, topic, -1).Offset, 2)
	fresh := newClient(t, c)
	for p := range int32(3) {
		r := &kgo.Record{Topic: topic, Partition: p, Value: []byte("c")}
		noError(t, fresh.ProduceSync(within(t), r).FirstErr())
		equal(t, "offset in partition "+number(p), r.Offset, max(0, 2-2*int64(p)))
	}
}

func deletedRecordsAreGone(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	produce(t, cl, topic.name, "0", "1", "2", "3", "4")
	deleted := deleteRecords(t, cl, topic.name, topic.name, 0, 3)
	code(t, "delete", deleted.ErrorCode, nil)
	equal(t, "low watermark", deleted.LowWatermark, 3)
	equal(t, "first offset", offsetAt(t, cl, topic.name, -2).Offset, 3)
	equal(t, "end", offsetAt(t, cl, topic.name, -1).Offset, 5)
	leader := partition(t, cl, topic.name).Leader
	fetch := fetchOf(-1, 1, topic)
	for at := range int64(5) {
		fetch.Topics[0].Partitions[0].FetchOffset = at
		got := askOf[*kmsg.FetchResponse](t, cl, leader, fetch).Topics[0].Partitions[0]
		what := "offset " + number(int32(at))
		if at < 3 {
			code(t, what, got.ErrorCode, kerr.OffsetOutOfRange)
			continue
		}
		code(t, what, got.ErrorCode, nil)
		equal(t, "log start at "+what, got.LogStartOffset, 3)
		equal(t, "first record from "+what, batchOffsets(got.RecordBatches)[:1], []int64{at})
	}
	produce(t, cl, topic.name, "5")
	equal(t, "end after another", offsetAt(t, cl, topic.name, -1).Offset, 6)
}

func topicIsDeleted(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	produce(t, cl, topic.name, "a", "b")
	leader := partition(t, cl, topic.name).Leader
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.TimeoutMillis, del.TopicNames = int32(patience.Milliseconds()), []string{topic.name}
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.Topic = &topic.name
	del.Topics = append(del.Topics, rt)
	code(t, "delete", ask[*kmsg.DeleteTopicsResponse](t, cl, del).Topics[0].ErrorCode, nil)
	eventually(t, "a leader that does not know the topic", func() bool {
		return askOf[*kmsg.MetadataResponse](t, cl, leader, metadataOf(false, topic.name)).Topics[0].ErrorCode == kerr.UnknownTopicOrPartition.Code
	})
	eventually(t, "a refusal by its id", func() bool {
		return askOf[*kmsg.FetchResponse](t, cl, leader, fetchOf(-1, 1, topic)).Topics[0].Partitions[0].ErrorCode == kerr.UnknownTopicID.Code
	})
	code(t, "delete again", ask[*kmsg.DeleteTopicsResponse](t, cl, del).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition)
	create := newTopicRequest(topicToCreate(topic.name, 1, 1))
	var again kmsg.CreateTopicsResponseTopic
	eventually(t, "a topic of that name", func() bool {
		again = ask[*kmsg.CreateTopicsResponse](t, cl, create).Topics[0]
		return again.ErrorCode == 0
	})
	if again.TopicID == topic.id {
		t.Errorf("topic id: %x, which is that of the topic that was deleted", again.TopicID)
	}
	haveLeaders(t, cl, topic.name, 1)
	equal(t, "end of the new one", offsetAt(t, newClient(t, c), topic.name, -1).Offset, 0)
}

func deletion(t T, cl *kgo.Client, group string) int16 {
	t.Helper()
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{group}
	return ask[*kmsg.DeleteGroupsResponse](t, cl, req).Groups[0].ErrorCode
}

func groupInUseStays(t T, c Cluster) {
	cl := newClient(t, c)
	one := newClassic(t, c, name("group"), nil)
	rebalanced(t, one)
	code(t, "classic group", deletion(t, cl, one.join.Group), kerr.NonEmptyGroup)
	code(t, "heartbeat of its member", one.heartbeat(), nil)
	one.leaves()
	code(t, "classic group that is left", deletion(t, cl, one.join.Group), nil)

	topic := newTopicOf(t, cl, 1)
	other := newConsumer(t, c, name("group"), nil, topic)
	other.obeys(1)
	code(t, "group of the consumer protocol", deletion(t, cl, other.group), kerr.NonEmptyGroup)
	other.beats()
	other.leaves()
	code(t, "group of the consumer protocol that is left", deletion(t, cl, other.group), nil)

	shared := sharing(t, c, topic)
	code(t, "share group", deletion(t, cl, shared.group), kerr.NonEmptyGroup)
	code(t, "heartbeat of its member", ask[*kmsg.ShareGroupHeartbeatResponse](t, cl, shareHeartbeat(shared.group, shared.id, shared.generation)).ErrorCode, nil)
}

func groupIsDeleted(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 2)
	group := committed(t, c, topic)
	code(t, "delete", deletion(t, cl, group), nil)
	_, ok := listed(t, c, 5, group, nil, nil)
	equal(t, "listed", ok, false)
	resp := askIn[*kmsg.OffsetFetchResponse](t, c, 7, offsetsOf(7, false, &topic, group))
	equal(t, "offsets", offsetsIn(t, 7, resp, group), []offset{noOffset(0), noOffset(1)})
	code(t, "delete again", deletion(t, cl, group), kerr.GroupIDNotFound)
}
