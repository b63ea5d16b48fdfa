package brokertest

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func committedFetchBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "fetch/read-committed gets nothing of an open transaction",
			Source: "KIP-98: isolation_level; UnifiedLog.read up to the last stable offset",
			Run:    openIsNotCommitted,
		},
		{
			Name:   "fetch/read-uncommitted gets records of an open transaction",
			Source: "KIP-98: isolation_level 0",
			Run:    openIsThere,
		},
		{
			Name:   "fetch/the last stable offset is where the first open transaction begins",
			Source: "KIP-98: last_stable_offset; ProducerStateManager.firstUnstableOffset",
			Run:    lastStableOffset,
		},
		{
			Name:   "fetch/records behind an open transaction wait for its end",
			Source: "KIP-98: read-committed consumers read in offset order up to the last stable offset",
			Run:    othersWaitForEnd,
		},
		{
			Name:   "fetch/aborted transactions are listed for read-committed alone",
			Source: "KIP-98: aborted_transactions; UnifiedLog.collectAbortedTransactions",
			Run:    abortedAreListed,
		},
		{
			Name:   "fetch/aborted transactions are listed where they are fetched",
			Source: "KIP-98: aborted_transactions; LogSegment.collectAbortedTxns",
			Run:    abortedAreListedWhereTheyAre,
		},
		{
			Name:   "fetch/the end of a transaction is a control record",
			Source: "KIP-98: control batches, EndTransactionMarker",
			Run:    endsAreControlRecords,
		},
	}
}

// writes sends a batch of the producer's transaction, which takes partition 0 of
// the topic in, and fails when it is not taken.
func (p *producer) writes(cl *kgo.Client, topic string, sequence int32, values ...string) {
	p.t.Helper()
	code(p.t, "partition of the transaction", p.addPartition(3, topic), nil)
	now := time.Now().UnixMilli()
	b := encode(kmsg.RecordBatch{
		Attributes: transactional, ProducerID: p.pid, ProducerEpoch: p.epoch, FirstSequence: sequence, FirstTimestamp: now, MaxTimestamp: now,
	}, values...)
	code(p.t, "records of the transaction", produceAs(p.t, cl, &p.id, topic, b)[0].ErrorCode, nil)
}

// ends has the transaction over, and waits until the topic's partition 0 has its
// marker, with which it is so many records long.
func (p *producer) ends(cl *kgo.Client, commit bool, topic string, end int64) {
	p.t.Helper()
	code(p.t, "end of the transaction", p.end(4, commit).ErrorCode, nil)
	eventually(p.t, "the marker in "+topic, func() bool { return offsetAt(p.t, cl, topic, -1).Offset == end })
}

// readCommitted has a fetch be for those who read committed records only.
func readCommitted(req *kmsg.FetchRequest) *kmsg.FetchRequest {
	req.IsolationLevel = 1
	return req
}

func openIsNotCommitted(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	produce(t, cl, topic.name, "before")
	p := newProducer(t, c)
	p.writes(cl, topic.name, 0, "a")
	got := fetch(t, cl, readCommitted(fetching(topic, 0)))
	equal(t, "batches", batchOffsets(got.RecordBatches), []int64{0})
	equal(t, "high watermark", got.HighWatermark, 2)
	equal(t, "last stable offset", got.LastStableOffset, 1)
	got = fetch(t, cl, readCommitted(fetching(topic, 1)))
	equal(t, "batches of the transaction", batchOffsets(got.RecordBatches), nil)
	p.ends(cl, true, topic.name, 3)
	eventually(t, "the committed record", func() bool {
		got := fetch(t, cl, readCommitted(fetching(topic, 1)))
		return len(batchOffsets(got.RecordBatches)) == 2 && got.LastStableOffset == 3 // with the marker
	})
}

func openIsThere(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	p := newProducer(t, c)
	p.writes(cl, topic.name, 0, "a", "b")
	equal(t, "records", valuesOf(t, c, topic.name, 2), []string{"a", "b"})
	got := fetch(t, cl, fetching(topic, 0))
	equal(t, "batches", batchOffsets(got.RecordBatches), []int64{0})
	equal(t, "high watermark", got.HighWatermark, 2)
	p.ends(cl, false, topic.name, 3)
	equal(t, "records when it is aborted", valuesOf(t, c, topic.name, 2), []string{"a", "b"})
}

func lastStableOffset(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	stable := func(what string, want, high int64) {
		t.Helper()
		eventually(t, what, func() bool {
			got := fetch(t, cl, readCommitted(fetching(topic, 0)))
			return got.LastStableOffset == want && got.HighWatermark == high
		})
	}
	stable("nothing", 0, 0)
	p, q := newProducer(t, c), newProducer(t, c)
	p.writes(cl, topic.name, 0, "p")
	stable("the first transaction", 0, 1)
	q.writes(cl, topic.name, 0, "q")
	p.writes(cl, topic.name, 1, "p")
	stable("two transactions", 0, 3)
	p.ends(cl, true, topic.name, 4)
	stable("the second transaction", 1, 4)
	q.ends(cl, false, topic.name, 5)
	stable("no transaction", 5, 5)
}

func othersWaitForEnd(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	p := newProducer(t, c)
	p.writes(cl, topic.name, 0, "in it")
	produce(t, cl, topic.name, "in none")
	equal(t, "batches", batchOffsets(fetch(t, cl, readCommitted(fetching(topic, 1))).RecordBatches), nil)
	p.ends(cl, true, topic.name, 3)
	equal(t, "records", valuesOf(t, c, topic.name, 2, kgo.FetchIsolationLevel(kgo.ReadCommitted())), []string{"in it", "in none"})
}

// abortedIn are the producer ids and first offsets of aborted transactions in an
// answer, and whether their list is null.
func abortedIn(p kmsg.FetchResponseTopicPartition) (list [][2]int64, null bool) {
	for _, a := range p.AbortedTransactions {
		list = append(list, [2]int64{a.ProducerID, a.FirstOffset})
	}
	return list, p.AbortedTransactions == nil
}

// stableEnd waits until a topic has no open transaction.
func stableEnd(t T, cl *kgo.Client, topic topicOf, end int64) {
	t.Helper()
	eventually(t, "the end of all transactions", func() bool {
		return fetch(t, cl, readCommitted(fetching(topic, end))).LastStableOffset == end
	})
}

func abortedAreListed(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	produce(t, cl, topic.name, "before")
	p, q := newProducer(t, c), newProducer(t, c)
	p.writes(cl, topic.name, 0, "p")
	q.writes(cl, topic.name, 0, "q")
	p.ends(cl, false, topic.name, 4)
	q.ends(cl, true, topic.name, 5)
	stableEnd(t, cl, topic, 5)
	list, _ := abortedIn(fetch(t, cl, readCommitted(fetching(topic, 0))))
	equal(t, "aborted for read-committed", list, [][2]int64{{p.pid, 1}})
	_, null := abortedIn(fetch(t, cl, fetching(topic, 0)))
	equal(t, "null for read-uncommitted", null, true)
	equal(t, "records", valuesOf(t, c, topic.name, 2, kgo.FetchIsolationLevel(kgo.ReadCommitted())), []string{"before", "q"})
}

func abortedAreListedWhereTheyAre(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	p := newProducer(t, c)
	p.writes(cl, topic.name, 0, "a")
	p.ends(cl, false, topic.name, 2)
	p.writes(cl, topic.name, 1, "b")
	p.ends(cl, false, topic.name, 4)
	produce(t, cl, topic.name, "after")
	stableEnd(t, cl, topic, 5)
	for from, want := range [][][2]int64{{{p.pid, 0}, {p.pid, 2}}, {{p.pid, 0}, {p.pid, 2}}, {{p.pid, 2}}, {{p.pid, 2}}, nil} {
		list, _ := abortedIn(fetch(t, cl, readCommitted(fetching(topic, int64(from)))))
		equal(t, "aborted from "+number(int32(from))+" on", list, want)
	}
}

func endsAreControlRecords(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	p := newProducer(t, c)
	p.writes(cl, topic.name, 0, "a")
	p.ends(cl, true, topic.name, 2)
	p.writes(cl, topic.name, 1, "b")
	p.ends(cl, false, topic.name, 4)
	records := consumed(t, c, topic.name, 4, kgo.KeepControlRecords())
	for i, want := range []struct {
		control bool
		key     string // of a marker: its version and type
	}{{false, ""}, {true, "\x00\x00\x00\x01"}, {false, ""}, {true, "\x00\x00\x00\x00"}} {
		r := records[i]
		what := "record " + number(int32(i))
		equal(t, what+" is control", r.Attrs.IsControl(), want.control)
		equal(t, what+" is of the transaction", r.Attrs.IsTransactional(), true)
		equal(t, what+", producer", r.ProducerID, p.pid)
		equal(t, what+", offset", r.Offset, int64(i))
		if want.control {
			equal(t, what+", key", string(r.Key), want.key)
		}
	}
}
