package brokertest

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func listOffsetBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "offsets/the earliest and the latest are the ends of the log",
			Source: "ListOffsets: timestamps -2 and -1; KIP-107",
			Run:    endsOfTheLog,
		},
		{
			Name:   "offsets/the latest of who reads committed records is the last stable",
			Source: "KIP-98: ListOffsets v2, isolation_level; Partition.fetchOffsetForTimestamp",
			Run:    latestCommitted,
		},
		{
			Name:   "offsets/that of a time is the first record that is not earlier",
			Source: "KIP-79: ListOffsets v1; UnifiedLog.fetchOffsetByTimestamp",
			Run:    firstNotEarlier,
		},
		{
			Name:   "offsets/there is none of a time after all records",
			Source: "KIP-79: ListOffsets v1: UNKNOWN_OFFSET",
			Run:    noneSoLate,
		},
		{
			Name:   "offsets/that of the maximal timestamp need not be the last",
			Source: "KIP-734: ListOffsets v7, timestamp -3",
			Run:    maxTimestamp,
		},
		{
			Name:   "offsets/that of a time is not below the log start",
			Source: "KIP-107; UnifiedLog.fetchOffsetByTimestamp",
			Run:    notBelowTheStart,
		},
		{
			Name:   "offsets/those of several partitions are listed each for itself",
			Source: "ListOffsets: errors of partitions",
			Run:    listedForThemselves,
		},
	}
}

// timeOffset is the offset and the time that ListOffsets has for a timestamp in
// partition 0.
func timeOffset(t T, cl *kgo.Client, topic string, timestamp int64) [2]int64 {
	t.Helper()
	p := offsetAt(t, cl, topic, timestamp)
	code(t, fmt.Sprintf("timestamp %d", timestamp), p.ErrorCode, nil)
	return [2]int64{p.Offset, p.Timestamp}
}

const earliest, latest, latestTime = -2, -1, -3 // timestamps of ListOffsets

func endsOfTheLog(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	ends := func(what string, first, last int64) {
		t.Helper()
		equal(t, "earliest, "+what, timeOffset(t, cl, topic, earliest), [2]int64{first, -1})
		equal(t, "latest, "+what, timeOffset(t, cl, topic, latest), [2]int64{last, -1})
	}
	ends("empty", 0, 0)
	produce(t, cl, topic, "a", "b", "c")
	ends("three records", 0, 3)
	code(t, "deletion", deleteRecords(t, cl, topic, topic, 0, 1).ErrorCode, nil)
	ends("one deleted", 1, 3)
	code(t, "deletion", deleteRecords(t, cl, topic, topic, 0, -1).ErrorCode, nil)
	ends("all deleted", 3, 3)
}

func latestCommitted(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	at := func(isolation int8) int64 {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID, req.IsolationLevel = -1, isolation
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = topic.name
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Timestamp, rp.CurrentLeaderEpoch = latest, -1
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		p := ask[*kmsg.ListOffsetsResponse](t, cl, req).Topics[0].Partitions[0]
		code(t, "partition", p.ErrorCode, nil)
		return p.Offset
	}
	produce(t, cl, topic.name, "before")
	p := newProducer(t, c)
	p.writes(cl, topic.name, 0, "a")
	produce(t, cl, topic.name, "after")
	equal(t, "for read-uncommitted", at(0), 3)
	equal(t, "for read-committed", at(1), 1)
	p.ends(cl, true, topic.name, 4)
	stableEnd(t, cl, topic, 4)
	equal(t, "for read-committed after the end", at(1), 4)
}

// timed is a topic of two batches, whose times are in no order.
func timed(t T, cl *kgo.Client) (topic string) {
	t.Helper()
	topic = newTopic(t, cl, 1)
	code(t, "batch", produceRaw(t, cl, topic, timedBatch(0, 1000, 0, 4000, 2000)).ErrorCode, nil)
	code(t, "batch", produceRaw(t, cl, topic, timedBatch(0, 4000, 0, -500)).ErrorCode, nil)
	return topic
}

func firstNotEarlier(t T, c Cluster) {
	cl := newClient(t, c)
	topic := timed(t, cl)
	for _, at := range []struct{ time, offset, is int64 }{
		{0, 0, 1000}, {1000, 0, 1000}, {1001, 1, 5000}, {3000, 1, 5000}, {5000, 1, 5000},
	} {
		equal(t, fmt.Sprintf("offset and time at %d", at.time), timeOffset(t, cl, topic, at.time), [2]int64{at.offset, at.is})
	}
}

func noneSoLate(t T, c Cluster) {
	cl := newClient(t, c)
	topic := timed(t, cl)
	equal(t, "after all", timeOffset(t, cl, topic, 5001), [2]int64{-1, -1})
	empty := newTopic(t, cl, 1)
	equal(t, "of nothing", timeOffset(t, cl, empty, 0), [2]int64{-1, -1})
	equal(t, "the maximal one of nothing", timeOffset(t, cl, empty, latestTime), [2]int64{-1, -1})
}

func maxTimestamp(t T, c Cluster) {
	cl := newClient(t, c)
	topic := timed(t, cl)
	equal(t, "offset and time", timeOffset(t, cl, topic, latestTime), [2]int64{1, 5000})
	code(t, "batch", produceRaw(t, cl, topic, timedBatch(0, 5000, 0)).ErrorCode, nil)
	equal(t, "the first of two", timeOffset(t, cl, topic, latestTime), [2]int64{1, 5000})
	code(t, "batch", produceRaw(t, cl, topic, timedBatch(0, 6000, 0, 1, 0)).ErrorCode, nil)
	equal(t, "inside the last batch", timeOffset(t, cl, topic, latestTime), [2]int64{7, 6001})
}

func notBelowTheStart(t T, c Cluster) {
	cl := newClient(t, c)
	topic := timed(t, cl)
	code(t, "deletion", deleteRecords(t, cl, topic, topic, 0, 3).ErrorCode, nil)
	equal(t, "offset and time", timeOffset(t, cl, topic, 0), [2]int64{3, 4000})
	equal(t, "after what is left", timeOffset(t, cl, topic, 4001), [2]int64{-1, -1})
}

func listedForThemselves(t T, c Cluster) {
	cl := newClient(t, c)
	topic := topicOnOneBroker(t, cl, 2)
	produce(t, cl, topic.name, "a")
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic.name
	for i, timestamp := range []int64{latest, earliest, latest} {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = []int32{0, 1, 7}[i], timestamp, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	got := make(map[int32][2]int64)
	for _, p := range askOf[*kmsg.ListOffsetsResponse](t, cl, partition(t, cl, topic.name).Leader, req).Topics[0].Partitions {
		got[p.Partition] = [2]int64{int64(p.ErrorCode), p.Offset}
	}
	equal(t, "errors and offsets", got, map[int32][2]int64{0: {0, 1}, 1: {0, 0}, 7: {int64(kerr.UnknownTopicOrPartition.Code), -1}})
}
