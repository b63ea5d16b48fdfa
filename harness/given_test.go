package harness_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

func values(records []harness.Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	return out
}

func record(partition int32, key, value string) harness.Record {
	r := harness.Record{Partition: partition, Value: []byte(value)}
	if key != "" {
		r.Key = []byte(key)
	}
	return r
}

func TestGiven_aMemberStartsWhereTheGroupWasLeft(t *testing.T) {
	onBothClocks(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		orders := h.Topic("orders").Create(2)
		records := orders.Append(record(0, "", "a"), record(0, "", "b"), record(1, "", "c"), record(0, "", "d"))
		h.Group("g").Commit("orders", 0, 2).CommitWith("orders", 1, 1, "left by the test")

		var got []string
		subscribe(h, "g", "orders", func(_ context.Context, m *adapter.Message) adapter.Result {
			got = append(got, string(m.Value))
			return adapter.Commit()
		})
		h.Settle()

		assert.Equal(t, []string{"d"}, got)
		assertKind(t, harness.Skipped, h.Fate(records[0]))
		assertKind(t, harness.Skipped, h.Fate(records[2]))
		assertKind(t, harness.Committed, h.Fate(records[3]))
		assert.Equal(t, "orders[0]@2", records[3].String())
		g, _ := h.Broker().Group("g")
		assert.Equal(t, "left by the test", g.Offsets[1].Metadata)
		assert.Contains(t, h.Timeline(), "orders[0]@2 published\n")
		assert.Contains(t, h.Timeline(), "the test in g committed orders[0] through 2\n")
	})
}

func TestGiven_aPlainClientStartsWhereTheGroupWasLeft(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		records := h.Topic("orders").Create(1).Append(record(0, "", "a"), record(0, "", "b"))
		h.Group("g").Commit("orders", 0, 2)
		plain(t, h, "reader", kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"))
		h.Settle()
		assertKind(t, harness.Skipped, h.Group("g").Fate(records[1]))
	})
}

func TestAppend_keepsAllThatARecordSays(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		yesterday := time.Now().Add(-24 * time.Hour)
		given := harness.Record{
			Topic: "orders", Partition: 2, Key: []byte("k"), Value: []byte("v"), Timestamp: yesterday,
			Headers: []adapter.Header{{Key: "source", Value: []byte("shop")}, {Key: "empty"}},
		}
		got := h.Topic("orders").Create(3).Append(given, harness.Record{Partition: 2, Offset: 1, Key: []byte("k")})
		assert.True(t, yesterday.Equal(got[0].Timestamp))
		assert.Equal(t, got, h.Topic("orders").Records())
		assert.Equal(t, "shop", got[0].Header("source"))
		assert.Nil(t, got[1].Value, "a tombstone")
		assert.Equal(t, time.Now().UTC(), got[1].Timestamp.UTC())
	})
}

func TestAppend_worksWhateverFaultsThereAre(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		orders := h.Topic("orders").Create(1)
		h.Broker().TakeDown(0)
		assert.Len(t, orders.Append(record(0, "", "a")), 1)
		h.Group("g").Commit("orders", 0, 1)
	})
}

func TestAppend_letsTheKeyChooseAsClientsDo(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		orders := h.Topic("orders").Create(8)
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			e := text{"orders", key, "published"}
			assert.Equal(t, h.Publish(e).Partition, orders.Append(harness.NewRecord(e))[0].Partition, key)
			assert.Equal(t, h.Publish(e).Partition, orders.AppendAborted(harness.NewRecord(e))[0].Partition, key)
		}
	})
}

func TestAppendAborted_isSeenByNoneWhoReadsCommitted(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		orders := h.Topic("orders").Create(2)
		orders.Append(record(1, "", "a"))
		aborted := orders.AppendAborted(record(1, "k", "b"), record(0, "", "c"))
		orders.Append(record(1, "", "d"))
		assert.Equal(t, "orders[1]@1", aborted[0].String())
		assert.Equal(t, []string{"c", "a", "b", "d"}, values(orders.Records()))
		assert.Equal(t, []string{"a", "d"}, values(orders.Records(harness.ReadCommitted())))
	})
}

func TestCreate_takesPartitionsAndConfigs(t *testing.T) {
	harness.Config{Partitions: 4}.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Topic("one").Create(0, "cleanup.policy=compact", "retention.ms=1000")
		topic := h.Broker().Topics()[0]
		assert.Equal(t, int32(4), topic.Partitions)
		assert.Equal(t, "compact", topic.Configs["cleanup.policy"])
		assert.Equal(t, "1000", topic.Configs["retention.ms"])
	})
}

func TestRecords_areFiltered(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		orders := h.Topic("orders").Create(3)
		orders.Append(record(2, "k", "a"), record(0, "", "b"), record(1, "k", "c"), record(1, "l", "d"))
		orders.Append(harness.Record{Key: []byte("k")})
		assert.Equal(t, []string{"b", "", "c", "d", "a"}, values(orders.Records()))
		assert.Equal(t, []string{"", "c", "a"}, values(orders.Records(harness.WithKey("k"))))
		assert.Equal(t, []string{"c", "a"}, values(orders.Records(harness.WithKey("k"), harness.WithoutTombstones())))
		assert.Equal(t, []string{"c"}, values(orders.Records(harness.WithKey("k"), harness.InPartition(1))))
		assert.Equal(t, []string{"b", "", "a"}, values(orders.Records(harness.InPartition(0), harness.InPartition(2))))
		assert.Equal(t, []string{"d"}, values(orders.Records(harness.Where(func(r harness.Record) bool { return string(r.Key) > "k" }))))
		assert.Empty(t, orders.Records(harness.WithKey("")), "a record without a key has no empty one")
	})
}

func TestNewRecord_isAnEventToAppend(t *testing.T) {
	r := harness.NewRecord(text{"orders", "k", "v"})
	assert.Equal(t, harness.Record{Topic: "orders", Partition: harness.AnyPartition, Key: []byte("k"), Value: []byte("v")}, r)
	r = harness.NewRecord(placed{text{"orders", "", "v"}, 7})
	require.Nil(t, r.Key)
	assert.Equal(t, int32(7), r.Partition)
	assert.Equal(t, int32(7), harness.NewMessage(placed{text{"orders", "", "v"}, 7}).Partition)
}

// placed is an event that names its partition.
type placed struct {
	text
	partition int32
}

func (p placed) MessagePartition() int32 { return p.partition }
