package brokertest

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func fetchLimitBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "fetch/the first batch comes whole however few bytes are asked for",
			Source: "KIP-74; ReplicaManager.readFromLog: minOneMessage",
			Run:    firstBatchComesWhole,
		},
		{
			Name:   "fetch/a partition answers no more bytes than its limit",
			Source: "Fetch: partition_max_bytes; KIP-74",
			Run:    partitionMaxBytes,
		},
		{
			Name:   "fetch/all partitions answer no more bytes than the limit of all",
			Source: "KIP-74: Fetch v3, max_bytes",
			Run:    maxBytes,
		},
		{
			Name:   "fetch/only the first batch of all may be larger than its limit",
			Source: "KIP-74: the first message in the first non-empty partition",
			Run:    oneLargeBatch,
		},
	}
}

// fetching is a fetch of partition 0 of a topic without a session, for as much as
// there is, without waiting.
func fetching(topic topicOf, from int64) *kmsg.FetchRequest {
	req := fetchOf(-1, 1, topic)
	req.MaxBytes = 1 << 20
	req.Topics[0].Partitions[0].FetchOffset = from
	return req
}

// limitedTo is a request with other limits, of each partition and of all.
func limitedTo(req *kmsg.FetchRequest, partition, all int) *kmsg.FetchRequest {
	req.MaxBytes = int32(all)
	for i := range req.Topics[0].Partitions {
		req.Topics[0].Partitions[i].PartitionMaxBytes = int32(partition)
	}
	return req
}

// fetch asks the leader of the topic's partition 0, in the highest version, and
// returns what it says of the first partition that was asked for.
func fetch(t T, cl *kgo.Client, req *kmsg.FetchRequest) kmsg.FetchResponseTopicPartition {
	t.Helper()
	p := fetchCode(t, cl, req)
	code(t, "partition", p.ErrorCode, nil)
	return p
}

// fetchCode is fetch of a partition that may answer an error.
func fetchCode(t T, cl *kgo.Client, req *kmsg.FetchRequest) kmsg.FetchResponseTopicPartition {
	t.Helper()
	resp := askOf[*kmsg.FetchResponse](t, cl, partition(t, cl, req.Topics[0].Topic).Leader, req)
	code(t, "answer", resp.ErrorCode, nil)
	return resp.Topics[0].Partitions[0]
}

// equalBatches writes batches of one record to a partition, and returns their size.
func equalBatches(t T, cl *kgo.Client, topic topicOf, batches int, partitions ...int32) (size int) {
	t.Helper()
	batch := recordsProduced("a value of some bytes")
	for _, p := range partitions {
		for range batches {
			m := describe(t, cl, topic.name)
			req := produceRequest(-1, nil, m, batch)
			req.Topics[0].Partitions[0].Partition = p
			got := askOf[*kmsg.ProduceResponse](t, cl, m.Partitions[0].Leader, req).Topics[0].Partitions[0]
			code(t, "batch", got.ErrorCode, nil)
		}
	}
	return len(batch)
}

// topicOnOneBroker is a topic whose partitions are led by one broker.
func topicOnOneBroker(t T, cl *kgo.Client, partitions int) topicOf {
	t.Helper()
	topic, assignment := name("topic"), make([][]int32, partitions)
	node := someBroker(t, cl)
	for i := range assignment {
		assignment[i] = []int32{node}
	}
	deleteLater(t, cl, topic)
	create := newTopicRequest(topicToCreate(topic, -1, -1, assignment...))
	code(t, "creating "+topic, ask[*kmsg.CreateTopicsResponse](t, cl, create).Topics[0].ErrorCode, nil)
	haveLeaders(t, cl, topic, partitions)
	return topicOf{topic, describe(t, cl, topic).TopicID}
}

func firstBatchComesWhole(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	equalBatches(t, cl, topic, 3, 0)
	for from := range int64(3) {
		for _, limit := range [][2]int{{1, 1}, {1, 1 << 20}, {1 << 20, 1}, {0, 1}} {
			p := fetch(t, cl, limitedTo(fetching(topic, from), limit[0], limit[1]))
			equal(t, fmt.Sprintf("batches from %d on, limits %v", from, limit), batchOffsets(p.RecordBatches), []int64{from})
		}
	}
}

func partitionMaxBytes(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	size := equalBatches(t, cl, topic, 4, 0)
	for _, limit := range []struct {
		bytes   int
		batches []int64
	}{
		{size, []int64{0}}, {2*size - 1, []int64{0}}, {2 * size, []int64{0, 1}}, {3*size + size/2, []int64{0, 1, 2}}, {9 * size, []int64{0, 1, 2, 3}},
	} {
		p := fetch(t, cl, limitedTo(fetching(topic, 0), limit.bytes, 1<<20))
		equal(t, fmt.Sprintf("whole batches in %d bytes", limit.bytes), batchOffsets(p.RecordBatches), limit.batches)
		equal(t, fmt.Sprintf("more than %d bytes", limit.bytes), len(p.RecordBatches) > limit.bytes, false)
	}
}

// batchesOf are the whole batches in an answer, by partition.
func batchesOf(resp *kmsg.FetchResponse) map[int32]int {
	of := make(map[int32]int)
	for _, p := range resp.Topics[0].Partitions {
		of[p.Partition] = len(batchOffsets(p.RecordBatches))
	}
	return of
}

func maxBytes(t T, c Cluster) {
	cl := newClient(t, c)
	topic := topicOnOneBroker(t, cl, 2)
	size := equalBatches(t, cl, topic, 2, 0, 1)
	for _, limit := range []struct {
		bytes int
		of    map[int32]int
	}{
		{1, map[int32]int{0: 1, 1: 0}},
		{2 * size, map[int32]int{0: 2, 1: 0}},
		{3 * size, map[int32]int{0: 2, 1: 1}},
		{4 * size, map[int32]int{0: 2, 1: 2}},
	} {
		req := limitedTo(fetchOf(-1, 2, topic), 1<<20, limit.bytes)
		resp := askOf[*kmsg.FetchResponse](t, cl, partition(t, cl, topic.name).Leader, req)
		equal(t, fmt.Sprintf("whole batches in %d bytes, by partition", limit.bytes), batchesOf(resp), limit.of)
	}
}

func oneLargeBatch(t T, c Cluster) {
	cl := newClient(t, c)
	topic := topicOnOneBroker(t, cl, 3)
	equalBatches(t, cl, topic, 2, 1, 2)
	req := limitedTo(fetchOf(-1, 3, topic), 1, 1<<20)
	resp := askOf[*kmsg.FetchResponse](t, cl, partition(t, cl, topic.name).Leader, req)
	equal(t, "whole batches, by partition", batchesOf(resp), map[int32]int{0: 0, 1: 1, 2: 0})
}
