package integration

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/integration/kafka"
)

// A proxy in front of Apache Kafka does what its own tests say it does in front of the
// fake broker. Here is what the fake does not show: several nodes with replicas and
// coordinators of their own, and brokers that act by themselves.

// seen is what an observer was told.
type seen struct {
	mu   sync.Mutex
	told []string
}

func (s *seen) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, fmt.Sprintf(format, args...))
}

func (s *seen) has(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.told, what)
}

// behind is a client of a proxy, closed with the test.
func behind(t *testing.T, p *fakebroker.Proxy, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(p.ClientOptions(), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.CloseAllowingRebalance)
	return cl
}

// poll returns when a client has been sent n records.
func poll(ctx context.Context, t *testing.T, cl *kgo.Client, n int) {
	t.Helper()
	for got := 0; got < n; {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records: %v", got, n, fetches.Err())
		}
		got += fetches.NumRecords()
	}
}

// ofItsOwn is a Kafka that nobody else uses: what these tests make has plain names.
func ofItsOwn(t *testing.T, c kafka.Config) *kafka.Kafka {
	t.Helper()
	if kafka.SkipUnlessWanted(t) == kafka.FromExisting {
		t.Skip("this needs a Kafka that nobody else uses: run it with KAFKATEST_REAL=jars")
	}
	return kafka.Run(t, c)
}

func TestProxy_onSeveralNodes(t *testing.T) {
	k := ofItsOwn(t, kafka.Config{Nodes: 3})
	p := fakebroker.ProxyConfig{Brokers: k.Addrs()[:1]}.Run(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var s seen
	defer p.Observe(fakebroker.Observer{
		Produced: func(o fakebroker.Produced) { s.note("produced %s[%d]@%d", o.Topic, o.Partition, o.Offset) },
		Fetched:  func(o fakebroker.Fetched) { s.note("fetched %s[%d] through %d", o.Topic, o.Partition, o.Next-1) },
		Committed: func(o fakebroker.Committed) {
			s.note("committed %s %s[%d]@%d", o.Group, o.Topic, o.Partition, o.Offset)
		},
		Joined: func(o fakebroker.Joined) { s.note("joined %s", o.Group) },
		Ended:  func(o fakebroker.TransactionEnd) { s.note("ended %s %t", o.TransactionalID, o.Committed) },
	})()
	producer := behind(t, p, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	admin := kadm.NewClient(producer)
	const topic, partitions = "orders", 6
	if _, err := admin.CreateTopic(ctx, partitions, 3, nil, topic); err != nil {
		t.Fatal(err)
	}
	for i := range int32(partitions) {
		if err := producer.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: i}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	nodes := map[int32]bool{}
	for _, n := range p.Nodes() {
		nodes[n.ID] = true
	}
	if len(nodes) != 3 {
		t.Errorf("nodes %v are known", nodes)
	}

	// Groups have their coordinators on all nodes.
	at := map[int32]int{}
	for i := range 12 {
		group := fmt.Sprintf("group-%d", i)
		opts := []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
		if i%2 == 1 {
			opts = append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer()))
		}
		cl := behind(t, p, opts...)
		poll(ctx, t, cl, partitions)
		lost := p.DropAfter(fakebroker.Scope{APIs: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Count: 1})
		if err := cl.CommitUncommittedOffsets(ctx); err != nil {
			t.Error(err)
		}
		found := admin.FindGroupCoordinators(ctx, group)[group]
		at[found.NodeID]++
		for n := range int32(partitions) {
			if what := fmt.Sprintf("committed %s %s[%d]@1", group, topic, n); !s.has(what) {
				t.Errorf("not told: %s", what)
			}
		}
		if lost.Hits() != 1 || !s.has("joined "+group) {
			t.Errorf("%s: %d hits", group, lost.Hits())
		}
		cl.CloseAllowingRebalance()
	}
	if len(at) < 2 {
		t.Errorf("all coordinators are on %v", at)
	}
	for i := range partitions {
		for _, what := range []string{"produced %s[%d]@0", "fetched %s[%d] through 0"} {
			if what = fmt.Sprintf(what, topic, i); !s.has(what) {
				t.Errorf("not told: %s", what)
			}
		}
	}

	// A leader moves, and clients are told of it at the proxy's addresses.
	leaders, err := admin.ListTopics(kadm.WithAuthorizedOps(ctx), topic)
	if err != nil {
		t.Fatal(err)
	}
	was := leaders[topic].Partitions[0]
	var move kadm.AlterPartitionAssignmentsReq
	move.Assign(topic, 0, []int32{was.Replicas[1], was.Replicas[2], was.Replicas[0]})
	if _, err := admin.AlterPartitionAssignments(ctx, move); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, kadm.TopicsSet{topic: {0: {}}}); err != nil {
		t.Fatal(err)
	}
	if err := producer.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: 0}).FirstErr(); err != nil || !s.has("produced orders[0]@1") {
		t.Errorf("after the leader moved: %v", err)
	}

	// Nobody hears of the end of a transaction, and it is committed.
	tx := behind(t, p, kgo.TransactionalID("tx"), kgo.DefaultProduceTopic(topic))
	lost := p.DropAfter(fakebroker.Scope{APIs: []kmsg.Key{kmsg.EndTxn}, Count: 1})
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := tx.ProduceSync(ctx, &kgo.Record{}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := tx.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Error(err)
	}
	if lost.Hits() != 1 || !s.has("ended tx true") {
		t.Errorf("the end of the transaction: %d hits", lost.Hits())
	}
}

func TestProxy_faultsOfRequests(t *testing.T) {
	k := ofItsOwn(t, kafka.Config{})
	p := fakebroker.ProxyConfig{Brokers: k.Addrs()}.Run(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	once := behind(t, p, kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.RequestRetries(0), kgo.DefaultProduceTopic("orders"))
	admin := kadm.NewClient(behind(t, p))
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	s := fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, Topic: "orders"}
	for name, c := range map[string]struct {
		fault   func(fakebroker.Scope) *fakebroker.Fault
		written int64
	}{
		"drop before": {p.DropBefore, 0},
		"drop after":  {p.DropAfter, 1},
		"refuse":      {func(s fakebroker.Scope) *fakebroker.Fault { return p.Refuse(kerr.NotEnoughReplicas, s) }, 0},
		"refuse after acting": {func(s fakebroker.Scope) *fakebroker.Fault {
			return p.Refuse(kerr.NotEnoughReplicasAfterAppend, s)
		}, 1},
		"forget": {p.ForgetTopic, 0},
	} {
		t.Run(name, func(t *testing.T) {
			before, err := admin.ListEndOffsets(ctx, "orders")
			if err != nil {
				t.Fatal(err)
			}
			f := c.fault(s)
			err = once.ProduceSync(ctx, &kgo.Record{}).FirstErr()
			f.Clear()
			if err == nil || f.Hits() != 1 {
				t.Errorf("%v, %d hits", err, f.Hits())
			}
			after, err := admin.ListEndOffsets(ctx, "orders")
			if err != nil {
				t.Fatal(err)
			}
			if got := after["orders"][0].Offset - before["orders"][0].Offset; got != c.written {
				t.Errorf("%d records were written", got)
			}
			for once.ProduceSync(ctx, &kgo.Record{}).FirstErr() != nil && ctx.Err() == nil {
			}
		})
	}
}

func TestProxy_toTLSAndUsers(t *testing.T) {
	k := ofItsOwn(t, kafka.Config{TLS: true, Users: []kafka.User{{Name: "alice", Password: "alice-secret"}}})
	p := fakebroker.ProxyConfig{Brokers: k.SASLTLSAddrs(), TLS: k.TLSConfig()}.Run(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := behind(t, p, kgo.SASL(scram.Auth{User: "alice", Pass: "alice-secret"}.AsSha512Mechanism()), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: make([]byte, 900_000)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	poll(ctx, t, cl, 1)
}
