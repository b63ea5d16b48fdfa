package fakebroker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
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
	f := b.newFault(fmt.Sprintf("leader of topic %s, partition %d, moved to broker %d", topic, partition, to), 0)
	b.moveLeader(f, topic, partition, b.node(to))
	return f.begin()
}

func (b *Broker) moveLeader(f *Fault, topic string, partition, to int32) {
	b.outage.change.Lock()
	defer b.outage.change.Unlock()
	from, err := b.leader(topic, partition)
	possible := err == nil && from != to && b.exists(to) && !b.outage.isDown(to)
	if !possible || b.lead(topic, partition, to) != nil {
		f.name, f.inert = f.name+", which is not possible", true
		return
	}
	apis := []kmsg.Key{
		kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.OffsetForLeaderEpoch, kmsg.DeleteRecords,
		kmsg.ShareFetch, kmsg.ShareAcknowledge,
	}
	untold := new(refusals)
	untell := b.tellRefusals(f, untold, kerr.NotLeaderForPartition, Scope{APIs: apis, Brokers: []int32{b.id(from)}})
	asked := b.cluster.Fault(kfake.Fault{
		Keys: apis, Nodes: []int32{from}, Topic: topic, Partitions: []int32{partition}, Count: -1, Observe: true,
		When: func(req kmsg.Request) bool {
			if tagged(req, ownTag) {
				return false
			}
			untold.count(req)
			return true
		},
	})
	f.hits = asked.Hits
	f.clear = func() {
		asked.Remove()
		untell()
		b.outage.change.Lock()
		defer b.outage.change.Unlock()
		if now, err := b.leader(topic, partition); err == nil && now == to && !b.outage.isDown(from) {
			_ = b.lead(topic, partition, from) // deleted or closed meanwhile: nothing to move back
		}
	}
}

func (b *Broker) lead(topic string, partition, node int32) error {
	return b.do(func() error { return b.cluster.MoveTopicPartition(topic, partition, node) })
}
