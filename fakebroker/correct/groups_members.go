package correct

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// groupMembers is about members that join, stay and leave by the classic
// protocol.
func groupMembers(g coordinators) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:   "nobody is a member of an unknown group",
				Keys:   wire.Keys(kmsg.Heartbeat, kmsg.SyncGroup, kmsg.LeaveGroup),
				Answer: answered(g.membersOfUnknownGroups),
			},
			Restores:  "GroupCoordinatorService: UNKNOWN_MEMBER_ID, in LeaveGroup from v3 on for each member; INVALID_GROUP_ID when the group has no name; NOT_COORDINATOR of who is not",
			Upstream:  "12_heartbeat.go, 13_leave_group.go, cluster.go: GROUP_ID_NOT_FOUND of any broker",
			Behaviour: "groups/nobody is a member of an unknown group",
		},
		{
			Rule: wire.Rule{
				Name:    "SyncGroup names the protocol",
				Keys:    wire.Keys(kmsg.SyncGroup),
				Wants:   func(h wire.Header) bool { return h.Version >= syncNamesProtocol },
				Request: asked(syncWithoutProtocol),
			},
			Restores:  "KIP-559: from v5 on protocol type and name are mandatory, without them INCONSISTENT_GROUP_PROTOCOL",
			Upstream:  "groups.go, handleSync takes null for any",
			Behaviour: "groups/SyncGroup names the protocol",
		},
		{
			Rule: wire.Rule{
				Name:   "a refused join names its member",
				Keys:   wire.Keys(kmsg.JoinGroup),
				Answer: answered(refusedJoin),
			},
			Restores:  "JoinGroup: an error comes with the member id that was asked for",
			Upstream:  "groups.go, handleJoin: an empty one",
			Behaviour: "groups/a refused join names its member",
		},
		{
			Rule: wire.Rule{
				Name:    "a static member is taken out by its own member id only",
				Keys:    wire.Keys(kmsg.LeaveGroup),
				Wants:   func(h wire.Header) bool { return h.Version >= leaveSeveral },
				Request: asked(g.leaveOfStaticMembers),
				Answer:  answered(leftAsAsked),
			},
			Restores:  "KIP-345: LeaveGroup of an instance id with another's member id is FENCED_INSTANCE_ID; the answer has the member id that was asked for",
			Upstream:  "groups.go, handleLeave looks at the instance id only",
			Behaviour: "groups/a static member is taken out by its own member id only",
		},
		{
			Rule: wire.Rule{
				Name:   "LeaveGroup takes members of the consumer protocol out",
				Keys:   wire.Keys(kmsg.LeaveGroup),
				Answer: answered(g.leaveOfConsumers),
			},
			Restores:  "KIP-848: LeaveGroup of a group of the consumer protocol, with which admin clients remove its members",
			Upstream:  "groups.go, handleLeave looks for classic members only",
			Behaviour: "groups/LeaveGroup takes members of the consumer protocol out",
		},
	}
}

const (
	leaveSeveral      = 3 // LeaveGroup has a list of members from here
	syncNamesProtocol = 5 // SyncGroup has protocol type and name from here
)

func (g coordinators) membersOfUnknownGroups(x *wire.Exchange, r kmsg.Request, a kmsg.Response) (changed bool) {
	var group string
	var code *int16
	var leave func()
	switch resp := a.(type) {
	case *kmsg.HeartbeatResponse:
		group, code = r.(*kmsg.HeartbeatRequest).Group, &resp.ErrorCode
	case *kmsg.SyncGroupResponse:
		group, code = r.(*kmsg.SyncGroupRequest).Group, &resp.ErrorCode
	case *kmsg.LeaveGroupResponse:
		req := r.(*kmsg.LeaveGroupRequest)
		group, code = req.Group, &resp.ErrorCode
		if x.Version >= leaveSeveral {
			leave = func() {
				resp.ErrorCode = 0
				for _, m := range req.Members {
					gone := kmsg.NewLeaveGroupResponseMember()
					gone.MemberID, gone.InstanceID, gone.ErrorCode = m.MemberID, m.InstanceID, kerr.UnknownMemberID.Code
					resp.Members = append(resp.Members, gone)
				}
			}
		}
	}
	switch {
	case code == nil || *code != kerr.GroupIDNotFound.Code:
		return false
	case group == "":
		*code = kerr.InvalidGroupID.Code
	case !g.unknown(x, group):
		return false
	case g.GroupCoordinator(group) != x.Node:
		*code = kerr.NotCoordinator.Code
	case leave != nil:
		leave()
	default:
		*code = kerr.UnknownMemberID.Code
	}
	return true
}

func syncWithoutProtocol(x *wire.Exchange, req *kmsg.SyncGroupRequest) {
	if req.ProtocolType == nil || req.Protocol == nil {
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.ErrorCode = kerr.InconsistentGroupProtocol.Code
		x.Reply(resp)
	}
}

func refusedJoin(_ *wire.Exchange, req *kmsg.JoinGroupRequest, resp *kmsg.JoinGroupResponse) bool {
	if resp.ErrorCode == 0 || resp.MemberID != "" || req.MemberID == "" {
		return false
	}
	resp.MemberID = req.MemberID
	return true
}

// leaveOfStaticMembers turns whoever is not to be taken out into somebody who is
// no member.
func (g coordinators) leaveOfStaticMembers(x *wire.Exchange, req *kmsg.LeaveGroupRequest) {
	var owners map[string]string // member ids by instance id
	changed := false
	for i := range req.Members {
		m := &req.Members[i]
		if m.InstanceID == nil || m.MemberID == "" {
			continue
		}
		if owners == nil {
			owners = make(map[string]string)
			about, _ := g.about(x, req.Group) // without an answer it is as upstream has it
			for _, o := range about.classic.Members {
				if o.InstanceID != nil {
					owners[*o.InstanceID] = o.MemberID
				}
			}
		}
		if owner, ok := owners[*m.InstanceID]; ok && owner != m.MemberID {
			*m.InstanceID, changed = fencedInstance+*m.InstanceID, true
		}
	}
	if changed {
		x.SetRequest(req)
	}
}

// fencedInstance marks an instance id that is another member's on its way to the
// broker and back. No client has such a one: instance ids are made of the
// characters of topic names.
const fencedInstance = "\x00fenced\x00"

func leftAsAsked(_ *wire.Exchange, req *kmsg.LeaveGroupRequest, resp *kmsg.LeaveGroupResponse) (changed bool) {
	for i := range resp.Members {
		if i >= len(req.Members) {
			break
		}
		asked, m := req.Members[i], &resp.Members[i]
		if m.InstanceID == nil {
			continue
		}
		if id, fenced := strings.CutPrefix(*m.InstanceID, fencedInstance); fenced {
			m.InstanceID, m.ErrorCode, changed = &id, kerr.FencedInstanceID.Code, true
		}
		if m.MemberID != asked.MemberID {
			m.MemberID, changed = asked.MemberID, true
		}
	}
	return changed
}

// leaveOfConsumers has members that are not found among the classic ones say
// themselves that they leave.
func (g coordinators) leaveOfConsumers(x *wire.Exchange, req *kmsg.LeaveGroupRequest, resp *kmsg.LeaveGroupResponse) (changed bool) {
	var group *description // asked about once it is needed
	leave := func(member string, instance *string, code *int16) {
		if *code != kerr.UnknownMemberID.Code {
			return
		}
		if group == nil {
			about, _ := g.about(x, req.Group) // without an answer nobody is in it
			group = &about
		}
		i := slices.IndexFunc(group.consumer.Members, func(m kmsg.ConsumerGroupDescribeResponseGroupMember) bool {
			if instance != nil {
				return m.InstanceID != nil && *m.InstanceID == *instance
			}
			return m.MemberID == member
		})
		if i < 0 {
			return
		}
		m := group.consumer.Members[i]
		if instance != nil && member != "" && m.MemberID != member {
			*code, changed = kerr.FencedInstanceID.Code, true
			return
		}
		const leaves = -1
		beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		beat.Version, beat.Group, beat.MemberID, beat.InstanceID, beat.MemberEpoch = 1, req.Group, m.MemberID, m.InstanceID, leaves
		if left, ok := askCoordinator[*kmsg.ConsumerGroupHeartbeatResponse](g, x, req.Group, beat); ok && left.ErrorCode == 0 {
			*code, changed = 0, true
		}
	}
	if x.Version < leaveSeveral {
		leave(req.MemberID, nil, &resp.ErrorCode)
		return changed
	}
	for i := range resp.Members {
		if i < len(req.Members) {
			leave(req.Members[i].MemberID, req.Members[i].InstanceID, &resp.Members[i].ErrorCode)
		}
	}
	return changed
}
