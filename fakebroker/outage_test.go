package fakebroker_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

func TestTakeDown_singleBrokerIsUnreachableUntilCleared(t *testing.T) {
	onBoth(t, orders(1), func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit())
		produce(t, cl, "orders", 0, 3)
		equal(t, "before", consume(t, cl, 3), []string{"0", "1", "2"})
		noError(t, cl.CommitUncommittedOffsets(within(t)))

		f := b.TakeDown(0)
		if f.Hits() == 0 {
			t.Fatal("no connection was cut")
		}
		other := client(t, b, kgo.DisableIdempotentWrite(), kgo.RecordDeliveryTimeout(time.Second))
		if err := other.ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr(); err == nil {
			t.Fatal("produced on a broker that is down")
		}
		equal(t, "records meanwhile", values(t, b, "orders"), []string{"0", "1", "2"})

		f.Clear()
		produce(t, cl, "orders", 3, 2)
		equal(t, "after", consume(t, cl, 2), []string{"3", "4"})
	})
}

func TestTakeDown_connectionsAreRefusedAndThePortIsKept(t *testing.T) {
	b := fakebroker.Run(t, "orders")
	addr := b.Addrs()[0]
	f := b.TakeDown(0)
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Fatal("connected to a broker that is down")
	} else if !strings.Contains(err.Error(), "refused") {
		t.Fatalf("got %v, want the connection refused", err)
	}
	if ln, err := net.Listen("tcp", addr); err == nil {
		_ = ln.Close()
		t.Error("somebody else could take the port")
	}
	f.Clear()
	c, err := net.Dial("tcp", addr)
	noError(t, err)
	noError(t, c.Close())
}

func TestTakeDown_groupsGoOnWhereOtherBrokersAreUp(t *testing.T) {
	for _, protocol := range []struct {
		name string
		opts []kgo.Opt
	}{
		{"classic", nil},
		{"KIP-848", []kgo.Opt{kgo.ServerSideBalancer()}},
	} {
		for down := range int32(3) {
			t.Run(fmt.Sprintf("%s/broker %d", protocol.name, down), func(t *testing.T) {
				c := orders(6)
				c.Brokers = 3
				onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
					outage := func(b *fakebroker.Broker, groups []string) {
						p := client(t, b, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
						consumers := make(map[string]*kgo.Client)
						for _, g := range groups {
							consumers[g] = client(t, b, append(protocol.opts, kgo.ConsumerGroup(g), kgo.ConsumeTopics("orders"),
								kgo.DisableAutoCommit(), kgo.FetchMaxWait(200*time.Millisecond))...)
						}
						check := func(when string, first int) {
							produce(t, p, "orders", first, 12)
							for g, cl := range consumers {
								got := map[string]bool{}
								for _, v := range consume(t, cl, 12) {
									got[v] = true
								}
								equal(t, when+": different records of "+g, len(got), 12)
								noError(t, cl.CommitUncommittedOffsets(within(t)))
							}
						}
						check("before", 0)
						f := b.TakeDown(down)
						check("while down", 100)
						parts, err := b.Partitions("orders")
						noError(t, err)
						for _, p := range parts {
							if p.Leader == down {
								t.Fatalf("broker %d is down and leads partition %d", down, p.Partition)
							}
						}
						f.Clear()
						check("back again", 200)
						for _, g := range groups {
							got, _ := b.Group(g)
							for _, o := range got.Offsets {
								equal(t, "lag", o.Lag, 0)
							}
						}
					}
					outage(b, []string{"a", "b", "c"}) // with one coordinator each, more or less
				})
			})
		}
	}
}

func TestTakeDown_adminRequestsAreAnsweredByTheOthers(t *testing.T) {
	for down := range int32(3) {
		t.Run(fmt.Sprintf("broker %d", down), func(t *testing.T) {
			c := orders(3)
			c.Brokers = 3
			onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
				cl := client(t, b)
				adm := kadm.NewClient(cl)
				produce(t, cl, "orders", 0, 1)
				var groups []string
				for i := range 10 { // on all brokers
					g := fmt.Sprint("g", i)
					groups = append(groups, g)
					os := kadm.Offsets{}
					os.AddOffset("orders", 0, 1, -1)
					noError(t, adm.CommitAllOffsets(within(t), g, os))
				}
				f := b.TakeDown(down)
				meta, err := adm.Metadata(within(t))
				noError(t, err)
				equal(t, "brokers listed", len(meta.Brokers), 2)
				_, err = adm.CreateTopic(within(t), 12, -1, nil, "made-meanwhile")
				noError(t, err)
				produce(t, cl, "made-meanwhile", 0, 20)

				listed, err := adm.ListGroups(within(t))
				noError(t, err)
				equal(t, "groups", listed.Groups(), groups)
				described, err := adm.DescribeGroups(within(t), groups...)
				noError(t, err)
				noError(t, described.Error())
				for _, g := range groups {
					os, err := adm.FetchOffsets(within(t), g)
					noError(t, err)
					o, _ := os.Lookup("orders", 0)
					equal(t, "offset of "+g, o.At, 1)
				}
				deleted, err := adm.DeleteGroups(within(t), groups[:5]...)
				noError(t, err)
				noError(t, deleted.Error())
				equal(t, "groups left", len(b.Groups()), 5)
				f.Clear()
				equal(t, "records", len(values(t, b, "made-meanwhile")), 20)
			})
		})
	}
}

func TestTakeDown_transactionsGoOnWhereOtherBrokersAreUp(t *testing.T) {
	for down := range int32(3) {
		t.Run(fmt.Sprintf("broker %d", down), func(t *testing.T) {
			c := orders(3)
			c.Brokers = 3
			onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
				b.TakeDown(down)
				for i := range 5 {
					cl := client(t, b, kgo.TransactionalID(fmt.Sprint("tx", i)))
					noError(t, cl.BeginTransaction())
					produce(t, cl, "orders", i, 1)
					noError(t, cl.EndTransaction(within(t), kgo.TryCommit))
				}
				equal(t, "records", len(values(t, b, "orders")), 5)
			})
		})
	}
}

func TestTakeDown_allBrokersAndOneBack(t *testing.T) {
	c := orders(3)
	c.Brokers = 3
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b)
		produce(t, cl, "orders", 0, 1)
		faults := []*fakebroker.Fault{b.TakeDown(0), b.TakeDown(1), b.TakeDown(2), b.TakeDown(2)}
		faults[2].Clear() // still held down by another
		parts, err := b.Partitions("orders")
		noError(t, err)
		equal(t, "partitions", len(parts), 3)
		faults[1].Clear()
		produce(t, cl, "orders", 1, 5)
		parts, err = b.Partitions("orders")
		noError(t, err)
		for _, p := range parts {
			equal(t, "leader", p.Leader, 1)
		}
		equal(t, "records", len(values(t, b, "orders")), 6)
	})
}

func TestTakeDown_whoStandsInForTheControllerAnswersAsKafka(t *testing.T) {
	for down := range int32(3) {
		c := orders(1)
		c.Brokers = 3
		b := c.Run(t)
		b.TakeDown(down)
		resp, err := kadm.NewClient(client(t, b)).CreateTopics(within(t), 6, 1, nil, "orders", "no spaces", "new")
		noError(t, err)
		equal(t, "message", resp["orders"].ErrMessage, "Topic 'orders' already exists.")
		isError(t, resp["no spaces"].Err, kerr.InvalidTopicException)
		parts, err := b.Partitions("new")
		noError(t, err)
		leads := map[int32]int{}
		for _, p := range parts {
			leads[p.Leader]++
		}
		equal(t, "partitions led", leads, map[int32]int{(down + 1) % 3: 3, (down + 2) % 3: 3})
	}
}
