package brokertest

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func internalBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "topics/the first coordinator has an internal topic",
			Source: "FindCoordinator; AutoTopicCreationManager, Topic.isInternal",
			Run:    coordinatorsHaveTopics,
		},
		{
			Name:   "topics/share groups have an internal topic",
			Source: "KIP-932; Topic.SHARE_GROUP_STATE_TOPIC_NAME",
			Run:    shareGroupsHaveTopic,
		},
		{
			Name:   "topics/clients do not write to internal topics",
			Source: "ReplicaManager.appendToLocalLog, deleteRecordsOnLocalLog: INVALID_TOPIC_EXCEPTION",
			Run:    internalTopicsAreNotWritten,
		},
	}
}

const (
	offsetsTopic      = "__consumer_offsets"
	transactionsTopic = "__transaction_state"
	sharesTopic       = "__share_group_state"
)

// findCoordinators waits for those of a group and of a transactional id, and for
// their topics.
func findCoordinators(t T, c Cluster) {
	t.Helper()
	for _, kind := range []int8{0, 1} {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorType, req.CoordinatorKey = kind, name("key")
		eventually(t, "a coordinator", func() bool {
			resp := dial(t, c.Options).ask(2, req)
			return resp != nil && resp.(*kmsg.FindCoordinatorResponse).ErrorCode == 0
		})
	}
	for _, topic := range []string{offsetsTopic, transactionsTopic} {
		eventually(t, topic, func() bool { return topicListed(t, newClient(t, c), topic) })
	}
}

func coordinatorsHaveTopics(t T, c Cluster) {
	findCoordinators(t, c)
	cl := newClient(t, c)
	plain := newTopic(t, cl, 1)
	internal := map[string]bool{offsetsTopic: true, transactionsTopic: true, plain: false}
	for _, v := range versions(1, 13) {
		what := "v" + number(int32(v)) + ": "
		cl := newClient(t, c, version(kmsg.Metadata, v))
		for _, topics := range [][]string{nil, {offsetsTopic, transactionsTopic, plain}} {
			req := metadataOf(false, topics...)
			seen := make(map[string]bool)
			for _, rt := range ask[*kmsg.MetadataResponse](t, cl, req).Topics {
				if want, ok := internal[text(rt.Topic)]; ok {
					seen[*rt.Topic] = rt.IsInternal
					equal(t, what+*rt.Topic+" is internal", rt.IsInternal, want)
				}
			}
			equal(t, what+"topics", seen, internal)
		}
	}
	seen := make(map[string]bool)
	for _, rt := range describeTopics(t, cl, 2000, nil, offsetsTopic, transactionsTopic, plain).Topics {
		seen[text(rt.Topic)] = rt.IsInternal
	}
	equal(t, "described topics", seen, internal)
	configs := describeConfigs(t, cl, someBroker(t, cl), topicResource, offsetsTopic)
	equal(t, "policy", setting(configs, "cleanup.policy"), "cleanup.policy=compact 1 [cleanup.policy=compact 1] [log.cleanup.policy=delete 5]")
	equal(t, "segments", setting(configs, "segment.bytes"), "segment.bytes=104857600 1 [segment.bytes=104857600 1] [log.segment.bytes=1073741824 5]")
	created := ask[*kmsg.CreateTopicsResponse](t, cl, newTopicRequest(topicToCreate(offsetsTopic, 1, 1), topicToCreate("__consumer.offsets", 1, 1)))
	for _, rt := range created.Topics {
		want := kerr.TopicAlreadyExists
		if rt.Topic != offsetsTopic {
			want = kerr.InvalidTopicException
		}
		code(t, "creating "+rt.Topic, rt.ErrorCode, want)
	}
}

func internalTopicsAreNotWritten(t T, c Cluster) {
	findCoordinators(t, c)
	for _, topic := range []string{offsetsTopic, transactionsTopic} {
		for _, v := range versions(3, 13) {
			cl := newClient(t, c, version(kmsg.Produce, v))
			p := produceRaw(t, cl, topic, keyedBatch([]byte("k")))
			code(t, "v"+number(int32(v))+" to "+topic, p.ErrorCode, kerr.InvalidTopicException)
			equal(t, "base offset", p.BaseOffset, -1)
			equal(t, "log start", p.LogStartOffset, -1)
			equal(t, "message", text(p.ErrorMessage), "null")
		}
		cl := newClient(t, c)
		p := deleteRecords(t, cl, topic, topic, 0, 0)
		code(t, "deleting records of "+topic, p.ErrorCode, kerr.InvalidTopicException)
		equal(t, "low watermark", p.LowWatermark, -1)
	}
	produceBesides(t, c, offsetsTopic)
}

// produceBesides has records for another topic in the same request.
func produceBesides(t T, c Cluster, internal string) {
	t.Helper()
	cl := newClient(t, c, version(kmsg.Produce, 12))
	plain := newTopic(t, cl, 1)
	leader := partition(t, cl, plain).Leader
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, int32(patience.Milliseconds())
	for _, topic := range []string{plain, internal} {
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic = topic
		for _, p := range describe(t, cl, topic).Partitions {
			if p.Leader == leader {
				rp := kmsg.NewProduceRequestTopicPartition()
				rp.Partition, rp.Records = p.Partition, keyedBatch([]byte("k"))
				if topic == plain { // much else comes first
					rp.Records = encodeRecords(kmsg.RecordBatch{ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1}, slices.Repeat([]kmsg.Record{{Value: []byte("value")}}, 2000)...)
				}
				rt.Partitions = append(rt.Partitions, rp)
			}
		}
		req.Topics = append(req.Topics, rt)
	}
	resp := askOf[*kmsg.ProduceResponse](t, cl, leader, req)
	equal(t, "topics answered", len(resp.Topics), 2)
	for _, rt := range resp.Topics {
		want := kerr.InvalidTopicException
		if rt.Topic == plain {
			want = nil
		}
		for _, p := range rt.Partitions {
			code(t, "records for "+rt.Topic, p.ErrorCode, want)
		}
	}
}

func shareGroupsHaveTopic(t T, c Cluster) {
	cl := newClient(t, c)
	sharing(t, c, newTopicOf(t, cl, 1))
	var rt kmsg.MetadataResponseTopic
	eventually(t, "the topic", func() bool {
		rt = ask[*kmsg.MetadataResponse](t, cl, metadataOf(false, sharesTopic)).Topics[0]
		return rt.ErrorCode == 0
	})
	equal(t, "internal", rt.IsInternal, true)
	configs := describeConfigs(t, cl, someBroker(t, cl), topicResource, sharesTopic)
	equal(t, "retention", setting(configs, "retention.ms"), "retention.ms=-1 1 [retention.ms=-1 1]")
}
