package brokertest

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func fetchOffsetBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "fetch/a fetch from inside a batch brings the whole batch",
			Source: "the record batch format: brokers do not take batches apart; UnifiedLog.read",
			Run:    fromInsideBatch,
		},
		{
			Name:   "fetch/a consumer begins inside a batch",
			Source: "the record batch format: clients leave out what is below the fetch offset",
			Run:    consumesFromInsideBatch,
		},
		{
			Name:   "fetch/a consumer begins at a time",
			Source: "ListOffsets by timestamp: KIP-33, KIP-79",
			Run:    consumesFromTime,
		},
		{
			Name:   "fetch/an offset beyond the end is out of range and the end is not",
			Source: "Fetch: OFFSET_OUT_OF_RANGE; LocalLog.read",
			Run:    beyondTheEnd,
		},
		{
			Name:   "fetch/an offset below the log start is out of range and the start is not",
			Source: "Fetch: OFFSET_OUT_OF_RANGE; KIP-107; UnifiedLog.read",
			Run:    belowTheStart,
		},
		{
			Name:   "fetch/a log may start inside a batch",
			Source: "KIP-107: DeleteRecords; Fetch v5: log_start_offset",
			Run:    startsInsideBatch,
		},
		{
			Name:   "fetch/a consumer that is out of range begins anew",
			Source: "auto.offset.reset; OFFSET_OUT_OF_RANGE, ListOffsets",
			Run:    beginsAnew,
		},
	}
}

func fromInsideBatch(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	for range 2 {
		code(t, "batch", produceRaw(t, cl, topic.name, recordsProduced("a", "b", "c")).ErrorCode, nil)
	}
	for from, want := range [][]int64{{0, 3}, {0, 3}, {0, 3}, {3}, {3}, {3}, nil} {
		p := fetch(t, cl, fetching(topic, int64(from)))
		equal(t, fmt.Sprintf("batches from %d on", from), batchOffsets(p.RecordBatches), want)
	}
}

// from has a client consume partition 0 of a topic from an offset on.
func from(topic string, at kgo.Offset) kgo.Opt {
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: at}})
}

// read polls until there are so many records.
func read(t T, cl *kgo.Client, records int) (values []string) {
	t.Helper()
	for len(values) < records {
		fetches := cl.PollFetches(within(t))
		noError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func consumesFromInsideBatch(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	code(t, "batch", produceRaw(t, cl, topic, recordsProduced("a", "b", "c")).ErrorCode, nil)
	equal(t, "records", read(t, newClient(t, c, from(topic, kgo.NewOffset().At(1))), 2), []string{"b", "c"})
}

func consumesFromTime(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	noon := time.Now().Truncate(time.Second)
	for i, v := range []string{"a", "b", "c"} {
		r := &kgo.Record{Topic: topic, Value: []byte(v), Timestamp: noon.Add(time.Duration(i-3) * time.Second)}
		noError(t, cl.ProduceSync(within(t), r).FirstErr())
	}
	after := noon.Add(-2500 * time.Millisecond).UnixMilli()
	equal(t, "records", read(t, newClient(t, c, from(topic, kgo.NewOffset().AfterMilli(after))), 2), []string{"b", "c"})
}

func beyondTheEnd(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	for end := range int64(2) {
		p := fetch(t, cl, fetching(topic, end))
		equal(t, "batches at the end", batchOffsets(p.RecordBatches), nil)
		equal(t, "high watermark", p.HighWatermark, end)
		p = fetchCode(t, cl, fetching(topic, end+1))
		code(t, "beyond the end", p.ErrorCode, kerr.OffsetOutOfRange)
		equal(t, "bytes", len(p.RecordBatches), 0)
		produce(t, cl, topic.name, "a")
	}
}

func belowTheStart(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	produce(t, cl, topic.name, "a", "b", "c")
	code(t, "deletion", deleteRecords(t, cl, topic.name, topic.name, 0, 2).ErrorCode, nil)
	code(t, "below the start", fetchCode(t, cl, fetching(topic, 1)).ErrorCode, kerr.OffsetOutOfRange)
	p := fetch(t, cl, fetching(topic, 2))
	equal(t, "batches at the start", batchOffsets(p.RecordBatches), []int64{2})
	equal(t, "log start", p.LogStartOffset, 2)
	code(t, "deletion of all", deleteRecords(t, cl, topic.name, topic.name, 0, -1).ErrorCode, nil)
	code(t, "below the start of an empty log", fetchCode(t, cl, fetching(topic, 2)).ErrorCode, kerr.OffsetOutOfRange)
	p = fetch(t, cl, fetching(topic, 3))
	equal(t, "batches of an empty log", batchOffsets(p.RecordBatches), nil)
	equal(t, "log start of an empty log", p.LogStartOffset, 3)
	equal(t, "high watermark of an empty log", p.HighWatermark, 3)
}

func startsInsideBatch(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	code(t, "batch", produceRaw(t, cl, topic.name, recordsProduced("a", "b", "c")).ErrorCode, nil)
	code(t, "deletion", deleteRecords(t, cl, topic.name, topic.name, 0, 1).ErrorCode, nil)
	code(t, "below the start", fetchCode(t, cl, fetching(topic, 0)).ErrorCode, kerr.OffsetOutOfRange)
	p := fetch(t, cl, fetching(topic, 1))
	equal(t, "batches", batchOffsets(p.RecordBatches), []int64{0})
	equal(t, "log start", p.LogStartOffset, 1)
	equal(t, "records", valuesOf(t, c, topic.name, 2), []string{"b", "c"})
}

func beginsAnew(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	produce(t, cl, topic, "a", "b", "c")
	code(t, "deletion", deleteRecords(t, cl, topic, topic, 0, 1).ErrorCode, nil)
	reset := kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())
	for _, at := range []int64{0, 9} {
		equal(t, fmt.Sprintf("records from %d on", at), read(t, newClient(t, c, from(topic, kgo.NewOffset().At(at)), reset), 2), []string{"b", "c"})
	}
}
