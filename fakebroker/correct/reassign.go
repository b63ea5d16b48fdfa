package correct

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Reassignments are done when they are answered: all brokers share one log, so
// there is nothing to copy. On Kafka one is in progress for as long as the new
// replicas catch up, which takes moments for an empty partition and for ever for
// a broker that is down; here it is listed for [catchUp].
func reassigning(c Cluster) []Correction {
	under := new(underWay)
	return []Correction{
		{
			Rule: wire.Rule{
				Name: "AlterPartitionReassignments moves partitions",
				Keys: wire.Keys(kmsg.AlterPartitionAssignments),
				Answer: answered(func(_ *wire.Exchange, req *kmsg.AlterPartitionAssignmentsRequest, resp *kmsg.AlterPartitionAssignmentsResponse) bool {
					return reassignAll(c, under, req, resp)
				}),
			},
			Restores:  "KIP-455, KIP-860: replicas are checked, then the partition moves to them",
			Upstream:  "45_alter_partition_assignments.go accepts what it is told and does nothing",
			Behaviour: "reassign/a partition moves to another broker",
		},
		{
			Rule: wire.Rule{
				Name:   "ListPartitionReassignments lists those that were just made",
				Keys:   wire.Keys(kmsg.ListPartitionReassignments),
				Answer: answered(under.list),
			},
			Restores:  "KIP-455: new replicas have to catch up, so that who asks at once sees the reassignment in progress",
			Upstream:  "46_list_partition_reassignments.go never lists any",
			Behaviour: "reassign/one is listed while it is in progress",
		},
	}
}

func reassignAll(c Cluster, under *underWay, req *kmsg.AlterPartitionAssignmentsRequest, resp *kmsg.AlterPartitionAssignmentsResponse) bool {
	if resp.ErrorCode != 0 {
		return false
	}
	wanted := make(map[reassigned][]int32)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			wanted[reassigned{t.Topic, p.Partition}] = p.Replicas
		}
	}
	keepFactor := req.Version >= 1 && !req.AllowReplicationFactorChange
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			switch p.ErrorCode {
			case 0:
				f := reassign(c, under, t.Topic, p.Partition, wanted[reassigned{t.Topic, p.Partition}], keepFactor)
				p.ErrorCode, p.ErrorMessage = f.code(), f.text()
			case kerr.UnknownTopicOrPartition.Code:
				msg := fmt.Sprintf("Unable to find a topic named %s.", t.Topic)
				if _, ok := c.Topic(t.Topic); ok {
					msg = fmt.Sprintf("Unable to find partition %s:%d.", t.Topic, p.Partition)
				}
				p.ErrorMessage = &msg
			}
		}
	}
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	return true
}

// reassign moves a partition to the brokers given.
func reassign(c Cluster, under *underWay, topic string, partition int32, to []int32, keepFactor bool) *rejection {
	if f := checkReplicas(c, to); f != nil {
		return f
	}
	t, ok := c.Topic(topic)
	if !ok || int(partition) >= len(t.Leaders) {
		return nil // deleted since it was answered
	}
	was := replicasOf(c, t, partition)
	if keepFactor && len(was) != len(to) {
		return reject(kerr.InvalidReplicationFactor, "The replication factor is changed from %d to %d", len(was), len(to))
	}
	c.Placements().set(t.ID, partition, to)
	under.add(c, reassigned{topic, partition}, was, to)
	leader := t.Leaders[partition]
	if !slices.Contains(to, leader) {
		leader = max(firstUp(c, to), 0)
	}
	gone := slices.ContainsFunc(was, func(n int32) bool { return !slices.Contains(to, n) })
	if leader != t.Leaders[partition] || gone { // which begins an epoch
		if err := c.Move(topic, partition, leader); err != nil {
			return nil // as above
		}
	}
	return nil
}

// replicasOf is where a partition is: as placed, or as kfake has it.
func replicasOf(c Cluster, t Topic, partition int32) []int32 {
	if known := c.Placements().Of(t.ID, partition); known != nil {
		return known
	}
	nodes := c.Nodes()
	return stripe(nodes, nil, max(slices.Index(nodes, t.Leaders[partition]), 0), t.Replicas)
}

// checkReplicas holds an assignment made by hand to Kafka's rules, nil when it
// keeps them.
func checkReplicas(c Cluster, replicas []int32) *rejection {
	if len(replicas) == 0 {
		return reject(kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	nodes := c.Nodes()
	sorted := slices.Sorted(slices.Values(replicas))
	for i, n := range sorted {
		if !slices.Contains(nodes, n) {
			return reject(kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", c.ID(n))
		}
		if i > 0 && sorted[i-1] == n {
			return reject(kerr.InvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", c.ID(n))
		}
	}
	return nil
}

// rejection is an error code and what Kafka says with it. Nil is no error.
type rejection struct {
	err     *kerr.Error
	message string
}

func reject(err *kerr.Error, format string, args ...any) *rejection {
	return &rejection{err, fmt.Sprintf(format, args...)}
}

func (r *rejection) code() int16 {
	if r == nil {
		return 0
	}
	return r.err.Code
}

func (r *rejection) text() *string {
	if r == nil || r.message == "" {
		return nil
	}
	return &r.message
}
