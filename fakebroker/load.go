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
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
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
// many it wrote. Empty lines are passed over.
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
// records name, or one. Records of a partition are written in their order. Rules
// and faults do not touch them.
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
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
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

// line is a record in JSON.
type line struct {
	Topic       string          `json:"topic"`
	Key         json.RawMessage `json:"key"`
	KeyBase64   *base64Bytes    `json:"key_base64"`
	Value       json.RawMessage `json:"value"`
	ValueBase64 *base64Bytes    `json:"value_base64"`
	Headers     lineHeaders     `json:"headers"`
	Partition   *int32          `json:"partition"`
	Timestamp   *lineTime       `json:"timestamp"`
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
		return fmt.Errorf("timestamp %s is neither milliseconds nor a time such as 2006-01-02T15:04:05Z", text)
	}
	return nil
}

type lineHeaders []kgo.RecordHeader

func (h *lineHeaders) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte("[")) {
		var list []struct {
			Key         *string         `json:"key"`
			Value       json.RawMessage `json:"value"`
			ValueBase64 *base64Bytes    `json:"value_base64"`
		}
		if err := strictly(text, &list); err != nil {
			return err
		}
		for _, one := range list {
			if one.Key == nil || one.Value != nil && one.ValueBase64 != nil {
				return errors.New(`a header has a "key", and either "value" or "value_base64"`)
			}
			*h = append(*h, kgo.RecordHeader{Key: *one.Key, Value: either(one.Value, one.ValueBase64)})
		}
		return nil
	}
	// By hand, because an object's members have an order here.
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.New("headers are an object, or a list of objects")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		*h = append(*h, kgo.RecordHeader{Key: key.(string), Value: either(value, nil)})
	}
	return nil
}

func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
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
		text := bytes.TrimSpace(s.Bytes())
		if len(text) == 0 {
			continue
		}
		var l line
		err := strictly(text, &l)
		if err == nil {
			err = l.check()
		}
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
