package correct

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// groupOffsets is about reading what groups have committed.
func groupOffsets(g coordinators) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:   "an unknown group has no offsets",
				Keys:   wire.Keys(kmsg.OffsetFetch),
				Answer: answered(g.offsetsOfUnknownGroups),
			},
			Restores:  "OffsetMetadataManager.fetchOffsets: each partition of a group that does not exist is at offset -1, without an error",
			Upstream:  "groups.go, handleOffsetFetch: GROUP_ID_NOT_FOUND, without topics",
			Behaviour: "groups/an unknown group has no offsets and no error",
		},
		{
			Rule: wire.Rule{
				Name:   "offsets of an unknown topic id cannot be asked for",
				Keys:   wire.Keys(kmsg.OffsetFetch),
				Wants:  func(h wire.Header) bool { return h.Version >= offsetsByTopicID },
				Answer: answered(g.offsetsOfUnknownTopics),
			},
			Restores:  "OffsetFetch v10: UNKNOWN_TOPIC_ID for each partition of a topic id that does not exist",
			Upstream:  "groups.go, fillOffsetFetch: offset -1 without an error",
			Behaviour: "groups/offsets of an unknown topic id cannot be asked for",
		},
		{
			Rule: wire.Rule{
				Name:   "offsets without metadata have an empty one",
				Keys:   wire.Keys(kmsg.OffsetFetch),
				Answer: answered(emptyMetadata),
			},
			Restores:  "OffsetFetch: metadata is an empty string where nothing, or no metadata, was committed, and with errors",
			Upstream:  "groups.go, fillOffsetFetch: null",
			Behaviour: "groups/offsets without metadata have an empty one",
		},
		{
			Rule: wire.Rule{
				Name:   "a transaction's offsets make their group",
				Keys:   wire.Keys(kmsg.TxnOffsetCommit),
				Answer: answered(g.groupOfTransaction),
			},
			Restores:  "KIP-447: an offset that a transaction may still commit is UNSTABLE_OFFSET_COMMIT, also in a group that has no other",
			Upstream:  "txns.go creates the group when the transaction ends",
			Behaviour: "groups/an offset that a transaction may still commit is unstable in a new group",
		},
	}
}

const (
	offsetsByGroup   = 8  // OffsetFetch asks about several groups from here
	offsetsByTopicID = 10 // and names topics by id from here
)

func (g coordinators) offsetsOfUnknownGroups(x *wire.Exchange, req *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse) (changed bool) {
	if x.Version < offsetsByGroup {
		// Version 1 has no place for an error of the group, so there is
		// nothing to see of it but that the topics are missing.
		refused := resp.ErrorCode == kerr.GroupIDNotFound.Code || (resp.ErrorCode == 0 && len(resp.Topics) == 0)
		if !refused || !g.unknown(x, req.Group) {
			return false
		}
		resp.ErrorCode = 0
		for _, t := range req.Topics {
			topic := kmsg.NewOffsetFetchResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				part := kmsg.NewOffsetFetchResponseTopicPartition()
				part.Partition, part.Offset, part.LeaderEpoch = p, -1, -1
				topic.Partitions = append(topic.Partitions, part)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return true
	}
	for i := range resp.Groups {
		to := &resp.Groups[i]
		if i >= len(req.Groups) || to.ErrorCode != kerr.GroupIDNotFound.Code || !g.unknown(x, to.Group) {
			continue
		}
		to.ErrorCode, changed = 0, true
		for _, t := range req.Groups[i].Topics {
			topic := kmsg.NewOffsetFetchResponseGroupTopic()
			topic.Topic, topic.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				part := kmsg.NewOffsetFetchResponseGroupTopicPartition()
				part.Partition, part.Offset, part.LeaderEpoch = p, -1, -1
				topic.Partitions = append(topic.Partitions, part)
			}
			to.Topics = append(to.Topics, topic)
		}
	}
	return changed
}

func (g coordinators) offsetsOfUnknownTopics(_ *wire.Exchange, _ *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse) (changed bool) {
	eachOffset(resp, func(topic [16]byte, p *kmsg.OffsetFetchResponseGroupTopicPartition) {
		if p.Offset >= 0 || p.ErrorCode != 0 {
			return
		}
		if _, exists := g.TopicName(topic); !exists {
			p.ErrorCode, changed = kerr.UnknownTopicID.Code, true
		}
	})
	return changed
}

func eachOffset(resp *kmsg.OffsetFetchResponse, f func(topic [16]byte, p *kmsg.OffsetFetchResponseGroupTopicPartition)) {
	for i := range resp.Groups {
		for j := range resp.Groups[i].Topics {
			t := &resp.Groups[i].Topics[j]
			for k := range t.Partitions {
				f(t.TopicID, &t.Partitions[k])
			}
		}
	}
}

func emptyMetadata(_ *wire.Exchange, _ *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse) (changed bool) {
	empty := func(m **string) {
		if *m == nil {
			*m, changed = kmsg.StringPtr(""), true
		}
	}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			empty(&resp.Topics[i].Partitions[j].Metadata)
		}
	}
	eachOffset(resp, func(_ [16]byte, p *kmsg.OffsetFetchResponseGroupTopicPartition) { empty(&p.Metadata) })
	return changed
}

// groupOfTransaction has a group exist from the first offset that a transaction
// adds to it. A commit of nothing makes one, and does nothing to one that exists.
func (g coordinators) groupOfTransaction(x *wire.Exchange, req *kmsg.TxnOffsetCommitRequest, resp *kmsg.TxnOffsetCommitResponse) bool {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				continue
			}
			const version = 8
			nothing := kmsg.NewPtrOffsetCommitRequest()
			nothing.Version, nothing.Group, nothing.Generation = version, req.Group, -1
			askCoordinator[*kmsg.OffsetCommitResponse](g, x, req.Group, nothing)
			return false
		}
	}
	return false
}
