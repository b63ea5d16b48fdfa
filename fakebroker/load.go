package fakebroker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"example.com/kafkatest/fakebroker/correct"
	"example.com/kafkatest/fakebroker/internal/nearest"
	"example.com/kafkatest/fakebroker/internal/strictjson"
)

// LoadError says which line of what [Broker.Load] reads is wrong. It is found by
// errors.As.
type LoadError struct {
	Line int // from 1
	Err  error
}

// Error names the line.
func (e *LoadError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap gives the cause.
func (e *LoadError) Unwrap() error { return e.Err }

// maxLine bounds a line of JSON, in bytes: more than the largest record that
// Kafka takes by default, in base64.
const maxLine = 64 << 20

// Load writes records given as JSON Lines, one object a line, and returns how
// many it wrote. Empty lines are passed over, and a byte order mark in front.
//
//	{"topic": "orders", "key": "k1", "value": "hello"}
//	{"topic": "orders", "value": {"id": 7}, "headers": {"source": "test"}, "partition": 2}
//	{"topic": "orders", "key_base64": "AAE=", "value": null, "timestamp": "2024-05-01T12:00:00Z"}
//
// Only topic is needed. A key, value or header that is no string is written as
// the JSON that it is, and null or none as null; key_base64 and value_base64 are
// for bytes. headers is an object, or a list of objects with key, value and
// value_base64 where an order or a repeated name matters. Without a partition,
// a key decides as it does for Kafka's clients. timestamp is a time or
// milliseconds since 1970; without one it is now.
//
// Everything is read twice: nothing is written when a line is wrong, which is a
// [LoadError]. Topics that are missing are made, with as many partitions as the
// records name, or one; internal ones (__consumer_offsets and the like) are not
// written to. Records of a partition are written in their order. Rules and faults
// do not touch them.
func (b *Broker) Load(ctx context.Context, r io.ReadSeeker) (int, error) {
	topics := make(map[string]int32)
	err := eachLine(r, func(_ int, l line) error {
		topics[l.Topic] = max(topics[l.Topic], l.partitions())
		return b.fits(l)
	})
	if err != nil {
		return 0, err
	}
	for name, n := range topics {
		if err := b.CreateTopic(Topic{Name: name, Partitions: n}); err != nil && !errors.Is(err, ErrTopicExists) {
			return 0, err
		}
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("reading the records again: %w", err)
	}
	return b.load(ctx, r)
}

func (b *Broker) load(ctx context.Context, r io.Reader) (int, error) {
	cl, err := b.insideClient()
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	var mu sync.Mutex
	var written int
	var failed error // the first
	partitioner := kgo.StickyKeyPartitioner(nil)
	topics := make(map[string]kgo.TopicPartitioner)
	counts := make(map[string]int)
	err = eachLine(r, func(number int, l line) error {
		mu.Lock()
		stop := failed
		mu.Unlock()
		if stop != nil {
			return stop
		}
		rec := l.record()
		if l.Partition == nil {
			if topics[l.Topic] == nil {
				parts, err := b.Partitions(l.Topic)
				if err != nil {
					return err
				}
				topics[l.Topic], counts[l.Topic] = partitioner.ForTopic(l.Topic), len(parts)
			}
			rec.Partition = int32(topics[l.Topic].Partition(rec, counts[l.Topic]))
		}
		cl.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				written++
			} else if failed == nil {
				failed = &LoadError{Line: number, Err: err}
			}
		})
		return nil
	})
	flushed := cl.Flush(ctx)
	mu.Lock()
	defer mu.Unlock()
	if err := errors.Join(failed, flushed); err != nil {
		return written, err
	}
	return written, err
}

// fits reports what is wrong about a record for the topic that is there.
func (b *Broker) fits(l line) error {
	if err := (Topic{Name: l.Topic}).check(); err != nil {
		return err
	}
	if correct.IsInternal(l.Topic) {
		return isInternal(l.Topic)
	}
	if l.Partition == nil {
		return nil
	}
	if *l.Partition < 0 || *l.Partition >= maxPartitions {
		return fmt.Errorf("partition %d is not between 0 and %d", *l.Partition, maxPartitions-1)
	}
	parts, err := b.Partitions(l.Topic)
	switch {
	case errors.Is(err, ErrUnknownTopic):
		return nil
	case err != nil:
		return err
	case int(*l.Partition) >= len(parts):
		return fmt.Errorf("topic %s has no partition %d, only %d partitions", l.Topic, *l.Partition, len(parts))
	}
	return nil
}

// insideClient is a client of the cluster's own, past all rules and faults.
func (b *Broker) insideClient() (*kgo.Client, error) {
	rules := ownRules()
	opts := []kgo.Opt{
		kgo.SeedBrokers(b.Addrs()...), kgo.ClientID(inspector), kgo.DisableClientMetrics(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.ProducerBatchMaxBytesFn(b.batchBytes),
		kgo.Dialer(func(ctx context.Context, _, addr string) (net.Conn, error) {
			node := slices.Index(b.Addrs(), addr)
			return b.listeners[max(node, 0)].Dial(ctx, nil, rules)
		}),
	}
	if b.password != "" {
		opts = append(opts, kgo.SASL(plain.Auth{User: inspector, Pass: b.password}.AsMechanism()))
	}
	return kgo.NewClient(opts...)
}

// batchBytes has a client of ours make batches as large as a topic takes them, so
// that it refuses what the broker would.
func (b *Broker) batchBytes(topic string) int32 {
	const (
		least, most = 512, 100 << 20 // of the client, and of what Kafka's brokers read of a request
		counted     = 4              // bytes that the client adds: the length in front of a batch
	)
	return int32(min(max(correct.LargestBatch(corrected{b}, topic)+counted, least), most))
}

// line is a record in JSON.
type line struct {
	Topic       string
	Key         json.RawMessage
	KeyBase64   *base64Bytes
	Value       json.RawMessage
	ValueBase64 *base64Bytes
	Headers     lineHeaders
	Partition   *int32
	Timestamp   *lineTime
}

// parseLine decodes and checks a line. An error names the field that is wrong.
func parseLine(text []byte) (l line, err error) {
	if !utf8.Valid(text) {
		return l, errors.New("this is not UTF-8; key_base64 and value_base64 are for bytes")
	}
	if text[0] != '{' {
		return l, fmt.Errorf(`a record is a JSON object, such as {"topic": "orders", "value": "hello"}, not %s`, short(text))
	}
	fields := []struct {
		name, what string
		into       any
	}{
		{"topic", "a string", &l.Topic},
		{"key", "", &l.Key},
		{"key_base64", "a string of base64", &l.KeyBase64},
		{"value", "", &l.Value},
		{"value_base64", "a string of base64", &l.ValueBase64},
		{"headers", `an object, such as {"source": "test"}, or a list of objects with "key", and "value" or "value_base64"`, &l.Headers},
		{"partition", "a whole number", &l.Partition},
		{"timestamp", "milliseconds since 1970, or a time such as 2006-01-02T15:04:05Z", &l.Timestamp},
	}
	members, err := strictjson.Members(text)
	var doubled *strictjson.DoubledError
	switch {
	case errors.As(err, &doubled):
		return l, err
	case err != nil:
		return l, fmt.Errorf("this is not JSON: %w", err)
	}
	raw := make(map[string]json.RawMessage)
	for _, m := range members {
		raw[m.Name] = m.Value
	}
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
		value, there := raw[f.name]
		delete(raw, f.name)
		if !there || string(value) == "null" && f.what != "" {
			continue
		}
		if err := json.Unmarshal(value, f.into); errors.As(err, &doubled) {
			return l, fmt.Errorf("%s: %w", f.name, err)
		} else if err != nil {
			return l, fmt.Errorf("%q is %s, not %s", f.name, f.what, short(value))
		}
	}
	for _, m := range members {
		if _, left := raw[m.Name]; left {
			return l, fmt.Errorf("there is no field %q%s", m.Name, nearest.Hint(m.Name, names, strconv.Quote))
		}
	}
	return l, l.check()
}

// short is the beginning of what is wrong.
func short(text []byte) string {
	const enough = 40
	if runes := []rune(string(text)); len(runes) > enough {
		return string(runes[:enough]) + "..."
	}
	return string(text)
}

func (l line) partitions() int32 {
	if l.Partition == nil {
		return 1
	}
	return *l.Partition + 1
}

func (l line) record() *kgo.Record {
	r := &kgo.Record{
		Topic: l.Topic, Key: either(l.Key, l.KeyBase64), Value: either(l.Value, l.ValueBase64), Headers: l.Headers,
	}
	if l.Partition != nil {
		r.Partition = *l.Partition
	}
	if l.Timestamp != nil {
		r.Timestamp = l.Timestamp.Time
	}
	return r
}

func (l line) check() error {
	switch {
	case l.Topic == "":
		return errors.New(`no "topic"`)
	case l.Key != nil && l.KeyBase64 != nil:
		return errors.New(`both "key" and "key_base64"; leave one out`)
	case l.Value != nil && l.ValueBase64 != nil:
		return errors.New(`both "value" and "value_base64"; leave one out`)
	}
	return nil
}

// either is the bytes of a field that is there in one of two forms.
func either(text json.RawMessage, encoded *base64Bytes) []byte {
	if encoded != nil {
		return *encoded
	}
	var s string
	switch {
	case text == nil || string(text) == "null":
		return nil
	case text[0] == '"' && json.Unmarshal(text, &s) == nil:
		return []byte(s)
	}
	var compact bytes.Buffer
	_ = json.Compact(&compact, text) // it was decoded from a line, so it is JSON
	return compact.Bytes()
}

// base64Bytes tells an empty string from null: encoding/json does not.
type base64Bytes []byte

func (b *base64Bytes) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return errors.New("base64 is a string")
	}
	decoded, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	*b = decoded
	return nil
}

type lineTime struct{ time.Time }

func (t *lineTime) UnmarshalJSON(text []byte) error {
	var ms int64
	if json.Unmarshal(text, &ms) == nil {
		t.Time = time.UnixMilli(ms)
		return nil
	}
	if err := json.Unmarshal(text, &t.Time); err != nil {
		return err
	}
	return nil
}

type lineHeaders []kgo.RecordHeader

func (h *lineHeaders) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte("[")) {
		var list []lineHeader
		if err := json.Unmarshal(text, &list); err != nil {
			return err
		}
		for _, one := range list {
			*h = append(*h, kgo.RecordHeader(one))
		}
		return nil
	}
	members, err := strictjson.Members(text)
	if err != nil {
		return err
	}
	for _, m := range members {
		*h = append(*h, kgo.RecordHeader{Key: m.Name, Value: either(m.Value, nil)})
	}
	return nil
}

// lineHeader is a header as an object of its own.
type lineHeader kgo.RecordHeader

func (h *lineHeader) UnmarshalJSON(text []byte) error {
	members, err := strictjson.Members(text)
	if err != nil {
		return err
	}
	var key *string
	var value json.RawMessage
	var encoded *base64Bytes
	for _, m := range members {
		switch m.Name {
		case "key":
			err = json.Unmarshal(m.Value, &key)
		case "value":
			value = m.Value
		case "value_base64":
			err = json.Unmarshal(m.Value, &encoded)
		default:
			err = fmt.Errorf("there is no field %q", m.Name)
		}
		if err != nil {
			return err
		}
	}
	if key == nil || value != nil && encoded != nil {
		return errors.New(`a header has a "key", and either "value" or "value_base64"`)
	}
	h.Key, h.Value = *key, either(value, encoded)
	return nil
}

// eachLine decodes and checks line by line. What is wrong about one, or what use
// says about it, is a LoadError.
func eachLine(r io.Reader, use func(number int, l line) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	number := 0
	for s.Scan() {
		number++
		text := s.Bytes()
		if number == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff")) // as some editors begin a file
		}
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			continue
		}
		l, err := parseLine(text)
		if err == nil {
			err = use(number, l)
		}
		var already *LoadError
		if errors.As(err, &already) {
			return err
		}
		if err != nil {
			return &LoadError{Line: number, Err: err}
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return &LoadError{Line: number + 1, Err: fmt.Errorf("longer than %d bytes", maxLine)}
	}
	return s.Err()
}
