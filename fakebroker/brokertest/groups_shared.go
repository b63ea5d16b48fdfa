package brokertest

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func sharedGroupBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "groups/two members share the partitions",
			Source: "KIP-62; Kafka Client-side Assignment Proposal",
			Run:    func(t T, c Cluster) { partitionsAreShared(t, c, kgo.Balancers(kgo.RangeBalancer())) },
		},
		{
			Name:   "groups/two consumers of the consumer protocol share the partitions",
			Source: "KIP-848",
			Needs:  Needs{ShortSessions: true}, // so that members hear of it soon
			Run:    func(t T, c Cluster) { partitionsAreShared(t, c, kgo.ServerSideBalancer()) },
		},
		{
			Name:   "groups/a cooperative rebalance takes what moves only",
			Source: "KIP-429",
			Run:    cooperativeRebalance,
		},
	}
}

// reader is a consumer that knows its partitions of one topic.
type reader struct {
	cl *kgo.Client

	mu      sync.Mutex
	owns    map[int32]bool
	revoked []int32
}

func newReader(t T, c Cluster, group, topic string, balancer kgo.GroupOpt) *reader {
	t.Helper()
	r := &reader{owns: make(map[int32]bool)}
	lost := func(_ context.Context, _ *kgo.Client, from map[string][]int32) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, p := range from[topic] {
			delete(r.owns, p)
		}
		r.revoked = append(r.revoked, from[topic]...)
	}
	r.cl = newClient(t, c, balancer, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(100*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, to map[string][]int32) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, p := range to[topic] {
				r.owns[p] = true
			}
		}),
		kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost))
	t.Cleanup(func() { deleteGroup(t, c, group) })
	t.Cleanup(r.cl.CloseAllowingRebalance)
	return r
}

// partitions are those that it has.
func (r *reader) partitions() (all []int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.owns {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// reads waits for so many records and returns their values.
func (r *reader) reads(t T, n int) (values []string) {
	t.Helper()
	ctx := within(t)
	for len(values) < n && ctx.Err() == nil {
		r.cl.PollFetches(ctx).EachRecord(func(rec *kgo.Record) { values = append(values, string(rec.Value)) })
	}
	noError(t, ctx.Err())
	return values
}

// fill writes a record to each partition, whose values are the numbers.
func fill(t T, cl *kgo.Client, topic string, partitions int32) (values []string) {
	t.Helper()
	for p := range partitions {
		values = append(values, strconv.Itoa(int(p)))
		noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: topic, Partition: p, Value: []byte(values[p])}).FirstErr())
	}
	return values
}

func partitionsAreShared(t T, c Cluster, balancer kgo.GroupOpt) {
	const partitions = 4
	cl := newClient(t, c)
	topic, group := newTopic(t, cl, partitions), name("group")
	first := newReader(t, c, group, topic, balancer)
	eventually(t, "all partitions for one member", func() bool { return len(first.partitions()) == partitions })
	second := newReader(t, c, group, topic, balancer)
	eventually(t, "half of them for each", func() bool {
		return len(first.partitions()) == partitions/2 && len(second.partitions()) == partitions/2
	})
	both := append(first.partitions(), second.partitions()...)
	slices.Sort(both)
	equal(t, "partitions of both", both, []int32{0, 1, 2, 3})
	want := fill(t, cl, topic, partitions)
	read := append(first.reads(t, partitions/2), second.reads(t, partitions/2)...)
	slices.Sort(read)
	equal(t, "records", read, want)
}

// cooperativeRebalance has the second of two members get half of the partitions
// after the first has given them up, which keeps the others.
func cooperativeRebalance(t T, c Cluster) {
	const partitions = 4
	cl := newClient(t, c)
	topic, group := newTopic(t, cl, partitions), name("group")
	cooperative := kgo.Balancers(kgo.CooperativeStickyBalancer())
	first := newReader(t, c, group, topic, cooperative)
	eventually(t, "all partitions for one member", func() bool { return len(first.partitions()) == partitions })
	fill(t, cl, topic, partitions)
	first.reads(t, partitions)
	noError(t, first.cl.CommitUncommittedOffsets(within(t)))
	second := newReader(t, c, group, topic, cooperative)
	eventually(t, "half of them for the second", func() bool {
		has := second.partitions()
		for _, p := range first.partitions() {
			if slices.Contains(has, p) {
				t.Errorf("partition %d is both members'", p)
				t.FailNow()
			}
		}
		return len(has) == partitions/2
	})
	first.mu.Lock()
	revoked := slices.Sorted(slices.Values(first.revoked))
	first.mu.Unlock()
	equal(t, "revoked", revoked, second.partitions())
	equal(t, "kept", len(first.partitions()), partitions/2)
	want := fill(t, cl, topic, partitions)
	read := append(first.reads(t, partitions/2), second.reads(t, partitions/2)...)
	slices.Sort(read)
	equal(t, "records after it", read, want)
}
