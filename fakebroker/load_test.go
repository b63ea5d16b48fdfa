package fakebroker_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/kafkatest/fakebroker"
)

func TestLoad_writesRecords(t *testing.T) {
	text := `
{"topic": "orders", "key": "k", "value": "v", "headers": {"z": "1", "a": null, "n": {"b": [1, 2]}}, "partition": 2, "timestamp": "2024-05-01T12:00:00Z"}

{"topic": "orders", "key_base64": "AAE=", "value_base64": "", "headers": [{"key": "h", "value": "1"}, {"key": "h", "value_base64": "/w=="}], "partition": 2, "timestamp": 1714564800001}
{"topic": "orders", "key": null, "value": {"id": 7,  "ok": true}, "partition": 0, "timestamp": 0}
{"topic": "made", "value": 12}
  {"topic": "made"}  `
	c := orders(3)
	c.SASL = []fakebroker.User{{Mechanism: fakebroker.ScramSHA256, Name: "u", Password: "p"}}
	c.Superusers = []string{"somebody"}
	c.Brokers = 2
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		cut := b.DropBefore(fakebroker.Scope{})
		defer cut.Clear()
		n, err := b.Load(within(t), strings.NewReader(text))
		noError(t, err)
		equal(t, "written", n, 5)
		equal(t, "struck", cut.Hits(), 0)
		got, err := b.Records("orders")
		noError(t, err)
		type h = []fakebroker.Header
		at := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC).UnixMilli()
		want := []fakebroker.Record{
			{Timestamp: time.UnixMilli(0), Value: []byte(`{"id":7,"ok":true}`)},
			{Partition: 2, Timestamp: time.UnixMilli(at), Key: []byte("k"), Value: []byte("v"), Headers: h{{Key: "z", Value: []byte("1")}, {Key: "a"}, {Key: "n", Value: []byte(`{"b":[1,2]}`)}}},
			{Partition: 2, Offset: 1, Timestamp: time.UnixMilli(at + 1), Key: []byte{0, 1}, Value: []byte{}, Headers: h{{Key: "h", Value: []byte("1")}, {Key: "h", Value: []byte{0xff}}}},
		}
		equal(t, "number", len(got), len(want))
		for i := range want {
			equal(t, "timestamp", got[i].Timestamp.UnixMilli(), want[i].Timestamp.UnixMilli())
			got[i].Timestamp = want[i].Timestamp
			equal(t, "record", got[i], want[i])
		}
		made, err := b.Records("made")
		noError(t, err)
		equal(t, "made", []string{string(made[0].Value), fmt.Sprint(made[1].Value == nil)}, []string{"12", "true"})
		equal(t, "now", time.Since(made[0].Timestamp) < time.Minute, true)
	})
}

func TestLoad_makesTopicsWithThePartitionsThatAreNamed(t *testing.T) {
	b := fakebroker.Run(t)
	var text bytes.Buffer
	for i := range 2000 {
		fmt.Fprintf(&text, `{"topic": "wide", "key": "%d", "value": "%d", "partition": %d}`+"\n", i, i, i%5)
		fmt.Fprintf(&text, `{"topic": "narrow", "key": "k", "value": "%d"}`+"\n", i)
	}
	_, err := b.Load(within(t), bytes.NewReader(text.Bytes()))
	noError(t, err)
	parts, err := b.Partitions("wide")
	noError(t, err)
	equal(t, "partitions", len(parts), 5)
	for _, p := range parts {
		equal(t, "high watermark", p.HighWatermark, int64(400))
	}
	got := values(t, b, "narrow")
	for i, v := range got {
		equal(t, "in order", v, fmt.Sprint(i))
	}
	equal(t, "number", len(got), 2000)
}

func TestLoad_namesTheLineThatIsWrongAndWritesNothing(t *testing.T) {
	b := fakebroker.Run(t, "orders:2")
	for name, c := range map[string]struct{ line, says string }{
		"no JSON":          {`topic`, "invalid character"},
		"no object":        {`7`, "cannot unmarshal"},
		"no topic":         {`{"value": "v"}`, `no "topic"`},
		"topic name":       {`{"topic": "a b"}`, "use letters"},
		"unknown field":    {`{"topic": "orders", "vlaue": 1}`, `unknown field "vlaue"`},
		"two values":       {`{"topic": "orders"} {"topic": "orders"}`, "more than one value"},
		"both keys":        {`{"topic": "orders", "key": "k", "key_base64": ""}`, `leave one out`},
		"both values":      {`{"topic": "orders", "value": null, "value_base64": ""}`, `leave one out`},
		"base64":           {`{"topic": "orders", "value_base64": "!"}`, "illegal base64"},
		"base64 number":    {`{"topic": "orders", "value_base64": 7}`, "base64 is a string"},
		"timestamp":        {`{"topic": "orders", "timestamp": "today"}`, "neither milliseconds nor"},
		"headers":          {`{"topic": "orders", "headers": 7}`, "headers are"},
		"header":           {`{"topic": "orders", "headers": [{"value": "v"}]}`, `a header has a "key"`},
		"partition":        {`{"topic": "orders", "partition": 2}`, "only 2 partitions"},
		"negative":         {`{"topic": "orders", "partition": -1}`, "not between"},
		"many partitions":  {`{"topic": "other", "partition": 10000}`, "not between"},
		"partition a text": {`{"topic": "orders", "partition": "1"}`, "cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := b.Load(within(t), strings.NewReader(`{"topic": "orders"}`+"\n\n"+c.line+"\n"))
			var bad *fakebroker.LoadError
			if !errors.As(err, &bad) || bad.Line != 3 || !strings.Contains(err.Error(), c.says) || n != 0 {
				t.Fatalf("wrote %d, got %v, want line 3 and %q", n, err, c.says)
			}
			equal(t, "records", len(values(t, b, "orders")), 0)
		})
	}
	equal(t, "topics", len(b.Topics()), 1)
}

func TestLoad_namesTheLineThatIsTooLarge(t *testing.T) {
	b := fakebroker.Run(t)
	text := `{"topic": "orders"}` + "\n" + `{"topic": "orders", "value": "` + strings.Repeat("x", 2<<20) + `"}`
	_, err := b.Load(within(t), strings.NewReader(text))
	var bad *fakebroker.LoadError
	if !errors.As(err, &bad) || bad.Line != 2 {
		t.Fatal(err)
	}
}
