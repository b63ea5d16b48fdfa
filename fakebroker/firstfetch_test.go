package fakebroker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

func TestFirstFetchWait(t *testing.T) {
	c := fakebroker.Config{
		Network: fakebroker.InMemory, FirstFetchWait: time.Millisecond,
		Topics: []fakebroker.Topic{{Name: "orders", Partitions: 3}},
	}
	inBubble(t, c, func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b)
		topics, err := kadm.NewClient(cl).ListTopics(t.Context())
		noError(t, err)
		fetch := func(epoch int32, wait time.Duration, partitions ...int32) time.Duration {
			t.Helper()
			req := kmsg.NewPtrFetchRequest()
			req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = int32(wait.Milliseconds()), 1, 1<<20, epoch
			topic := kmsg.NewFetchRequestTopic()
			topic.Topic, topic.TopicID = "orders", topics["orders"].ID
			for _, p := range partitions {
				of := kmsg.NewFetchRequestTopicPartition()
				of.Partition, of.PartitionMaxBytes = p, 1<<20
				topic.Partitions = append(topic.Partitions, of)
			}
			req.Topics = append(req.Topics, topic)
			start := time.Now()
			_, err := cl.Broker(0).Request(t.Context(), req)
			noError(t, err)
			return time.Since(start)
		}
		for i, step := range []struct {
			partitions []int32
			asks, want time.Duration
			epoch      int32
		}{
			{[]int32{0}, time.Minute, time.Millisecond, -1},
			{[]int32{0}, time.Minute, time.Minute, -1},
			{[]int32{0, 1}, time.Minute, time.Millisecond, -1},
			{[]int32{1}, time.Minute, time.Minute, -1},
			{[]int32{2}, 0, 0, -1},
			{[]int32{1}, time.Minute, time.Millisecond, -1}, // the one before has not waited
			{[]int32{1}, time.Minute, time.Minute, -1},
			{[]int32{0, 1}, time.Minute, time.Minute, 0},
			{[]int32{0}, time.Minute, time.Minute, 0},
			{[]int32{0, 1}, time.Minute, time.Millisecond, 0}, // the session before did not have it
		} {
			if took := fetch(step.epoch, step.asks, step.partitions...); took != step.want {
				t.Errorf("step %d: the fetch took %v, want %v", i, took, step.want)
			}
		}
	})
}
