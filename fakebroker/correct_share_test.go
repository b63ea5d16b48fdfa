package fakebroker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

// What an answer has no room for comes with later ones: nothing is lost, and
// nothing is delivered twice.
func TestShareFetch_smallAnswersBringEachRecordOnce(t *testing.T) {
	const partitions, records = 3, 40
	onBoth(t, orders(partitions), func(t *testing.T, b *fakebroker.Broker) {
		p := client(t, b)
		for i := range int32(partitions) {
			for range records {
				noError(t, p.ProduceSync(within(t), &kgo.Record{Topic: "orders", Partition: i, Value: make([]byte, 500)}).FirstErr())
			}
		}
		alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
		group := kmsg.NewIncrementalAlterConfigsRequestResource()
		group.ResourceType, group.ResourceName = kmsg.ConfigResourceTypeGroupConfig, "g"
		reset := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		reset.Name, reset.Value = "share.auto.offset.reset", kmsg.StringPtr("earliest")
		group.Configs = append(group.Configs, reset)
		alter.Resources = append(alter.Resources, group)
		_, err := alter.RequestWith(within(t), p)
		noError(t, err)

		cl := client(t, b, kgo.ShareGroup("g"), kgo.ConsumeTopics("orders"), kgo.FetchMaxBytes(2000), kgo.FetchMaxWait(100*time.Millisecond))
		type at struct {
			partition int32
			offset    int64
		}
		seen := make(map[at]int32)
		for len(seen) < partitions*records {
			fetches := cl.PollFetches(within(t))
			noError(t, fetches.Err())
			fetches.EachRecord(func(r *kgo.Record) {
				if before := seen[at{r.Partition, r.Offset}]; before > 0 || r.DeliveryCount() != 1 {
					t.Fatalf("partition %d offset %d: delivery %d, after %d", r.Partition, r.Offset, r.DeliveryCount(), before)
				}
				seen[at{r.Partition, r.Offset}] = r.DeliveryCount()
				r.Ack(kgo.AckAccept)
			})
		}
		noError(t, cl.FlushAcks(within(t)))
	})
}
