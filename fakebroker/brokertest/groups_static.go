package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func staticMemberBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "groups/a static member comes back without a rebalance",
			Source: "KIP-345; GroupMetadataManager.updateStaticMemberThenRebalanceOrCompleteJoin",
			Run:    staticMemberComesBack,
		},
		{
			Name:   "groups/a static member that is there twice is fenced",
			Source: "KIP-345: FENCED_INSTANCE_ID",
			Run:    duplicateIsFenced,
		},
		{
			Name:   "groups/a static member that leads comes back as the leader",
			Source: "KIP-345, KIP-814",
			Run:    staticLeaderComesBack,
		},
	}
}

// staticMemberComesBack restarts a follower, as one whose process ended without
// leaving.
func staticMemberComesBack(t T, c Cluster) {
	leader, follower := twoOf(t, c, nil, kmsg.StringPtr("instance"))
	was, generation := follower.id, follower.generation
	follower.id = ""
	resp := follower.joins()()
	equal(t, "generation", resp.Generation, generation)
	equal(t, "leader", resp.LeaderID, leader.id)
	if follower.id == was {
		t.Errorf("member id: %s, want a new one", was)
	}
	got := ask[*kmsg.SyncGroupResponse](t, follower.cl, follower.sync(nil))
	code(t, "sync", got.ErrorCode, nil)
	equal(t, "assignment", string(got.MemberAssignment), was+" "+number(generation))
	code(t, "heartbeat", follower.heartbeat(), nil)
	code(t, "heartbeat of the other", leader.heartbeat(), nil)
}

func duplicateIsFenced(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	_, first := twoOf(t, c, nil, kmsg.StringPtr("instance"))
	second := newClassic(t, c, first.join.Group, first.join.InstanceID)
	second.join.Protocols = first.join.Protocols
	equal(t, "generation", second.joins()().Generation, first.generation)
	code(t, "heartbeat", first.heartbeat(), kerr.FencedInstanceID)
	code(t, "sync", ask[*kmsg.SyncGroupResponse](t, first.cl, first.sync(nil)).ErrorCode, kerr.FencedInstanceID)
	commit := commitOf(first.join.Group, first.id, first.generation, topic)
	commit.InstanceID = first.join.InstanceID
	code(t, "commit", commitCode(t, c, 9, commit), kerr.FencedInstanceID)
	first.join.MemberID = first.id
	code(t, "join", ask[*kmsg.JoinGroupResponse](t, first.cl, first.join).ErrorCode, kerr.FencedInstanceID)
	leave := ask[*kmsg.LeaveGroupResponse](t, first.cl, leaveOf(first.join.Group, leaver(first.id, first.join.InstanceID)))
	code(t, "leave", leave.Members[0].ErrorCode, kerr.FencedInstanceID)
	code(t, "heartbeat of the second", second.heartbeat(), nil)
	commit.MemberID = second.id
	code(t, "commit of the second", commitCode(t, c, 9, commit), nil)
}

// staticLeaderComesBack restarts the leader, who is told the members and that it
// need not assign.
func staticLeaderComesBack(t T, c Cluster) {
	leader, follower := twoOf(t, c, kmsg.StringPtr("one"), kmsg.StringPtr("other"))
	was, generation := leader.id, leader.generation
	leader.id = ""
	resp := leader.joins()()
	equal(t, "generation", resp.Generation, generation)
	equal(t, "leader", resp.LeaderID, leader.id)
	equal(t, "members", len(resp.Members), 2)
	equal(t, "assigns nothing", resp.SkipAssignment, true)
	got := ask[*kmsg.SyncGroupResponse](t, leader.cl, leader.sync(nil))
	code(t, "sync", got.ErrorCode, nil)
	equal(t, "assignment", string(got.MemberAssignment), was+" "+number(generation))
	code(t, "heartbeat of the other", follower.heartbeat(), nil)
}
