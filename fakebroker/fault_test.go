package fakebroker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

func orders(partitions int32) fakebroker.Config {
	return fakebroker.Config{Topics: []fakebroker.Topic{{Name: "orders", Partitions: partitions}}}
}

var produces = []kmsg.Key{kmsg.Produce}

func TestDropAfter_recordIsWrittenOnce(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		f := b.DropAfter(fakebroker.Scope{APIs: produces, Count: 1})
		produce(t, client(t, b), "orders", 0, 3)
		equal(t, "hits", f.Hits(), 1)
		equal(t, "records", values(t, b, "orders"), []string{"0", "1", "2"})
	})
}

func TestDropAfter_brokerHasActed(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		b.DropAfter(fakebroker.Scope{APIs: produces})
		cl := client(t, b, kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.RequestRetries(0))
		if err := cl.ProduceSync(within(t), &kgo.Record{Topic: "orders", Value: []byte("0")}).FirstErr(); err == nil {
			t.Fatal("produced although the answer was dropped")
		}
		equal(t, "records", values(t, b, "orders"), []string{"0"})
	})
}

func TestDropBefore_brokerHasNotActed(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		f := b.DropBefore(fakebroker.Scope{APIs: produces})
		cl := client(t, b, kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.RequestRetries(0))
		if err := cl.ProduceSync(within(t), &kgo.Record{Topic: "orders", Value: []byte("0")}).FirstErr(); err == nil {
			t.Fatal("produced although the request was dropped")
		}
		equal(t, "records", values(t, b, "orders"), []string{})

		f.Clear()
		produce(t, client(t, b), "orders", 1, 1)
		equal(t, "records after clearing", values(t, b, "orders"), []string{"1"})
	})
}

func TestRefuse_clientSeesTheErrorAndNothingIsWritten(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		f := b.Refuse(kerr.TopicAuthorizationFailed, fakebroker.Scope{APIs: produces, Topic: "orders", Count: 1})
		cl := client(t, b)
		err := cl.ProduceSync(within(t), &kgo.Record{Topic: "orders", Value: []byte("0")}).FirstErr()
		isError(t, err, kerr.TopicAuthorizationFailed)
		equal(t, "hits", f.Hits(), 1)
		produce(t, cl, "orders", 1, 1)
		equal(t, "records", values(t, b, "orders"), []string{"1"})
	})
}

func TestDelay_answerIsLateAndBrokerActsAtOnce(t *testing.T) {
	const late = 300 * time.Millisecond
	needsTag(t)
	produced := func(t *testing.T, b scene) (written, answered time.Duration) {
		cl := client(t, b)
		produce(t, cl, "orders", 0, 1) // so that the next one has nothing else to wait for
		f := b.Delay(late, fakebroker.Scope{APIs: produces})
		start := time.Now()
		done := make(chan error, 1)
		cl.Produce(within(t), &kgo.Record{Topic: "orders", Value: []byte("1")}, func(_ *kgo.Record, err error) { done <- err })
		eventually(t, "the record is written", func() bool { return len(values(t, b, "orders")) == 2 })
		written = time.Since(start)
		noError(t, <-done)
		answered = time.Since(start)
		equal(t, "hits", f.Hits(), 1)
		return written, answered
	}
	onEach(t, orders(1), func(t *testing.T, b scene) {
		if _, answered := produced(t, b); answered < late {
			t.Fatalf("answered after %v, want %v", answered, late)
		}
	})
	// How soon the record is written cannot be said in real time.
	c := orders(1)
	c.Network = fakebroker.InMemory
	inBubble(t, c, func(t *testing.T, b *fakebroker.Broker) {
		if written, _ := produced(t, scene{b, b}); written >= late {
			t.Fatalf("written after %v, want it at once", written)
		}
	})
}

func TestDelay_doesNotDelayOtherConnections(t *testing.T) {
	needsTag(t)
	onEach(t, orders(1), func(t *testing.T, b scene) {
		slow, quick := client(t, b, kgo.ClientID("slow")), client(t, b, kgo.ClientID("quick"))
		produce(t, slow, "orders", 0, 1)
		b.Delay(time.Hour, fakebroker.Scope{APIs: produces, ClientID: "slow"})
		slow.Produce(within(t), &kgo.Record{Topic: "orders", Value: []byte("1")}, nil)
		eventually(t, "the slow record is written", func() bool { return len(values(t, b, "orders")) == 2 })
		produce(t, quick, "orders", 2, 1)
	})
}

func TestClose_endsDelays(t *testing.T) {
	needsTag(t)
	onEach(t, orders(1), func(t *testing.T, b scene) {
		cl := client(t, b, kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.RequestRetries(0))
		produce(t, cl, "orders", 0, 1)
		f := b.Delay(time.Hour, fakebroker.Scope{APIs: produces})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		cl.Produce(ctx, &kgo.Record{Topic: "orders"}, func(_ *kgo.Record, err error) { done <- err })
		eventually(t, "the delay", func() bool { return f.Hits() == 1 })
		ended := make(chan error, 1)
		go func() { ended <- b.Close() }()
		select {
		case err := <-ended:
			noError(t, err)
		case <-within(t).Done():
			t.Fatal("closing waits for the delay")
		}
		cancel()
		if err := <-done; err == nil {
			t.Fatal("produced on a closed broker")
		}
	})
}

func TestScope_strikesWhatItNames(t *testing.T) {
	refuse := kerr.TopicAuthorizationFailed
	cases := map[string]struct {
		scope fakebroker.Scope
		want  []int // which of six produces are struck: two to a, two to b, two to a, from clients x and y in turn
	}{
		"everything of an API":  {fakebroker.Scope{APIs: produces}, []int{0, 1, 2, 3, 4, 5}},
		"another API":           {fakebroker.Scope{APIs: []kmsg.Key{kmsg.OffsetCommit}}, nil},
		"a topic":               {fakebroker.Scope{APIs: produces, Topic: "b"}, []int{2, 3}},
		"a client":              {fakebroker.Scope{APIs: produces, ClientID: "y"}, []int{1, 3, 5}},
		"a client and topic":    {fakebroker.Scope{APIs: produces, ClientID: "y", Topic: "a"}, []int{1, 5}},
		"a partition":           {fakebroker.Scope{APIs: produces, Partitions: []int32{1}}, nil},
		"a broker":              {fakebroker.Scope{APIs: produces, Brokers: []int32{0}}, []int{0, 1, 2, 3, 4, 5}},
		"another broker":        {fakebroker.Scope{APIs: produces, Brokers: []int32{1}}, nil},
		"a group":               {fakebroker.Scope{Group: "g"}, nil},
		"twice":                 {fakebroker.Scope{APIs: produces, Count: 2}, []int{0, 1}},
		"from the third":        {fakebroker.Scope{APIs: produces, Nth: 3}, []int{2, 3, 4, 5}},
		"the third":             {fakebroker.Scope{APIs: produces, Nth: 3, Count: 1}, []int{2}},
		"the second of a topic": {fakebroker.Scope{APIs: produces, Topic: "b", Nth: 2, Count: 1}, []int{3}},
	}
	config := fakebroker.Config{Topics: []fakebroker.Topic{{Name: "a"}, {Name: "b"}}}
	faults := map[string]func(scene, fakebroker.Scope) *fakebroker.Fault{
		"refuse":      func(b scene, s fakebroker.Scope) *fakebroker.Fault { return b.Refuse(refuse, s) },
		"drop before": scene.DropBefore,
		"drop after":  scene.DropAfter,
	}
	for name, c := range cases {
		for kind, strike := range faults {
			t.Run(fmt.Sprintf("%s/%s", kind, name), func(t *testing.T) {
				onEach(t, config, func(t *testing.T, b scene) {
					f := strike(b, c.scope)
					var struck []int
					for i, topic := range []string{"a", "a", "b", "b", "a", "a"} {
						// A client that was cut off may find out only when it asks again.
						cl := oneShot(t, b, kgo.ClientID([]string{"x", "y"}[i%2]))
						if err := cl.ProduceSync(within(t), &kgo.Record{Topic: topic}).FirstErr(); err != nil {
							struck = append(struck, i)
						}
						cl.Close()
					}
					equal(t, "struck", struck, c.want)
					equal(t, "hits", f.Hits(), len(c.want))
				})
			})
		}
	}
}

func TestRefuse_oneClientInAVersionWithoutRoomForMarks(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		f := b.Refuse(kerr.GroupAuthorizationFailed, fakebroker.Scope{ClientID: "old", Group: "g"})
		for id, want := range map[string]int16{"old": kerr.GroupAuthorizationFailed.Code, "new": 0} {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorKey = "g"
			resp, err := rawRequest(t, b, id, 2, req)
			noError(t, err)
			equal(t, id, resp.(*kmsg.FindCoordinatorResponse).ErrorCode, want)
			equal(t, "version", resp.GetVersion(), 2)
		}
		equal(t, "hits", f.Hits(), 1)
	})
}

func TestFetch_ofATopicIsStruckInsideASession(t *testing.T) {
	for kind, strike := range map[string]func(scene, fakebroker.Scope) *fakebroker.Fault{
		"refuse": func(b scene, s fakebroker.Scope) *fakebroker.Fault {
			return b.Refuse(kerr.NotLeaderForPartition, s)
		},
		"drop before": scene.DropBefore,
		"drop after":  scene.DropAfter,
	} {
		t.Run(kind, func(t *testing.T) {
			onEach(t, orders(1), func(t *testing.T, b scene) {
				p := client(t, b)
				cl := client(t, b, kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))
				produce(t, p, "orders", 0, 3)
				equal(t, "first", consume(t, cl, 3), []string{"0", "1", "2"})
				f := strike(b, fakebroker.Scope{APIs: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Count: 2})
				produce(t, p, "orders", 3, 3)
				equal(t, "then", consume(t, cl, 3), []string{"3", "4", "5"})
				if f.Hits() == 0 {
					t.Fatal("never struck")
				}
			})
		})
	}
}

func TestFault_saysWhatItIs(t *testing.T) {
	b := fakebroker.Run(t, "orders")
	f := b.DropAfter(fakebroker.Scope{APIs: produces, Topic: "orders", Nth: 2, Count: 1})
	equal(t, "text", f.String(), "drop the connection after Produce, topic orders, from number 2, count 1 (struck 0)")
	equal(t, "text", b.Refuse(kerr.NotCoordinator, fakebroker.Scope{}).String(), "refuse everything with NOT_COORDINATOR (struck 0)")
	equal(t, "text", b.TakeDown(7).String(), "broker 7, which does not exist, down (struck 0)")
	f.Clear()
	f.Clear()
}

func TestInspection_isNotStruck(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		produce(t, client(t, b), "orders", 0, 2)
		faults := []*fakebroker.Fault{b.Refuse(kerr.TopicAuthorizationFailed, fakebroker.Scope{}), b.DropBefore(fakebroker.Scope{})}
		equal(t, "records", values(t, b, "orders"), []string{"0", "1"})
		equal(t, "topics", len(b.Topics()), 1)
		for _, f := range faults {
			equal(t, "hits", f.Hits(), 0)
		}
	})
}

func TestRefuse_oneClientInVersionsThatMeanSomethingElse(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		b.Refuse(kerr.GroupAuthorizationFailed, fakebroker.Scope{ClientID: "old", Topic: "nothing"})
		resp, err := rawRequest(t, b, "old", 0, kmsg.NewPtrMetadataRequest())
		noError(t, err)
		equal(t, "topics of all", len(resp.(*kmsg.MetadataResponse).Topics), 1)

		join := kmsg.NewPtrJoinGroupRequest()
		join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = "g", "consumer", 10_000, 10_000
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name = "range"
		join.Protocols = append(join.Protocols, p)
		resp, err = rawRequest(t, b, "old", 2, join)
		noError(t, err)
		joined := resp.(*kmsg.JoinGroupResponse)
		equal(t, "error of joining", joined.ErrorCode, 0)

		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group, leave.MemberID = "g", joined.MemberID
		resp, err = rawRequest(t, b, "old", 1, leave)
		noError(t, err)
		equal(t, "error of leaving", resp.(*kmsg.LeaveGroupResponse).ErrorCode, 0)
		g, _ := b.Group("g")
		equal(t, "members", len(g.Members), 0)
	})
}
