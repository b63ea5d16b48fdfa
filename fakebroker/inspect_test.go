package fakebroker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

func TestRecords_areDecodedAndDecompressed(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			onBoth(t, orders(3), func(t *testing.T, b *fakebroker.Broker) {
				cl := client(t, b, kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()))
				at := time.UnixMilli(1_700_000_000_000)
				want := []fakebroker.Record{
					{Partition: 0, Offset: 0, Timestamp: at, Key: []byte("k"), Value: []byte("v"), Headers: []fakebroker.Header{{Key: "h", Value: []byte("1")}, {Key: "none"}}},
					{Partition: 0, Offset: 1, Timestamp: at},
					{Partition: 2, Offset: 0, Timestamp: at, Key: []byte{}, Value: []byte{}},
				}
				for i := len(want) - 1; i >= 0; i-- {
					if i == 1 {
						continue
					}
					noError(t, cl.ProduceSync(within(t), kafkaRecord(want[i])).FirstErr())
				}
				noError(t, cl.ProduceSync(within(t), kafkaRecord(want[1])).FirstErr())
				got, err := b.Records("orders")
				noError(t, err)
				equal(t, "number", len(got), len(want))
				for i := range want {
					equal(t, "timestamp", got[i].Timestamp.UnixMilli(), want[i].Timestamp.UnixMilli())
					got[i].Timestamp = want[i].Timestamp
					equal(t, "record", got[i], want[i])
				}
			})
		})
	}
}

func kafkaRecord(r fakebroker.Record) *kgo.Record {
	out := &kgo.Record{Topic: "orders", Partition: r.Partition, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return out
}

func TestPartitions_dataEndsBeforeControlRecords(t *testing.T) {
	type want struct{ end, high int64 }
	onBoth(t, orders(1), func(t *testing.T, b *fakebroker.Broker) {
		check := func(when string, w want) {
			t.Helper()
			for range 2 { // read, and remembered
				parts, err := b.Partitions("orders")
				noError(t, err)
				equal(t, when, want{parts[0].EndOfData, parts[0].HighWatermark}, w)
			}
		}
		check("nothing", want{0, 0})
		produce(t, client(t, b), "orders", 0, 1)
		check("a record", want{1, 1})

		tx := client(t, b, kgo.TransactionalID("tx"))
		noError(t, tx.BeginTransaction())
		produce(t, tx, "orders", 1, 2)
		check("an open transaction", want{3, 3})
		noError(t, tx.EndTransaction(within(t), kgo.TryCommit))
		check("a committed transaction", want{3, 4})

		noError(t, tx.BeginTransaction())
		produce(t, tx, "orders", 3, 1)
		noError(t, tx.EndTransaction(within(t), kgo.TryAbort))
		check("an aborted transaction", want{5, 6})
		equal(t, "records", values(t, b, "orders"), []string{"0", "1", "2", "3"})

		produce(t, client(t, b), "orders", 4, 1)
		check("another record", want{7, 7})

		noError(t, tx.BeginTransaction())
		produce(t, tx, "orders", 5, 1)
		equal(t, "committed", scanned(t, b, fakebroker.Selection{ReadCommitted: true}), []int64{0, 1, 2, 6})
		equal(t, "committed, of a range", scanned(t, b, fakebroker.Selection{ReadCommitted: true, From: 2, To: 6}), []int64{2})
		equal(t, "all", scanned(t, b, fakebroker.Selection{}), []int64{0, 1, 2, 4, 6, 7})
		noError(t, tx.EndTransaction(within(t), kgo.TryAbort))

		cl := client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit())
		consume(t, cl, 5)
		noError(t, cl.CommitUncommittedOffsets(within(t)))
		g, _ := b.Group("g")
		equal(t, "lag", g.Offsets[0].Lag, 0)
	})
}

// scanned are the offsets of orders that a selection takes.
func scanned(t *testing.T, b *fakebroker.Broker, s fakebroker.Selection) []int64 {
	t.Helper()
	var offsets []int64
	for r, err := range b.Scan("orders", s) {
		noError(t, err)
		offsets = append(offsets, r.Offset)
	}
	return offsets
}

func TestInspection_takesNoVirtualTime(t *testing.T) {
	c := orders(3)
	c.Network = fakebroker.InMemory
	inBubble(t, c, func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b, kgo.TransactionalID("tx"))
		noError(t, cl.BeginTransaction())
		produce(t, cl, "orders", 0, 5)
		noError(t, cl.EndTransaction(within(t), kgo.TryCommit))
		start := time.Now()
		for range 100 {
			_, err := b.Partitions("orders")
			noError(t, err)
			b.Group("g")
		}
		b.Groups()
		b.Topics()
		equal(t, "records", len(values(t, b, "orders")), 5)
		equal(t, "time taken", time.Since(start), 0)
	})
}

func TestGroup_showsMembersAndWhatTheyHave(t *testing.T) {
	for name, opts := range map[string][]kgo.Opt{"classic": nil, "KIP-848": {kgo.ServerSideBalancer()}} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, orders(4), func(t *testing.T, b *fakebroker.Broker) {
				if _, ok := b.Group("g"); ok {
					t.Fatal("found a group that does not exist")
				}
				join := func(id string) {
					client(t, b, append(opts, kgo.ClientID(id), kgo.InstanceID("static-"+id), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit())...)
				}
				produce(t, client(t, b), "orders", 0, 3)
				join("one")
				join("two")
				assigned := func() int {
					g, _ := b.Group("g")
					n := 0
					for _, m := range g.Members {
						if len(m.Assignment["orders"]) == 2 {
							n++
						}
					}
					return n
				}
				eventually(t, "two partitions for each of two members", func() bool { return assigned() == 2 })
				g, _ := b.Group("g")
				equal(t, "topics", g.Members[0].Topics, []string{"orders"})
				ids := map[string]string{}
				for _, m := range g.Members {
					ids[m.ClientID] = m.InstanceID
				}
				equal(t, "members", ids, map[string]string{"one": "static-one", "two": "static-two"})
				var lag int64
				for _, o := range g.Offsets {
					equal(t, "committed", o.Committed, -1)
					lag += o.Lag
				}
				equal(t, "partitions", len(g.Offsets), 4)
				equal(t, "lag", lag, 3)
				equal(t, "groups", len(b.Groups()), 1)
			})
		})
	}
}

func TestInspection_ofWhatIsNotThere(t *testing.T) {
	onBoth(t, orders(1), func(t *testing.T, b *fakebroker.Broker) {
		_, err := b.Partitions("missing")
		isError(t, err, fakebroker.ErrUnknownTopic)
		_, err = b.Records("missing")
		isError(t, err, fakebroker.ErrUnknownTopic)
		noError(t, b.Close())
		noError(t, b.Close())
		_, err = b.Partitions("orders")
		isError(t, err, fakebroker.ErrClosed)
		isError(t, b.CreateTopic(fakebroker.Topic{Name: "late"}), fakebroker.ErrClosed)
		_, ok := b.Group("g")
		equal(t, "group", ok, false)
		equal(t, "groups", len(b.Groups())+len(b.Topics()), 0)
		b.TakeDown(0).Clear()
	})
}
