package fakebroker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

func TestForgetTopic_isUnknownUntilCleared(t *testing.T) {
	c := fakebroker.Config{Topics: []fakebroker.Topic{{Name: "orders"}, {Name: "audit"}}}
	onEach(t, c, func(t *testing.T, b scene) {
		known := client(t, b, kgo.UnknownTopicRetries(0), kgo.RecordRetries(0))
		produce(t, known, "orders", 0, 1)

		f := b.ForgetTopic(fakebroker.Scope{Topic: "orders"})
		fresh := client(t, b, kgo.UnknownTopicRetries(0))
		err := fresh.ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr()
		isError(t, err, kerr.UnknownTopicOrPartition)
		if err := known.ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr(); err == nil {
			t.Fatal("produced to a topic that is forgotten")
		}
		if f.Hits() < 2 {
			t.Fatalf("struck %d", f.Hits())
		}
		admin := kadm.NewClient(client(t, b))
		topics, err := admin.ListTopics(within(t))
		noError(t, err)
		equal(t, "names", topics.Names(), []string{"audit"})
		produce(t, fresh, "audit", 0, 1)

		f.Clear()
		produce(t, client(t, b), "orders", 1, 1)
		equal(t, "records", values(t, b, "orders"), []string{"0", "1"})
	})
}

func TestForgetTopic_answersByNameAndByID(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		metadata := func(topic *string, id [16]byte) kmsg.MetadataResponseTopic {
			t.Helper()
			req := kmsg.NewPtrMetadataRequest()
			rt := kmsg.NewMetadataRequestTopic()
			rt.Topic, rt.TopicID = topic, id
			req.Topics = append(req.Topics, rt)
			resp, err := rawRequest(t, b, "raw", 12, req)
			noError(t, err)
			return resp.(*kmsg.MetadataResponse).Topics[0]
		}
		name := "orders"
		id := metadata(&name, [16]byte{}).TopicID

		b.ForgetTopic(fakebroker.Scope{Topic: "orders"})
		byName := metadata(&name, [16]byte{})
		equal(t, "error by name", byName.ErrorCode, kerr.UnknownTopicOrPartition.Code)
		equal(t, "name", *byName.Topic, "orders")
		equal(t, "partitions", len(byName.Partitions), 0)
		byID := metadata(nil, id)
		equal(t, "error by id", byID.ErrorCode, kerr.UnknownTopicID.Code)
		equal(t, "id", byID.TopicID, id)

		fetch := func(version int16) int16 {
			t.Helper()
			req := kmsg.NewPtrFetchRequest()
			req.SessionEpoch, req.MaxBytes = -1, 1<<20
			p := kmsg.NewFetchRequestTopicPartition()
			p.PartitionMaxBytes = 1 << 20
			rt := kmsg.NewFetchRequestTopic()
			rt.Topic, rt.TopicID, rt.Partitions = "orders", id, append(rt.Partitions, p)
			req.Topics = append(req.Topics, rt)
			resp, err := rawRequest(t, b, "raw", version, req)
			noError(t, err)
			return resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode
		}
		equal(t, "fetch by name", fetch(12), kerr.UnknownTopicOrPartition.Code)
		equal(t, "fetch by id", fetch(13), kerr.UnknownTopicID.Code)

		describe := kmsg.NewPtrDescribeTopicPartitionsRequest()
		rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
		rt.Topic = "orders"
		describe.Topics = append(describe.Topics, rt)
		resp, err := rawRequest(t, b, "raw", 0, describe)
		noError(t, err)
		equal(t, "described", resp.(*kmsg.DescribeTopicPartitionsResponse).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition.Code)
	})
}

func TestForgetTopic_inMetadataAlone(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		known := client(t, b)
		produce(t, known, "orders", 0, 1)
		f := b.ForgetTopic(fakebroker.Scope{Topic: "orders", APIs: []kmsg.Key{kmsg.Metadata}})
		produce(t, known, "orders", 1, 1)
		fresh := client(t, b, kgo.UnknownTopicRetries(0))
		err := fresh.ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr()
		isError(t, err, kerr.UnknownTopicOrPartition)
		f.Clear()
		equal(t, "records", values(t, b, "orders"), []string{"0", "1"})
	})
}

func TestForgetTopic_ofOneClientAndCounted(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		f := b.ForgetTopic(fakebroker.Scope{Topic: "orders", ClientID: "x", Count: 1})
		produce(t, client(t, b, kgo.ClientID("y"), kgo.UnknownTopicRetries(0)), "orders", 0, 1)
		equal(t, "hits", f.Hits(), 0)
		produce(t, client(t, b, kgo.ClientID("x"), kgo.MetadataMinAge(20*time.Millisecond)), "orders", 1, 1)
		equal(t, "hits", f.Hits(), 1)
	})
}
