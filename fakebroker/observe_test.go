package fakebroker_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

// notes is what an observer was told.
type notes struct {
	t  *testing.T
	mu sync.Mutex

	produced, fetched, committed, acknowledged, ended []string
}

func observe(t *testing.T, b wired) *notes {
	t.Helper()
	n := &notes{t: t}
	t.Cleanup(b.Observe(fakebroker.Observer{
		Produced: func(p fakebroker.Produced) {
			records, err := p.Records()
			if err != nil || p.Count() != len(records) {
				t.Errorf("produced %d records, decoded %d: %v", p.Count(), len(records), err)
			}
			for _, r := range records {
				n.add(&n.produced, "%s/%d@%d %s by %q tx %q", p.Topic, r.Partition, r.Offset, r.Value, p.ClientID, p.TransactionalID)
			}
		},
		Fetched: func(f fakebroker.Fetched) {
			records, err := f.Records()
			if err != nil {
				t.Error(err)
			}
			for _, r := range records {
				if r.Offset < f.Offset || r.Offset >= f.Next {
					t.Errorf("offset %d is not in %d to %d", r.Offset, f.Offset, f.Next)
				}
				n.add(&n.fetched, "%s/%d@%d %s by %q%s", f.Topic, r.Partition, r.Offset, r.Value, f.ClientID, f.Group)
			}
		},
		Committed: func(c fakebroker.Committed) {
			n.add(&n.committed, "%s %s/%d@%d by %q tx %q", c.Group, c.Topic, c.Partition, c.Offset, c.ClientID, c.TransactionalID)
		},
		Acknowledged: func(a fakebroker.Acknowledged) {
			n.add(&n.acknowledged, "%s %s/%d@%d-%d as %d by %q", a.Group, a.Topic, a.Partition, a.First, a.Last, a.As, a.ClientID)
		},
		Ended: func(e fakebroker.TransactionEnd) {
			n.add(&n.ended, "%s committed %t by %q", e.TransactionalID, e.Committed, e.ClientID)
		},
	}))
	return n
}

func (n *notes) add(to *[]string, format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*to = append(*to, fmt.Sprintf(format, args...))
}

// got waits for as many notes as are wanted, and no others.
func (n *notes) got(of *[]string, want ...string) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("%d notes", len(want)), func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(*of) >= len(want)
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	equal(n.t, "told", *of, want)
}

func TestObserve_recordsOfEveryCodec(t *testing.T) {
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, orders(1), func(t *testing.T, b scene) {
				n := observe(t, b)
				p := client(t, b, kgo.ClientID("p"), kgo.ProducerBatchCompression(codec))
				var records []*kgo.Record
				for i := range 3 {
					records = append(records, &kgo.Record{Topic: "orders", Value: fmt.Appendf(nil, "%0*d", 100, i)})
				}
				noError(t, p.ProduceSync(within(t), records...).FirstErr())
				produce(t, p, "orders", 3, 1)
				consume(t, client(t, b, kgo.ClientID("c"), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 4)
				var produced, fetched []string
				for i := range 4 {
					v := fmt.Sprintf("%0*d", 100, i)
					if i == 3 {
						v = "3"
					}
					produced = append(produced, fmt.Sprintf(`orders/0@%d %s by "p" tx ""`, i, v))
					fetched = append(fetched, fmt.Sprintf(`orders/0@%d %s by "c"`, i, v))
				}
				n.got(&n.produced, produced...)
				n.got(&n.fetched, fetched...)
			})
		})
	}
}

func TestObserve_fetchSessionsTellEachRecordOnce(t *testing.T) {
	onEach(t, orders(3), func(t *testing.T, b scene) {
		n := observe(t, b)
		p := client(t, b, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ClientID("p"))
		cl := client(t, b, kgo.ClientID("c"), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
		for round := range 5 {
			produce(t, p, "orders", 6*round, 6)
			consume(t, cl, 6)
		}
		records, err := b.Records("orders")
		noError(t, err)
		var all []string
		for _, r := range records {
			all = append(all, fmt.Sprintf(`orders/%d@%d %s by "c"`, r.Partition, r.Offset, r.Value))
		}
		n.mu.Lock()
		got := slices.Clone(n.fetched)
		n.mu.Unlock()
		slices.Sort(got)
		slices.Sort(all)
		equal(t, "fetched", got, all)
	})
}

func TestObserve_fetchFromTheMiddleOfABatch(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		var records []*kgo.Record
		for i := range 4 {
			records = append(records, &kgo.Record{Topic: "orders", Value: fmt.Append(nil, i)})
		}
		noError(t, client(t, b).ProduceSync(within(t), records...).FirstErr())
		n := observe(t, b)
		cl := client(t, b, kgo.ClientID("c"), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"orders": {0: kgo.NewOffset().At(2)}}))
		equal(t, "consumed", consume(t, cl, 2), []string{"2", "3"})
		n.got(&n.fetched, `orders/0@2 2 by "c"`, `orders/0@3 3 by "c"`)
	})
}

func TestObserve_commits(t *testing.T) {
	for name, opts := range map[string][]kgo.Opt{"classic": nil, "KIP-848": {kgo.ServerSideBalancer()}} {
		t.Run(name, func(t *testing.T) {
			onEach(t, quickHeartbeats(1), func(t *testing.T, b scene) {
				n := observe(t, b)
				produce(t, client(t, b), "orders", 0, 2)
				cl := client(t, b, append(opts, kgo.ClientID("c"), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit())...)
				consume(t, cl, 2)
				b.Refuse(kerr.NotCoordinator, fakebroker.Scope{APIs: []kmsg.Key{kmsg.OffsetCommit}, Count: 1})
				for cl.CommitUncommittedOffsets(within(t)) != nil {
				}
				n.got(&n.committed, `g orders/0@2 by "c" tx ""`)
			})
		})
	}
}

func TestObserve_joins(t *testing.T) {
	for name, opts := range map[string][]kgo.Opt{
		"classic": {kgo.ConsumerGroup("g")},
		"KIP-848": {kgo.ConsumerGroup("g"), kgo.ServerSideBalancer()},
		"share":   {kgo.ShareGroup("g")},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, quickHeartbeats(1), func(t *testing.T, b scene) {
				var mu sync.Mutex
				joined := map[string]fakebroker.Joined{} // by member
				t.Cleanup(b.Observe(fakebroker.Observer{Joined: func(j fakebroker.Joined) {
					mu.Lock()
					defer mu.Unlock()
					joined[j.MemberID] = j
				}}))
				for range 2 {
					client(t, b, append(opts, kgo.ClientID("same"), kgo.ConsumeTopics("orders"))...)
				}
				eventually(t, "two members", func() bool {
					g, _ := b.Group("g")
					mu.Lock()
					defer mu.Unlock()
					return len(g.Members) == 2 && joined[g.Members[0].ID].Remote != "" && joined[g.Members[1].ID].Remote != ""
				})
				mu.Lock()
				defer mu.Unlock()
				from := map[string]bool{}
				for _, j := range joined {
					from[j.Remote] = true
					equal(t, "group", j.Group, "g")
					equal(t, "client", j.ClientID, "same")
				}
				equal(t, "clients", len(from), 2)
			})
		})
	}
}

func TestObserve_transactions(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		n := observe(t, b)
		produce(t, client(t, b, kgo.ClientID("p")), "orders", 0, 1)
		s, err := kgo.NewGroupTransactSession(append(b.ClientOptions(), kgo.ClientID("c"), kgo.TransactionalID("tx"),
			kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DisableClientMetrics())...)
		noError(t, err)
		defer s.Close()
		for s.PollFetches(within(t)).NumRecords() == 0 {
		}
		for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
			noError(t, s.Begin())
			noError(t, s.ProduceSync(within(t), &kgo.Record{Topic: "orders", Value: fmt.Append(nil, bool(end))}).FirstErr())
			if bool(end) {
				for s.PollFetches(within(t)).NumRecords() == 0 { // after an abort the session goes back
				}
			}
			_, err := s.End(within(t), end)
			noError(t, err)
		}
		n.got(&n.ended, `tx committed false by "c"`, `tx committed true by "c"`)
		n.got(&n.committed, `g orders/0@1 by "c" tx "tx"`)
		n.got(&n.produced, `orders/0@0 0 by "p" tx ""`, `orders/0@1 false by "c" tx "tx"`, `orders/0@3 true by "c" tx "tx"`)

		// What is read committed leaves out what was aborted.
		later := observe(t, b)
		equal(t, "committed", consume(t, client(t, b, kgo.ClientID("r"), kgo.ConsumeTopics("orders"),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted())), 2), []string{"0", "true"})
		eventually(t, "told", func() bool {
			later.mu.Lock()
			defer later.mu.Unlock()
			return slices.Contains(later.fetched, `orders/0@3 true by "r"`)
		})
		later.mu.Lock()
		defer later.mu.Unlock()
		if slices.Contains(later.fetched, `orders/0@1 false by "r"`) {
			t.Fatal("told of a record that was aborted")
		}
	})
}

func TestObserve_shareGroups(t *testing.T) {
	onEach(t, quickHeartbeats(1), func(t *testing.T, b scene) {
		n := observe(t, b)
		members := make(chan string, 3)
		t.Cleanup(b.Observe(fakebroker.Observer{Acknowledged: func(a fakebroker.Acknowledged) { members <- a.MemberID }}))
		setEarliest(t, b, "s")
		produce(t, client(t, b), "orders", 0, 3)
		cl := client(t, b, kgo.ClientID("c"), kgo.ShareGroup("s"), kgo.ConsumeTopics("orders"))
		var got []*kgo.Record
		for len(got) < 3 {
			got = append(got, cl.PollFetches(within(t)).Records()...)
		}
		got[0].Ack(kgo.AckAccept)
		got[1].Ack(kgo.AckReject)
		got[2].Ack(kgo.AckAccept)
		noError(t, cl.FlushAcks(within(t)))
		n.got(&n.fetched, `orders/0@0 0 by "c"s`, `orders/0@1 1 by "c"s`, `orders/0@2 2 by "c"s`)
		eventually(t, "told of three acknowledgements", func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return len(n.acknowledged) == 3
		})
		g, _ := b.Group("s")
		equal(t, "members", len(g.Members), 1)
		for range 3 {
			equal(t, "member", <-members, g.Members[0].ID)
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		slices.Sort(n.acknowledged)
		equal(t, "acknowledged", n.acknowledged, []string{`s orders/0@0-0 as 1 by "c"`, `s orders/0@1-1 as 3 by "c"`, `s orders/0@2-2 as 1 by "c"`})
	})
}

// setEarliest has a share group begin with the first record.
func setEarliest(t *testing.T, b interface{ ClientOptions() []kgo.Opt }, group string) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	earliest := "earliest"
	c.Name, c.Value = "share.auto.offset.reset", &earliest
	r.Configs = append(r.Configs, c)
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(within(t), client(t, b))
	noError(t, err)
	noError(t, kerr.ErrorForCode(resp.Resources[0].ErrorCode))
}

// silent makes a client that asks for no answers.
func silent(t *testing.T, b interface{ ClientOptions() []kgo.Opt }) *kgo.Client {
	t.Helper()
	return oneShot(t, b, kgo.ClientID("p"), kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
}

func TestObserve_withoutAcks(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		n := observe(t, b)
		cl := silent(t, b)
		for i := range 3 {
			produce(t, cl, "orders", i, 1)
		}
		n.got(&n.produced, `orders/0@0 0 by "p" tx ""`, `orders/0@1 1 by "p" tx ""`, `orders/0@2 2 by "p" tx ""`)
		f := b.Delay(time.Hour, fakebroker.Scope{APIs: produces})
		produce(t, cl, "orders", 3, 1)
		n.got(&n.produced, `orders/0@0 0 by "p" tx ""`, `orders/0@1 1 by "p" tx ""`, `orders/0@2 2 by "p" tx ""`, `orders/0@3 3 by "p" tx ""`)
		equal(t, "struck", f.Hits(), 0)
		noError(t, cl.Ping(within(t)))
	})
}

// What a broker never appended nobody is told of, though no client hears of it.
func TestObserve_withoutAcksWhatIsNotAppended(t *testing.T) {
	for name, fault := range map[string]func(scene) *fakebroker.Fault{
		"drop":   func(b scene) *fakebroker.Fault { return b.DropBefore(fakebroker.Scope{APIs: produces}) },
		"refuse": func(b scene) *fakebroker.Fault { return b.Refuse(nil, fakebroker.Scope{APIs: produces}) },
		"forget": func(b scene) *fakebroker.Fault {
			return b.ForgetTopic(fakebroker.Scope{APIs: produces, Topic: "orders"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, orders(1), func(t *testing.T, b scene) {
				n := observe(t, b)
				var struck atomic.Int32
				defer b.Observe(fakebroker.Observer{Fault: func(e fakebroker.FaultEvent) {
					if e.Phase == fakebroker.FaultStruck && e.API == kmsg.Produce {
						struck.Add(1)
					}
				}})()
				f := fault(b)
				cl := silent(t, b)
				_ = cl.ProduceSync(within(t), &kgo.Record{Topic: "orders", Value: []byte("lost")}).FirstErr()
				eventually(t, "the fault strikes", func() bool { return f.Hits() == 1 })
				eventually(t, "the strike is told", func() bool { return struck.Load() == 1 })
				f.Clear()
				produce(t, silent(t, b), "orders", 1, 1) // the other one may not know yet that it is cut off
				n.got(&n.produced, `orders/0@0 1 by "p" tx ""`)
				equal(t, "records", values(t, b, "orders"), []string{"1"})
			})
		})
	}
}

func TestObserve_withoutAcksOfClientsThatHangUpAtOnce(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		n := observe(t, b)
		const clients = 20
		for i := range clients {
			cl := silent(t, b)
			produce(t, cl, "orders", i, 1)
			cl.Close()
		}
		eventually(t, "all are appended", func() bool { return len(values(t, b, "orders")) == clients })
		eventually(t, "all are told", func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return len(n.produced) == clients
		})
	})
}

func TestObserve_whatWasDoneThoughTheClientNeverHears(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		n := observe(t, b)
		b.DropAfter(fakebroker.Scope{APIs: produces})
		if err := oneShot(t, b, kgo.ClientID("p")).ProduceSync(within(t), &kgo.Record{Topic: "orders", Value: []byte("0")}).FirstErr(); err == nil {
			t.Fatal("produced although the answer was dropped")
		}
		n.got(&n.produced, `orders/0@0 0 by "p" tx ""`)

		f := b.DropAfter(fakebroker.Scope{APIs: []kmsg.Key{kmsg.Fetch}})
		cl := client(t, b, kgo.ClientID("c"), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		poll(t, cl)
		eventually(t, "fetches are dropped", func() bool { return f.Hits() >= 2 })
		n.got(&n.fetched)
		f.Clear()
		n.got(&n.fetched, `orders/0@0 0 by "c"`)
	})
}

func TestObserve_untilStopped(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		told := 0
		stop := b.Observe(fakebroker.Observer{Produced: func(fakebroker.Produced) { told++ }})
		cl := client(t, b)
		produce(t, cl, "orders", 0, 1)
		stop()
		stop()
		produce(t, cl, "orders", 1, 1)
		equal(t, "told", told, 1)
		noError(t, cl.Ping(context.Background()))
	})
}

func TestObserve_offsetsOfATransactionThatIsNotCommitted(t *testing.T) {
	for name, end := range map[string]func(*testing.T, scene, *kgo.Client){
		"aborted": func(t *testing.T, _ scene, first *kgo.Client) {
			noError(t, first.EndTransaction(within(t), kgo.TryAbort))
		},
		"fenced": func(t *testing.T, b scene, _ *kgo.Client) {
			second := client(t, b, kgo.TransactionalID("tx"))
			noError(t, second.BeginTransaction())
			produce(t, second, "orders", 0, 1)
			noError(t, second.EndTransaction(within(t), kgo.TryCommit))
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, orders(1), func(t *testing.T, b scene) {
				n := observe(t, b)
				first := client(t, b, kgo.TransactionalID("tx"))
				noError(t, first.BeginTransaction())
				produce(t, first, "orders", 0, 1)
				commitIn(t, b, first)
				end(t, b, first)
				eventually(t, "the end is told", func() bool {
					n.mu.Lock()
					defer n.mu.Unlock()
					return len(n.ended) == 1
				})
				n.got(&n.committed)
			})
		})
	}
}

// commitIn commits an offset in the transaction of a client.
func commitIn(t *testing.T, b scene, cl *kgo.Client) {
	t.Helper()
	id, epoch, err := cl.ProducerID(within(t))
	noError(t, err)
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = "tx", id, epoch, "g"
	added, err := add.RequestWith(within(t), cl)
	noError(t, err)
	equal(t, "error of adding", added.ErrorCode, 0)
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.ProducerID, commit.ProducerEpoch, commit.Group, commit.Generation = "tx", id, epoch, "g", -1
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset = 7
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic, rt.Partitions = "orders", append(rt.Partitions, p)
	commit.Topics = append(commit.Topics, rt)
	resp, err := rawRequest(t, b, "first", 3, commit)
	noError(t, err)
	equal(t, "error of committing", resp.(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode, 0)
}
