package fakebroker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

func TestAppend_readBackByScan(t *testing.T) {
	onBoth(t, orders(2), func(t *testing.T, b *fakebroker.Broker) {
		b.DropBefore(fakebroker.Scope{}) // which are for others
		b.Refuse(kerr.NotLeaderForPartition, fakebroker.Scope{})
		at := time.UnixMilli(1_700_000_000_000)
		written, err := b.Append(t.Context(), "orders",
			fakebroker.Record{Partition: 1, Key: []byte("k"), Value: []byte("a"), Timestamp: at, Headers: []fakebroker.Header{{Key: "h", Value: []byte("v")}}},
			fakebroker.Record{Partition: 1},
			fakebroker.Record{Partition: fakebroker.AnyPartition, Key: []byte("k")},
			fakebroker.Record{Partition: fakebroker.AnyPartition, Key: []byte("k")},
		)
		noError(t, err)
		equal(t, "partition of the key", written[2].Partition, written[3].Partition)
		equal(t, "offset", written[1].Offset, int64(1))
		var got []fakebroker.Record
		for r, err := range b.Scan("orders", fakebroker.Selection{Partitions: []int32{1}, To: 1}) {
			noError(t, err)
			got = append(got, r)
		}
		equal(t, "records", len(got), 1)
		equal(t, "timestamp", got[0].Timestamp.UnixMilli(), at.UnixMilli())
		equal(t, "header", string(got[0].Headers[0].Value), "v")

		_, err = b.Append(t.Context(), "nothing", fakebroker.Record{})
		isError(t, err, fakebroker.ErrUnknownTopic)
		if _, err = b.Append(t.Context(), "orders", fakebroker.Record{Partition: 2}); err == nil {
			t.Fatal("appended to a partition that is not there")
		}
	})
}

func TestScan_fromAndTo(t *testing.T) {
	b := fakebroker.Run(t, "orders")
	for i := range 10 { // in batches of five
		_, err := b.Append(t.Context(), "orders", fakebroker.Record{Value: fmt.Append(nil, 5*i)}, fakebroker.Record{}, fakebroker.Record{}, fakebroker.Record{}, fakebroker.Record{})
		noError(t, err)
	}
	for _, c := range []struct {
		from, to int64
		stop     int
		want     []int64
	}{
		{3, 6, 0, []int64{3, 4, 5}},
		{48, 0, 0, []int64{48, 49}},
		{0, 0, 2, []int64{0, 1}},
		{60, 0, 0, nil},
		{6, 3, 0, nil},
	} {
		var got []int64
		for r, err := range b.Scan("orders", fakebroker.Selection{From: c.from, To: c.to}) {
			noError(t, err)
			got = append(got, r.Offset)
			if len(got) == c.stop {
				break
			}
		}
		equal(t, fmt.Sprint(c), got, c.want)
	}
	for _, err := range b.Scan("nothing", fakebroker.Selection{}) {
		isError(t, err, fakebroker.ErrUnknownTopic)
	}
}

func TestDeleteTopic(t *testing.T) {
	b := fakebroker.Run(t, "orders")
	noError(t, b.DeleteTopic("orders"))
	equal(t, "topics", len(b.Topics()), 0)
	isError(t, b.DeleteTopic("orders"), fakebroker.ErrUnknownTopic)
}

func TestTransactions_areSeenWhileOpenAndAfter(t *testing.T) {
	onBoth(t, threeBrokers(), func(t *testing.T, b *fakebroker.Broker) {
		equal(t, "transactions", len(b.Transactions()), 0)
		cl := client(t, b, kgo.TransactionalID("tx"), kgo.TransactionTimeout(30*time.Second))
		noError(t, cl.BeginTransaction())
		noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: "orders", Partition: 2}).FirstErr())
		open := b.Transactions()
		equal(t, "transactions", len(open), 1)
		tx := open[0]
		if tx.ID != "tx" || tx.State != "Ongoing" || tx.Started.IsZero() || tx.Timeout != 30*time.Second || len(tx.Partitions["orders"]) != 1 {
			t.Fatalf("%+v", tx)
		}
		equal(t, "coordinator", tx.Coordinator, coordinator(t, cl, 1, "tx"))
		noError(t, cl.EndTransaction(within(t), kgo.TryCommit))
		tx = b.Transactions()[0]
		if tx.State == "Ongoing" || !tx.Started.IsZero() || tx.Partitions != nil {
			t.Fatalf("%+v", tx)
		}
	})
}

func TestResetOffsets(t *testing.T) {
	onBoth(t, orders(2), func(t *testing.T, b *fakebroker.Broker) {
		start := time.UnixMilli(1_700_000_000_000)
		for i := range 3 {
			_, err := b.Append(t.Context(), "orders", fakebroker.Record{Timestamp: start.Add(time.Duration(i) * time.Minute)})
			noError(t, err)
		}
		reset := func(r fakebroker.Reset) map[int32]int64 {
			t.Helper()
			offsets, err := b.ResetOffsets("g", r)
			noError(t, err)
			out := make(map[int32]int64)
			for _, o := range offsets {
				out[o.Partition] = o.Committed
			}
			return out
		}
		_, err := b.ResetOffsets("g", fakebroker.Reset{})
		isError(t, err, fakebroker.ErrUnknownGroup)
		_, err = b.ResetOffsets("g", fakebroker.Reset{Topic: "nothing"})
		isError(t, err, fakebroker.ErrUnknownTopic)
		_, err = b.ResetOffsets("g", fakebroker.Reset{Topic: "orders", Partitions: []int32{2}})
		isError(t, err, fakebroker.ErrUnknownTopic)

		equal(t, "latest", reset(fakebroker.Reset{To: fakebroker.Latest, Topic: "orders"}), map[int32]int64{0: 3, 1: 0})
		equal(t, "at offset", reset(fakebroker.Reset{To: fakebroker.AtOffset, Offset: 1, Partitions: []int32{0}}), map[int32]int64{0: 1, 1: 0})
		equal(t, "at time", reset(fakebroker.Reset{To: fakebroker.AtTime, Time: start.Add(90 * time.Second)}), map[int32]int64{0: 2, 1: 0})
		equal(t, "after all", reset(fakebroker.Reset{To: fakebroker.AtTime, Time: start.Add(time.Hour)}), map[int32]int64{0: 3, 1: 0})
		equal(t, "with metadata", reset(fakebroker.Reset{Metadata: "left"}), map[int32]int64{0: 0, 1: 0})
		g, _ := b.Group("g")
		equal(t, "metadata", g.Offsets[1].Metadata, "left")
		_, err = b.ResetOffsets("g", fakebroker.Reset{Metadata: strings.Repeat("x", 4097)})
		isError(t, err, kerr.OffsetMetadataTooLarge)
		equal(t, "earliest", reset(fakebroker.Reset{}), map[int32]int64{0: 0, 1: 0})
		g, _ = b.Group("g")
		equal(t, "lag", g.Offsets[0].Lag, int64(3))

		poll(t, client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders")))
		eventually(t, "somebody joins", func() bool { g, _ := b.Group("g"); return len(g.Members) == 1 })
		_, err = b.ResetOffsets("g", fakebroker.Reset{})
		isError(t, err, fakebroker.ErrGroupInUse)
	})
}

func TestResetOffsets_ofAShareGroup(t *testing.T) {
	onBoth(t, quickHeartbeats(1), func(t *testing.T, b *fakebroker.Broker) {
		setEarliest(t, b, "s")
		produce(t, client(t, b), "orders", 0, 3)
		cl := client(t, b, kgo.ShareGroup("s"), kgo.ConsumeTopics("orders"))
		for n := 0; n < 3; {
			for _, r := range cl.PollFetches(within(t)).Records() {
				r.Ack(kgo.AckAccept)
				n++
			}
		}
		noError(t, cl.FlushAcks(within(t)))
		cl.Close()
		eventually(t, "all is done", func() bool {
			g, _ := b.Group("s")
			return len(g.Members) == 0 && len(g.Offsets) == 1 && g.Offsets[0].Lag == 0 && g.Offsets[0].End == 3
		})
		offsets, err := b.ResetOffsets("s", fakebroker.Reset{To: fakebroker.AtOffset, Offset: 1})
		noError(t, err)
		equal(t, "lag", offsets[0].Lag, int64(2))
		equal(t, "start", offsets[0].Committed, int64(1))
	})
}

func TestNodes(t *testing.T) {
	c := fakebroker.Config{NodeIDs: []int32{5, 6}, Racks: []string{"a", ""}}
	b := c.Run(t)
	b.TakeDown(6)
	equal(t, "nodes", b.Nodes(), []fakebroker.Node{
		{ID: 5, Addr: b.Addrs()[0], Rack: "a", Up: true}, {ID: 6, Addr: b.Addrs()[1]},
	})
	meta, err := kadm.NewClient(client(t, b)).BrokerMetadata(within(t))
	noError(t, err)
	equal(t, "listed", len(meta.Brokers), 1)
}
