package brokertest

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func limitBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "limits/topics with too many partitions are refused",
			Source: "ReplicationControlManager.createTopics, MAX_PARTITIONS_PER_BATCH",
			Run:    tooManyPartitionsOfTopics,
		},
		{
			Name:   "limits/records for unknown topic ids are refused one by one",
			Source: "KIP-516: Produce v13",
			Run:    unknownTopicIDsProducedTo,
		},
		{
			Name:   "limits/batches are refused that are not what they say",
			Source: "LogValidator, DefaultRecordBatch, DefaultRecord.readFrom",
			Run:    lyingBatches,
		},
		{
			Name:   "limits/members with too much metadata are refused",
			Source: "KIP-848: a group is kept in records, of no more than message.max.bytes",
			Run:    tooMuchMetadata,
		},
	}
}

func tooManyPartitionsOfTopics(t T, c Cluster) {
	cl := newClient(t, c)
	for _, counts := range [][]int32{{10_001}, {1, 6_000, 6_000}} {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.TimeoutMillis = int32(patience.Milliseconds())
		for _, n := range counts {
			rt := kmsg.NewCreateTopicsRequestTopic()
			rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name("topic"), n, 1
			req.Topics = append(req.Topics, rt)
		}
		resp := ask[*kmsg.CreateTopicsResponse](t, cl, req)
		equal(t, "topics answered", len(resp.Topics), len(counts))
		for _, rt := range resp.Topics {
			code(t, "topic", rt.ErrorCode, kerr.PolicyViolation)
			equal(t, "message", text(rt.ErrorMessage), "Excessively large number of partitions per request.")
		}
	}
}

func unknownTopicIDsProducedTo(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 2)
	meta := describe(t, cl, topic)
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = 1, int32(patience.Milliseconds())
	ids := [][16]byte{{1}, meta.TopicID, {2}}
	for _, id := range ids {
		rt := kmsg.NewProduceRequestTopic()
		rt.TopicID = id
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Records = batch("a")
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
	}
	leader := meta.Partitions[slices.IndexFunc(meta.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Partition == 0 })].Leader
	answer, err := cl.Broker(int(leader)).Request(within(t), req)
	noError(t, err)
	resp := answer.(*kmsg.ProduceResponse)
	equal(t, "topics answered", len(resp.Topics), len(ids))
	for _, rt := range resp.Topics {
		equal(t, "partitions answered", len(rt.Partitions), 1)
		want := kerr.UnknownTopicID
		if rt.TopicID == meta.TopicID {
			want = nil
		}
		code(t, "partition", rt.Partitions[0].ErrorCode, want)
	}
}

// tooMuchMetadata may be refused at once or when the group is to be kept.
func tooMuchMetadata(t T, c Cluster) {
	const largest = 1048588 // of a record, by default
	for _, size := range []int{largest / 2, 2 * largest} {
		for _, leading := range []bool{false, true} {
			join := joinOf(name("group"), "", "orders")
			assigned := make([]byte, 10)
			if leading {
				assigned = make([]byte, size)
			} else {
				join.Protocols[0].Metadata = append(join.Protocols[0].Metadata, make([]byte, size)...)
			}
			in := askIn[*kmsg.JoinGroupResponse](t, c, 3, join) // joins at once
			refused := in.ErrorCode
			if refused == 0 {
				sync := kmsg.NewPtrSyncGroupRequest()
				sync.Group, sync.MemberID, sync.Generation = join.Group, in.MemberID, in.Generation
				a := kmsg.NewSyncGroupRequestGroupAssignment()
				a.MemberID, a.MemberAssignment = in.MemberID, assigned
				sync.GroupAssignment = append(sync.GroupAssignment, a)
				refused = askIn[*kmsg.SyncGroupResponse](t, c, 4, sync).ErrorCode
			}
			want := kerr.UnknownServerError
			if size < largest {
				want = nil
			}
			code(t, "member with "+number(int32(size))+" bytes", refused, want)
			askLast(t, c, leaveOf(join.Group, leaver(in.MemberID, nil)))
			deleteGroup(t, c, join.Group)
		}
	}
}
