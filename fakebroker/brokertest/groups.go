package brokertest

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupBehaviours() []Behaviour {
	return slices.Concat(
		groupOffsetBehaviours(),
		groupCommitBehaviours(),
		groupMemberBehaviours(),
		groupHeartbeatBehaviours(),
		groupDescriptionBehaviours(),
		streamsBehaviours(),
		shareBehaviours(),
		classicGroupBehaviours(),
		staticMemberBehaviours(),
		sharedGroupBehaviours(),
		consumerGroupBehaviours(),
		[]Behaviour{refusedOnPartitions()},
	)
}

// askIn asks in a version of the API.
func askIn[R kmsg.Response](t T, c Cluster, v int16, req kmsg.Request) R {
	t.Helper()
	return ask[R](t, newClient(t, c, version(kmsg.Key(req.Key()), v)), req)
}

// versions are those from first to last.
func versions(first, last int16) []int16 {
	var all []int16
	for v := first; v <= last; v++ {
		all = append(all, v)
	}
	return all
}

// topicOf is a topic as requests name it: by id, or by name.
type topicOf struct {
	name string
	id   [16]byte
}

func newTopicOf(t T, cl *kgo.Client, partitions int32) topicOf {
	t.Helper()
	topic := newTopic(t, cl, partitions)
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &topic
	req.Topics = append(req.Topics, rt)
	resp := ask[*kmsg.MetadataResponse](t, cl, req)
	code(t, "topic "+topic, resp.Topics[0].ErrorCode, nil)
	return topicOf{topic, resp.Topics[0].TopicID}
}

// commitOf is an OffsetCommit of offset 5 in partition 0.
func commitOf(group, member string, generation int32, topic topicOf) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = topic.name, topic.id
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset, rp.LeaderEpoch = 5, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// committed makes a group of one offset without metadata.
func committed(t T, c Cluster, topic topicOf) (group string) {
	t.Helper()
	group = name("group")
	resp := askIn[*kmsg.OffsetCommitResponse](t, c, 8, commitOf(group, "", -1, topic))
	code(t, "commit", resp.Topics[0].Partitions[0].ErrorCode, nil)
	t.Cleanup(func() { deleteGroup(t, c, group) })
	return group
}

// joinOf is a JoinGroup of the consumer protocol type.
func joinOf(group, member string, topics ...string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = group, member, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 30_000, 30_000
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name = "range"
	subscription := kmsg.NewConsumerMemberMetadata()
	subscription.Topics = topics
	protocol.Metadata = subscription.AppendTo(nil)
	req.Protocols = append(req.Protocols, protocol)
	return req
}

// member is a member of a group that is stable.
type member struct {
	group, id  string
	instance   *string
	generation int32 // or member epoch
}

// joined makes a classic group of one member.
func joined(t T, c Cluster, instance *string, topics ...string) member {
	t.Helper()
	const version = 3 // joins at once
	first := int16(version)
	if instance != nil {
		first = 5
	}
	req := joinOf(name("group"), "", topics...)
	req.InstanceID = instance
	join := askIn[*kmsg.JoinGroupResponse](t, c, first, req)
	code(t, "join", join.ErrorCode, nil)
	m := member{req.Group, join.MemberID, instance, join.Generation}
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.InstanceID, sync.Generation = m.group, m.id, instance, m.generation
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	assigned := kmsg.NewConsumerMemberAssignment()
	a.MemberID, a.MemberAssignment = m.id, assigned.AppendTo(nil)
	sync.GroupAssignment = append(sync.GroupAssignment, a)
	code(t, "sync", askIn[*kmsg.SyncGroupResponse](t, c, 4, sync).ErrorCode, nil)
	t.Cleanup(func() {
		askLast(t, c, leaveOf(m.group, leaver(m.id, nil)))
		deleteGroup(t, c, m.group)
	})
	return m
}

// consumerHeartbeat is a ConsumerGroupHeartbeat that joins.
func consumerHeartbeat(group string, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID = group, name("member")
	req.RebalanceTimeoutMillis = 30_000
	req.SubscribedTopicNames = topics
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return req
}

// consuming makes a group of one member by the consumer protocol, which has been
// assigned all partitions of a topic.
func consuming(t T, c Cluster, topic topicOf, partitions ...int32) member {
	t.Helper()
	cl := newClient(t, c)
	req := consumerHeartbeat(name("group"), topic.name)
	m := member{group: req.Group, id: req.MemberID}
	owned := kmsg.NewConsumerGroupHeartbeatRequestTopic()
	owned.TopicID, owned.Partitions = topic.id, partitions
	eventually(t, "an assignment", func() bool {
		resp := ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, req)
		code(t, "heartbeat", resp.ErrorCode, nil)
		if m.generation = resp.MemberEpoch; m.generation > 0 { // else it has not joined yet
			req = kmsg.NewPtrConsumerGroupHeartbeatRequest()
			req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = m.group, m.id, m.generation, -1
		}
		return resp.Assignment != nil && len(resp.Assignment.Topics) == 1
	})
	req.Topics = append(req.Topics, owned)
	code(t, "acknowledgement", ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, req).ErrorCode, nil)
	t.Cleanup(func() {
		askLast(t, c, leaving(m))
		deleteGroup(t, c, m.group)
	})
	return m
}

// leaving is a heartbeat that leaves a group of the consumer protocol.
func leaving(m member) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = m.group, m.id, -1, -1
	return req
}

// askLast asks when a behaviour is done. What comes of it does not matter: there
// may be nothing left to undo, and the cluster may be gone.
func askLast(t T, c Cluster, req kmsg.Request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	cl, err := kgo.NewClient(slices.Concat(c.Options, []kgo.Opt{kgo.DisableClientMetrics()})...)
	if err != nil {
		return
	}
	defer cl.Close()
	_, _ = cl.Request(ctx, req)
}

func deleteGroup(t T, c Cluster, group string) {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{group}
	askLast(t, c, req)
}

func isText(t T, what string, got *string, want string) {
	t.Helper()
	if got == nil || *got != want {
		t.Errorf("%s: %s, want %q", what, text(got), want)
	}
}
