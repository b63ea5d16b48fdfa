package fakebroker_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

// quickHeartbeats has members of groups find out soon in real time too.
func quickHeartbeats(partitions int32) fakebroker.Config {
	c := orders(partitions)
	c.BrokerConfig = map[string]string{"group.consumer.heartbeat.interval.ms": "100", "group.share.heartbeat.interval.ms": "100"}
	return c
}

// poll consumes until the test ends.
func poll(t *testing.T, cl *kgo.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			cl.PollFetches(ctx)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func TestExpireSession_memberIsOutAndJoinsAgain(t *testing.T) {
	for name, protocol := range map[string]struct {
		kind string
		opts []kgo.Opt
	}{
		"classic":        {"classic", nil},
		"classic static": {"classic", []kgo.Opt{kgo.InstanceID("i")}},
		"KIP-848":        {"consumer", []kgo.Opt{kgo.ServerSideBalancer()}},
		"KIP-848 static": {"consumer", []kgo.Opt{kgo.ServerSideBalancer(), kgo.InstanceID("i")}},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, quickHeartbeats(2), func(t *testing.T, b *fakebroker.Broker) {
				var lost atomic.Int32
				member := func(id string, opts ...kgo.Opt) {
					common := []kgo.Opt{
						kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.ClientID(id),
						kgo.HeartbeatInterval(100 * time.Millisecond), kgo.FetchMaxWait(100 * time.Millisecond),
					}
					poll(t, client(t, b, append(common, opts...)...))
				}
				member("mine", append(protocol.opts, kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { lost.Add(1) }))...)
				var others []kgo.Opt
				if protocol.kind == "consumer" {
					others = append(others, kgo.ServerSideBalancer())
				}
				member("other", others...)
				settled := func() (g fakebroker.Group) {
					t.Helper()
					eventually(t, "both have a partition", func() bool {
						g, _ = b.Group("g")
						return g.State == "Stable" && len(g.Members) == 2 &&
							!slices.ContainsFunc(g.Members, func(m fakebroker.Member) bool { return len(m.Assignment["orders"]) != 1 })
					})
					return g
				}
				of := func(g fakebroker.Group, client string) fakebroker.Member {
					return g.Members[slices.IndexFunc(g.Members, func(m fakebroker.Member) bool { return m.ClientID == client })]
				}
				before := settled()
				equal(t, "type", before.Type, protocol.kind)

				f := b.ExpireSession(fakebroker.Scope{Group: "g", ClientID: "mine"})
				equal(t, "hits", f.Hits(), 1)
				gone, _ := b.Group("g")
				if slices.ContainsFunc(gone.Members, func(m fakebroker.Member) bool { return m.ID == of(before, "mine").ID }) {
					t.Fatal("still a member")
				}
				eventually(t, "the member hears of it", func() bool { return lost.Load() > 0 })
				after := settled()
				equal(t, "the other's id", of(after, "other").ID, of(before, "other").ID)
				if after.Epoch <= before.Epoch {
					t.Fatalf("epoch %d after %d", after.Epoch, before.Epoch)
				}
			})
		})
	}
}

func TestExpireSession_memberOfAShareGroup(t *testing.T) {
	onBoth(t, quickHeartbeats(1), func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b, kgo.ShareGroup("s"), kgo.ConsumeTopics("orders"))
		poll(t, cl)
		joined := func() (g fakebroker.Group) {
			t.Helper()
			eventually(t, "it is a member", func() bool {
				g, _ = b.Group("s")
				return len(g.Members) == 1
			})
			return g
		}
		before := joined()
		equal(t, "type", before.Type, "share")
		// It would join again under the same id, and may do so at any moment.
		silent := b.Refuse(kerr.CoordinatorLoadInProgress, fakebroker.Scope{APIs: []kmsg.Key{kmsg.ShareGroupHeartbeat}})
		f := b.ExpireSession(fakebroker.Scope{Group: "s"})
		equal(t, "hits", f.Hits(), 1)
		g, _ := b.Group("s")
		equal(t, "members", len(g.Members), 0)
		silent.Clear()
		joined()
	})
}

func TestExpireSession_picksMembers(t *testing.T) {
	onBoth(t, quickHeartbeats(2), func(t *testing.T, b *fakebroker.Broker) {
		for range 2 {
			poll(t, client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.HeartbeatInterval(100*time.Millisecond)))
		}
		settled := func() (g fakebroker.Group) {
			eventually(t, "both have a partition", func() bool {
				g, _ = b.Group("g")
				return g.State == "Stable" && len(g.Members) == 2 && len(g.Members[0].Assignment["orders"]) == 1 && len(g.Members[1].Assignment["orders"]) == 1
			})
			return g
		}
		equal(t, "another group", b.ExpireSession(fakebroker.Scope{Group: "h"}).Hits(), 0)
		equal(t, "another client", b.ExpireSession(fakebroker.Scope{ClientID: "h"}).Hits(), 0)
		g := settled()
		equal(t, "by partition", b.ExpireSession(fakebroker.Scope{Partitions: g.Members[1].Assignment["orders"]}).Hits(), 1)
		left, _ := b.Group("g")
		has := func(id string) bool {
			return slices.ContainsFunc(left.Members, func(m fakebroker.Member) bool { return m.ID == id })
		}
		equal(t, "is left", has(g.Members[0].ID), true)
		equal(t, "is out", !has(g.Members[1].ID), true)
		settled()
		equal(t, "one of two", b.ExpireSession(fakebroker.Scope{Group: "g", Count: 1}).Hits(), 1)
		settled()
		equal(t, "all", b.ExpireSession(fakebroker.Scope{}).Hits(), 2)
	})
}
