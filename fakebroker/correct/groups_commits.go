package correct

import (
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// groupCommits is about writing and deleting offsets.
func groupCommits(g coordinators) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:    "who is no member commits whatever the instance id",
				Keys:    wire.Keys(kmsg.OffsetCommit),
				Request: asked(commitWithoutMembership),
			},
			Restores:  "ClassicGroup.validateOffsetCommit: a commit without a generation needs an empty group and nothing else",
			Upstream:  "groups.go, handleOffsetCommit: UNKNOWN_MEMBER_ID for an instance id that has not joined",
			Behaviour: "groups/a consumer that assigns itself commits with an instance id",
		},
		{
			Rule: wire.Rule{
				Name:   "a commit to a group without members says what is missing",
				Keys:   wire.Keys(kmsg.OffsetCommit),
				Answer: answered(g.commitOfStranger),
			},
			Restores:  "OffsetMetadataManager.validateOffsetCommit: an unknown group is ILLEGAL_GENERATION, from v9 on GROUP_ID_NOT_FOUND; a stranger is UNKNOWN_MEMBER_ID in any version",
			Upstream:  "groups.go, handleOffsetCommit and handleConsumerOffsetCommit: ILLEGAL_GENERATION, UNSUPPORTED_VERSION",
			Behaviour: "groups/a commit by who is no member says why it is refused",
		},
		{
			Rule: wire.Rule{
				Name:    "metadata of offsets has a limit",
				Keys:    wire.Keys(kmsg.OffsetCommit, kmsg.TxnOffsetCommit),
				Request: asked(limitMetadata),
				Answer:  amended(g.metadataTooLarge),
			},
			Restores:  "offset.metadata.max.bytes, 4096: OFFSET_METADATA_TOO_LARGE for the partition, the others are committed",
			Upstream:  "groups.go, txns.go: any metadata is kept",
			Behaviour: "groups/metadata of offsets has a limit",
		},
		{
			Rule: wire.Rule{
				Name:    "a transaction adds offsets to a group with a name",
				Keys:    wire.Keys(kmsg.TxnOffsetCommit),
				Request: asked(transactionWithoutGroup),
			},
			Restores:  "TxnOffsetCommit: INVALID_GROUP_ID for an empty group id",
			Upstream:  "txns.go, doTxnOffsetCommit: INVALID_TXN_STATE, or no error",
			Behaviour: "groups/a transaction adds offsets to a group with a name",
		},
	}
}

func commitWithoutMembership(x *wire.Exchange, req *kmsg.OffsetCommitRequest) {
	if req.InstanceID != nil && req.Generation < 0 && req.MemberID == "" {
		req.InstanceID = nil
		x.SetRequest(req)
	}
}

func (g coordinators) commitOfStranger(x *wire.Exchange, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) (changed bool) {
	const memberEpochs = 9 // OffsetCommit has them in place of generations from here
	doubtful := func(code int16) bool {
		return code == kerr.IllegalGeneration.Code || code == kerr.UnknownMemberID.Code || code == kerr.UnsupportedVersion.Code
	}
	asked, want := false, int16(0)
	eachCommit(resp, func(p *kmsg.OffsetCommitResponseTopicPartition) {
		if !doubtful(p.ErrorCode) {
			return
		}
		if !asked {
			asked = true
			about, ok := g.about(x, req.Group)
			switch {
			case !ok:
			case about.kind == noGroup && x.Version >= memberEpochs:
				want = kerr.GroupIDNotFound.Code
			case about.kind == noGroup:
				want = kerr.IllegalGeneration.Code
			case !about.member(req.MemberID):
				want = kerr.UnknownMemberID.Code
			}
		}
		if want != 0 && p.ErrorCode != want {
			p.ErrorCode, changed = want, true
		}
	})
	return changed
}

func eachCommit(resp *kmsg.OffsetCommitResponse, f func(p *kmsg.OffsetCommitResponseTopicPartition)) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			f(&resp.Topics[i].Partitions[j])
		}
	}
}

// maxMetadata is offset.metadata.max.bytes, by default.
const maxMetadata = 4096

// unlikely makes of a partition one that does not exist, so that the broker
// refuses it, and the other way round.
func unlikely(partition int32) int32 { return partition ^ math.MinInt32 }

// isUnlikely leaves alone what a client could ask for by mistake.
func isUnlikely(partition int32) bool { return partition < math.MinInt32/2 }

func limitMetadata(x *wire.Exchange, r kmsg.Request) {
	changed := false
	limit := func(partition *int32, metadata *string) {
		if metadata != nil && len(*metadata) > maxMetadata && *partition >= 0 {
			*partition, changed = unlikely(*partition), true
		}
	}
	switch req := r.(type) {
	case *kmsg.OffsetCommitRequest:
		for _, t := range req.Topics {
			for i := range t.Partitions {
				limit(&t.Partitions[i].Partition, t.Partitions[i].Metadata)
			}
		}
	case *kmsg.TxnOffsetCommitRequest:
		for _, t := range req.Topics {
			for i := range t.Partitions {
				limit(&t.Partitions[i].Partition, t.Partitions[i].Metadata)
			}
		}
	}
	if changed {
		x.SetRequest(r)
	}
}

func (g coordinators) metadataTooLarge(_ *wire.Exchange, a kmsg.Response) (changed bool) {
	restore := func(topic string, id [16]byte, partition *int32, code *int16) {
		if !isUnlikely(*partition) {
			return
		}
		*partition, changed = unlikely(*partition), true
		if *code != kerr.UnknownTopicOrPartition.Code {
			return // refused for another reason, which comes first
		}
		if id != [16]byte{} {
			topic, _ = g.TopicName(id)
		}
		if g.exists(topic, *partition) {
			*code = kerr.OffsetMetadataTooLarge.Code
		}
	}
	switch resp := a.(type) {
	case *kmsg.OffsetCommitResponse:
		for _, t := range resp.Topics {
			for i := range t.Partitions {
				restore(t.Topic, t.TopicID, &t.Partitions[i].Partition, &t.Partitions[i].ErrorCode)
			}
		}
	case *kmsg.TxnOffsetCommitResponse:
		for _, t := range resp.Topics {
			for i := range t.Partitions {
				restore(t.Topic, t.TopicID, &t.Partitions[i].Partition, &t.Partitions[i].ErrorCode)
			}
		}
	}
	return changed
}

// exists reports whether there is such a partition.
func (g coordinators) exists(topic string, partition int32) bool {
	t, ok := g.Topic(topic)
	return ok && partition >= 0 && int(partition) < len(t.Leaders)
}

func transactionWithoutGroup(x *wire.Exchange, req *kmsg.TxnOffsetCommitRequest) {
	if req.Group != "" {
		return
	}
	resp := kmsg.NewPtrTxnOffsetCommitResponse()
	for _, t := range req.Topics {
		topic := kmsg.NewTxnOffsetCommitResponseTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			part := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			part.Partition, part.ErrorCode = p.Partition, kerr.InvalidGroupID.Code
			topic.Partitions = append(topic.Partitions, part)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	x.Reply(resp)
}
