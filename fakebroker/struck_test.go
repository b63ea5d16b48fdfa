package fakebroker_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

// faultNotes is what an observer was told of faults. Asking the broker in the
// observer shows that nothing is locked while it is told.
type faultNotes struct {
	mu  sync.Mutex
	all []fakebroker.FaultEvent
}

func observeFaults(t *testing.T, b scene) *faultNotes {
	t.Helper()
	n := &faultNotes{}
	t.Cleanup(b.Observe(fakebroker.Observer{Fault: func(e fakebroker.FaultEvent) {
		b.Topics()
		b.wired.Addrs()
		n.mu.Lock()
		defer n.mu.Unlock()
		n.all = append(n.all, e)
	}}))
	return n
}

// told are the events, each in a line: the phase, and of strikes what was struck.
func (n *faultNotes) told() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var lines []string
	for _, e := range n.all {
		line := string(e.Phase)
		if e.Phase == fakebroker.FaultStruck {
			api := "no request"
			if e.API >= 0 {
				api = e.API.Name()
			}
			line += fmt.Sprintf(" %s of %q at %d, hits %d", api, e.ClientID, e.Broker, e.Hits)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestObserver_hearsOfStrikes(t *testing.T) {
	scope := fakebroker.Scope{APIs: produces, Topic: "orders", Count: 2}
	for name, fault := range map[string]func(scene) *fakebroker.Fault{
		"refuse %s with NOT_ENOUGH_REPLICAS": func(b scene) *fakebroker.Fault { return b.Refuse(kerr.NotEnoughReplicas, scope) },
		"delay %s by 1ms":                    func(b scene) *fakebroker.Fault { return b.Delay(time.Millisecond, scope) },
		"drop the connection before %s":      func(b scene) *fakebroker.Fault { return b.DropBefore(scope) },
		"drop the connection after %s":       func(b scene) *fakebroker.Fault { return b.DropAfter(scope) },
	} {
		t.Run(strings.Fields(name)[0]+" "+strings.Fields(name)[len(strings.Fields(name))-2], func(t *testing.T) {
			needsTag(t)
			onEach(t, orders(1), func(t *testing.T, b scene) {
				n := observeFaults(t, b)
				f := fault(b)
				cl := client(t, b, kgo.ClientID("c"))
				produce(t, cl, "orders", 0, 3)
				f.Clear()
				f.Clear()
				equal(t, "told", n.told(), "began\nstruck Produce of \"c\" at 0, hits 1\nstruck Produce of \"c\" at 0, hits 2")
				for _, e := range n.all {
					equal(t, "fault", e.Fault, fmt.Sprintf(name, scope))
					equal(t, "has an address", e.Remote != "", e.Phase == fakebroker.FaultStruck)
				}
			})
		})
	}
}

func TestObserver_hearsWhenAFaultIsCleared(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		n := observeFaults(t, b)
		f := b.Refuse(nil, fakebroker.Scope{APIs: produces})
		f.Clear()
		f.Clear()
		equal(t, "told", n.told(), "began\nended")
	})
}

func TestObserver_hearsNothingOfFaultsThatCanDoNothing(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		n := observeFaults(t, b)
		for _, f := range []*fakebroker.Fault{
			b.TakeDown(7), b.MoveLeader("orders", 0, 0), b.MoveCoordinator("g", 7), b.ExpireSession(fakebroker.Scope{}),
			b.ForgetTopic(fakebroker.Scope{APIs: []kmsg.Key{kmsg.JoinGroup}}),
		} {
			f.Clear()
		}
		equal(t, "told", n.told(), "")
	})
}

func TestObserver_hearsOfNodesAndLeaders(t *testing.T) {
	c := orders(1)
	c.Brokers = 2
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b, kgo.ClientID("c"))
		produce(t, cl, "orders", 0, 1)
		p, err := b.Partitions("orders")
		noError(t, err)
		leader := p[0].Leader

		n := observeFaults(t, scene{b, b})
		moved := b.MoveLeader("orders", 0, 1-leader)
		produce(t, cl, "orders", 1, 1)
		moved.Clear()
		equal(t, "told", n.told(), fmt.Sprintf("began\nstruck Produce of \"c\" at %d, hits 1\nended", leader))

		n.all = nil
		down := b.TakeDown(0)
		down.Clear()
		equal(t, "told", n.told(), fmt.Sprintf("began\nstruck no request of \"\" at 0, hits %d\nended", down.Hits()))
	})
}

func TestObserver_hearsOfWhomAFaultCutsOff(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		cl := client(t, b, kgo.ClientID("c"))
		produce(t, cl, "orders", 0, 1)
		n := observeFaults(t, b)
		b.CutOff(fakebroker.Scope{ClientID: "c", Count: 1})
		equal(t, "told", n.told(), "began\nstruck no request of \"c\" at 0, hits 1")
	})
}

func TestObserver_hearsOfTheOldCoordinatorAndOfForgottenTopics(t *testing.T) {
	c := orders(1)
	c.Brokers = 2
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b, kgo.ClientID("c"), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"))
		eventually(t, "the group is stable", func() bool { g, _ := b.Group("g"); return g.State == "Stable" })
		was := coordinator(t, cl, 0, "g")
		n := observeFaults(t, scene{b, b})
		b.MoveCoordinator("g", 1-was)
		cl.CommitOffsetsSync(within(t), map[string]map[int32]kgo.EpochOffset{"orders": {0: {Epoch: -1}}}, nil)
		told := n.told()
		if !strings.Contains(told, fmt.Sprintf("of \"c\" at %d, hits 1", was)) {
			t.Error(told)
		}
		b.ForgetTopic(fakebroker.Scope{Topic: "orders", ClientID: "d", Count: 1})
		other := client(t, b, kgo.ClientID("d"))
		noError(t, other.Ping(within(t)))
		produce(t, other, "orders", 0, 1)
		if told := n.told(); !strings.Contains(told, `struck Metadata of "d" at`) {
			t.Error(told)
		}
	})
}

func TestObserver_hearsWhoseSessionWasExpired(t *testing.T) {
	onBoth(t, orders(1), func(t *testing.T, b *fakebroker.Broker) {
		client(t, b, kgo.ClientID("c"), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"))
		eventually(t, "the group is stable", func() bool { g, _ := b.Group("g"); return g.State == "Stable" })
		n := observeFaults(t, scene{b, b})
		b.ExpireSession(fakebroker.Scope{Group: "g"}).Clear()
		equal(t, "told", n.told(), `struck no request of "c" at 0, hits 1`)
		equal(t, "group", n.all[0].Group, "g")
	})
}

func TestObserver_hearsWhatMembersAreAssigned(t *testing.T) {
	for name, opts := range map[string][]kgo.Opt{
		"classic":  {kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders")},
		"consumer": {kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.ServerSideBalancer()},
		"share":    {kgo.ShareGroup("g"), kgo.ConsumeTopics("orders")},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, orders(2), func(t *testing.T, b scene) {
				var mu sync.Mutex
				var last fakebroker.Assignment
				t.Cleanup(b.Observe(fakebroker.Observer{Assigned: func(a fakebroker.Assignment) {
					mu.Lock()
					defer mu.Unlock()
					last = a
				}}))
				client(t, b, append(opts, kgo.ClientID("c"))...)
				eventually(t, "both partitions are assigned", func() bool {
					mu.Lock()
					defer mu.Unlock()
					return len(last.Partitions["orders"]) == 2
				})
				mu.Lock()
				defer mu.Unlock()
				equal(t, "who", []string{last.ClientID, last.Group}, []string{"c", "g"})
				equal(t, "is complete", last.MemberID != "" && last.Remote != "" && last.Epoch > 0, true)
			})
		})
	}
}
