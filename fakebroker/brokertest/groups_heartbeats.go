package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupHeartbeatBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "groups/a consumer's heartbeat is complete",
			Source: "KIP-848; GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid",
			Run:    incompleteHeartbeats,
		},
		{
			Name:   "groups/a consumer's heartbeat does not make a group unless it joins",
			Source: "KIP-848; GroupMetadataManager.getOrMaybeCreateConsumerGroup",
			Run:    heartbeatMakesNoGroup,
		},
		{
			Name:   "groups/a consumer changes its subscription in any heartbeat",
			Source: "ConsumerGroupHeartbeat: fields are null if they did not change since the last heartbeat",
			Run:    subscribingInAnyHeartbeat,
		},
		{
			Name:   "groups/a refused heartbeat says why",
			Source: "ConsumerGroupHeartbeat",
			Run:    refusedHeartbeats,
		},
		{
			Name:   "groups/the session of a static member that is away ends",
			Source: "KIP-848; GroupMetadataManager.consumerGroupStaticMemberGroupLeave",
			Needs:  Needs{ShortSessions: true},
			Run:    awayMemberIsRemoved,
		},
	}
}

// librdkafka's consumers send what has changed, and nothing beside it.
func subscribingInAnyHeartbeat(t T, c Cluster) {
	cl := newClient(t, c)
	for _, acknowledges := range []bool{false, true} {
		first, second := newTopicOf(t, cl, 1), newTopicOf(t, cl, 1)
		m := consuming(t, c, first, 0)
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = m.group, m.id, m.generation, -1
		req.SubscribedTopicNames = []string{first.name, second.name}
		if acknowledges {
			owned := kmsg.NewConsumerGroupHeartbeatRequestTopic()
			owned.TopicID, owned.Partitions = first.id, []int32{0}
			req.Topics = append(req.Topics, owned)
		}
		eventually(t, "partitions of both topics", func() bool {
			resp := ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, req)
			code(t, "heartbeat", resp.ErrorCode, nil)
			req.MemberEpoch, req.SubscribedTopicNames, req.Topics = resp.MemberEpoch, nil, nil
			return resp.Assignment != nil && len(resp.Assignment.Topics) == 2
		})
	}
}

func incompleteHeartbeats(t T, c Cluster) {
	topic := newTopic(t, newClient(t, c), 1)
	empty := kmsg.StringPtr("")
	cases := []struct {
		what   string
		since  int16
		change func(*kmsg.ConsumerGroupHeartbeatRequest)
		code   *kerr.Error
		says   string
	}{
		{"complete", 0, func(*kmsg.ConsumerGroupHeartbeatRequest) {}, nil, ""},
		{"no group", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" }, kerr.InvalidRequest, "GroupId can't be empty."},
		{"blank group", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "  " }, kerr.InvalidRequest, "GroupId can't be empty."},
		{"no member id, made by the broker", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" }, nil, ""},
		{"no member id", 1, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" }, kerr.InvalidRequest, "MemberId can't be empty."},
		{"no member id, but a member", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID, r.MemberEpoch = "", 1 }, kerr.InvalidRequest, "MemberId can't be empty."},
		{"empty instance id", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = empty }, kerr.InvalidRequest, "InstanceId can't be empty."},
		{"empty rack", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = empty }, kerr.InvalidRequest, "RackId can't be empty."},
		{"no rebalance timeout", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 }, kerr.InvalidRequest, "RebalanceTimeoutMs must be provided in first request."},
		{"no list of owned partitions", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Topics = nil }, kerr.InvalidRequest, "TopicPartitions must be empty when (re-)joining."},
		{"no subscription", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }, kerr.InvalidRequest, "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."},
		{"static leave without instance id", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -2 }, kerr.InvalidRequest, "InstanceId can't be null."},
		{"member epoch", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -3 }, kerr.InvalidRequest, "MemberEpoch is invalid."},
		{"assignor", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("best") }, kerr.UnsupportedAssignor, "ServerAssignor best is not supported. Supported assignors: uniform, range."},
	}
	for _, v := range versions(0, 1) {
		for _, tc := range cases {
			if v < tc.since || (tc.code == nil && v > tc.since && tc.what != "complete") {
				continue
			}
			what := tc.what + ", v" + number(int32(v))
			req := consumerHeartbeat(name("group"), topic)
			tc.change(req)
			resp := askIn[*kmsg.ConsumerGroupHeartbeatResponse](t, c, v, req)
			code(t, what, resp.ErrorCode, tc.code)
			if tc.code == nil {
				equal(t, what+", interval", resp.HeartbeatIntervalMillis > 0, true)
				continue
			}
			isText(t, what, resp.ErrorMessage, tc.says)
		}
	}
}

func heartbeatMakesNoGroup(t T, c Cluster) {
	cl := newClient(t, c)
	for _, epoch := range []int32{1, -1, -2} {
		req := consumerHeartbeat(name("group"))
		req.MemberEpoch, req.Topics = epoch, nil
		if epoch == -2 {
			req.InstanceID = kmsg.StringPtr("instance")
		}
		what := "member epoch " + number(epoch)
		code(t, what, ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, req).ErrorCode, kerr.GroupIDNotFound)
		describe := kmsg.NewPtrConsumerGroupDescribeRequest()
		describe.Groups = []string{req.Group}
		code(t, what+", group", ask[*kmsg.ConsumerGroupDescribeResponse](t, cl, describe).Groups[0].ErrorCode, kerr.GroupIDNotFound)
	}
	// What is there stays, whatever its type.
	topic := newTopicOf(t, cl, 2)
	req := consumerHeartbeat(committed(t, c, topic))
	req.MemberEpoch, req.Topics = 1, nil
	code(t, "group of offsets", ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, req).ErrorCode, kerr.GroupIDNotFound)
	resp := askIn[*kmsg.OffsetFetchResponse](t, c, 7, offsetsOf(7, false, &topic, req.Group))
	equal(t, "its offsets", offsetsIn(t, 7, resp, req.Group), []offset{{0, 5, -1, "", 0}, noOffset(1)})
}

func refusedHeartbeats(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	m := consuming(t, c, topic, 0)
	beat := func(what string, req *kmsg.ConsumerGroupHeartbeatRequest, want *kerr.Error) *string {
		resp := ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, req)
		code(t, what, resp.ErrorCode, want)
		equal(t, what+", interval", resp.HeartbeatIntervalMillis, 0)
		if resp.ErrorMessage == nil {
			t.Errorf("%s: there is no message", what)
		}
		return resp.ErrorMessage
	}
	pattern := consumerHeartbeat(name("group"))
	pattern.SubscribedTopicRegex, pattern.SubscribedTopicNames = kmsg.StringPtr("("), nil
	beat("pattern", pattern, kerr.InvalidRegularExpression)

	stranger := leaving(member{group: m.group, id: "nobody"})
	isText(t, "stranger", beat("stranger", stranger, kerr.UnknownMemberID), "Member nobody is not a member of group "+m.group+".")
	nowhere := leaving(member{group: name("group"), id: "nobody"})
	isText(t, "unknown group", beat("unknown group", nowhere, kerr.GroupIDNotFound), "Group "+nowhere.Group+" not found.")

	nowhere.MemberEpoch = 3
	isText(t, "unknown group of a member", beat("unknown group of a member", nowhere, kerr.GroupIDNotFound), "Consumer group "+nowhere.Group+" not found.")

	late := leaving(m)
	late.MemberEpoch = m.generation + 5
	beat("member epoch", late, kerr.FencedMemberEpoch)
	code(t, "leave", ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, leaving(m)).ErrorCode, nil)
}

// awayMemberIsRemoved has a static member leave for a while and not come back, so
// that another one gets what it was assigned.
func awayMemberIsRemoved(t T, c Cluster) {
	const leavesForAWhile = -2
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	group, instance := name("group"), name("instance")
	has := func(what string, instance *string) member {
		t.Helper()
		join := consumerHeartbeat(group, topic.name)
		join.InstanceID = instance
		req := join
		m := member{group: group, id: join.MemberID, instance: instance}
		eventually(t, what, func() bool {
			resp := ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, req)
			code(t, what, resp.ErrorCode, nil)
			if m.generation = resp.MemberEpoch; m.generation > 0 {
				req = kmsg.NewPtrConsumerGroupHeartbeatRequest()
				req.Group, req.MemberID, req.InstanceID, req.MemberEpoch, req.RebalanceTimeoutMillis = m.group, m.id, instance, m.generation, -1
			}
			return resp.Assignment != nil && len(resp.Assignment.Topics) == 1
		})
		t.Cleanup(func() {
			askLast(t, c, leaving(m))
			deleteGroup(t, c, group)
		})
		return m
	}
	away := has("the static member is assigned the partition", &instance)
	leave := leaving(away)
	leave.InstanceID, leave.MemberEpoch = &instance, leavesForAWhile
	resp := ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, leave)
	code(t, "leave", resp.ErrorCode, nil)
	equal(t, "epoch", resp.MemberEpoch, leavesForAWhile)
	other := has("another member is assigned what the one that is away had", nil)
	got := describeConsumer(t, c, group, false)
	equal(t, "members", len(got.Members), 1)
	equal(t, "member", got.Members[0].MemberID, other.id)
}
