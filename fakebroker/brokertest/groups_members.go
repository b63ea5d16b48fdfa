package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupMemberBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "groups/nobody is a member of an unknown group",
			Source: "Heartbeat, SyncGroup, LeaveGroup; GroupCoordinatorService",
			Run:    nobodyIsMember,
		},
		{
			Name:   "groups/SyncGroup names the protocol",
			Source: "KIP-559",
			Run:    syncNamesProtocol,
		},
		{
			Name:   "groups/a refused join names its member",
			Source: "JoinGroup; GroupMetadataManager.classicGroupJoin",
			Run:    refusedJoinNamesMember,
		},
		{
			Name:   "groups/a static member is taken out by its own member id only",
			Source: "KIP-345; GroupMetadataManager.classicGroupLeave",
			Run:    staticMemberLeaves,
		},
		{
			Name:   "groups/LeaveGroup takes members of the consumer protocol out",
			Source: "GroupMetadataManager.classicGroupLeaveToConsumerGroup",
			Run:    takesConsumersOut,
		},
		{
			Name:   "groups/a session is from six seconds to half an hour long",
			Source: "group.min.session.timeout.ms, group.max.session.timeout.ms",
			Run:    sessionsAreBounded,
		},
		{
			Name:   "groups/a static member that says nothing is removed with its session",
			Source: "KIP-345; GroupMetadataManager.expireClassicGroupMemberHeartbeat",
			Needs:  Needs{ShortSessions: true},
			Run:    silentMemberIsRemoved,
		},
	}
}

func heartbeatOf(group, member string, generation int32) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	return req
}

// leaveOf is a LeaveGroup in the form that a version has. Versions below 3 take
// out the first member alone.
func leaveOf(group string, members ...kmsg.LeaveGroupRequestMember) *kmsg.LeaveGroupRequest {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID, req.Members = group, members[0].MemberID, members
	return req
}

func leaver(id string, instance *string) kmsg.LeaveGroupRequestMember {
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, m.InstanceID = id, instance
	return m
}

func nobodyIsMember(t T, c Cluster) {
	for _, v := range versions(0, 4) {
		resp := askIn[*kmsg.HeartbeatResponse](t, c, v, heartbeatOf(name("group"), "nobody", 1))
		code(t, "Heartbeat v"+number(int32(v)), resp.ErrorCode, kerr.UnknownMemberID)
	}
	for _, v := range versions(0, 5) {
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Group, sync.MemberID, sync.Generation = name("group"), "nobody", 1
		sync.ProtocolType, sync.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
		resp := askIn[*kmsg.SyncGroupResponse](t, c, v, sync)
		code(t, "SyncGroup v"+number(int32(v)), resp.ErrorCode, kerr.UnknownMemberID)
	}
	for _, v := range versions(0, 5) {
		what := "LeaveGroup v" + number(int32(v))
		leave := leaveOf(name("group"), leaver("nobody", nil), leaver("nobody else", nil), leaver("", kmsg.StringPtr("instance")))
		if v < 3 {
			leave.Members = nil
			code(t, what, askIn[*kmsg.LeaveGroupResponse](t, c, v, leave).ErrorCode, kerr.UnknownMemberID)
			continue
		}
		resp := askIn[*kmsg.LeaveGroupResponse](t, c, v, leave)
		code(t, what, resp.ErrorCode, nil)
		equal(t, what+", members", len(resp.Members), len(leave.Members))
		for i, m := range resp.Members {
			equal(t, what+", member", m.MemberID, leave.Members[i].MemberID)
			equal(t, what+", instance", text(m.InstanceID), text(leave.Members[i].InstanceID))
			code(t, what+", member "+m.MemberID, m.ErrorCode, kerr.UnknownMemberID)
		}
	}
}

func syncNamesProtocol(t T, c Cluster) {
	m := joined(t, c, nil, name("topic"))
	ask := func(typ, protocol *string) int16 {
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Group, sync.MemberID, sync.Generation = m.group, m.id, m.generation
		sync.ProtocolType, sync.Protocol = typ, protocol
		return askIn[*kmsg.SyncGroupResponse](t, c, 5, sync).ErrorCode
	}
	consumer, protocol := kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	code(t, "neither", ask(nil, nil), kerr.InconsistentGroupProtocol)
	code(t, "no type", ask(nil, protocol), kerr.InconsistentGroupProtocol)
	code(t, "no protocol", ask(consumer, nil), kerr.InconsistentGroupProtocol)
	code(t, "another protocol", ask(consumer, consumer), kerr.InconsistentGroupProtocol)
	code(t, "both", ask(consumer, protocol), nil)
}

func refusedJoinNamesMember(t T, c Cluster) {
	stable := joined(t, c, nil, name("topic")).group
	for _, v := range versions(2, 9) {
		for _, group := range []string{name("group"), stable} {
			resp := askIn[*kmsg.JoinGroupResponse](t, c, v, joinOf(group, "nobody"))
			code(t, "v"+number(int32(v)), resp.ErrorCode, kerr.UnknownMemberID)
			equal(t, "v"+number(int32(v)), resp.MemberID, "nobody")
		}
	}
}

func staticMemberLeaves(t T, c Cluster) {
	for _, v := range versions(3, 5) {
		what := "v" + number(int32(v)) + ", "
		m := joined(t, c, kmsg.StringPtr("instance"), name("topic"))
		leave := func(member string, instance string) kmsg.LeaveGroupResponseMember {
			resp := askIn[*kmsg.LeaveGroupResponse](t, c, v, leaveOf(m.group, leaver(member, &instance)))
			code(t, what+"group", resp.ErrorCode, nil)
			equal(t, what+"member", resp.Members[0].MemberID, member)
			isText(t, what+"instance", resp.Members[0].InstanceID, instance)
			return resp.Members[0]
		}
		code(t, what+"another's", leave("nobody", "instance").ErrorCode, kerr.FencedInstanceID)
		code(t, what+"unknown", leave("", "nowhere").ErrorCode, kerr.UnknownMemberID)
		beat := heartbeatOf(m.group, m.id, m.generation)
		beat.InstanceID = m.instance
		code(t, what+"heartbeat", askIn[*kmsg.HeartbeatResponse](t, c, 4, beat).ErrorCode, nil)
		code(t, what+"by instance alone", leave("", "instance").ErrorCode, nil)
		code(t, what+"gone", leave(m.id, "instance").ErrorCode, kerr.UnknownMemberID)
	}
}

// takesConsumersOut has somebody else say that a member leaves, as Java's admin
// client does to remove it.
func takesConsumersOut(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	beats := func(m member) int16 {
		req := consumerHeartbeat(m.group)
		req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = m.id, m.generation, -1, nil, nil
		return ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, req).ErrorCode
	}
	for _, v := range versions(0, 5) {
		what := "v" + number(int32(v))
		m := consuming(t, c, topic, 0)
		if v < 3 {
			code(t, what+" of nobody", askIn[*kmsg.LeaveGroupResponse](t, c, v, leaveOf(m.group, leaver("nobody", nil))).ErrorCode, kerr.UnknownMemberID)
			code(t, what, askIn[*kmsg.LeaveGroupResponse](t, c, v, leaveOf(m.group, leaver(m.id, nil))).ErrorCode, nil)
		} else {
			resp := askIn[*kmsg.LeaveGroupResponse](t, c, v, leaveOf(m.group, leaver("nobody", nil), leaver(m.id, nil), leaver("", kmsg.StringPtr("nobody"))))
			code(t, what, resp.ErrorCode, nil)
			for i, want := range []*kerr.Error{kerr.UnknownMemberID, nil, kerr.UnknownMemberID} {
				code(t, what+", member "+number(int32(i)), resp.Members[i].ErrorCode, want)
			}
			equal(t, what+", member", resp.Members[1].MemberID, m.id)
		}
		code(t, what+", then its heartbeat", beats(m), kerr.UnknownMemberID)
	}
	for _, id := range []string{"", "its own", "another"} {
		what := "static, member id: " + id
		instance := name("instance")
		req := consumerHeartbeat(name("group"), topic.name)
		req.InstanceID = &instance
		resp := ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, req)
		code(t, what+", join", resp.ErrorCode, nil)
		m := member{group: req.Group, id: req.MemberID, generation: resp.MemberEpoch}
		t.Cleanup(func() {
			askLast(t, c, leaving(m))
			deleteGroup(t, c, m.group)
		})
		var want *kerr.Error
		switch id {
		case "its own":
			id = m.id
		case "another":
			want = kerr.FencedInstanceID
		}
		got := askIn[*kmsg.LeaveGroupResponse](t, c, 5, leaveOf(m.group, leaver(id, &instance))).Members[0]
		code(t, what, got.ErrorCode, want)
		equal(t, what+", member", got.MemberID, id)
		equal(t, what+", instance", text(got.InstanceID), instance)
	}
}

func sessionsAreBounded(t T, c Cluster) {
	for session, want := range map[int32]*kerr.Error{5_999: kerr.InvalidSessionTimeout, 1_800_000: nil, 1_800_001: kerr.InvalidSessionTimeout} {
		req := joinOf(name("group"), "", name("topic"))
		req.SessionTimeoutMillis = session
		resp := askIn[*kmsg.JoinGroupResponse](t, c, 3, req)
		code(t, "session of "+number(session)+" ms", resp.ErrorCode, want)
		t.Cleanup(func() {
			askLast(t, c, leaveOf(req.Group, leaver(resp.MemberID, nil)))
			deleteGroup(t, c, req.Group)
		})
	}
}

func silentMemberIsRemoved(t T, c Cluster) {
	cl := newClient(t, c)
	const version, session = 5, 1000
	req := joinOf(name("group"), "", name("topic"))
	req.InstanceID, req.SessionTimeoutMillis = kmsg.StringPtr("instance"), session
	join := askIn[*kmsg.JoinGroupResponse](t, c, version, req)
	code(t, "join", join.ErrorCode, nil)
	t.Cleanup(func() {
		askLast(t, c, leaveOf(req.Group, leaver(join.MemberID, req.InstanceID)))
		deleteGroup(t, c, req.Group)
	})
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.InstanceID, sync.Generation = req.Group, join.MemberID, req.InstanceID, join.Generation
	sync.ProtocolType, sync.Protocol = &req.ProtocolType, &req.Protocols[0].Name
	code(t, "sync", ask[*kmsg.SyncGroupResponse](t, cl, sync).ErrorCode, nil)
	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Groups = []string{req.Group}
	eventually(t, "the group is empty", func() bool { return describeGroup(t, c, version, req.Group, false).State == "Empty" })
	code(t, "delete", ask[*kmsg.DeleteGroupsResponse](t, cl, del).Groups[0].ErrorCode, nil)
}
