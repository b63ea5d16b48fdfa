package correct

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// catchUp is how long a reassignment to other brokers is listed. Kafka's take
// tens of milliseconds and more, also when there is nothing to copy.
const catchUp = 100 * time.Millisecond

// reassigned is a partition by its topic's name.
type reassigned struct {
	topic     string
	partition int32
}

// reassignment is one that was made less than [catchUp] ago.
type reassignment struct {
	until                  time.Time
	topic                  [16]byte
	replicas, adds, leaves []int32 // as clients know the brokers
}

// underWay is the reassignments that are listed. The zero value has none. It is
// safe for concurrent use.
type underWay struct {
	mu   sync.Mutex
	made map[reassigned]reassignment
}

// add lists a reassignment for a while. One that adds no replica is done at once.
func (u *underWay) add(c Cluster, p reassigned, was, to []int32) {
	t, ok := c.Topic(p.topic)
	if !ok {
		return // deleted meanwhile
	}
	known := func(nodes []int32, but []int32) (ids []int32) {
		for _, n := range nodes {
			if !slices.Contains(but, n) {
				ids = append(ids, c.Known(n))
			}
		}
		return ids
	}
	r := reassignment{until: time.Now().Add(catchUp), topic: t.ID, adds: known(to, was), leaves: known(was, to)}
	r.replicas = slices.Concat(known(to, nil), r.leaves)
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(r.adds) == 0 {
		delete(u.made, p)
		return
	}
	if u.made == nil {
		u.made = make(map[reassigned]reassignment)
	}
	u.made[p] = r
}

// list puts what is under way into an answer, as far as it was asked for: no
// topics are all.
func (u *underWay) list(_ *wire.Exchange, req *kmsg.ListPartitionReassignmentsRequest, resp *kmsg.ListPartitionReassignmentsResponse) bool {
	if resp.ErrorCode != 0 {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(u.made, func(_ reassigned, r reassignment) bool { return !now.Before(r.until) })
	for _, p := range slices.SortedFunc(maps.Keys(u.made), func(a, b reassigned) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	}) {
		if req.Topics != nil && !slices.ContainsFunc(req.Topics, func(t kmsg.ListPartitionReassignmentsRequestTopic) bool {
			return t.Topic == p.topic && slices.Contains(t.Partitions, p.partition)
		}) {
			continue
		}
		if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != p.topic {
			t := kmsg.NewListPartitionReassignmentsResponseTopic()
			t.Topic = p.topic
			resp.Topics = append(resp.Topics, t)
		}
		r := u.made[p]
		rp := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
		rp.Partition, rp.Replicas, rp.AddingReplicas, rp.RemovingReplicas = p.partition, r.replicas, r.adds, r.leaves
		t := &resp.Topics[len(resp.Topics)-1]
		t.Partitions = append(t.Partitions, rp)
	}
	return len(resp.Topics) > 0
}
