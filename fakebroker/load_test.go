package fakebroker_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"example.com/kafkatest/fakebroker"
)

func TestLoad_writesRecords(t *testing.T) {
	text := "\ufeff" + `
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
		"no JSON":          {`topic`, `a record is a JSON object, such as {"topic": "orders", "value": "hello"}, not topic`},
		"no object":        {`7`, "a record is a JSON object"},
		"no topic":         {`{"value": "v"}`, `no "topic"`},
		"topic name":       {`{"topic": "a b"}`, "use letters"},
		"unknown field":    {`{"topic": "orders", "vlaue": 1}`, `there is no field "vlaue"; did you mean "value"?`},
		"two values":       {`{"topic": "orders"} {"topic": "orders"}`, "more than one value"},
		"both keys":        {`{"topic": "orders", "key": "k", "key_base64": ""}`, `leave one out`},
		"both values":      {`{"topic": "orders", "value": null, "value_base64": ""}`, `leave one out`},
		"base64":           {`{"topic": "orders", "value_base64": "!"}`, `"value_base64" is a string of base64, not "!"`},
		"base64 number":    {`{"topic": "orders", "value_base64": 7}`, `"value_base64" is a string of base64, not 7`},
		"timestamp":        {`{"topic": "orders", "timestamp": "today"}`, `"timestamp" is milliseconds since 1970, or a time such as 2006-01-02T15:04:05Z, not "today"`},
		"headers":          {`{"topic": "orders", "headers": 7}`, `"headers" is an object, such as {"source": "test"}, or a list`},
		"header":           {`{"topic": "orders", "headers": [{"value": "v"}]}`, `or a list of objects with "key", and "value" or "value_base64", not [{"value": "v"}]`},
		"internal topic":   {`{"topic": "__consumer_offsets"}`, "internal"},
		"partition":        {`{"topic": "orders", "partition": 2}`, "only 2 partitions"},
		"negative":         {`{"topic": "orders", "partition": -1}`, "not between"},
		"many partitions":  {`{"topic": "other", "partition": 10000}`, "not between"},
		"partition a text": {`{"topic": "orders", "partition": "1"}`, `"partition" is a whole number, not "1"`},
		"half a partition": {`{"topic": "orders", "partition": 0.5}`, `"partition" is a whole number, not 0.5`},
		"topic a number":   {`{"topic": 7}`, `"topic" is a string, not 7`},
		"topic null":       {`{"topic": null}`, `no "topic"`},
		"a list":           {`[{"topic": "orders"}]`, "a record is a JSON object"},
		"doubled field":    {`{"topic": "orders", "value": 1, "value": "y"}`, `"value" is there twice; give it once`},
		"doubled header":   {`{"topic": "orders", "headers": {"a": 1, "a": 2}}`, `headers: "a" is there twice; give it once`},
		"doubled in one":   {`{"topic": "orders", "headers": [{"key": "a", "key": "b"}]}`, `headers: "key" is there twice; give it once`},
		"other case":       {`{"topic": "orders", "Value": 1}`, `there is no field "Value"; did you mean "value"?`},
		"header's case":    {`{"topic": "orders", "headers": [{"Key": "a"}]}`, "or a list of objects"},
		"no end":           {`{"topic": "orders"`, "this is not JSON: "},
		"no UTF-8":         {"{\"topic\": \"orders\", \"value\": \"\xff\"}", "this is not UTF-8"},
		"mark in between":  {"\ufeff" + `{"topic": "orders"}`, "a record is a JSON object"},
		"long":             {`"` + strings.Repeat("x", 1000) + `"`, strings.Repeat("x", 39) + "..."},
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

// What a topic takes is for the broker to say, not for the client inside.
func TestLoad_writesRecordsThatTheTopicTakes(t *testing.T) {
	const large = 2_000_000
	c := fakebroker.Config{
		BrokerConfig: map[string]string{"message.max.bytes": "5000000"},
		Topics: []fakebroker.Topic{
			{Name: "brokers"},
			{Name: "own", Configs: map[string]string{"max.message.bytes": "3000000"}},
			{Name: "small", Configs: map[string]string{"max.message.bytes": "700"}},
			{Name: "tiny", Configs: map[string]string{"max.message.bytes": "100"}},
		},
	}
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		for _, topic := range []string{"brokers", "own"} {
			value := strings.Repeat("x", large)
			_, err := b.Load(within(t), strings.NewReader(fmt.Sprintf(`{"topic": %q, "value": %q}`, topic, value)))
			noError(t, err)
			_, err = b.Append(within(t), topic, fakebroker.Record{Value: []byte(value)})
			noError(t, err)
			equal(t, topic, len(values(t, b, topic)), 2)
		}
		// Many that fit by themselves do not fit one batch.
		_, err := b.Load(within(t), strings.NewReader(strings.Repeat(`{"topic": "small", "value": "`+strings.Repeat("x", 100)+`"}`+"\n", 100)))
		noError(t, err)
		equal(t, "small", len(values(t, b, "small")), 100)
		for topic, size := range map[string]int{"own": 3_000_000, "small": 700, "tiny": 1000} {
			_, err = b.Append(within(t), topic, fakebroker.Record{Value: make([]byte, size)})
			if !errors.Is(err, kerr.MessageTooLarge) {
				t.Fatalf("%s: %v", topic, err)
			}
		}
	})
}

// A batch is 61 bytes and its records; a record of up to 8191 bytes is 9 more.
func TestAppend_writesWhatJustFits(t *testing.T) {
	b := fakebroker.Config{Topics: []fakebroker.Topic{{Name: "t", Configs: map[string]string{"max.message.bytes": "1070"}}}}.Run(t)
	value := make([]byte, 1000)
	for i := range value {
		value[i] = byte(rand.IntN(256)) // does not compress
	}
	_, err := b.Append(within(t), "t", fakebroker.Record{Value: value})
	noError(t, err)
	_, err = b.Append(within(t), "t", fakebroker.Record{Value: slices.Concat(value, []byte{0})})
	if !errors.Is(err, kerr.MessageTooLarge) {
		t.Fatal(err)
	}
}

func TestAppend_refusesInternalTopics(t *testing.T) {
	b := fakebroker.Run(t, "orders")
	cl := client(t, b)
	kadm.NewClient(cl).FindGroupCoordinators(within(t), "g")
	_, err := b.Append(within(t), "__consumer_offsets", fakebroker.Record{Key: []byte("k"), Value: []byte("v")})
	if !errors.Is(err, fakebroker.ErrInvalidTopic) {
		t.Fatal(err)
	}
}
