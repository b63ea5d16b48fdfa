package brokertest

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func shareBehaviours() []Behaviour {
	return slices.Concat(
		shareFetchBehaviours(),
		shareMemberBehaviours(),
		shareRecordBehaviours(),
		[]Behaviour{
			{
				Name:   "share/ShareAcknowledge needs a session",
				Source: "KIP-932; SharePartitionManager.acknowledgeSessionUpdate",
				Run:    acknowledgeNeedsSession,
			},
			{
				Name:   "share/a refused heartbeat says why",
				Source: "KIP-932; GroupCoordinatorService.throwIfShareGroupHeartbeatRequestIsInvalid",
				Run:    refusedShareHeartbeats,
			},
			{
				Name:   "share/a group stays when its members have left",
				Source: "KIP-932; GroupMetadataManager.shareGroupFenceMember",
				Run:    shareGroupStays,
			},
			{
				Name:   "share/ShareGroupDescribe says what is missing",
				Source: "KIP-932; GroupMetadataManager.shareGroupDescribe",
				Run:    describeShareGroups,
			},
			{
				Name:   "share/offsets are changed with reasons",
				Source: "KIP-932; GroupCoordinatorService.alterShareGroupOffsets, deleteShareGroupOffsets",
				Run:    shareOffsetsAreRefused,
			},
			{
				Name:   "share/only offsets that are there are deleted",
				Source: "ShareGroup; GroupMetadataManager.completeDeleteShareGroupOffsets, GroupCoordinatorService.deleteShareGroupOffsets",
				Run:    deletesOffsetsOnce,
			},
			{
				Name:   "share/a classic member does not fit",
				Source: "GroupMetadataManager.classicGroupJoin",
				Run:    classicMemberOfShareGroup,
			},
		},
	)
}

func shareHeartbeat(group, member string, epoch int32, topics ...string) *kmsg.ShareGroupHeartbeatRequest {
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.GroupID, req.MemberID, req.MemberEpoch, req.SubscribedTopicNames = group, member, epoch, topics
	return req
}

// sharing makes a share group of one member, which reads from the start and has
// been assigned the topic's only partition.
func sharing(t T, c Cluster, topic topicOf) member {
	t.Helper()
	cl := newClient(t, c)
	m := member{group: name("group"), id: name("member")}
	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, m.group
	reset := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	reset.Name, reset.Value = "share.auto.offset.reset", kmsg.StringPtr("earliest")
	resource.Configs = append(resource.Configs, reset)
	alter.Resources = append(alter.Resources, resource)
	code(t, "where to start", ask[*kmsg.IncrementalAlterConfigsResponse](t, cl, alter).Resources[0].ErrorCode, nil)
	settles(t, cl, someBroker(t, cl), groupResource, m.group, "share.auto.offset.reset=earliest 8 [share.auto.offset.reset=earliest 8] [share.auto.offset.reset=latest 5]")
	eventually(t, "an assignment", func() bool {
		resp := ask[*kmsg.ShareGroupHeartbeatResponse](t, cl, shareHeartbeat(m.group, m.id, m.generation, topic.name))
		code(t, "heartbeat", resp.ErrorCode, nil)
		m.generation = resp.MemberEpoch
		return resp.Assignment != nil && len(resp.Assignment.TopicPartitions) == 1
	})
	t.Cleanup(func() {
		askLast(t, c, shareHeartbeat(m.group, m.id, -1))
		deleteGroup(t, c, m.group)
		alter.Resources[0].Configs[0].Op, alter.Resources[0].Configs[0].Value = kmsg.IncrementalAlterConfigOpDelete, nil
		askLast(t, c, alter)
	})
	return m
}

func describeShare(t T, cl *kgo.Client, group string) kmsg.ShareGroupDescribeResponseGroup {
	t.Helper()
	req := kmsg.NewPtrShareGroupDescribeRequest()
	req.GroupIDs = []string{group}
	return ask[*kmsg.ShareGroupDescribeResponse](t, cl, req).Groups[0]
}

func acknowledgeNeedsSession(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	m := sharing(t, c, topic)
	leader := partition(t, cl, topic.name).Leader
	for _, group := range []string{name("group"), m.group} {
		req := kmsg.NewPtrShareAcknowledgeRequest()
		req.GroupID, req.MemberID, req.ShareSessionEpoch = &group, &m.id, 1
		resp, err := cl.Broker(int(leader)).Request(within(t), req)
		noError(t, err)
		code(t, "acknowledgement", resp.(*kmsg.ShareAcknowledgeResponse).ErrorCode, kerr.ShareSessionNotFound)
	}
}

func refusedShareHeartbeats(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	m := sharing(t, c, topic)
	unknown := name("group")
	offsets := committed(t, c, topic)
	rackless := shareHeartbeat(m.group, name("member"), 0, topic.name)
	rackless.RackID = kmsg.StringPtr("")
	for _, tc := range []struct {
		what string
		req  *kmsg.ShareGroupHeartbeatRequest
		code *kerr.Error
		says string // empty: anything
	}{
		{"blank group", shareHeartbeat("  ", name("member"), 0, topic.name), kerr.InvalidRequest, "GroupId can't be empty."},
		{"empty rack", rackless, kerr.InvalidRequest, "RackId can't be empty."},
		{"no topics", shareHeartbeat(m.group, name("member"), 0), kerr.InvalidRequest, "SubscribedTopicNames must be set in first request."},
		{"member epoch", shareHeartbeat(m.group, m.id, -2), kerr.InvalidRequest, "MemberEpoch is invalid."},
		{"unknown group", shareHeartbeat(unknown, m.id, -1), kerr.GroupIDNotFound, "Group " + unknown + " not found."},
		{"unknown group of a member", shareHeartbeat(unknown, m.id, 3), kerr.GroupIDNotFound, "Share group " + unknown + " not found."},
		{"group of offsets", shareHeartbeat(offsets, m.id, -1), kerr.GroupIDNotFound, "Group " + offsets + " is not a share group."},
		{"group of offsets of a member", shareHeartbeat(offsets, m.id, 3), kerr.GroupIDNotFound, "Group " + offsets + " is not a share group."},
		{"stranger", shareHeartbeat(m.group, "nobody", 1), kerr.UnknownMemberID, "Member nobody is not a member of group " + m.group + "."},
		{"later epoch", shareHeartbeat(m.group, m.id, m.generation+9), kerr.FencedMemberEpoch, ""},
	} {
		resp := ask[*kmsg.ShareGroupHeartbeatResponse](t, cl, tc.req)
		code(t, tc.what, resp.ErrorCode, tc.code)
		equal(t, tc.what+", interval", resp.HeartbeatIntervalMillis, 0)
		if tc.says != "" || resp.ErrorMessage == nil {
			isText(t, tc.what, resp.ErrorMessage, tc.says)
		}
	}
}

func shareGroupStays(t T, c Cluster) {
	cl := newClient(t, c)
	m := sharing(t, c, newTopicOf(t, cl, 1))
	resp := ask[*kmsg.ShareGroupHeartbeatResponse](t, cl, shareHeartbeat(m.group, m.id, -1))
	code(t, "leave", resp.ErrorCode, nil)
	for range 2 {
		got := describeShare(t, cl, m.group)
		code(t, "group", got.ErrorCode, nil)
		equal(t, "state", got.GroupState, "Empty")
		one, ok := listed(t, c, 5, m.group, []string{"empty"}, []string{"share"})
		equal(t, "listed", ok, true)
		equal(t, "protocol type", one.ProtocolType, "share")
		forget := kmsg.NewPtrDeleteShareGroupOffsetsRequest()
		forget.GroupID = m.group
		code(t, "deleting offsets", ask[*kmsg.DeleteShareGroupOffsetsResponse](t, cl, forget).ErrorCode, nil)
	}
	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Groups = []string{m.group}
	code(t, "delete", ask[*kmsg.DeleteGroupsResponse](t, cl, del).Groups[0].ErrorCode, nil)
	code(t, "deleted", describeShare(t, cl, m.group).ErrorCode, kerr.GroupIDNotFound)
}

func describeShareGroups(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	unknown, other := name("group"), committed(t, c, topic)
	for group, says := range map[string]string{
		unknown: "Group " + unknown + " not found.",
		other:   "Group " + other + " is not a share group.",
	} {
		got := describeShare(t, cl, group)
		code(t, says, got.ErrorCode, kerr.GroupIDNotFound)
		isText(t, "message", got.ErrorMessage, says)
	}
}

func shareOffsetsAreRefused(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	m := sharing(t, c, topic)
	alter := func(group, topic string, partition int32) *kmsg.AlterShareGroupOffsetsResponse {
		req := kmsg.NewPtrAlterShareGroupOffsetsRequest()
		req.GroupID = group
		rt := kmsg.NewAlterShareGroupOffsetsRequestTopic()
		rt.Topic = topic
		rp := kmsg.NewAlterShareGroupOffsetsRequestTopicPartition()
		rp.Partition = partition
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return ask[*kmsg.AlterShareGroupOffsetsResponse](t, cl, req)
	}
	forget := func(group, topic string) *kmsg.DeleteShareGroupOffsetsResponse {
		req := kmsg.NewPtrDeleteShareGroupOffsetsRequest()
		req.GroupID = group
		rt := kmsg.NewDeleteShareGroupOffsetsRequestTopic()
		rt.Topic = topic
		req.Topics = append(req.Topics, rt)
		return ask[*kmsg.DeleteShareGroupOffsetsResponse](t, cl, req)
	}
	says := func(what string, got int16, message *string, want *kerr.Error) {
		code(t, what, got, want)
		if message == nil || *message == "" {
			t.Errorf("%s: there is no message", what)
		}
	}
	used := alter(m.group, topic.name, 0)
	says("altering those of a group in use", used.ErrorCode, used.ErrorMessage, kerr.NonEmptyGroup)
	inUse := forget(m.group, topic.name)
	says("deleting those of a group in use", inUse.ErrorCode, inUse.ErrorMessage, kerr.NonEmptyGroup)
	left := ask[*kmsg.ShareGroupHeartbeatResponse](t, cl, shareHeartbeat(m.group, m.id, -1))
	code(t, "leave", left.ErrorCode, nil)
	for _, p := range []struct {
		topic     string
		partition int32
	}{{name("nowhere"), 0}, {topic.name, 7}} {
		got := alter(m.group, p.topic, p.partition).Topics[0].Partitions[0]
		says("altering those of no partition", got.ErrorCode, got.ErrorMessage, kerr.UnknownTopicOrPartition)
	}
	got := forget(m.group, name("nowhere")).Topics[0]
	says("deleting those of no topic", got.ErrorCode, got.ErrorMessage, kerr.UnknownTopicOrPartition)
	unknown := forget(name("group"), topic.name)
	says("deleting those of no group", unknown.ErrorCode, unknown.ErrorMessage, kerr.GroupIDNotFound)
}

func deletesOffsetsOnce(t T, c Cluster) {
	cl := newClient(t, c)
	one, other := newTopicOf(t, cl, 1), newTopicOf(t, cl, 1)
	m := sharing(t, c, one)
	code(t, "leave", ask[*kmsg.ShareGroupHeartbeatResponse](t, cl, shareHeartbeat(m.group, m.id, -1)).ErrorCode, nil)
	alter := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	alter.GroupID = m.group
	at := kmsg.NewAlterShareGroupOffsetsRequestTopic()
	at.Topic, at.Partitions = one.name, append(at.Partitions, kmsg.NewAlterShareGroupOffsetsRequestTopicPartition())
	alter.Topics = append(alter.Topics, at)
	code(t, "alter", ask[*kmsg.AlterShareGroupOffsetsResponse](t, cl, alter).ErrorCode, nil)
	forget := func(group string) *kmsg.DeleteShareGroupOffsetsResponse {
		req := kmsg.NewPtrDeleteShareGroupOffsetsRequest()
		req.GroupID = group
		for _, topic := range []topicOf{one, other} {
			rt := kmsg.NewDeleteShareGroupOffsetsRequestTopic()
			rt.Topic = topic.name
			req.Topics = append(req.Topics, rt)
		}
		return ask[*kmsg.DeleteShareGroupOffsetsResponse](t, cl, req)
	}
	const nothing = "There is no offset information to delete."
	for _, again := range []bool{false, true} {
		resp := forget(m.group)
		code(t, "delete", resp.ErrorCode, nil)
		equal(t, "topics", len(resp.Topics), 2)
		for _, topic := range resp.Topics {
			if topic.Topic == one.name && !again {
				code(t, "the topic's", topic.ErrorCode, nil)
				continue
			}
			code(t, "those of a topic that has none", topic.ErrorCode, kerr.UnknownTopicOrPartition)
			isText(t, "those of a topic that has none", topic.ErrorMessage, nothing)
		}
	}
	unknown, classic := name("group"), committed(t, c, one)
	for group, says := range map[string]string{
		unknown: "Group " + unknown + " not found.",
		classic: "Group " + classic + " is not a share group.",
	} {
		resp := forget(group)
		code(t, says, resp.ErrorCode, kerr.GroupIDNotFound)
		isText(t, "message", resp.ErrorMessage, says)
	}
}

func classicMemberOfShareGroup(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	m := sharing(t, c, topic)
	for _, v := range versions(2, 9) {
		resp := askIn[*kmsg.JoinGroupResponse](t, c, v, joinOf(m.group, "", topic.name))
		code(t, "v"+number(int32(v)), resp.ErrorCode, kerr.InconsistentGroupProtocol)
	}
}
