package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// groupDeletions is about deleting offsets.
func groupDeletions(g coordinators) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:   "offsets of partitions that do not exist cannot be deleted",
				Keys:   wire.Keys(kmsg.OffsetDelete),
				Answer: answered(g.deletedOffsets),
			},
			Restores:  "OffsetDelete: UNKNOWN_TOPIC_OR_PARTITION; INVALID_GROUP_ID for a group without a name",
			Upstream:  "groups.go, handleOffsetDelete: no error; 47_offset_delete.go: GROUP_ID_NOT_FOUND",
			Behaviour: "groups/offsets of partitions that do not exist cannot be deleted",
		},
		{
			Rule: wire.Rule{
				Name:   "a group of the consumer protocol deletes offsets of topics that it does not subscribe to",
				Keys:   wire.Keys(kmsg.OffsetDelete),
				Answer: answered(g.deleteOffsetsOfConsumers),
			},
			Restores:  "OffsetDelete: GROUP_SUBSCRIBED_TO_TOPIC for topics that members subscribe to; others are deleted",
			Upstream:  "groups.go, handleOffsetDelete: NON_EMPTY_GROUP, or GROUP_ID_NOT_FOUND while members reconcile",
			Behaviour: "groups/a group of the consumer protocol deletes offsets of topics that it does not subscribe to",
		},
		{
			Rule: wire.Rule{
				Name:   "a deleted offset is not listed",
				Keys:   wire.Keys(kmsg.OffsetFetch),
				Answer: answered(listedOffsets),
			},
			Restores:  "OffsetFetch of all topics: those with an offset",
			Upstream:  "groups.go, fillOffsetFetch: also those at -1, where the correction above has put them",
			Behaviour: "groups/a deleted offset is not listed",
		},
	}
}

func (g coordinators) deletedOffsets(_ *wire.Exchange, req *kmsg.OffsetDeleteRequest, resp *kmsg.OffsetDeleteResponse) (changed bool) {
	if req.Group == "" && resp.ErrorCode == kerr.GroupIDNotFound.Code {
		resp.ErrorCode = kerr.InvalidGroupID.Code
		return true
	}
	for _, t := range resp.Topics {
		for i := range t.Partitions {
			p := &t.Partitions[i]
			if p.ErrorCode == 0 && !g.exists(t.Topic, p.Partition) {
				p.ErrorCode, changed = kerr.UnknownTopicOrPartition.Code, true
			}
		}
	}
	return changed
}

// deleteOffsetsOfConsumers has one of the members commit what kfake does not
// delete while there are members: offset -1, which is what is answered for a
// partition without one.
func (g coordinators) deleteOffsetsOfConsumers(x *wire.Exchange, req *kmsg.OffsetDeleteRequest, resp *kmsg.OffsetDeleteResponse) bool {
	if resp.ErrorCode != kerr.NonEmptyGroup.Code && resp.ErrorCode != kerr.GroupIDNotFound.Code {
		return false
	}
	about, ok := g.about(x, req.Group)
	if !ok || about.kind != consumerGroup || len(about.consumer.Members) == 0 {
		return false
	}
	subscribed := g.subscribed(about.consumer)
	*resp = kmsg.OffsetDeleteResponse{Version: resp.Version, ThrottleMillis: resp.ThrottleMillis}
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetDeleteResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			part := kmsg.NewOffsetDeleteResponseTopicPartition()
			part.Partition = p.Partition
			switch {
			case !g.exists(t.Topic, p.Partition):
				part.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case subscribed[t.Topic]:
				part.ErrorCode = kerr.GroupSubscribedToTopic.Code
			default:
				part.ErrorCode = g.commitNothing(x, about.consumer, t.Topic, p.Partition)
			}
			topic.Partitions = append(topic.Partitions, part)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return true
}

// subscribed lists the topics that members name, and those that a pattern has
// found for them.
func (g coordinators) subscribed(group kmsg.ConsumerGroupDescribeResponseGroup) map[string]bool {
	topics := make(map[string]bool)
	for _, m := range group.Members {
		for _, t := range m.SubscribedTopics {
			topics[t] = true
		}
		for _, a := range []kmsg.Assignment{m.Assignment, m.TargetAssignment} {
			for _, t := range a.TopicPartitions {
				if name, ok := g.TopicName(t.TopicID); ok {
					topics[name] = true
				}
			}
		}
	}
	return topics
}

func (g coordinators) commitNothing(x *wire.Exchange, group kmsg.ConsumerGroupDescribeResponseGroup, topic string, partition int32) int16 {
	const version = 9 // the first that has member epochs
	m := group.Members[0]
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.MemberID, req.Generation = version, group.Group, m.MemberID, m.MemberEpoch
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch = partition, -1, -1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, ok := askCoordinator[*kmsg.OffsetCommitResponse](g, x, group.Group, req)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return kerr.UnknownServerError.Code
	}
	return resp.Topics[0].Partitions[0].ErrorCode
}

func listedOffsets(x *wire.Exchange, req *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse) (changed bool) {
	if x.Version < offsetsByGroup {
		if req.Topics != nil {
			return false
		}
		for i := range resp.Topics {
			t := &resp.Topics[i]
			n := len(t.Partitions)
			t.Partitions = slices.DeleteFunc(t.Partitions, func(p kmsg.OffsetFetchResponseTopicPartition) bool { return p.ErrorCode == 0 && p.Offset < 0 })
			changed = changed || len(t.Partitions) < n
		}
		resp.Topics = slices.DeleteFunc(resp.Topics, func(t kmsg.OffsetFetchResponseTopic) bool { return len(t.Partitions) == 0 })
		return changed
	}
	for i := range resp.Groups {
		g := &resp.Groups[i]
		if i >= len(req.Groups) || req.Groups[i].Topics != nil {
			continue
		}
		for j := range g.Topics {
			t := &g.Topics[j]
			n := len(t.Partitions)
			t.Partitions = slices.DeleteFunc(t.Partitions, func(p kmsg.OffsetFetchResponseGroupTopicPartition) bool { return p.ErrorCode == 0 && p.Offset < 0 })
			changed = changed || len(t.Partitions) < n
		}
		g.Topics = slices.DeleteFunc(g.Topics, func(t kmsg.OffsetFetchResponseGroupTopic) bool { return len(t.Partitions) == 0 })
	}
	return changed
}
