package fakebroker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// MoveLeader makes another broker the leader of a partition, with a new leader
// epoch (KIP-320). Whoever asks the old leader is refused with
// NOT_LEADER_OR_FOLLOWER; hits counts the requests for the partition that came
// there. Clearing the fault moves the leader back, unless it was moved on since
// or the old leader is down.
//
// A topic, partition or node id that does not exist, or a broker that is down or
// leads already, makes a fault that never strikes.
func (b *Broker) MoveLeader(topic string, partition, to int32) *Fault {
	f := &Fault{name: fmt.Sprintf("leader of topic %s, partition %d, moved to broker %d", topic, partition, to), clear: func() {}}
	to = b.node(to)
	b.outage.change.Lock()
	defer b.outage.change.Unlock()
	from, err := b.leader(topic, partition)
	possible := err == nil && from != to && b.exists(to) && !b.outage.isDown(to)
	if !possible || b.lead(topic, partition, to) != nil {
		f.name += ", which is not possible"
		return f
	}
	asked := b.cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{
			kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.OffsetForLeaderEpoch, kmsg.DeleteRecords,
			kmsg.ShareFetch, kmsg.ShareAcknowledge,
		},
		Nodes: []int32{from}, Topic: topic, Partitions: []int32{partition}, Count: -1, Observe: true,
		When: func(req kmsg.Request) bool { return !tagged(req, ownTag) },
	})
	f.hits = asked.Hits
	f.clear = func() {
		asked.Remove()
		b.outage.change.Lock()
		defer b.outage.change.Unlock()
		if now, err := b.leader(topic, partition); err == nil && now == to && !b.outage.isDown(from) {
			_ = b.lead(topic, partition, from) // deleted or closed meanwhile: nothing to move back
		}
	}
	return f
}

func (b *Broker) lead(topic string, partition, node int32) error {
	return b.do(func() error { return b.cluster.MoveTopicPartition(topic, partition, node) })
}
