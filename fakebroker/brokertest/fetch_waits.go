package brokertest

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func fetchWaitBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "fetch/a fetch of nothing new waits for as long as it says",
			Source: "Fetch: max_wait_ms; DelayedFetch",
			Run:    waitsInVain,
		},
		{
			Name:   "fetch/a fetch that waits is answered when a record comes",
			Source: "Fetch: max_wait_ms; DelayedFetch.tryComplete",
			Run:    waitsForRecord,
		},
		{
			Name:   "fetch/a fetch waits for its minimum of bytes",
			Source: "Fetch: min_bytes; DelayedFetch.tryComplete",
			Run:    waitsForBytes,
		},
		{
			Name:   "fetch/a fetch that waited for too many bytes gets those that there are",
			Source: "Fetch: min_bytes, max_wait_ms; DelayedFetch.onComplete",
			Run:    waitsForTooMuch,
		},
		{
			Name:   "fetch/a fetch of no minimum does not wait",
			Source: "Fetch: min_bytes 0; ReplicaManager.fetchMessages",
			Run:    needsNothing,
		},
		{
			Name:   "fetch/an error is not waited with",
			Source: "ReplicaManager.fetchMessages: errorReadingData",
			Run:    errorsDoNotWait,
		},
	}
}

// long is longer than a behaviour may take, and a while is enough for an answer
// that would come at once.
const long, aWhile = time.Hour, 100 * time.Millisecond

// waiting has a fetch wait for so long for so many bytes.
func waiting(req *kmsg.FetchRequest, wait time.Duration, bytes int) *kmsg.FetchRequest {
	req.MaxWaitMillis, req.MinBytes = int32(wait.Milliseconds()), int32(bytes)
	return req
}

// fetchLater fetches and returns where the answer for the partition will be.
func fetchLater(t T, cl *kgo.Client, req *kmsg.FetchRequest) <-chan kmsg.FetchResponseTopicPartition {
	t.Helper()
	leader := partition(t, cl, req.Topics[0].Topic).Leader
	ctx, cancel := context.WithCancel(within(t))
	out := make(chan kmsg.FetchResponseTopicPartition, 1)
	go func() {
		defer close(out)
		resp, err := cl.Broker(int(leader)).Request(ctx, req)
		if err != nil {
			t.Errorf("fetch: %v", err)
			return
		}
		out <- resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	}()
	t.Cleanup(func() {
		cancel()
		<-out
	})
	return out
}

// notYet fails when there is an answer in a while.
func notYet(t T, answer <-chan kmsg.FetchResponseTopicPartition) {
	t.Helper()
	select {
	case p := <-answer:
		t.Errorf("answered with %d bytes, %s, want it to wait", len(p.RecordBatches), codeText(p.ErrorCode))
		t.FailNow()
	case <-time.After(aWhile):
	}
}

func waitsInVain(t T, c Cluster) {
	const wait = 300 * time.Millisecond
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	produce(t, cl, topic.name, "a")
	start := time.Now()
	p := fetch(t, cl, waiting(fetching(topic, 1), wait, 1))
	const grain = 5 * time.Millisecond // of clocks
	if d := time.Since(start); d < wait-grain {
		t.Errorf("answered after %v, want %v", d, wait)
	}
	equal(t, "batches", batchOffsets(p.RecordBatches), nil)
	equal(t, "high watermark", p.HighWatermark, 1)
}

func waitsForRecord(t T, c Cluster) {
	cl, writer := newClient(t, c), newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	answer := fetchLater(t, cl, waiting(fetching(topic, 0), long, 1))
	notYet(t, answer)
	produce(t, writer, topic.name, "a")
	p := <-answer
	code(t, "partition", p.ErrorCode, nil)
	equal(t, "batches", batchOffsets(p.RecordBatches), []int64{0})
	equal(t, "high watermark", p.HighWatermark, 1)
}

func waitsForBytes(t T, c Cluster) {
	cl, writer := newClient(t, c), newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	size := equalBatches(t, writer, topic, 1, 0)
	answer := fetchLater(t, cl, waiting(fetching(topic, 0), long, 3*size))
	notYet(t, answer)
	equalBatches(t, writer, topic, 1, 0)
	notYet(t, answer)
	equalBatches(t, writer, topic, 1, 0)
	p := <-answer
	code(t, "partition", p.ErrorCode, nil)
	equal(t, "batches", batchOffsets(p.RecordBatches), []int64{0, 1, 2})
}

func waitsForTooMuch(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	size := equalBatches(t, cl, topic, 2, 0)
	p := fetch(t, cl, waiting(fetching(topic, 0), aWhile, 9*size))
	equal(t, "batches", batchOffsets(p.RecordBatches), []int64{0, 1})
}

func needsNothing(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	p := fetch(t, cl, waiting(fetching(topic, 0), long, 0))
	equal(t, "batches", batchOffsets(p.RecordBatches), nil)
}

func errorsDoNotWait(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	code(t, "beyond the end", fetchCode(t, cl, waiting(fetching(topic, 7), long, 1)).ErrorCode, kerr.OffsetOutOfRange)
}
