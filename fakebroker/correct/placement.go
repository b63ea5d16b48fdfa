package correct

import (
	"context"
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
	next   int // where the next topic begins
	topics map[[16]byte]map[int32][]int32
}

// Of returns the node ids of a partition's replicas, the preferred leader first;
// nil when nothing is known. The slice is the caller's.
func (p *Placements) Of(topic [16]byte, partition int32) []int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.topics[topic][partition])
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

// spread places the partitions of a topic that are not placed yet, so that each
// broker that is up leads as many as any other, give or take one.
func (p *Placements) spread(c Cluster, t Topic) {
	up, down := reachable(c)
	if len(up) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.topics[t.ID]
	if known == nil {
		known = make(map[int32][]int32)
	}
	start := p.next
	if first := known[0]; len(first) > 0 {
		start = max(slices.Index(up, first[0]), 0) // partitions were added: go on from where it began
	} else {
		p.next += len(t.Leaders)
	}
	for i := range t.Leaders {
		if known[int32(i)] == nil {
			p.put(t.ID, int32(i), stripe(up, down, start+i, t.Replicas))
		}
	}
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

// Spread has the leaders of a new topic go round the brokers. It does nothing for
// one that does not exist, and leaves partitions alone that are placed already.
func Spread(c Cluster, topic string) {
	if len(c.Nodes()) < 2 {
		return
	}
	t, ok := c.Topic(topic)
	if !ok {
		return
	}
	places := c.Placements()
	places.spread(c, t)
	for i, leader := range t.Leaders {
		replicas := places.Of(t.ID, int32(i))
		if to := firstUp(c, replicas); to >= 0 && to != leader {
			_ = c.Move(topic, int32(i), to) // deleted meanwhile
		}
	}
}

// Adopt takes a topic as it is: one that was there before, or has a partition
// that may be led by anybody.
func Adopt(c Cluster, topic string) {
	if t, ok := c.Topic(topic); ok && len(c.Nodes()) > 1 {
		c.Placements().adopt(c, t)
	}
}

// Grow adds partitions to a topic until it has so many, with leaders that go
// round the brokers. Unlike [Spread] it moves none, so that all are in their
// first leader epoch.
func Grow(ctx context.Context, c Cluster, topic string, partitions int32) error {
	Adopt(c, topic)
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.TimeoutMillis = 3, math.MaxInt32
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, partitions
	if rt.Assignment = addition(c, topic, partitions); rt.Assignment == nil {
		return nil // it has them
	}
	req.Topics = append(req.Topics, rt)
	var code int16
	for _, node := range c.Nodes() { // one of which is the controller
		resp, err := c.Ask(ctx, node, req)
		if err != nil {
			return err
		}
		if code = resp.(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode; code != kerr.NotController.Code {
			break
		}
	}
	if code != 0 {
		return kerr.ErrorForCode(code)
	}
	placeAddition(c, topic, partitions, rt.Assignment)
	return nil
}

// addition is where partitions are to be that a topic does not have yet, nil when
// it has so many or is not there.
func addition(c Cluster, topic string, count int32) (out []kmsg.CreatePartitionsRequestTopicAssignment) {
	up, down := reachable(c)
	t, ok := c.Topic(topic)
	if !ok || len(up) == 0 {
		return nil
	}
	first := replicasOf(c, t, 0)
	start := max(slices.Index(up, first[0]), 0)
	for p := len(t.Leaders); p < int(count); p++ {
		a := kmsg.NewCreatePartitionsRequestTopicAssignment()
		a.Replicas = stripe(up, down, start+p, len(first))
		out = append(out, a)
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
				Wants:  wire.Keys(kmsg.Metadata, kmsg.DescribeTopicPartitions),
				Answer: func(x *wire.Exchange) { showReplicas(c, x) },
			},
			Restores:  "KIP-455, KIP-460: a partition's replicas are an assignment, whose first is the preferred leader whoever leads",
			Upstream:  "03_metadata.go and 75_describe_topic_partitions.go take the leader and the brokers after it",
			Behaviour: "reassign/replicas are those asked for",
		},
	}
}

func showReplicas(c Cluster, x *wire.Exchange) {
	if len(c.Nodes()) < 2 {
		return
	}
	resp, err := x.Response()
	if err != nil {
		return
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
	x.SetResponse(resp)
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
