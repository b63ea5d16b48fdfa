package correct

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// sharing is about share groups (KIP-932).
func sharing(g coordinators) []Correction {
	limits := newShareLimits()
	offsets := wire.Keys(kmsg.AlterShareGroupOffsets, kmsg.DeleteShareGroupOffsets)
	return []Correction{
		shareEpochs(),
		shareSessions(),
		{
			Rule: wire.Rule{
				Name:    "ShareFetch answers no more than MaxBytes",
				Keys:    wire.Keys(kmsg.ShareFetch),
				Request: asked(limits.ask),
				Answer:  answered(limits.answer),
			},
			Restores:  "KIP-932: MaxBytes bounds the records of an answer, but for its first batch; with 0 there are none",
			Upstream:  "78_share_fetch.go looks at MaxRecords only",
			Behaviour: "share/ShareFetch answers no more than MaxBytes",
		},
		{
			Rule: wire.Rule{
				Name:   "ShareFetch has empty records where there are none",
				Keys:   wire.Keys(kmsg.ShareFetch),
				Answer: answered(emptyShares),
			},
			Restores:  "ShareFetch: records are empty, never null; librdkafka drops an answer with null ones, and what was acquired stays locked",
			Upstream:  "78_share_fetch.go",
			Behaviour: "share/ShareFetch has empty records where there are none",
		},
		{
			Rule: wire.Rule{
				Name:   "the first answer of a share session lists every partition",
				Keys:   wire.Keys(kmsg.ShareFetch),
				Answer: answered(listShares),
			},
			Restores:  "ShareSessionContext.updateAndGenerateResponseData: only later answers leave out partitions without records",
			Upstream:  "78_share_fetch.go leaves them out of all",
			Behaviour: "share/the first answer of a session lists every partition",
		},
		{
			Rule: wire.Rule{
				Name:       "a refused ShareFetch locks nothing",
				Keys:       wire.Keys(kmsg.ShareFetch),
				AnswerOnly: true,
				Answer:     amended(lockNothing),
			},
			Restores:  "ShareFetchRequest.getErrorResponse: no timeout for locks beside an error",
			Upstream:  "78_share_fetch.go has it in every answer",
			Behaviour: "share/a refused fetch locks nothing",
		},
		{
			Rule: wire.Rule{
				Name:   "ShareAcknowledge needs a session",
				Keys:   wire.Keys(kmsg.ShareAcknowledge),
				Answer: answered(g.acknowledgeWithoutGroup),
			},
			Restores:  "KIP-932: SHARE_SESSION_NOT_FOUND, also when there is no group that could have one",
			Upstream:  "79_share_acknowledge.go: GROUP_ID_NOT_FOUND",
			Behaviour: "share/ShareAcknowledge needs a session",
		},
		{
			Rule: wire.Rule{
				Name:   "a refused heartbeat of a share group says why",
				Keys:   wire.Keys(kmsg.ShareGroupHeartbeat),
				Answer: answered(g.refusedShareHeartbeat),
			},
			Restores:  "ShareGroupHeartbeat: an error has a message and no interval",
			Upstream:  "76_share_group_heartbeat.go, share_groups.go: no message",
			Behaviour: "share/a refused heartbeat says why",
		},
		{
			Rule: wire.Rule{
				Name:   "a share group stays when its members have left",
				Keys:   wire.Keys(kmsg.ShareGroupHeartbeat, kmsg.DeleteShareGroupOffsets),
				Answer: answered(g.keepShareGroup),
			},
			Restores:  "KIP-932: a share group without members is Empty until it is deleted",
			Upstream:  "share_groups.go, maybeQuit forgets one that has no offsets either",
			Behaviour: "share/a group stays when its members have left",
		},
		{
			Rule: wire.Rule{
				Name:   "ShareGroupDescribe says what is missing",
				Keys:   wire.Keys(kmsg.ShareGroupDescribe),
				Answer: answered(g.describedAsShare),
			},
			Restores:  "ShareGroupDescribe: GROUP_ID_NOT_FOUND has a message; INVALID_GROUP_ID for an empty group id",
			Upstream:  "77_share_group_describe.go: no message",
			Behaviour: "share/ShareGroupDescribe says what is missing",
		},
		{
			Rule: wire.Rule{
				Name:    "offsets of share groups are changed with reasons",
				Keys:    offsets,
				Request: asked(shareOffsetsWithoutGroup),
				Answer:  amended(shareOffsetErrors),
			},
			Restores:  "AlterShareGroupOffsets, DeleteShareGroupOffsets: errors have messages; INVALID_GROUP_ID for an empty group id",
			Upstream:  "91_alter_share_group_offsets.go, 92_delete_share_group_offsets.go",
			Behaviour: "share/offsets are changed with reasons",
		},
		{
			Rule: wire.Rule{
				Name:    "only offsets of share groups that are there are deleted",
				Keys:    wire.Keys(kmsg.DeleteShareGroupOffsets),
				Request: asked(g.sharedOffsets),
				Answer:  answered(g.deletedSharedOffsets),
			},
			Restores:  "DeleteShareGroupOffsets: UNKNOWN_TOPIC_OR_PARTITION for a topic without offsets; a group that is none is named",
			Upstream:  "92_delete_share_group_offsets.go deletes nothing without an error",
			Behaviour: "share/only offsets that are there are deleted",
		},
		{
			Rule: wire.Rule{
				Name:   "a classic member does not fit a share group",
				Keys:   wire.Keys(kmsg.JoinGroup),
				Answer: answered(g.joinShareGroup),
			},
			Restores:  "GroupMetadataManager.classicGroupJoin: INCONSISTENT_GROUP_PROTOCOL for a group of another type",
			Upstream:  "groups.go, handleJoin: GROUP_ID_NOT_FOUND",
			Behaviour: "share/a classic member does not fit",
		},
	}
}

func emptyShares(_ *wire.Exchange, _ *kmsg.ShareFetchRequest, resp *kmsg.ShareFetchResponse) (changed bool) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if p := &resp.Topics[i].Partitions[j]; p.Records == nil {
				p.Records, changed = []byte{}, true
			}
		}
	}
	return changed
}

func listShares(_ *wire.Exchange, req *kmsg.ShareFetchRequest, resp *kmsg.ShareFetchResponse) (changed bool) {
	if resp.ErrorCode != 0 || req.ShareSessionEpoch != shareSessionOpens {
		return false
	}
	for _, asked := range req.Topics {
		i := slices.IndexFunc(resp.Topics, func(t kmsg.ShareFetchResponseTopic) bool { return t.TopicID == asked.TopicID })
		if i < 0 {
			i = len(resp.Topics)
			t := kmsg.NewShareFetchResponseTopic()
			t.TopicID = asked.TopicID
			resp.Topics = append(resp.Topics, t)
		}
		t := &resp.Topics[i]
		for _, p := range asked.Partitions {
			if slices.ContainsFunc(t.Partitions, func(has kmsg.ShareFetchResponseTopicPartition) bool { return has.Partition == p.Partition }) {
				continue
			}
			empty := kmsg.NewShareFetchResponseTopicPartition()
			empty.Partition, empty.Records = p.Partition, []byte{}
			empty.CurrentLeader.LeaderID, empty.CurrentLeader.LeaderEpoch = -1, -1 // no other one
			t.Partitions, changed = append(t.Partitions, empty), true
		}
	}
	return changed
}

func lockNothing(_ *wire.Exchange, resp *kmsg.ShareFetchResponse) bool {
	if resp.ErrorCode == 0 {
		return false
	}
	resp.AcquisitionLockTimeoutMillis = 0
	return true
}

// shareGroup describes a share group; false when there is certainly none, or it
// cannot be asked.
func (g coordinators) shareGroup(x *wire.Exchange, group string) (exists, ok bool) {
	req := kmsg.NewPtrShareGroupDescribeRequest()
	req.Version, req.GroupIDs = 1, []string{group}
	resp, ok := askCoordinator[*kmsg.ShareGroupDescribeResponse](g, x, group, req)
	if !ok || len(resp.Groups) != 1 {
		return false, false
	}
	switch resp.Groups[0].ErrorCode {
	case 0:
		return true, true
	case kerr.GroupIDNotFound.Code:
		return false, true
	}
	return false, false
}

func (g coordinators) acknowledgeWithoutGroup(x *wire.Exchange, req *kmsg.ShareAcknowledgeRequest, resp *kmsg.ShareAcknowledgeResponse) bool {
	if resp.ErrorCode != kerr.GroupIDNotFound.Code {
		return false
	}
	if exists, ok := g.shareGroup(x, deref(req.GroupID)); !ok || exists {
		return false
	}
	resp.ErrorCode = kerr.ShareSessionNotFound.Code
	return true
}

func (g coordinators) refusedShareHeartbeat(x *wire.Exchange, req *kmsg.ShareGroupHeartbeatRequest, resp *kmsg.ShareGroupHeartbeatResponse) bool {
	const joins, leaves = 0, -1
	if resp.ErrorCode == 0 && req.MemberEpoch >= joins {
		return false
	}
	resp.HeartbeatIntervalMillis = 0 // there is nothing to repeat
	if resp.ErrorMessage != nil || resp.ErrorCode == 0 {
		return true
	}
	var why string
	switch resp.ErrorCode {
	case kerr.InvalidRequest.Code:
		switch {
		case blank(req.GroupID):
			why = "GroupId can't be empty."
		case req.RackID != nil && blank(*req.RackID):
			why = "RackId can't be empty."
		case req.MemberEpoch < leaves:
			why = "MemberEpoch is invalid."
		case req.MemberEpoch == joins && len(req.SubscribedTopicNames) == 0:
			why = "SubscribedTopicNames must be set in first request."
		default: // the member id is missing or too long
			return true
		}
	case kerr.GroupIDNotFound.Code:
		why = g.noGroupOf(x, "share", req.GroupID)
		if missing := fmt.Sprintf("Group %s not found.", req.GroupID); req.MemberEpoch > joins && why == missing {
			why = fmt.Sprintf("Share group %s not found.", req.GroupID)
		}
	case kerr.UnknownMemberID.Code:
		why = fmt.Sprintf("Member %s is not a member of group %s.", req.MemberID, req.GroupID)
	case kerr.FencedMemberEpoch.Code:
		why = fmt.Sprintf("The member epoch %d is not the one known by the group coordinator. The member must abandon all its partitions and rejoin.", req.MemberEpoch)
	default:
		return true
	}
	resp.ErrorMessage = &why
	return true
}

// keepShareGroup makes the group again that has gone with its last member or
// offset. Altering no offsets does that, and nothing where it exists.
func (g coordinators) keepShareGroup(x *wire.Exchange, r kmsg.Request, a kmsg.Response) bool {
	var group string
	switch req := r.(type) {
	case *kmsg.ShareGroupHeartbeatRequest:
		if resp, is := a.(*kmsg.ShareGroupHeartbeatResponse); !is || resp.ErrorCode != 0 || req.MemberEpoch >= 0 {
			return false
		}
		group = req.GroupID
	case *kmsg.DeleteShareGroupOffsetsRequest:
		if resp, is := a.(*kmsg.DeleteShareGroupOffsetsResponse); !is || resp.ErrorCode != 0 {
			return false
		}
		group = req.GroupID
	}
	nothing := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	nothing.GroupID = group
	askCoordinator[*kmsg.AlterShareGroupOffsetsResponse](g, x, group, nothing)
	return false
}

func (g coordinators) describedAsShare(x *wire.Exchange, _ *kmsg.ShareGroupDescribeRequest, resp *kmsg.ShareGroupDescribeResponse) (changed bool) {
	for i := range resp.Groups {
		d := &resp.Groups[i]
		switch {
		case d.ErrorCode != kerr.GroupIDNotFound.Code || d.ErrorMessage != nil:
			continue
		case d.GroupID == "":
			d.ErrorCode = kerr.InvalidGroupID.Code
		default:
			d.ErrorMessage = kmsg.StringPtr(g.noGroupOf(x, "share", d.GroupID))
		}
		changed = true
	}
	return changed
}

func shareOffsetsWithoutGroup(x *wire.Exchange, r kmsg.Request) {
	code, why := kerr.InvalidGroupID.Code, kmsg.StringPtr(kerr.InvalidGroupID.Description)
	switch req := r.(type) {
	case *kmsg.AlterShareGroupOffsetsRequest:
		if req.GroupID == "" {
			resp := kmsg.NewPtrAlterShareGroupOffsetsResponse()
			resp.ErrorCode, resp.ErrorMessage = code, why
			x.Reply(resp)
		}
	case *kmsg.DeleteShareGroupOffsetsRequest:
		if req.GroupID == "" {
			resp := kmsg.NewPtrDeleteShareGroupOffsetsResponse()
			resp.ErrorCode, resp.ErrorMessage = code, why
			x.Reply(resp)
		}
	}
}

func shareOffsetErrors(_ *wire.Exchange, a kmsg.Response) (changed bool) {
	explain := func(code int16, why **string) {
		if e := kerr.TypedErrorForCode(code); e != nil && *why == nil {
			*why, changed = kmsg.StringPtr(e.Description), true
		}
	}
	switch resp := a.(type) {
	case *kmsg.AlterShareGroupOffsetsResponse:
		explain(resp.ErrorCode, &resp.ErrorMessage)
		for _, t := range resp.Topics {
			for i := range t.Partitions {
				explain(t.Partitions[i].ErrorCode, &t.Partitions[i].ErrorMessage)
			}
		}
	case *kmsg.DeleteShareGroupOffsetsResponse:
		explain(resp.ErrorCode, &resp.ErrorMessage)
		for i := range resp.Topics {
			explain(resp.Topics[i].ErrorCode, &resp.Topics[i].ErrorMessage)
		}
	}
	return changed
}

// sharedTopics is the key of the topics of which a share group has offsets.
type sharedTopics struct{}

func (g coordinators) sharedOffsets(x *wire.Exchange, req *kmsg.DeleteShareGroupOffsetsRequest) {
	all := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	of := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
	of.GroupID, of.Topics = req.GroupID, nil // those that there are
	all.Groups = append(all.Groups, of)
	resp, ok := askCoordinator[*kmsg.DescribeShareGroupOffsetsResponse](g, x, req.GroupID, all)
	if !ok || len(resp.Groups) != 1 || resp.Groups[0].ErrorCode != 0 {
		return
	}
	topics := make(map[string]bool)
	for _, t := range resp.Groups[0].Topics {
		topics[t.Topic] = len(t.Partitions) > 0
	}
	x.Keep(sharedTopics{}, topics)
}

func (g coordinators) deletedSharedOffsets(x *wire.Exchange, req *kmsg.DeleteShareGroupOffsetsRequest, resp *kmsg.DeleteShareGroupOffsetsResponse) (changed bool) {
	if resp.ErrorCode == kerr.GroupIDNotFound.Code {
		resp.ErrorMessage = kmsg.StringPtr(g.noGroupOf(x, "share", req.GroupID))
		return true
	}
	topics, ok := x.Kept(sharedTopics{}).(map[string]bool)
	for i := range resp.Topics {
		if t := &resp.Topics[i]; ok && t.ErrorCode == 0 && !topics[t.Topic] {
			t.ErrorCode, changed = kerr.UnknownTopicOrPartition.Code, true
			t.ErrorMessage = kmsg.StringPtr("There is no offset information to delete.")
		}
	}
	return changed
}

func (g coordinators) joinShareGroup(x *wire.Exchange, req *kmsg.JoinGroupRequest, resp *kmsg.JoinGroupResponse) bool {
	if resp.ErrorCode != kerr.GroupIDNotFound.Code {
		return false
	}
	if exists, ok := g.shareGroup(x, req.Group); !ok || !exists {
		return false
	}
	resp.ErrorCode = kerr.InconsistentGroupProtocol.Code
	return true
}
