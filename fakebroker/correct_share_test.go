package fakebroker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
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
		readFromStart(t, p)

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

func TestShareGroup_locksEndWhenTheyAreOver(t *testing.T) {
	const lock = 15 * time.Second
	config := orders(1)
	config.Network = fakebroker.InMemory
	config.BrokerConfig = map[string]string{"group.share.record.lock.duration.ms": "15000"}
	inBubble(t, config, func(t *testing.T, b *fakebroker.Broker) {
		p := client(t, b)
		readFromStart(t, p)
		noError(t, p.ProduceSync(within(t), &kgo.Record{Topic: "orders", Value: []byte("v")}).FirstErr())
		group, member := "g", "member"
		join := kmsg.NewPtrShareGroupHeartbeatRequest()
		join.GroupID, join.MemberID, join.SubscribedTopicNames = group, member, []string{"orders"}
		_, err := join.RequestWith(within(t), p)
		noError(t, err)
		time.Sleep(time.Second) // the lock does not end when somebody happens to look

		topics, err := kadm.NewClient(p).ListTopics(within(t), "orders")
		noError(t, err)
		fetch := kmsg.NewPtrShareFetchRequest()
		fetch.GroupID, fetch.MemberID, fetch.MaxBytes, fetch.MaxRecords = &group, &member, 1<<20, 1
		ft := kmsg.NewShareFetchRequestTopic()
		ft.TopicID = topics["orders"].ID
		ft.Partitions = append(ft.Partitions, kmsg.NewShareFetchRequestTopicPartition())
		fetch.Topics = append(fetch.Topics, ft)
		leader := p.Broker(int(topics["orders"].Partitions[0].Leader))
		got, err := leader.Request(within(t), fetch)
		noError(t, err)
		if n := len(got.(*kmsg.ShareFetchResponse).Topics[0].Partitions[0].AcquiredRecords); n != 1 {
			t.Fatalf("%d batches acquired, want 1", n)
		}
		time.Sleep(lock + time.Second)

		ack := kmsg.NewPtrShareAcknowledgeRequest()
		ack.GroupID, ack.MemberID, ack.ShareSessionEpoch = &group, &member, 1
		at := kmsg.NewShareAcknowledgeRequestTopic()
		at.TopicID = ft.TopicID
		ap := kmsg.NewShareAcknowledgeRequestTopicPartition()
		batch := kmsg.NewShareAcknowledgeRequestTopicPartitionAcknowledgementBatch()
		batch.AcknowledgeTypes = []int8{1} // accepted
		ap.AcknowledgementBatches = append(ap.AcknowledgementBatches, batch)
		at.Partitions = append(at.Partitions, ap)
		ack.Topics = append(ack.Topics, at)
		said, err := leader.Request(within(t), ack)
		noError(t, err)
		resp := said.(*kmsg.ShareAcknowledgeResponse)
		noError(t, kerr.ErrorForCode(resp.ErrorCode))
		if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); !errors.Is(err, kerr.InvalidRecordState) {
			t.Errorf("acknowledged after the lock has ended: %v, want %v", err, kerr.InvalidRecordState)
		}
	})
}

// readFromStart has the share group g begin with the first record.
func readFromStart(t *testing.T, cl *kgo.Client) {
	t.Helper()
	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	group := kmsg.NewIncrementalAlterConfigsRequestResource()
	group.ResourceType, group.ResourceName = kmsg.ConfigResourceTypeGroupConfig, "g"
	reset := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	reset.Name, reset.Value = "share.auto.offset.reset", kmsg.StringPtr("earliest")
	group.Configs = append(group.Configs, reset)
	alter.Resources = append(alter.Resources, group)
	_, err := alter.RequestWith(within(t), cl)
	noError(t, err)
}
