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
	}
}

func partitionMoves(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	was := partition(t, cl, topic)
	to := otherBroker(t, cl, was.Leader)
	reassign(t, cl, topic, to)
	settled(t, cl, topic, to)
	now := partition(t, cl, topic)
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
	settled(t, cl, topic, other, was.Leader)
	equal(t, "leader that is among the new replicas", partition(t, cl, topic).Leader, was.Leader)
	// The order alone, and then one replica less.
	reassign(t, cl, topic, was.Leader, other)
	settled(t, cl, topic, was.Leader, other)
	equal(t, "leader", partition(t, cl, topic).Leader, was.Leader)
	reassign(t, cl, topic, was.Leader)
	settled(t, cl, topic, was.Leader)
	equal(t, "leader of one replica", partition(t, cl, topic).Leader, was.Leader)
}

// settled waits until a partition's replicas are these, all in sync.
func settled(t T, cl *kgo.Client, topic string, replicas ...int32) {
	t.Helper()
	eventually(t, "the new replicas of "+topic, func() bool {
		p := partition(t, cl, topic)
		isr := slices.Sorted(slices.Values(p.ISR))
		return p.ErrorCode == 0 && slices.Equal(p.Replicas, replicas) && slices.Equal(isr, slices.Sorted(slices.Values(replicas)))
	})
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
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.TimeoutMillis = int32(patience.Milliseconds())
		rt := kmsg.NewListPartitionReassignmentsRequestTopic()
		rt.Topic, rt.Partitions = named, []int32{0, 7}
		req.Topics = append(req.Topics, rt)
		resp := ask[*kmsg.ListPartitionReassignmentsResponse](t, cl, req)
		code(t, named, resp.ErrorCode, nil)
		equal(t, "reassignments of "+named, len(resp.Topics), 0)
	}
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
