package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// maxPartitions is how many partitions a request may create, because Kafka's
// controller writes so many records in one batch at most.
const maxPartitions = 10_000

// limits keeps requests from kfake that it cannot survive.
func limits(c Cluster) []Correction {
	return []Correction{
		readingHeaders(c), // before what takes the bytes of batches away
		checkingBatches(c),
		{
			Rule: wire.Rule{
				Name: "members with too much metadata are refused",
				Keys: wire.Keys(kmsg.JoinGroup, kmsg.SyncGroup),
				Request: func(x *wire.Exchange) {
					asked(func(x *wire.Exchange, req *kmsg.JoinGroupRequest) { boundMetadata(c, x, req) })(x)
					asked(func(x *wire.Exchange, req *kmsg.SyncGroupRequest) { boundAssignments(c, x, req) })(x)
				},
			},
			Restores:  "GroupMetadataManager: a group that does not fit a record, of message.max.bytes, is refused with UNKNOWN_SERVER_ERROR",
			Upstream:  "11_join_group.go and 14_sync_group.go take what fits a request, and groups.go makes room for as many topics as the metadata has bytes",
			Behaviour: "limits/members with too much metadata are refused",
		},
		{
			Rule: wire.Rule{
				Name: "a bounded number of partitions is made at once",
				Keys: wire.Keys(kmsg.CreateTopics, kmsg.CreatePartitions),
				Request: func(x *wire.Exchange) {
					asked(boundTopics)(x)
					asked(func(x *wire.Exchange, req *kmsg.CreatePartitionsRequest) { boundPartitions(c, x, req) })(x)
				},
			},
			Restores:  "ReplicationControlManager.createTopics: more than 10,000 partitions in a request are a policy violation",
			Upstream:  "19_create_topics.go and 37_create_partitions.go make as many as asked for, until memory ends",
			Behaviour: "limits/topics with too many partitions are refused",
		},
		{
			Rule: wire.Rule{
				Name:  "Produce tells unknown topic ids apart",
				Keys:  wire.Keys(kmsg.Produce),
				Wants: func(h wire.Header) bool { return h.Version >= producedByID },
				SkipRequest: func(h wire.Header, body []byte) bool {
					s := startOfProduce(h, body)
					return s.ok && s.topics == 1
				},
				Request: asked(func(x *wire.Exchange, req *kmsg.ProduceRequest) { produceKnown(c, x, req) }),
				Answer:  amended(refuseUnknown),
			},
			Restores:  "KIP-516: a partition of an unknown topic id is answered with UNKNOWN_TOPIC_ID, under its topic id",
			Upstream:  "00_produce.go takes partitions of unknown topic ids for one another, and panics",
			Behaviour: "limits/records for unknown topic ids are refused one by one",
			Fatal:     true,
		},
	}
}

func boundTopics(x *wire.Exchange, req *kmsg.CreateTopicsRequest) {
	total := 0
	for _, t := range req.Topics {
		total += max(1, int(t.NumPartitions), len(t.ReplicaAssignment))
	}
	if total <= maxPartitions {
		return
	}
	resp := kmsg.NewPtrCreateTopicsResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.ErrorCode = t.Topic, kerr.PolicyViolation.Code
		rt.ErrorMessage = kmsg.StringPtr("Excessively large number of partitions per request.")
		resp.Topics = append(resp.Topics, rt)
	}
	x.Reply(resp)
}

// boundPartitions answers as Kafka's controller does, which finds out only when it
// writes the records. There is no behaviour of it, because a real broker is busy
// for half a minute afterwards.
func boundPartitions(c Cluster, x *wire.Exchange, req *kmsg.CreatePartitionsRequest) {
	if partitionsAdded(c, req) <= maxPartitions {
		return
	}
	resp := kmsg.NewPtrCreatePartitionsResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic, rt.ErrorCode = t.Topic, kerr.UnknownServerError.Code
		resp.Topics = append(resp.Topics, rt)
	}
	x.Reply(resp)
}

// partitionsAdded is how many partitions a request asks for beyond those there are.
func partitionsAdded(c Cluster, req *kmsg.CreatePartitionsRequest) (total int) {
	for _, t := range req.Topics {
		topic, _ := c.Topic(t.Topic) // an unknown one has none
		total += max(0, int(t.Count)-len(topic.Leaders))
	}
	return total
}

// produceKnown asks the broker for the topics that it knows.
func produceKnown(c Cluster, x *wire.Exchange, req *kmsg.ProduceRequest) {
	known := *req
	known.Topics = slices.DeleteFunc(slices.Clone(req.Topics), func(t kmsg.ProduceRequestTopic) bool {
		_, ok := c.TopicName(t.TopicID)
		return !ok
	})
	if len(known.Topics) < len(req.Topics) {
		x.SetRequest(&known)
	}
}

// refuseUnknown answers for the topics that produceKnown has left out.
func refuseUnknown(x *wire.Exchange, resp *kmsg.ProduceResponse) bool {
	original, err := x.Original()
	if err != nil {
		return false
	}
	var missing []kmsg.ProduceResponseTopic
	for _, t := range original.(*kmsg.ProduceRequest).Topics {
		if slices.ContainsFunc(resp.Topics, func(rt kmsg.ProduceResponseTopic) bool { return rt.TopicID == t.TopicID }) {
			continue
		}
		rt := kmsg.NewProduceResponseTopic()
		rt.TopicID = t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.BaseOffset, rp.LogStartOffset = p.Partition, kerr.UnknownTopicID.Code, -1, -1
			rt.Partitions = append(rt.Partitions, rp)
		}
		missing = append(missing, rt)
	}
	resp.Topics = append(resp.Topics, missing...)
	return len(missing) > 0
}

// boundMetadata refuses at once what Kafka would refuse when the group is synced,
// which is when it keeps the metadata of the protocol that was chosen.
func boundMetadata(c Cluster, x *wire.Exchange, req *kmsg.JoinGroupRequest) {
	largest := 0
	for _, p := range req.Protocols {
		largest = max(largest, len(p.Metadata))
	}
	if largest <= defaultLargest || largest <= largestMessage(c) {
		return
	}
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.ErrorCode, resp.Generation, resp.MemberID = kerr.UnknownServerError.Code, -1, req.MemberID
	x.Reply(resp)
}

// boundAssignments does so for those that the leader made.
func boundAssignments(c Cluster, x *wire.Exchange, req *kmsg.SyncGroupRequest) {
	total := 0
	for _, a := range req.GroupAssignment {
		total += len(a.MemberAssignment)
	}
	if total <= defaultLargest || total <= largestMessage(c) {
		return
	}
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.ErrorCode = kerr.UnknownServerError.Code
	x.Reply(resp)
}
