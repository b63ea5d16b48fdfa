package fakebroker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

const wholeTopic, wholePartitions = "whole", 5

func createWhole() *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = wholeTopic, wholePartitions, 1
	req.Topics, req.TimeoutMillis = append(req.Topics, rt), 60_000
	return req
}

// seen is how many partitions of the topic a client sees, in each way to look; -1
// where it is not listed, or not known.
func seen(t *testing.T, cl *kgo.Client) map[string]int {
	t.Helper()
	out := make(map[string]int)
	for _, how := range []string{"metadata", "metadata of all", "description", "description of all"} {
		out[how] = -1
		var err error
		switch how {
		case "metadata", "metadata of all":
			req := kmsg.NewPtrMetadataRequest()
			if rt := kmsg.NewMetadataRequestTopic(); how == "metadata" {
				rt.Topic = kmsg.StringPtr(wholeTopic)
				req.Topics = append(req.Topics, rt)
			}
			var resp *kmsg.MetadataResponse
			resp, err = req.RequestWith(within(t), cl)
			noError(t, err)
			for _, rt := range resp.Topics {
				if *rt.Topic == wholeTopic && rt.ErrorCode == 0 {
					out[how] = len(rt.Partitions)
				} else if rt.ErrorCode != 0 && req.Topics == nil {
					t.Errorf("topic %s is listed with an error", *rt.Topic)
				}
			}
		default:
			req := kmsg.NewPtrDescribeTopicPartitionsRequest()
			req.ResponsePartitionLimit = 100
			if rt := kmsg.NewDescribeTopicPartitionsRequestTopic(); how == "description" {
				rt.Topic = wholeTopic
				req.Topics = append(req.Topics, rt)
			}
			var resp *kmsg.DescribeTopicPartitionsResponse
			resp, err = req.RequestWith(within(t), cl)
			noError(t, err)
			for _, rt := range resp.Topics {
				if *rt.Topic == wholeTopic && rt.ErrorCode == 0 {
					out[how] = len(rt.Partitions)
				}
			}
		}
	}
	return out
}

func seenEverywhere(partitions int) map[string]int {
	return map[string]int{"metadata": partitions, "metadata of all": partitions, "description": partitions, "description of all": partitions}
}

func several() fakebroker.Config { return fakebroker.Config{Brokers: 3} }

// creating creates the topic as a client does, and returns when it has its first
// partition.
func creating(t *testing.T, b *fakebroker.Broker, cl *kgo.Client) (release func(*kerr.Error), created <-chan *kmsg.CreateTopicsResponse) {
	t.Helper()
	growing, release := b.HoldGrowth()
	answers := make(chan *kmsg.CreateTopicsResponse, 1)
	ctx := within(t)
	go func() {
		resp, _ := createWhole().RequestWith(ctx, cl) // nil when the client is closed
		answers <- resp
	}()
	<-growing
	return release, answers
}

func TestCreateTopics_isSeenWhole(t *testing.T) {
	onBoth(t, several(), func(t *testing.T, b *fakebroker.Broker) {
		other := client(t, b)
		release, created := creating(t, b, client(t, b))
		equal(t, "partitions seen of half a topic", seen(t, other), seenEverywhere(-1))
		release(nil)
		resp := <-created
		equal(t, "error code", resp.Topics[0].ErrorCode, int16(0))
		equal(t, "partitions made", resp.Topics[0].NumPartitions, wholePartitions)
		equal(t, "partitions seen", seen(t, other), seenEverywhere(wholePartitions))
	})
}

func TestCreateTopics_isDoneForAClientThatHasHungUp(t *testing.T) {
	onBoth(t, several(), func(t *testing.T, b *fakebroker.Broker) {
		other, cl := client(t, b), client(t, b)
		release, created := creating(t, b, cl)
		cl.Close()
		<-created
		release(nil)
		eventually(t, "the whole topic", func() bool { return seen(t, other)["metadata"] >= 0 })
		equal(t, "partitions seen", seen(t, other), seenEverywhere(wholePartitions))
	})
}

func TestCreateTopics_isDoneWholeOrNotAtAll(t *testing.T) {
	onBoth(t, several(), func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b)
		release, created := creating(t, b, cl)
		release(kerr.PolicyViolation)
		topic := (<-created).Topics[0]
		equal(t, "error code", topic.ErrorCode, kerr.PolicyViolation.Code)
		if topic.ErrorMessage == nil || *topic.ErrorMessage == "" {
			t.Error("nobody says why")
		}
		equal(t, "partitions seen", seen(t, cl), seenEverywhere(-1))
		resp, err := createWhole().RequestWith(within(t), cl)
		noError(t, err)
		equal(t, "error code of another try", resp.Topics[0].ErrorCode, int16(0))
		equal(t, "partitions seen", seen(t, cl), seenEverywhere(wholePartitions))
	})
}

func TestCreateTopics_ofATopicThatIsThereHidesNothing(t *testing.T) {
	onBoth(t, several(), func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b)
		for range 2 {
			_, err := createWhole().RequestWith(within(t), cl)
			noError(t, err)
			equal(t, "partitions seen", seen(t, cl), seenEverywhere(wholePartitions))
		}
	})
}

func TestCreateTopics_faultsStrikeOnce(t *testing.T) {
	onBoth(t, several(), func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b)
		f := b.Refuse(kerr.PolicyViolation, fakebroker.Scope{APIs: []kmsg.Key{kmsg.CreateTopics}, Topic: wholeTopic, Count: 1})
		for _, want := range []int16{kerr.PolicyViolation.Code, 0} {
			resp, err := createWhole().RequestWith(within(t), cl)
			noError(t, err)
			equal(t, "error code", resp.Topics[0].ErrorCode, want)
		}
		equal(t, "hits", f.Hits(), 1)
		equal(t, "partitions seen", seen(t, cl), seenEverywhere(wholePartitions))
	})
}

func TestBrokerCreateTopic_isSeenWhole(t *testing.T) {
	onBoth(t, several(), func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b)
		growing, release := b.HoldGrowth()
		created := make(chan error, 1)
		create := func() error {
			return b.CreateTopic(fakebroker.Topic{Name: wholeTopic, Partitions: wholePartitions})
		}
		go func() { created <- create() }()
		<-growing
		equal(t, "partitions seen of half a topic", seen(t, cl), seenEverywhere(-1))
		release(kerr.PolicyViolation)
		isError(t, <-created, kerr.PolicyViolation)
		noError(t, create())
		equal(t, "partitions seen", seen(t, cl), seenEverywhere(wholePartitions))
	})
}
