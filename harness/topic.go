package harness

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
)

// Topic is a topic of the cluster, to prepare and to look into.
func (h *Harness) Topic(name string) Topic { return Topic{h, name} }

// Topic is a topic to prepare and to look into.
type Topic struct {
	h    *Harness
	name string
}

// Records are the topic's records, by partition and offset: those that all
// filters let through. Records of open and aborted transactions are among them,
// see ReadCommitted. A topic that does not exist fails the test.
func (t Topic) Records(filters ...Filter) []Record {
	t.h.t.Helper()
	partitions := t.partitions()
	s := selection{}
	for _, f := range filters {
		f.narrow(&s)
	}
	for _, p := range s.Partitions {
		if p < 0 || int(p) >= len(partitions) {
			t.h.t.Fatalf("harness: topic %s has no partition %d, only %s", t.name, p, count(len(partitions), "partition"))
		}
	}
	var out []Record
	for r, err := range t.h.broker.Scan(t.name, s.Selection) {
		if err != nil {
			t.h.t.Fatalf("harness: read topic %s: %v", t.name, err)
		}
		record := recordFrom(t.name, r)
		if !slices.ContainsFunc(s.keep, func(keep func(Record) bool) bool { return !keep(record) }) {
			out = append(out, record)
		}
	}
	return out
}

func (t Topic) partitions() []fakebroker.Partition {
	t.h.t.Helper()
	partitions, err := t.h.broker.Partitions(t.name)
	switch {
	case errors.Is(err, fakebroker.ErrUnknownTopic):
		t.h.t.Fatalf("harness: there is no topic %q (topics: %s)", t.name, t.h.topicNames())
	case err != nil:
		t.h.t.Fatalf("harness: %v", err)
	}
	return partitions
}

func (h *Harness) topicNames() string {
	var names []string
	for _, t := range h.broker.Topics() {
		names = append(names, t.Name)
	}
	return list(names)
}

// Filter says which records of a topic are wanted.
type Filter struct{ narrow func(*selection) }

type selection struct {
	fakebroker.Selection

	keep []func(Record) bool
}

// InPartition lets through the records of one partition, or of those that are
// given in several filters. One that the topic does not have fails the test.
func InPartition(partition int32) Filter {
	return Filter{func(s *selection) { s.Partitions = append(s.Partitions, partition) }}
}

// WithKey lets through the records that have a key, and this one.
func WithKey(key string) Filter {
	return Where(func(r Record) bool { return r.Key != nil && string(r.Key) == key })
}

// WithoutTombstones lets through the records that have a value.
func WithoutTombstones() Filter { return Where(func(r Record) bool { return r.Value != nil }) }

// ReadCommitted lets through the records that a consumer sees which reads
// committed: none of an aborted transaction, and none of a partition from its
// first open transaction on.
func ReadCommitted() Filter {
	return Filter{func(s *selection) { s.ReadCommitted = true }}
}

// Where lets through the records for which keep is true.
func Where(keep func(Record) bool) Filter {
	return Filter{func(s *selection) { s.keep = append(s.keep, keep) }}
}

// Record is a record on a topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte // nil is null: no key
	Value     []byte // nil is null: a tombstone
	Headers   []adapter.Header
	// Timestamp is when the record was published, by the producer's clock, or by the
	// broker's in a topic with message.timestamp.type=LogAppendTime. In virtual time
	// both are the test's.
	Timestamp time.Time
}

// Header is the value of the last header with that key, as text, and empty
// when there is none.
func (r Record) Header(key string) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// String is where the record is.
func (r Record) String() string { return fmt.Sprintf("%s[%d]@%d", r.Topic, r.Partition, r.Offset) }

func recordFrom(topic string, r fakebroker.Record) Record {
	out := Record{
		Topic: topic, Partition: r.Partition, Offset: r.Offset,
		Key: r.Key, Value: r.Value, Timestamp: r.Timestamp,
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, adapter.Header{Key: h.Key, Value: h.Value})
	}
	return out
}
