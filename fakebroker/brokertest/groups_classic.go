package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func classicGroupBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "groups/a member is given its id before it joins",
			Source: "KIP-394; JoinGroup v4",
			Run:    idComesBeforeJoin,
		},
		{
			Name:   "groups/the leader is told the members, and each member what the leader assigns",
			Source: "JoinGroup, SyncGroup; Kafka Client-side Assignment Proposal",
			Run:    leaderAssigns,
		},
		{
			Name:   "groups/the protocol is one that all members support",
			Source: "JoinGroup; ClassicGroup.selectProtocol",
			Run:    protocolIsCommon,
		},
		{
			Name:   "groups/a member without a protocol in common is refused",
			Source: "JoinGroup; ClassicGroup.supportsProtocols",
			Run:    protocolIsRequired,
		},
		{
			Name:   "groups/each rebalance begins a generation",
			Source: "JoinGroup; ClassicGroup.initNextGeneration",
			Run:    generationsGoUp,
		},
		{
			Name:   "groups/members are told by their heartbeats that another joins",
			Source: "Heartbeat: REBALANCE_IN_PROGRESS",
			Run:    heartbeatsTellOfRebalance,
		},
		{
			Name:   "groups/a member that leaves has the others rebalance",
			Source: "LeaveGroup; GroupMetadataManager.classicGroupLeave",
			Run:    leavingRebalances,
		},
		{
			Name:   "groups/a member that vanishes is removed with its session",
			Source: "session.timeout.ms; GroupMetadataManager.expireClassicGroupMemberHeartbeat",
			Needs:  Needs{ShortSessions: true},
			Run:    vanishedMemberIsRemoved,
		},
		{
			Name:   "groups/a member of another generation is refused",
			Source: "Heartbeat, SyncGroup: ILLEGAL_GENERATION",
			Run:    generationsAreChecked,
		},
		{
			Name:   "groups/nobody else is a member of a group",
			Source: "Heartbeat, SyncGroup, LeaveGroup: UNKNOWN_MEMBER_ID",
			Run:    strangersAreRefused,
		},
		{
			Name:   "groups/a commit of an old generation changes nothing",
			Source: "OffsetCommit: ILLEGAL_GENERATION; ClassicGroup.validateOffsetCommit",
			Run:    oldGenerationCommits,
		},
		{
			Name:   "groups/nothing is committed between joining and the assignment",
			Source: "OffsetCommit: REBALANCE_IN_PROGRESS; ClassicGroup.validateOffsetCommit",
			Run:    commitsWaitForAssignment,
		},
		{
			Name:   "groups/a description says what a group waits for",
			Source: "DescribeGroups; ClassicGroupState",
			Run:    statesAreDescribed,
		},
	}
}

// classic is a member of a classic group that a behaviour speaks for.
type classic struct {
	t          T
	cl         *kgo.Client // its own: who waits for a rebalance holds the connection
	join       *kmsg.JoinGroupRequest
	id         string
	generation int32
}

// newClassic is a member that has not joined yet. It supports the protocols, of
// which "range" is one when none are named.
func newClassic(t T, c Cluster, group string, instance *string, protocols ...string) *classic {
	t.Helper()
	m := &classic{t: t, cl: newClient(t, c), join: joinOf(group, "", name("topic"))}
	m.join.InstanceID = instance
	if len(protocols) > 0 {
		m.join.Protocols = nil
		for _, p := range protocols {
			protocol := kmsg.NewJoinGroupRequestProtocol()
			protocol.Name = p
			m.join.Protocols = append(m.join.Protocols, protocol)
		}
	}
	t.Cleanup(func() {
		askLast(t, c, leaveOf(group, leaver(m.id, instance)))
		deleteGroup(t, c, group)
	})
	return m
}

// later asks without waiting, which the function that is returned does.
func later[R kmsg.Response](t T, cl *kgo.Client, req kmsg.Request) func() R {
	t.Helper()
	type answer struct {
		resp kmsg.Response
		err  error
	}
	answers := make(chan answer, 1)
	done := make(chan struct{})
	t.Cleanup(func() { <-done })
	ctx := within(t)
	go func() {
		defer close(done)
		resp, err := cl.Request(ctx, req)
		answers <- answer{resp, err}
	}()
	return func() R {
		t.Helper()
		a := <-answers
		noError(t, a.err)
		return a.resp.(R)
	}
}

// joins asks to join and does not wait for it: all members have to.
func (m *classic) joins() (joined func() *kmsg.JoinGroupResponse) {
	m.t.Helper()
	if m.id == "" && m.join.InstanceID == nil {
		given := ask[*kmsg.JoinGroupResponse](m.t, m.cl, m.join)
		code(m.t, "join without a member id", given.ErrorCode, kerr.MemberIDRequired)
		m.id = given.MemberID
	}
	m.join.MemberID = m.id
	answer := later[*kmsg.JoinGroupResponse](m.t, m.cl, m.join)
	return func() *kmsg.JoinGroupResponse {
		m.t.Helper()
		resp := answer()
		code(m.t, "join", resp.ErrorCode, nil)
		m.id, m.generation = resp.MemberID, resp.Generation
		return resp
	}
}

// sync is a request for what the leader assigns, or from the leader, who assigns.
func (m *classic) sync(assigned map[*classic]string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.join.Group, m.id, m.join.InstanceID, m.generation
	req.ProtocolType = &m.join.ProtocolType
	req.Protocol = &m.join.Protocols[0].Name
	for to, what := range assigned {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = to.id, []byte(what)
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	return req
}

func (m *classic) heartbeat() int16 {
	m.t.Helper()
	req := heartbeatOf(m.join.Group, m.id, m.generation)
	req.InstanceID = m.join.InstanceID
	return ask[*kmsg.HeartbeatResponse](m.t, m.cl, req).ErrorCode
}

// told waits until the member's heartbeat says that there is a rebalance.
func (m *classic) told() {
	m.t.Helper()
	eventually(m.t, "a heartbeat that tells of the rebalance", func() bool {
		got := m.heartbeat()
		if got != 0 && got != kerr.RebalanceInProgress.Code {
			code(m.t, "heartbeat", got, kerr.RebalanceInProgress)
			m.t.FailNow()
		}
		return got != 0
	})
}

func (m *classic) leaves() {
	m.t.Helper()
	resp := ask[*kmsg.LeaveGroupResponse](m.t, m.cl, leaveOf(m.join.Group, leaver(m.id, m.join.InstanceID)))
	code(m.t, "leave", resp.ErrorCode, nil)
	code(m.t, "leave", resp.Members[0].ErrorCode, nil)
}

// rebalanced has all members of a group join and be assigned their id and
// generation. All but the first are new to it.
func rebalanced(t T, members ...*classic) {
	t.Helper()
	waiting := make([]func() *kmsg.JoinGroupResponse, len(members))
	for i, m := range members[1:] {
		waiting[i+1] = m.joins()
	}
	if members[0].generation > 0 {
		members[0].told() // else it would join before the others have
	}
	waiting[0] = members[0].joins()
	var leader *classic
	assigned := make(map[*classic]string)
	for i, m := range members {
		resp := waiting[i]()
		equal(t, "generation of all", m.generation, members[0].generation)
		assigned[m] = m.id + " " + number(m.generation)
		if resp.LeaderID == m.id {
			leader = m
		}
	}
	if leader == nil {
		t.Errorf("none of the members leads")
		t.FailNow()
	}
	code(t, "sync of the leader", ask[*kmsg.SyncGroupResponse](t, leader.cl, leader.sync(assigned)).ErrorCode, nil)
	for _, m := range members {
		got := ask[*kmsg.SyncGroupResponse](t, m.cl, m.sync(nil))
		code(t, "sync", got.ErrorCode, nil)
		equal(t, "assignment", string(got.MemberAssignment), assigned[m])
	}
}

// twoOf is a group of two members that is stable.
func twoOf(t T, c Cluster, instances ...*string) (first, second *classic) {
	t.Helper()
	group := name("group")
	instances = append(instances, nil, nil)
	first, second = newClassic(t, c, group, instances[0]), newClassic(t, c, group, instances[1])
	rebalanced(t, first)
	rebalanced(t, first, second)
	return first, second
}

func idComesBeforeJoin(t T, c Cluster) {
	for _, v := range versions(0, 9) {
		req := joinOf(name("group"), "", name("topic"))
		resp := askIn[*kmsg.JoinGroupResponse](t, c, v, req)
		what := "v" + number(int32(v))
		if v >= 4 {
			code(t, what, resp.ErrorCode, kerr.MemberIDRequired)
			equal(t, what+", generation of who has not joined", resp.Generation, -1)
			req.MemberID = resp.MemberID
			resp = askIn[*kmsg.JoinGroupResponse](t, c, v, req)
			equal(t, what+", the id that was given", resp.MemberID, req.MemberID)
		}
		code(t, what, resp.ErrorCode, nil)
		equal(t, what+", has an id", resp.MemberID != "", true)
		equal(t, what+", leader", resp.LeaderID, resp.MemberID)
		t.Cleanup(func() {
			askLast(t, c, leaveOf(req.Group, leaver(resp.MemberID, nil)))
			deleteGroup(t, c, req.Group)
		})
	}
}

func leaderAssigns(t T, c Cluster) {
	group := name("group")
	first, second := newClassic(t, c, group, nil), newClassic(t, c, group, nil)
	rebalanced(t, first)
	members := []*classic{first, second}
	joining := second.joins()
	first.told()
	rejoining := first.joins()
	answers := []*kmsg.JoinGroupResponse{rejoining(), joining()}
	equal(t, "leader", answers[0].LeaderID, answers[1].LeaderID)
	equal(t, "generation", answers[0].Generation, answers[1].Generation)
	equal(t, "protocol", text(answers[0].Protocol), text(answers[1].Protocol))
	leads := 0
	for i, m := range members {
		if answers[i].LeaderID != m.id {
			equal(t, "members that a follower is told", len(answers[i].Members), 0)
			continue
		}
		leads = i
		told := make(map[string]string)
		for _, of := range answers[i].Members {
			told[of.MemberID] = string(of.ProtocolMetadata)
		}
		equal(t, "members and what they subscribe to", told, map[string]string{
			first.id:  string(first.join.Protocols[0].Metadata),
			second.id: string(second.join.Protocols[0].Metadata),
		})
	}
	leader, follower := members[leads], members[1-leads]
	waits := later[*kmsg.SyncGroupResponse](t, follower.cl, follower.sync(map[*classic]string{leader: "no", follower: "no"}))
	led := ask[*kmsg.SyncGroupResponse](t, leader.cl, leader.sync(map[*classic]string{leader: "to the leader", follower: "to the follower"}))
	code(t, "sync of the leader", led.ErrorCode, nil)
	equal(t, "assigned to the leader", string(led.MemberAssignment), "to the leader")
	followed := waits()
	code(t, "sync of the follower", followed.ErrorCode, nil)
	equal(t, "assigned to the follower", string(followed.MemberAssignment), "to the follower")
}

func protocolIsCommon(t T, c Cluster) {
	group := name("group")
	first, second := newClassic(t, c, group, nil, "a", "b"), newClassic(t, c, group, nil, "c", "b")
	alone := first.joins()()
	equal(t, "protocol of one", text(alone.Protocol), "a")
	joining := second.joins()
	first.told()
	equal(t, "protocol of the first", text(first.joins()().Protocol), "b")
	equal(t, "protocol of the second", text(joining().Protocol), "b")
}

func protocolIsRequired(t T, c Cluster) {
	m := newClassic(t, c, name("group"), nil, "a", "b")
	rebalanced(t, m)
	for what, change := range map[string]func(*kmsg.JoinGroupRequest){
		"another protocol": func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Name = "c" },
		"another type":     func(r *kmsg.JoinGroupRequest) { r.ProtocolType, r.Protocols[0].Name = "connect", "a" },
		"none":             func(r *kmsg.JoinGroupRequest) { r.Protocols = nil },
		"no type":          func(r *kmsg.JoinGroupRequest) { r.ProtocolType, r.Protocols[0].Name = "", "a" },
	} {
		req := joinOf(m.join.Group, "")
		change(req)
		code(t, what, askIn[*kmsg.JoinGroupResponse](t, c, 3, req).ErrorCode, kerr.InconsistentGroupProtocol)
	}
	code(t, "heartbeat of the member", m.heartbeat(), nil)
}

func generationsGoUp(t T, c Cluster) {
	group := name("group")
	first, second := newClassic(t, c, group, nil), newClassic(t, c, group, nil)
	rebalanced(t, first)
	equal(t, "of one member", first.generation, 1)
	rebalanced(t, first, second)
	equal(t, "of two members", first.generation, 2)
	second.leaves()
	first.told()
	rebalanced(t, first)
	equal(t, "of the one that is left", first.generation, 3)
	first.leaves()
	last := newClassic(t, c, group, nil)
	last.joins()()
	equal(t, "of a group that was empty", last.generation > 3, true)
}

func heartbeatsTellOfRebalance(t T, c Cluster) {
	group := name("group")
	first, second := newClassic(t, c, group, nil), newClassic(t, c, group, nil)
	rebalanced(t, first)
	code(t, "heartbeat before", first.heartbeat(), nil)
	joining := second.joins()
	first.told()
	req := first.sync(nil)
	code(t, "sync before it has joined again", ask[*kmsg.SyncGroupResponse](t, first.cl, req).ErrorCode, kerr.RebalanceInProgress)
	first.joins()()
	joining()
	code(t, "heartbeat after", first.heartbeat(), nil)
	code(t, "heartbeat of the other", second.heartbeat(), nil)
}

func leavingRebalances(t T, c Cluster) {
	first, second := twoOf(t, c)
	second.leaves()
	code(t, "heartbeat of who has left", second.heartbeat(), kerr.UnknownMemberID)
	first.told()
	alone := first.joins()()
	equal(t, "leader", alone.LeaderID, first.id)
	equal(t, "members", len(alone.Members), 1)
}

// vanishedMemberIsRemoved has one of two members say nothing more.
func vanishedMemberIsRemoved(t T, c Cluster) {
	group := name("group")
	first, second := newClassic(t, c, group, nil), newClassic(t, c, group, nil)
	second.join.SessionTimeoutMillis = 1000
	rebalanced(t, first)
	rebalanced(t, first, second)
	first.told()
	code(t, "heartbeat of who was gone", second.heartbeat(), kerr.UnknownMemberID)
	equal(t, "members", len(first.joins()().Members), 1)
}

func generationsAreChecked(t T, c Cluster) {
	first, second := twoOf(t, c)
	now := first.generation
	for _, m := range []*classic{first, second} {
		for _, other := range []int32{now - 1, now + 1} {
			m.generation = other
			code(t, "heartbeat of generation "+number(other), m.heartbeat(), kerr.IllegalGeneration)
			got := ask[*kmsg.SyncGroupResponse](t, m.cl, m.sync(nil))
			code(t, "sync of generation "+number(other), got.ErrorCode, kerr.IllegalGeneration)
			equal(t, "its assignment", len(got.MemberAssignment), 0)
		}
		m.generation = now
		code(t, "heartbeat of the generation", m.heartbeat(), nil)
	}
}

func strangersAreRefused(t T, c Cluster) {
	m := newClassic(t, c, name("group"), nil)
	rebalanced(t, m)
	member := m.id
	m.id = "nobody"
	code(t, "heartbeat", m.heartbeat(), kerr.UnknownMemberID)
	code(t, "sync", ask[*kmsg.SyncGroupResponse](t, m.cl, m.sync(nil)).ErrorCode, kerr.UnknownMemberID)
	leave := ask[*kmsg.LeaveGroupResponse](t, m.cl, leaveOf(m.join.Group, leaver(m.id, nil)))
	code(t, "leave", leave.Members[0].ErrorCode, kerr.UnknownMemberID)
	m.id = member
	code(t, "heartbeat of the member", m.heartbeat(), nil)
}

func oldGenerationCommits(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	first, second := twoOf(t, c)
	commit := func(generation int32, at int64) int16 {
		req := commitOf(first.join.Group, first.id, generation, topic)
		req.Topics[0].Partitions[0].Offset = at
		return commitCode(t, c, 9, req)
	}
	code(t, "commit", commit(first.generation, 7), nil)
	old := first.generation
	second.leaves()
	first.told()
	rebalanced(t, first)
	code(t, "commit of the generation before", commit(old, 3), kerr.IllegalGeneration)
	code(t, "commit of who has left", commitCode(t, c, 9, commitOf(first.join.Group, second.id, old, topic)), kerr.UnknownMemberID)
	resp := askIn[*kmsg.OffsetFetchResponse](t, c, 7, offsetsOf(7, false, &topic, first.join.Group))
	equal(t, "offset", offsetsIn(t, 7, resp, first.join.Group)[0].at, 7)
}

func commitsWaitForAssignment(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	group := name("group")
	first, second := newClassic(t, c, group, nil), newClassic(t, c, group, nil)
	rebalanced(t, first)
	commit := func() int16 { return commitCode(t, c, 9, commitOf(group, first.id, first.generation, topic)) }
	joining := second.joins()
	first.told()
	code(t, "commit of who is about to join again", commit(), nil)
	rejoined := first.joins()()
	joining()
	code(t, "commit before the assignment", commit(), kerr.RebalanceInProgress)
	leader := first
	if rejoined.LeaderID == second.id {
		leader = second
	}
	code(t, "sync", ask[*kmsg.SyncGroupResponse](t, leader.cl, leader.sync(nil)).ErrorCode, nil)
	code(t, "commit after it", commit(), nil)
}

func statesAreDescribed(t T, c Cluster) {
	group := name("group")
	first, second := newClassic(t, c, group, nil), newClassic(t, c, group, nil)
	is := func(state string, members int) kmsg.DescribeGroupsResponseGroup {
		t.Helper()
		got := describeGroup(t, c, 5, group, false)
		equal(t, "state", got.State, state)
		equal(t, "members when it is "+state, len(got.Members), members)
		return got
	}
	is("Dead", 0)
	first.joins()()
	is("CompletingRebalance", 1)
	assigned := map[*classic]string{first: "assigned"}
	code(t, "sync", ask[*kmsg.SyncGroupResponse](t, first.cl, first.sync(assigned)).ErrorCode, nil)
	got := is("Stable", 1)
	equal(t, "protocol type", got.ProtocolType, "consumer")
	equal(t, "protocol", got.Protocol, "range")
	equal(t, "member", got.Members[0].MemberID, first.id)
	equal(t, "what it subscribes to", string(got.Members[0].ProtocolMetadata), string(first.join.Protocols[0].Metadata))
	equal(t, "its assignment", string(got.Members[0].MemberAssignment), "assigned")
	joining := second.joins()
	first.told()
	is("PreparingRebalance", 2)
	first.joins()()
	joining()
	for _, m := range []*classic{first, second} {
		m.leaves()
	}
	got = is("Empty", 0)
	equal(t, "protocol type of an empty group", got.ProtocolType, "consumer")
	equal(t, "protocol of an empty group", got.Protocol, "")
}
