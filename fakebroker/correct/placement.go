package correct

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Placements is which brokers have the replicas of partitions. kfake knows the
// leader alone and takes the brokers that follow it for the other replicas, so
// it cannot tell a preferred leader from the present one. The zero value knows
// none. It is safe for concurrent use.
type Placements struct {
	mu     sync.Mutex
	topics map[[16]byte]map[int32][]int32
}

// Of returns the node ids of a partition's replicas, the preferred leader first;
// nil when nothing is known. The slice is the caller's.
func (p *Placements) Of(topic [16]byte, partition int32) []int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.topics[topic][partition])
}

// Len is how many topics are known.
func (p *Placements) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.topics)
}

func (p *Placements) set(topic [16]byte, partition int32, replicas []int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put(topic, partition, replicas)
}

func (p *Placements) put(topic [16]byte, partition int32, replicas []int32) {
	if p.topics == nil {
		p.topics = make(map[[16]byte]map[int32][]int32)
	}
	if p.topics[topic] == nil {
		p.topics[topic] = make(map[int32][]int32)
	}
	p.topics[topic][partition] = slices.Clone(replicas)
}

func (p *Placements) forget(topic [16]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.topics, topic)
}

// adopt takes the leaders that a topic has for the preferred ones.
func (p *Placements) adopt(c Cluster, t Topic) {
	nodes := c.Nodes()
	for i, leader := range t.Leaders {
		p.set(t.ID, int32(i), stripe(nodes, nil, max(slices.Index(nodes, leader), 0), t.Replicas))
	}
}

// stripe is the replicas of the i-th partition, leader first: leaders go round
// the brokers that are up, and with each round the others begin a place later, as
// Kafka has it. Brokers that are down are taken last.
func stripe(up, down []int32, i, replicas int) []int32 {
	leader, round := i%len(up), i/len(up)
	rest := slices.Concat(up[leader+1:], up[:leader])
	if len(rest) > 0 {
		turn := round % len(rest)
		rest = slices.Concat(rest[turn:], rest[:turn])
	}
	all := slices.Concat(up[leader:leader+1], rest, down)
	return all[:min(max(replicas, 1), len(all))]
}

func reachable(c Cluster) (up, down []int32) {
	for _, n := range c.Nodes() {
		if c.Up(n) {
			up = append(up, n)
		} else {
			down = append(down, n)
		}
	}
	return up, down
}

// Adopt takes a topic as it is: one that was there before, or has a partition
// that may be led by anybody.
func Adopt(c Cluster, topic string) {
	if t, ok := c.Topic(topic); ok && len(c.Nodes()) > 1 {
		c.Placements().adopt(c, t)
	}
}

// Grow adds partitions to a topic until it has so many, with leaders that go
// round the brokers, beginning after the one that leads the first. It moves none,
// so that all are in their first leader epoch.
func Grow(ctx context.Context, c Cluster, topic string, partitions int32) error {
	return grow(ctx, c, topic, partitions, nil)
}

// grow is Grow for a topic whose replicas may be assigned: all of them by
// partition, or nil. The first partition is moved when another broker is to lead
// it: the assigned one, or one that is up.
func grow(ctx context.Context, c Cluster, topic string, partitions int32, assigned [][]int32) error {
	Adopt(c, topic)
	var added [][]int32
	if assigned == nil {
		placeReachable(c, topic)
		added = addition(c, topic, partitions)
	} else {
		added = assigned[1:]
		if t, ok := c.Topic(topic); ok {
			c.Placements().set(t.ID, 0, assigned[0])
		}
	}
	if err := add(ctx, c, topic, partitions, added); err != nil {
		return err
	}
	lead(c, topic)
	return nil
}

// placeReachable places a topic's first partition elsewhere when it is on a broker
// that is down.
func placeReachable(c Cluster, topic string) {
	up, down := reachable(c)
	if t, ok := c.Topic(topic); ok && len(up) > 0 && !slices.Contains(up, t.Leaders[0]) {
		c.Placements().set(t.ID, 0, stripe(up, down, int(t.Leaders[0])%len(up), t.Replicas))
	}
}

// add adds partitions with these replicas, as the last ones of so many.
func add(ctx context.Context, c Cluster, topic string, partitions int32, replicas [][]int32) error {
	if len(replicas) == 0 {
		return nil // it has them
	}
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, partitions
	rt.Assignment = assignment(replicas)
	for i := range rt.Assignment {
		a := &rt.Assignment[i]
		if up := firstUp(c, a.Replicas); up >= 0 {
			a.Replicas = append([]int32{up}, without(a.Replicas, up)...)
		}
	}
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.TimeoutMillis = 3, math.MaxInt32
	req.Topics = append(req.Topics, rt)
	err := askController(ctx, c, req, func(resp kmsg.Response) int16 {
		return resp.(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode
	})
	if err != nil {
		return err
	}
	placeAddition(c, topic, partitions, assignment(replicas))
	return nil
}

// askController asks what only the controller does, which is one of the brokers. The
// error is the one that code finds in the answer, if not that of asking.
func askController(ctx context.Context, c Cluster, req kmsg.Request, code func(kmsg.Response) int16) error {
	var refused error
	for _, node := range c.Nodes() {
		resp, err := c.Ask(ctx, node, req)
		if err != nil {
			return err
		}
		if refused = kerr.ErrorForCode(code(resp)); !errors.Is(refused, kerr.NotController) {
			break
		}
	}
	return refused
}

// assignment is replicas as requests have them.
func assignment(replicas [][]int32) (out []kmsg.CreatePartitionsRequestTopicAssignment) {
	for _, r := range replicas {
		a := kmsg.NewCreatePartitionsRequestTopicAssignment()
		a.Replicas = r
		out = append(out, a)
	}
	return out
}

func without(nodes []int32, node int32) []int32 {
	return slices.DeleteFunc(slices.Clone(nodes), func(n int32) bool { return n == node })
}

// lead has the preferred replica lead each partition of a new topic, or the first
// one that is up.
func lead(c Cluster, topic string) {
	t, ok := c.Topic(topic)
	if !ok {
		return // deleted meanwhile
	}
	for i, leader := range t.Leaders {
		if to := firstUp(c, replicasOf(c, t, int32(i))); to >= 0 && to != leader {
			_ = c.Move(topic, int32(i), to) // deleted meanwhile
		}
	}
}

// addition is where partitions are to be that a topic does not have yet, nil when
// it has so many or is not there.
func addition(c Cluster, topic string, count int32) (out [][]int32) {
	up, down := reachable(c)
	t, ok := c.Topic(topic)
	if !ok || len(up) == 0 {
		return nil
	}
	first := replicasOf(c, t, 0)
	start := max(slices.Index(up, first[0]), 0)
	for p := len(t.Leaders); p < int(count); p++ {
		out = append(out, stripe(up, down, start+p, len(first)))
	}
	return out
}

// placeAddition remembers where a topic's last partitions were put.
func placeAddition(c Cluster, topic string, count int32, assignment []kmsg.CreatePartitionsRequestTopicAssignment) {
	t, ok := c.Topic(topic)
	if !ok {
		return // deleted meanwhile
	}
	for i, a := range assignment {
		c.Placements().set(t.ID, count-int32(len(assignment))+int32(i), a.Replicas)
	}
}

// firstUp is the replica that leads when there is a choice, -1 when none is up.
func firstUp(c Cluster, replicas []int32) int32 {
	for _, n := range replicas {
		if c.Up(n) {
			return n
		}
	}
	return -1
}

func placement(c Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:   "replicas are on the brokers they were put on",
				Keys:   wire.Keys(kmsg.Metadata, kmsg.DescribeTopicPartitions),
				Answer: amended(func(_ *wire.Exchange, resp kmsg.Response) bool { return showReplicas(c, resp) }),
			},
			Restores:  "KIP-455, KIP-460: a partition's replicas are an assignment, whose first is the preferred leader whoever leads",
			Upstream:  "03_metadata.go and 75_describe_topic_partitions.go take the leader and the brokers after it",
			Behaviour: "reassign/replicas are those asked for",
		},
	}
}

func showReplicas(c Cluster, resp kmsg.Response) bool {
	if len(c.Nodes()) < 2 {
		return false
	}
	switch r := resp.(type) {
	case *kmsg.MetadataResponse:
		for i := range r.Topics {
			t := &r.Topics[i]
			of := placed(c, t.Topic)
			for j := range t.Partitions {
				p := &t.Partitions[j]
				of(p.Partition, p.Leader, &p.Replicas, &p.ISR)
			}
		}
	case *kmsg.DescribeTopicPartitionsResponse:
		for i := range r.Topics {
			t := &r.Topics[i]
			of := placed(c, t.Topic)
			for j := range t.Partitions {
				p := &t.Partitions[j]
				of(p.Partition, p.LeaderID, &p.Replicas, &p.ISR)
			}
		}
	}
	return true
}

// placed puts a topic's replicas into an answer. A leader that is not among them
// stands in for one that is down; then the answer stays as it is.
func placed(c Cluster, topic *string) func(partition, leader int32, replicas, isr *[]int32) {
	var t Topic
	if topic != nil {
		t, _ = c.Topic(*topic)
	}
	return func(partition, leader int32, replicas, isr *[]int32) {
		if known := c.Placements().Of(t.ID, partition); slices.Contains(known, leader) {
			*replicas, *isr = known, slices.Clone(known)
		}
	}
}
