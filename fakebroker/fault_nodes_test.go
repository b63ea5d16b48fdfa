package fakebroker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

func TestFaults_goByTheNodeIDsOfTheConfig(t *testing.T) {
	c := orders(1)
	c.NodeIDs = []int32{11, 12, 13}
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b)
		was := leader(t, b).Leader
		if was < 11 {
			t.Fatalf("the leader is %d", was)
		}
		next := 11 + (was-11+1)%3

		b.MoveLeader("orders", 0, next)
		equal(t, "leader", leader(t, b).Leader, next)
		produce(t, cl, "orders", 0, 1)

		coordinated := coordinator(t, cl, 0, "g")
		there := 11 + (coordinated-11+1)%3
		b.MoveCoordinator("g", there)
		equal(t, "coordinator", coordinator(t, cl, 0, "g"), there)

		f := b.DropBefore(fakebroker.Scope{APIs: produces, Brokers: []int32{was}})
		produce(t, cl, "orders", 1, 1)
		equal(t, "hits", f.Hits(), 0)
		f = b.DropBefore(fakebroker.Scope{APIs: produces, Brokers: []int32{next}, Count: 1})
		produce(t, cl, "orders", 2, 1)
		equal(t, "hits", f.Hits(), 1)

		down := b.TakeDown(next)
		produce(t, client(t, b), "orders", 3, 1)
		if leader(t, b).Leader == next {
			t.Fatal("the broker that is down leads")
		}
		down.Clear()
		equal(t, "records", len(values(t, b, "orders")), 4)
		cut := b.CutOff(fakebroker.Scope{ClientID: "mine", Brokers: []int32{leader(t, b).Leader}})
		if err := oneShot(t, b, kgo.ClientID("mine")).ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr(); err == nil || cut.Hits() == 0 {
			t.Fatalf("produced although cut off: %v, hits %d", err, cut.Hits())
		}
	})
}
