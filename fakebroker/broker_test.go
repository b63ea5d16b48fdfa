package fakebroker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

func TestBroker_groupConsumesWhatWasProduced(t *testing.T) {
	for name, brokers := range map[string]int{"one broker": 1, "three brokers": 3} {
		t.Run(name, func(t *testing.T) {
			topic := fakebroker.Topic{Name: "orders", Partitions: 3}
			onBoth(t, fakebroker.Config{Brokers: brokers, Topics: []fakebroker.Topic{topic}}, func(t *testing.T, b *fakebroker.Broker) {
				produce(t, client(t, b), "orders", 0, 10)
				cl := client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit())
				equal(t, "records", len(consume(t, cl, 10)), 10)
				noError(t, cl.CommitUncommittedOffsets(within(t)))

				g, ok := b.Group("g")
				equal(t, "found", ok, true)
				equal(t, "state", g.State, "Stable")
				var committed, lag int64
				for _, o := range g.Offsets {
					if o.Committed > 0 {
						committed += o.Committed
					}
					lag += o.Lag
				}
				equal(t, "committed", committed, 10)
				equal(t, "lag", lag, 0)
				equal(t, "records in the log", len(values(t, b, "orders")), 10)
			})
		})
	}
}
