package brokertest

import (
	"github.com/twmb/franz-go/pkg/kgo"
)

func lagBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "fetch/the high watermark is the offset after the last record",
			Source: "Fetch: high_watermark",
			Run:    highWatermarkFollows,
		},
		{
			Name:   "fetch/who has fetched all has no lag",
			Source: "Fetch: high_watermark; lag is high watermark - 1 - last offset, from the first record on: - first offset",
			Run:    noLag,
		},
		{
			Name:   "fetch/who has fetched a part lags by the rest",
			Source: "Fetch: high_watermark, partition_max_bytes; lag is high watermark - 1 - last offset",
			Run:    lagsByTheRest,
		},
		{
			Name:   "fetch/the lag falls with each fetch and grows with each record",
			Source: "Fetch: high_watermark is that of the moment",
			Run:    lagChanges,
		},
		{
			Name:   "fetch/a marker is in the lag of who reads committed records",
			Source: "KIP-98: control records have offsets; Fetch: high_watermark",
			Run:    markersLag,
		},
		{
			Name:   "fetch/the open transaction is in the lag of who reads committed records",
			Source: "KIP-98: last_stable_offset is not above high_watermark",
			Run:    openTransactionLags,
		},
		{
			Name:   "fetch/deleted records are in nobody's lag",
			Source: "KIP-107: log_start_offset; Fetch: high_watermark",
			Run:    deletedDoNotLag,
		},
	}
}

// fetchedBatch is what a client makes of the records that one fetch brought.
type fetchedBatch struct {
	first, last, highWatermark int64

	lag, lagLow int64 // behind the last record, and behind the first
}

// batchFrom polls until a fetch of a topic's partition 0 brings records.
func batchFrom(t T, cl *kgo.Client) (b fetchedBatch) {
	t.Helper()
	for {
		fetches := cl.PollFetches(within(t))
		noError(t, fetches.Err())
		found := false
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 {
				return
			}
			found = true
			b = fetchedBatch{first: p.Records[0].Offset, last: p.Records[len(p.Records)-1].Offset, highWatermark: p.HighWatermark}
			end := b.highWatermark - 1 // the last offset of the partition
			b.lag, b.lagLow = end-b.last, end-b.first
		})
		if found {
			return b
		}
	}
}

// lagging is a topic of batches of three records, and options that have a client
// read it a batch at a time.
func lagging(t T, cl *kgo.Client, batches int) (topic string, opts []kgo.Opt) {
	t.Helper()
	topic = newTopic(t, cl, 1)
	for range batches {
		code(t, "batch", produceRaw(t, cl, topic, recordsProduced("a", "b", "c")).ErrorCode, nil)
	}
	return topic, []kgo.Opt{from(topic, kgo.NewOffset().AtStart()), kgo.FetchMaxPartitionBytes(1), kgo.FetchMaxBytes(1)}
}

func highWatermarkFollows(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	equal(t, "of an empty partition", fetch(t, cl, fetching(topic, 0)).HighWatermark, 0)
	for end := int64(3); end <= 9; end += 3 {
		code(t, "batch", produceRaw(t, cl, topic.name, recordsProduced("a", "b", "c")).ErrorCode, nil)
		for _, at := range []int64{0, 1, end - 1, end} {
			equal(t, "high watermark", fetch(t, cl, limitedTo(fetching(topic, at), 1, 1)).HighWatermark, end)
		}
	}
}

func noLag(t T, c Cluster) {
	cl := newClient(t, c)
	topic, _ := lagging(t, cl, 2)
	equal(t, "batch", batchFrom(t, newClient(t, c, from(topic, kgo.NewOffset().AtStart()))), fetchedBatch{0, 5, 6, 0, 5})
	equal(t, "batch from the last record on", batchFrom(t, newClient(t, c, from(topic, kgo.NewOffset().At(5)))), fetchedBatch{5, 5, 6, 0, 0})
}

func lagsByTheRest(t T, c Cluster) {
	cl := newClient(t, c)
	_, opts := lagging(t, cl, 3)
	reader := newClient(t, c, opts...)
	equal(t, "the first batch", batchFrom(t, reader), fetchedBatch{0, 2, 9, 6, 8})
	equal(t, "the second batch", batchFrom(t, reader), fetchedBatch{3, 5, 9, 3, 5})
	equal(t, "the third batch", batchFrom(t, reader), fetchedBatch{6, 8, 9, 0, 2})
}

// A client may fetch ahead of who polls it: what is written later is not in the
// answer that was there already.
func lagChanges(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	for n := range int64(3) {
		code(t, "batch", produceRaw(t, cl, topic.name, recordsProduced("a", "b")).ErrorCode, nil)
		end := 2 * (n + 1)
		for at := int64(0); at < end; at += 2 {
			p := fetch(t, cl, limitedTo(fetching(topic, at), 1, 1))
			last := batchOffsets(p.RecordBatches)[0] + 1
			equal(t, "lag", p.HighWatermark-1-last, end-2-at)
		}
	}
}

func markersLag(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	p := newProducer(t, c)
	p.writes(cl, topic.name, 0, "a", "b")
	p.ends(cl, true, topic.name, 3)
	stableEnd(t, cl, topic, 3)
	reader := newClient(t, c, from(topic.name, kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	equal(t, "batch", batchFrom(t, reader), fetchedBatch{0, 1, 3, 1, 2})
}

func openTransactionLags(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	produce(t, cl, topic.name, "before")
	p := newProducer(t, c)
	p.writes(cl, topic.name, 0, "a", "b")
	reader := newClient(t, c, from(topic.name, kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	equal(t, "batch", batchFrom(t, reader), fetchedBatch{0, 0, 3, 2, 2})
	p.ends(cl, false, topic.name, 4)
}

func deletedDoNotLag(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	produce(t, cl, topic, "a", "b", "c", "d")
	code(t, "deletion", deleteRecords(t, cl, topic, topic, 0, 2).ErrorCode, nil)
	equal(t, "batch", batchFrom(t, newClient(t, c, from(topic, kgo.NewOffset().AtStart()))), fetchedBatch{2, 3, 4, 0, 1})
}
