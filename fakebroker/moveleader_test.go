package fakebroker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

// leader is the only partition, with its leader.
func leader(t *testing.T, b *fakebroker.Broker) fakebroker.Partition {
	t.Helper()
	parts, err := b.Partitions("orders")
	noError(t, err)
	return parts[0]
}

func TestMoveLeader_clientsFollow(t *testing.T) {
	c := orders(1)
	c.Brokers = 3
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		p := client(t, b)
		cl := client(t, b, kgo.ConsumeTopics("orders"), kgo.FetchMaxWait(200*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		produce(t, p, "orders", 0, 2)
		equal(t, "before", consume(t, cl, 2), []string{"0", "1"})

		was := leader(t, b)
		f := b.MoveLeader("orders", 0, (was.Leader+1)%3)
		equal(t, "leader", leader(t, b).Leader, (was.Leader+1)%3)
		if got := leader(t, b).LeaderEpoch; got <= was.LeaderEpoch {
			t.Fatalf("leader epoch %d after %d", got, was.LeaderEpoch)
		}
		produce(t, p, "orders", 2, 2)
		equal(t, "after", consume(t, cl, 2), []string{"2", "3"})
		if f.Hits() == 0 {
			t.Fatal("nobody came to the old leader")
		}

		f.Clear()
		equal(t, "leader", leader(t, b).Leader, was.Leader)
		produce(t, p, "orders", 4, 2)
		equal(t, "back", consume(t, cl, 2), []string{"4", "5"})
	})
}

func TestMoveLeader_staysWhereItWasMovedSince(t *testing.T) {
	c := orders(1)
	c.Brokers = 3
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		was := leader(t, b).Leader
		f := b.MoveLeader("orders", 0, (was+1)%3)
		b.MoveLeader("orders", 0, (was+2)%3)
		f.Clear()
		equal(t, "leader", leader(t, b).Leader, (was+2)%3)
	})
}

func TestMoveLeader_whatCannotBeNeverStrikes(t *testing.T) {
	c := orders(1)
	c.Brokers = 2
	b := c.Run(t)
	was := leader(t, b).Leader
	down := b.TakeDown(1 - was)
	for _, f := range []*fakebroker.Fault{
		b.MoveLeader("orders", 0, 1-was), b.MoveLeader("orders", 0, was), b.MoveLeader("orders", 0, 7),
		b.MoveLeader("orders", 5, 1-was), b.MoveLeader("nothing", 0, 1-was),
	} {
		produce(t, client(t, b), "orders", 0, 1)
		equal(t, f.String(), f.Hits(), 0)
		f.Clear()
	}
	down.Clear()
	equal(t, "leader", leader(t, b).Leader, was)
}
