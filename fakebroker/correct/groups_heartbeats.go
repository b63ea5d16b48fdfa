package correct

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// consumerHeartbeats is about members of the consumer protocol (KIP-848).
func consumerHeartbeats(g coordinators) []Correction {
	api := wire.Keys(kmsg.ConsumerGroupHeartbeat)
	return []Correction{
		awayMembers(g),
		{
			Rule: wire.Rule{
				Name:    "a consumer's heartbeat is complete",
				Keys:    api,
				Request: asked(incompleteHeartbeat),
			},
			Restores:  "KIP-848: INVALID_REQUEST for fields that are empty, missing from the first heartbeat, or out of range",
			Upstream:  "groups.go, handleConsumerHeartbeat checks one of them",
			Behaviour: "groups/a consumer's heartbeat is complete",
		},
		{
			Rule: wire.Rule{
				Name:   "a consumer's heartbeat does not make a group unless it joins",
				Keys:   api,
				Answer: answered(g.heartbeatToUnknownGroup),
			},
			Restores:  "GroupMetadataManager: GROUP_ID_NOT_FOUND for a member epoch other than 0 when there is no such group",
			Upstream:  "groups.go, handleConsumerGroupHeartbeat creates the group and answers UNKNOWN_MEMBER_ID",
			Behaviour: "groups/a consumer's heartbeat does not make a group unless it joins",
		},
		{
			Rule: wire.Rule{
				Name:    "a consumer changes its subscription in any heartbeat",
				Keys:    api,
				Request: asked(g.subscribeInAnyHeartbeat),
			},
			Restores:  "ConsumerGroupHeartbeat: null if it did not change since the last heartbeat, for each field by itself",
			Upstream:  "groups.go, isFullRequest: a subscription counts only beside a rebalance timeout and owned partitions",
			Behaviour: "groups/a consumer changes its subscription in any heartbeat",
		},
		{
			Rule: wire.Rule{
				Name:   "a refused heartbeat says why",
				Keys:   api,
				Answer: answered(g.refusedHeartbeat),
			},
			Restores:  "ConsumerGroupHeartbeat: an error has a message and no interval; a pattern that does not compile is INVALID_REGULAR_EXPRESSION",
			Upstream:  "groups.go, handleConsumerHeartbeat: no message, INVALID_REQUEST",
			Behaviour: "groups/a refused heartbeat says why",
		},
	}
}

// subscribeInAnyHeartbeat has the broker heed a subscription that is sent without
// what has not changed.
func (g coordinators) subscribeInAnyHeartbeat(x *wire.Exchange, req *kmsg.ConsumerGroupHeartbeatRequest) {
	subscribes := req.SubscribedTopicNames != nil || req.SubscribedTopicRegex != nil
	if req.MemberEpoch <= 0 || !subscribes || req.RebalanceTimeoutMillis != -1 && req.Topics != nil {
		return
	}
	whole := *req
	if whole.RebalanceTimeoutMillis == -1 {
		whole.RebalanceTimeoutMillis = 0 // kfake looks at a member's first one alone
	}
	if whole.Topics == nil {
		about, ok := g.about(x, req.Group)
		if !ok {
			return
		}
		i := slices.IndexFunc(about.consumer.Members, func(m kmsg.ConsumerGroupDescribeResponseGroupMember) bool {
			return m.MemberID == req.MemberID && m.MemberEpoch == req.MemberEpoch
		})
		if i < 0 {
			return // the broker refuses it
		}
		whole.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for _, a := range about.consumer.Members[i].Assignment.TopicPartitions {
			owned := kmsg.NewConsumerGroupHeartbeatRequestTopic()
			owned.TopicID, owned.Partitions = a.TopicID, a.Partitions
			whole.Topics = append(whole.Topics, owned)
		}
	}
	x.SetRequest(&whole)
}

func incompleteHeartbeat(x *wire.Exchange, req *kmsg.ConsumerGroupHeartbeatRequest) {
	const memberMakesID = 1 // the version from which members choose their own id
	const joins, leaves, leavesForAWhile = 0, -1, -2
	isBlank := func(s *string) bool { return s != nil && blank(*s) }
	refuse := func(err *kerr.Error, why string) {
		resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
		resp.ErrorCode, resp.ErrorMessage = err.Code, &why
		x.Reply(resp)
	}
	invalid := func(why string) { refuse(kerr.InvalidRequest, why) }
	epoch := req.MemberEpoch
	switch {
	case blank(req.MemberID) && (x.Version >= memberMakesID || epoch > joins || epoch == leaves):
		invalid("MemberId can't be empty.")
	case blank(req.Group):
		invalid("GroupId can't be empty.")
	case isBlank(req.InstanceID):
		invalid("InstanceId can't be empty.")
	case isBlank(req.RackID):
		invalid("RackId can't be empty.")
	case epoch == joins && req.RebalanceTimeoutMillis == -1:
		invalid("RebalanceTimeoutMs must be provided in first request.")
	case epoch == joins && (req.Topics == nil || len(req.Topics) > 0):
		invalid("TopicPartitions must be empty when (re-)joining.")
	case epoch == joins && req.SubscribedTopicNames == nil && req.SubscribedTopicRegex == nil:
		invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	case epoch == leavesForAWhile && req.InstanceID == nil:
		invalid("InstanceId can't be null.")
	case epoch < leavesForAWhile:
		invalid("MemberEpoch is invalid.")
	case req.ServerAssignor != nil && *req.ServerAssignor != uniform && *req.ServerAssignor != "range":
		refuse(kerr.UnsupportedAssignor, fmt.Sprintf("ServerAssignor %s is not supported. Supported assignors: uniform, range.", *req.ServerAssignor))
	}
}

// uniform is the assignor of a group that asks for none: the first one of
// group.consumer.assignors.
const uniform = "uniform"

// heartbeatToUnknownGroup takes out again what kfake has made of a heartbeat to
// no group: a group that never had a member, known by its epoch.
func (g coordinators) heartbeatToUnknownGroup(x *wire.Exchange, req *kmsg.ConsumerGroupHeartbeatRequest, resp *kmsg.ConsumerGroupHeartbeatResponse) bool {
	if resp.ErrorCode != kerr.UnknownMemberID.Code {
		return false
	}
	about, ok := g.about(x, req.Group)
	if !ok || about.kind != consumerGroup || about.consumer.Epoch > 0 || len(about.consumer.Members) > 0 {
		return false
	}
	resp.ErrorCode = kerr.GroupIDNotFound.Code
	if !g.hasOffsets(x, req.Group) { // a group of offsets alone stays
		del := kmsg.NewPtrDeleteGroupsRequest()
		del.Version, del.Groups = 2, []string{req.Group}
		askCoordinator[*kmsg.DeleteGroupsResponse](g, x, req.Group, del)
	}
	return true
}

// hasOffsets is true when it cannot be asked.
func (g coordinators) hasOffsets(x *wire.Exchange, group string) bool {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = offsetsByGroup
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group = group
	req.Groups = append(req.Groups, rg)
	resp, ok := askCoordinator[*kmsg.OffsetFetchResponse](g, x, group, req)
	return !ok || len(resp.Groups) != 1 || len(resp.Groups[0].Topics) > 0
}

func (g coordinators) refusedHeartbeat(x *wire.Exchange, req *kmsg.ConsumerGroupHeartbeatRequest, resp *kmsg.ConsumerGroupHeartbeatResponse) bool {
	if resp.ErrorCode == 0 && req.MemberEpoch >= 0 {
		return false
	}
	resp.HeartbeatIntervalMillis = 0 // there is nothing to repeat
	if resp.ErrorMessage != nil {
		return true
	}
	var why string
	switch resp.ErrorCode {
	case kerr.InvalidRequest.Code: // the rest of these is refused before kfake sees it
		if req.SubscribedTopicRegex == nil {
			return true
		}
		resp.ErrorCode = kerr.InvalidRegularExpression.Code
		why = fmt.Sprintf("SubscribedTopicRegex `%s` is not a valid regular expression.", *req.SubscribedTopicRegex)
	case kerr.GroupIDNotFound.Code:
		why = fmt.Sprintf("Group %s not found.", req.Group)
		if req.MemberEpoch > 0 {
			why = fmt.Sprintf("Consumer group %s not found.", req.Group)
		}
		if about, ok := g.about(x, req.Group); ok && about.kind != noGroup {
			why = fmt.Sprintf("Group %s is not a consumer group.", req.Group)
		}
	case kerr.UnknownMemberID.Code:
		why = fmt.Sprintf("Member %s is not a member of group %s.", req.MemberID, req.Group)
	case kerr.UnreleasedInstanceID.Code:
		why = fmt.Sprintf("Static member %s with instance id %s cannot join the group because the instance id is owned by another member.", req.MemberID, deref(req.InstanceID))
	case kerr.FencedInstanceID.Code:
		why = fmt.Sprintf("Static member %s with instance id %s was fenced by another member.", req.MemberID, deref(req.InstanceID))
	case kerr.FencedMemberEpoch.Code:
		why = fmt.Sprintf("The member epoch %d is not the one known by the group coordinator. The member must abandon all its partitions and rejoin.", req.MemberEpoch)
	default:
		return true
	}
	resp.ErrorMessage = &why
	return true
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
