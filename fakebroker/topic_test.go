package fakebroker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

func TestParseTopic(t *testing.T) {
	long := strings.Repeat("a", 249)
	cases := map[string]struct {
		want fakebroker.Topic
		bad  string // part of the error
	}{
		"orders":       {want: fakebroker.Topic{Name: "orders"}},
		"orders:12":    {want: fakebroker.Topic{Name: "orders", Partitions: 12}},
		"a.B_c-9:1":    {want: fakebroker.Topic{Name: "a.B_c-9", Partitions: 1}},
		long:           {want: fakebroker.Topic{Name: long}},
		long + "a":     {bad: "250 characters"},
		"":             {bad: "empty"},
		":3":           {bad: "empty"},
		".":            {bad: "cannot be a name"},
		"..":           {bad: "cannot be a name"},
		"or ders":      {bad: "use letters"},
		"aufträge":     {bad: "use letters"},
		"orders:":      {bad: "NAME:PARTITIONS"},
		"orders:0":     {bad: "from 1"},
		"orders:-1":    {bad: "from 1"},
		"orders:x":     {bad: "NAME:PARTITIONS"},
		"orders:1:2":   {bad: "NAME:PARTITIONS"},
		"orders:99999": {bad: "1 to 10000"},
	}
	for in, c := range cases {
		t.Run(in, func(t *testing.T) {
			got, err := fakebroker.ParseTopic(in)
			if c.bad == "" {
				noError(t, err)
				equal(t, "topic", got, c.want)
				return
			}
			isError(t, err, fakebroker.ErrInvalidTopic)
			if !strings.Contains(err.Error(), c.bad) {
				t.Fatalf("%q does not say %q", err, c.bad)
			}
		})
	}
}

func TestCreateTopic(t *testing.T) {
	onBoth(t, orders(2), func(t *testing.T, b *fakebroker.Broker) {
		noError(t, b.CreateTopic(fakebroker.Topic{Name: "later", Configs: map[string]string{"cleanup.policy": "compact"}}))
		isError(t, b.CreateTopic(fakebroker.Topic{Name: "orders"}), fakebroker.ErrTopicExists)
		isError(t, b.CreateTopic(fakebroker.Topic{Name: "no spaces"}), fakebroker.ErrInvalidTopic)
		noError(t, b.CreateTopic(fakebroker.Topic{Name: "a.b"}))
		isError(t, b.CreateTopic(fakebroker.Topic{Name: "a_b"}), fakebroker.ErrInvalidTopic)
		equal(t, "topics", b.Topics(), []fakebroker.Topic{
			{Name: "a.b", Partitions: 1},
			{Name: "later", Partitions: 1, Configs: map[string]string{"cleanup.policy": "compact"}},
			{Name: "orders", Partitions: 2},
		})
		cl := client(t, b, kgo.ProducerBatchCompression(kgo.ZstdCompression()))
		noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: "later", Value: make([]byte, 1000), Key: []byte("k")}).FirstErr())
		isError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: "later"}).FirstErr(), kerr.InvalidRecord)
		_, err := b.Append(within(t), "later", fakebroker.Record{Key: []byte("k")}, fakebroker.Record{Value: []byte("v")})
		isError(t, err, kerr.InvalidRecord)
		equal(t, "records", len(values(t, b, "later")), 1)
	})
}

func TestAutoCreateTopics(t *testing.T) {
	for name, on := range map[string]bool{"on": true, "off": false} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, fakebroker.Config{AutoCreateTopics: on}, func(t *testing.T, b *fakebroker.Broker) {
				cl := client(t, b, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(10))
				err := cl.ProduceSync(within(t), &kgo.Record{Topic: "new"}).FirstErr()
				equal(t, "produced", err == nil, on)
				if on {
					equal(t, "topics", b.Topics(), []fakebroker.Topic{{Name: "new", Partitions: 1}})
				}
			})
		})
	}
}

func TestAppend_goesByTheTimestampsOfTheTopic(t *testing.T) {
	long := time.Date(1999, 1, 2, 3, 4, 5, 0, time.UTC)
	c := fakebroker.Config{Topics: []fakebroker.Topic{
		{Name: "appended", Configs: map[string]string{"message.timestamp.type": "LogAppendTime"}},
		{Name: "recent", Configs: map[string]string{"message.timestamp.before.max.ms": "1000"}},
		{Name: "created"},
	}}
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		r := fakebroker.Record{Value: []byte("v"), Timestamp: long}
		for _, topic := range []string{"appended", "created"} {
			written, err := b.Append(t.Context(), topic, r)
			noError(t, err)
			read, err := b.Records(topic)
			noError(t, err)
			equal(t, "read from "+topic, read[0].Timestamp.UnixMilli(), written[0].Timestamp.UnixMilli())
			equal(t, "as told in "+topic, read[0].Timestamp.Equal(long), topic == "created")
		}
		if _, err := b.Append(t.Context(), "recent", r); !errors.Is(err, kerr.InvalidTimestamp) {
			t.Errorf("appended an old record: %v, want %v", err, kerr.InvalidTimestamp)
		}
		// What clients write is read by all in the same way.
		cl := client(t, b)
		noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: "appended", Value: []byte("v"), Timestamp: long}, &kgo.Record{Topic: "appended", Value: []byte("v"), Timestamp: long.Add(time.Hour)}).FirstErr())
		read, err := b.Records("appended")
		noError(t, err)
		for _, r := range read {
			if d := time.Since(r.Timestamp).Abs(); d > time.Minute {
				t.Errorf("offset %d has the time %v", r.Offset, r.Timestamp)
			}
		}
	})
}
