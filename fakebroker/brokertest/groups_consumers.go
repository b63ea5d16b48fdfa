package brokertest

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func consumerGroupBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "groups/a consumer joins by a heartbeat and is assigned the partitions",
			Source: "KIP-848: ConsumerGroupHeartbeat",
			Run:    heartbeatJoins,
		},
		{
			Name:   "groups/a consumer gives up partitions before another has them",
			Source: "KIP-848; CurrentAssignmentBuilder",
			Run:    revocationComesFirst,
		},
		{
			Name:   "groups/what a consumer leaves is assigned to the others",
			Source: "KIP-848: LEAVE_GROUP_MEMBER_EPOCH",
			Run:    leftPartitionsAreAssigned,
		},
		{
			Name:   "groups/a consumer that vanishes is removed with its session",
			Source: "KIP-848: group.consumer.session.timeout.ms",
			Needs:  Needs{ShortSessions: true},
			Run:    vanishedConsumerIsRemoved,
		},
		{
			Name:   "groups/epochs of a consumer group go up as members come and go",
			Source: "KIP-848: group epoch, assignment epoch, member epoch",
			Run:    epochsGoUp,
		},
		{
			Name:   "groups/a consumer of an old epoch is fenced, and joins again",
			Source: "KIP-848: FENCED_MEMBER_EPOCH; GroupMetadataManager.throwIfConsumerGroupMemberEpochIsInvalid",
			Run:    oldEpochIsFenced,
		},
		{
			Name:   "groups/a static consumer comes back to its partitions",
			Source: "KIP-848: LEAVE_GROUP_STATIC_MEMBER_EPOCH",
			Run:    staticConsumerComesBack,
		},
		{
			Name:   "groups/an instance id is one consumer's at a time",
			Source: "KIP-848: UNRELEASED_INSTANCE_ID, FENCED_INSTANCE_ID",
			Run:    instanceIsReleasedFirst,
		},
		{
			Name:   "groups/partitions that are added are assigned to a consumer",
			Source: "KIP-848: the group epoch goes up with the metadata of topics",
			Run:    addedPartitionsAreAssigned,
		},
		{
			Name:   "groups/a consumer subscribes to topics by a pattern",
			Source: "KIP-848: SubscribedTopicRegex",
			Run:    patternIsResolved,
		},
	}
}

// consumer is a member of a group of the consumer protocol that a behaviour
// speaks for. Its topic is the only one that it subscribes to.
type consumer struct {
	t        T
	cl       *kgo.Client
	group    string
	id       string
	instance *string
	topic    topicOf
	epoch    int32   // zero: it is to join
	assigned []int32 // by the latest answer that says so
	owned    []int32 // what it says that it has
}

// newConsumer is a member that has not joined yet.
func newConsumer(t T, c Cluster, group string, instance *string, topic topicOf) *consumer {
	t.Helper()
	m := &consumer{t: t, cl: newClient(t, c), group: group, id: name("member"), instance: instance, topic: topic}
	t.Cleanup(func() {
		askLast(t, c, leaving(member{group: group, id: m.id}))
		deleteGroup(t, c, group)
	})
	return m
}

// says sends a heartbeat that tells what it owns.
func (m *consumer) says() *kmsg.ConsumerGroupHeartbeatResponse {
	m.t.Helper()
	req := consumerHeartbeat(m.group, m.topic.name)
	req.MemberID, req.InstanceID, req.MemberEpoch = m.id, m.instance, m.epoch
	if m.epoch > 0 && len(m.owned) > 0 {
		owned := kmsg.NewConsumerGroupHeartbeatRequestTopic()
		owned.TopicID, owned.Partitions = m.topic.id, m.owned
		req.Topics = append(req.Topics, owned)
	}
	return ask[*kmsg.ConsumerGroupHeartbeatResponse](m.t, m.cl, req)
}

// beats sends a heartbeat that is to be answered, and learns from the answer.
func (m *consumer) beats() {
	m.t.Helper()
	resp := m.says()
	code(m.t, "heartbeat", resp.ErrorCode, nil)
	if resp.ErrorCode != 0 {
		m.t.FailNow()
	}
	m.epoch = resp.MemberEpoch
	if resp.Assignment != nil {
		m.assigned = nil
		for _, topic := range resp.Assignment.Topics {
			m.assigned = append(m.assigned, topic.Partitions...)
		}
		slices.Sort(m.assigned)
	}
}

// obeys sends heartbeats, does what the answers say, and waits until it has as
// many partitions.
func (m *consumer) obeys(partitions int) {
	m.t.Helper()
	eventually(m.t, "a consumer of "+number(int32(partitions))+" partitions", func() bool {
		m.beats()
		m.owned = m.assigned
		return m.epoch > 0 && len(m.owned) == partitions
	})
	m.beats() // tells so
}

func (m *consumer) leaves() {
	m.t.Helper()
	left := ask[*kmsg.ConsumerGroupHeartbeatResponse](m.t, m.cl, leaving(member{group: m.group, id: m.id}))
	code(m.t, "leave", left.ErrorCode, nil)
	equal(m.t, "epoch of who has left", left.MemberEpoch, -1)
}

// share has two consumers of a group give up and take partitions until each has
// half of them.
func share(t T, first, second *consumer, each int) {
	t.Helper()
	eventually(t, "half of the partitions for each", func() bool {
		for _, m := range []*consumer{first, second} {
			m.beats()
			m.owned = m.assigned
		}
		return len(first.owned) == each && len(second.owned) == each
	})
	first.beats()
	second.beats()
}

func heartbeatJoins(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 3)
	m := newConsumer(t, c, name("group"), nil, topic)
	resp := m.says()
	code(t, "join", resp.ErrorCode, nil)
	isText(t, "member id", resp.MemberID, m.id)
	equal(t, "has an interval", resp.HeartbeatIntervalMillis > 0, true)
	m.obeys(3)
	equal(t, "partitions", m.owned, []int32{0, 1, 2})
	epoch := m.epoch
	m.beats()
	equal(t, "epoch when nothing has changed", m.epoch, epoch)
	equal(t, "state", describeConsumer(t, c, m.group, false).State, "Stable")
}

func revocationComesFirst(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := name("group")
	first, second := newConsumer(t, c, group, nil, topic), newConsumer(t, c, group, nil, topic)
	first.obeys(2)
	epoch := first.epoch
	eventually(t, "a partition less for the first", func() bool {
		second.beats()
		first.beats() // and says that it has both
		return len(first.assigned) == 1
	})
	for range 3 {
		second.beats()
		first.beats()
		equal(t, "partitions of the second before they were given up", len(second.assigned), 0)
		equal(t, "epoch of who has something to give up", first.epoch, epoch)
	}
	first.owned = first.assigned
	first.beats()
	equal(t, "epoch of who has given up is later", first.epoch > epoch, true)
	second.obeys(1)
	equal(t, "epoch of both", second.epoch, first.epoch)
	both := append(slices.Clone(first.owned), second.owned...)
	slices.Sort(both)
	equal(t, "partitions of both", both, []int32{0, 1})
}

func leftPartitionsAreAssigned(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := name("group")
	first, second := newConsumer(t, c, group, nil, topic), newConsumer(t, c, group, nil, topic)
	first.obeys(2)
	share(t, first, second, 1)
	first.leaves()
	code(t, "heartbeat of who has left", first.says().ErrorCode, kerr.UnknownMemberID)
	second.obeys(2)
	equal(t, "members", len(describeConsumer(t, c, group, false).Members), 1)
	second.leaves()
	got := describeConsumer(t, c, group, false)
	equal(t, "state", got.State, "Empty")
	equal(t, "members", len(got.Members), 0)
}

// vanishedConsumerIsRemoved has one of two members say nothing more.
func vanishedConsumerIsRemoved(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := name("group")
	first, second := newConsumer(t, c, group, nil, topic), newConsumer(t, c, group, nil, topic)
	first.obeys(2)
	share(t, first, second, 1)
	second.obeys(2)
	code(t, "heartbeat of who was gone", first.says().ErrorCode, kerr.UnknownMemberID)
}

func epochsGoUp(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := name("group")
	first, second := newConsumer(t, c, group, nil, topic), newConsumer(t, c, group, nil, topic)
	last := int32(0)
	settles := func(what string, members ...*consumer) {
		t.Helper()
		var got kmsg.ConsumerGroupDescribeResponseGroup
		eventually(t, "a stable group "+what, func() bool {
			for _, m := range members {
				m.beats()
				m.owned = m.assigned
			}
			got = describeConsumer(t, c, group, false)
			return got.State == "Stable"
		})
		if got.Epoch <= last {
			t.Errorf("group epoch %s: %d after %d, want a later one", what, got.Epoch, last)
		}
		equal(t, "assignment epoch "+what, got.AssignmentEpoch, got.Epoch)
		for _, m := range got.Members {
			equal(t, "member epoch "+what, m.MemberEpoch, got.Epoch)
		}
		last = got.Epoch
	}
	settles("of one member", first)
	settles("of two members", first, second)
	second.leaves()
	settles("of the one that is left", first)
}

func oldEpochIsFenced(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := name("group")
	first, second := newConsumer(t, c, group, nil, topic), newConsumer(t, c, group, nil, topic)
	first.obeys(2)
	old := first.epoch
	share(t, first, second, 1)
	second.leaves()
	first.obeys(2)
	first.epoch = old
	fenced := first.says()
	code(t, "heartbeat of an old epoch", fenced.ErrorCode, kerr.FencedMemberEpoch)
	equal(t, "epoch of who is fenced", fenced.MemberEpoch, 0)
	first.epoch, first.owned, first.assigned = 0, nil, nil
	first.obeys(2)
	equal(t, "epoch of who has joined again is later", first.epoch > old, true)
}

// staticConsumerComesBack restarts one of two consumers, of which the other does
// not hear.
func staticConsumerComesBack(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 4)
	group := name("group")
	first, second := newConsumer(t, c, group, nil, topic), newConsumer(t, c, group, kmsg.StringPtr("instance"), topic)
	first.obeys(4)
	share(t, first, second, 2)
	before := describeConsumer(t, c, group, false).Epoch
	second.awaits()
	again := newConsumer(t, c, group, second.instance, topic)
	again.obeys(2)
	equal(t, "partitions", again.owned, second.owned)
	first.beats()
	equal(t, "partitions of the other", first.assigned, first.owned)
	got := describeConsumer(t, c, group, false)
	equal(t, "group epoch", got.Epoch, before)
	equal(t, "members", len(got.Members), 2)
}

// awaits leaves for a while, as a static member does that is restarted.
func (m *consumer) awaits() {
	m.t.Helper()
	const forAWhile = -2
	leave := leaving(member{group: m.group, id: m.id})
	leave.InstanceID, leave.MemberEpoch = m.instance, forAWhile
	resp := ask[*kmsg.ConsumerGroupHeartbeatResponse](m.t, m.cl, leave)
	code(m.t, "leave for a while", resp.ErrorCode, nil)
	equal(m.t, "epoch of who left for a while", resp.MemberEpoch, forAWhile)
}

func instanceIsReleasedFirst(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	group := name("group")
	first := newConsumer(t, c, group, kmsg.StringPtr("instance"), topic)
	first.obeys(1)
	second := newConsumer(t, c, group, first.instance, topic)
	code(t, "join while another has the instance id", second.says().ErrorCode, kerr.UnreleasedInstanceID)
	first.beats()
	first.awaits()
	second.obeys(1)
	code(t, "heartbeat of who had it", first.says().ErrorCode, kerr.FencedInstanceID)
	second.beats()
}

func addedPartitionsAreAssigned(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	m := newConsumer(t, c, name("group"), nil, topic)
	m.obeys(1)
	epoch := m.epoch
	code(t, "grow", ask[*kmsg.CreatePartitionsResponse](t, cl, partitionsToAdd(topic.name, 3)).Topics[0].ErrorCode, nil)
	m.obeys(3)
	equal(t, "epoch is later", m.epoch > epoch, true)
}

func patternIsResolved(t T, c Cluster) {
	cl := newClient(t, c)
	topic, other := newTopicOf(t, cl, 2), newTopicOf(t, cl, 2)
	req := consumerHeartbeat(name("group"))
	req.SubscribedTopicNames, req.SubscribedTopicRegex = nil, kmsg.StringPtr(topic.name[:len(topic.name)-1]+".")
	m := member{group: req.Group, id: req.MemberID}
	t.Cleanup(func() {
		askLast(t, c, leaving(m))
		deleteGroup(t, c, m.group)
	})
	eventually(t, "the partitions of the topic", func() bool {
		resp := ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, req)
		code(t, "heartbeat", resp.ErrorCode, nil)
		req.MemberEpoch = resp.MemberEpoch
		if resp.Assignment == nil || len(resp.Assignment.Topics) == 0 {
			return false
		}
		for _, assigned := range resp.Assignment.Topics {
			equal(t, "is the other topic", assigned.TopicID == other.id, false)
		}
		return slices.Equal(resp.Assignment.Topics[0].Partitions, []int32{0, 1})
	})
}
