package brokertest

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func placementBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "reassign/a partition moves to another broker",
			Source: "KIP-455; ReplicationControlManager.alterPartitionReassignment",
			Needs:  Needs{Brokers: 2},
			Run:    partitionMoves,
		},
		{
			Name:   "reassign/replicas are those asked for",
			Source: "KIP-455; the leader stays when it is one of the new replicas",
			Needs:  Needs{Brokers: 2},
			Run:    replicasAreThoseAskedFor,
		},
		{
			Name:   "reassign/what cannot be done is refused with a message",
			Source: "KIP-455; ReplicationControlManager.validateManualPartitionAssignment",
			Run:    reassignmentsAreRefused,
		},
		{
			Name:   "reassign/the number of replicas stays when it must",
			Source: "KIP-860: allow_replication_factor_change",
			Needs:  Needs{Brokers: 2},
			Run:    replicationFactorStays,
		},
		{
			Name:   "reassign/none is listed when none is in progress",
			Source: "KIP-455: ListPartitionReassignments",
			Run:    noReassignments,
		},
		{
			Name:   "reassign/one is listed while it is in progress",
			Source: "KIP-455: ListPartitionReassignments",
			Needs:  Needs{Brokers: 2},
			Run:    reassignmentIsListed,
		},
	}
}

func partitionMoves(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	was := partition(t, cl, topic)
	to := otherBroker(t, cl, was.Leader)
	reassign(t, cl, topic, to)
	now := settled(t, cl, topic, to)
	equal(t, "leader", now.Leader, to)
	if now.LeaderEpoch <= was.LeaderEpoch {
		t.Errorf("leader epoch: %d after %d, want a later one", now.LeaderEpoch, was.LeaderEpoch)
	}
	produce(t, cl, topic, "here")
}

func replicasAreThoseAskedFor(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	was := partition(t, cl, topic)
	other := otherBroker(t, cl, was.Leader)
	reassign(t, cl, topic, other, was.Leader)
	equal(t, "leader that is among the new replicas", settled(t, cl, topic, other, was.Leader).Leader, was.Leader)
	// The order alone, and then one replica less.
	reassign(t, cl, topic, was.Leader, other)
	equal(t, "leader", settled(t, cl, topic, was.Leader, other).Leader, was.Leader)
	reassign(t, cl, topic, was.Leader)
	equal(t, "leader of one replica", settled(t, cl, topic, was.Leader).Leader, was.Leader)
}

// settled waits until a partition's replicas are these, all in sync, and every
// broker knows.
func settled(t T, cl *kgo.Client, topic string, replicas ...int32) kmsg.MetadataResponseTopicPartition {
	t.Helper()
	return knownAs(t, cl, "the new replicas of "+topic, topic, func(p kmsg.MetadataResponseTopicPartition) bool {
		isr := slices.Sorted(slices.Values(p.ISR))
		return slices.Equal(p.Replicas, replicas) && slices.Equal(isr, slices.Sorted(slices.Values(replicas)))
	})
}

// knownAs waits until every broker knows a topic's first partition as something,
// without an error: one may hear of it later than another.
func knownAs(t T, cl *kgo.Client, what, topic string, is func(kmsg.MetadataResponseTopicPartition) bool) (p kmsg.MetadataResponseTopicPartition) {
	t.Helper()
	for _, node := range brokers(t, cl) {
		eventually(t, what+" at broker "+number(node), func() bool {
			rt := askOf[*kmsg.MetadataResponse](t, cl, node, metadataOf(false, topic)).Topics[0]
			i := slices.IndexFunc(rt.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Partition == 0 })
			if i < 0 {
				return false
			}
			p = rt.Partitions[i]
			return p.ErrorCode == 0 && is(p)
		})
	}
	return p
}

func reassignmentsAreRefused(t T, c Cluster) {
	for _, v := range []int16{0, 1} {
		cl := newClient(t, c, version(kmsg.AlterPartitionAssignments, v))
		topic := newTopic(t, cl, 1)
		missing := name("missing")
		here := partition(t, cl, topic).Leader
		for _, try := range []struct {
			topic    string
			id       int32
			replicas []int32
			code     *kerr.Error
			message  *string
		}{
			{missing, 0, []int32{here}, kerr.UnknownTopicOrPartition, kmsg.StringPtr("Unable to find a topic named " + missing + ".")},
			{topic, 7, []int32{here}, kerr.UnknownTopicOrPartition, kmsg.StringPtr("Unable to find partition " + topic + ":7.")},
			{topic, 0, []int32{here, 4711}, kerr.InvalidReplicaAssignment, kmsg.StringPtr("The manual partition assignment includes broker 4711, but no such broker is registered.")},
			{topic, 0, []int32{here, here}, kerr.InvalidReplicaAssignment, kmsg.StringPtr("The manual partition assignment includes the broker " + number(here) + " more than once.")},
			{topic, 0, []int32{}, kerr.InvalidReplicaAssignment, kmsg.StringPtr("The manual partition assignment includes an empty replica list.")},
			{topic, 0, nil, kerr.NoReassignmentInProgress, nil},
			{topic, 0, []int32{here}, nil, nil},
		} {
			p := alterAssignment(t, cl, try.topic, try.id, true, try.replicas)
			code(t, try.topic, p.ErrorCode, try.code)
			equal(t, "message", text(p.ErrorMessage), text(try.message))
		}
		equal(t, "leader", partition(t, cl, topic).Leader, here)
	}
}

func replicationFactorStays(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	was := partition(t, cl, topic)
	other := otherBroker(t, cl, was.Leader)
	reassign(t, cl, topic, was.Leader)
	settled(t, cl, topic, was.Leader)
	p := alterAssignment(t, cl, topic, 0, false, []int32{was.Leader, other})
	code(t, "two replicas in place of one", p.ErrorCode, kerr.InvalidReplicationFactor)
	equal(t, "message", text(p.ErrorMessage), "The replication factor is changed from 1 to 2")
	code(t, "one in place of one", alterAssignment(t, cl, topic, 0, false, []int32{other}).ErrorCode, nil)
	settled(t, cl, topic, other)
}

func noReassignments(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	for _, named := range []string{topic, name("missing")} {
		equal(t, "reassignments of "+named, len(reassignments(t, cl, named)), 0)
	}
}

// reassignmentIsListed asks right after a reassignment; on Kafka the new replica
// may have caught up even so, and then another one is made.
func reassignmentIsListed(t T, c Cluster) {
	cl := newClient(t, c)
	var topic string
	eventually(t, "a reassignment in progress", func() bool {
		topic = newTopic(t, cl, 1)
		was := partition(t, cl, topic).Leader
		reassign(t, cl, topic, was)
		settled(t, cl, topic, was)
		to := otherBroker(t, cl, was)
		reassign(t, cl, topic, to)
		listed := reassignments(t, cl, topic)
		if len(listed) == 0 {
			return false
		}
		equal(t, "topic", listed[0].Topic, topic)
		equal(t, "partitions", len(listed[0].Partitions), 1)
		p := listed[0].Partitions[0]
		equal(t, "partition", p.Partition, 0)
		equal(t, "replicas", p.Replicas, []int32{to, was})
		equal(t, "replicas that come", p.AddingReplicas, []int32{to})
		equal(t, "replicas that go", p.RemovingReplicas, []int32{was})
		return true
	})
	eventually(t, "the end of the reassignment", func() bool { return len(reassignments(t, cl, topic)) == 0 })
}

// reassignments lists those in progress of a topic's partitions 0 and 7.
func reassignments(t T, cl *kgo.Client, topic string) []kmsg.ListPartitionReassignmentsResponseTopic {
	t.Helper()
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	req.TimeoutMillis = int32(patience.Milliseconds())
	rt := kmsg.NewListPartitionReassignmentsRequestTopic()
	rt.Topic, rt.Partitions = topic, []int32{0, 7}
	req.Topics = append(req.Topics, rt)
	resp := ask[*kmsg.ListPartitionReassignmentsResponse](t, cl, req)
	code(t, topic, resp.ErrorCode, nil)
	return resp.Topics
}

// reassign moves a topic's first partition.
func reassign(t T, cl *kgo.Client, topic string, to ...int32) {
	t.Helper()
	code(t, "reassignment of "+topic, alterAssignment(t, cl, topic, 0, true, to).ErrorCode, nil)
}

func alterAssignment(t T, cl *kgo.Client, topic string, id int32, anyFactor bool, to []int32) kmsg.AlterPartitionAssignmentsResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.TimeoutMillis, req.AllowReplicationFactorChange = int32(patience.Milliseconds()), anyFactor
	rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	rp.Partition, rp.Replicas = id, to
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp := ask[*kmsg.AlterPartitionAssignmentsResponse](t, cl, req)
	code(t, "reassignment", resp.ErrorCode, nil)
	return resp.Topics[0].Partitions[0]
}
