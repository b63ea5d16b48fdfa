package fakebroker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
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
