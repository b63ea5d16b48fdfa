package fakebroker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/brokertest"
)

func TestLeaderChange_nothingHandledIsDeliveredAgain(t *testing.T) {
	for _, records := range []int{10, 0} {
		c := orders(1)
		c.Brokers = 2
		onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
			cl := client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit(), kgo.FetchMaxWait(100*time.Millisecond))
			p := client(t, b)
			produce(t, p, "orders", 0, records)
			consume(t, cl, records)
			for range 3 {
				parts, err := b.Partitions("orders")
				noError(t, err)
				f := b.TakeDown(parts[0].Leader)
				eventually(t, "a metadata update", func() bool { return cl.Ping(within(t)) == nil })
				f.Clear()
			}
			// What comes next is the next record, and not one of the old ones.
			produce(t, p, "orders", records, 1)
			equal(t, "next", consume(t, cl, 1), values(t, b, "orders")[records:])
		})
	}
}

func TestBehaviours(t *testing.T) {
	brokertest.Test(t, func(t *testing.T, needs brokertest.Needs) brokertest.Cluster {
		return cluster(config(needs).Run(t))
	})
}

// A correction that upstream no longer needs is to be deleted.
func TestCorrections_areNeeded(t *testing.T) {
	behaviours := make(map[string]brokertest.Behaviour)
	for _, b := range brokertest.Behaviours() {
		behaviours[b.Name] = b
	}
	seen := make(map[string]bool)
	for _, c := range fakebroker.Corrections() {
		t.Run(c.Name, func(t *testing.T) {
			if seen[c.Name] || c.Name == "" || c.Restores == "" || c.Upstream == "" {
				t.Fatalf("a correction needs a name of its own, what it restores and where upstream differs: %+v", c)
			}
			seen[c.Name] = true
			b, ok := behaviours[c.Behaviour]
			if !ok {
				t.Fatalf("there is no behaviour %q", c.Behaviour)
			}
			err := brokertest.Check(t.Context(), b, cluster(fakebroker.Without(config(b.Needs), c.Name).Run(t)))
			if !errors.Is(err, brokertest.ErrDiffers) {
				t.Fatalf("kfake does this by itself now: delete the correction (%s). %v", c.Upstream, err)
			}
			t.Log(err)
		})
	}
}

// config is a broker that has what a behaviour needs.
func config(n brokertest.Needs) fakebroker.Config {
	return fakebroker.Config{Brokers: n.Brokers}
}

func cluster(b *fakebroker.Broker) brokertest.Cluster {
	return brokertest.Cluster{Options: b.ClientOptions()}
}
