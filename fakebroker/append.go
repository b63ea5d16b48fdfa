package fakebroker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker/correct"
)

// AnyPartition lets a record's key decide, see [Broker.Append].
const AnyPartition int32 = -1

// Append writes records to a topic, each to its Partition; with [AnyPartition]
// the key decides as it does for Kafka's clients, and records without a key go
// to one partition together. A zero Timestamp means now, and so does any
// in a topic with message.timestamp.type=LogAppendTime. Records of a partition
// keep their order; rules and faults do not touch them. It returns them with
// partition, offset and timestamp. An error wraps [ErrUnknownTopic],
// [ErrInvalidTopic] (of an internal one, __consumer_offsets and the like) or
// [ErrClosed], or says what the broker refuses; some may have been written then.
// It is safe for concurrent use.
func (b *Broker) Append(ctx context.Context, topic string, records ...Record) ([]Record, error) {
	parts, err := b.Partitions(topic)
	if err != nil {
		return nil, err
	}
	if correct.IsInternal(topic) {
		return nil, isInternal(topic)
	}
	if t, ok := (corrected{b}).Topic(topic); ok && t.Compacted {
		for i, r := range records {
			if r.Key == nil {
				return nil, fmt.Errorf("appending to topic %s: record %d has no key, and a compacted topic needs one: %w", topic, i+1, kerr.InvalidRecord)
			}
		}
	}
	partitioner := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	sent := make([]*kgo.Record, len(records))
	for i, r := range records {
		at, err := b.timestamps.Append(topic, r.Timestamp)
		if err != nil {
			return nil, fmt.Errorf("appending to topic %s: record %d: %w", topic, i+1, err)
		}
		out := &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: at}
		for _, h := range r.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		switch {
		case r.Partition == AnyPartition:
			out.Partition = int32(partitioner.Partition(out, len(parts)))
		case r.Partition < 0 || int(r.Partition) >= len(parts):
			return nil, fmt.Errorf("topic %s has no partition %d, only %d partitions", topic, r.Partition, len(parts))
		}
		sent[i] = out
	}
	cl, err := b.insideClient()
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	out := make([]Record, 0, len(sent))
	for _, r := range cl.ProduceSync(ctx, sent...) {
		if r.Err != nil {
			return out, fmt.Errorf("appending to topic %s, partition %d: %w", topic, r.Record.Partition, r.Err)
		}
	}
	for _, r := range sent {
		out = append(out, plainRecord(r))
	}
	return out, nil
}

func isInternal(topic string) error {
	return fmt.Errorf("%w: %s is internal, and is written by coordinators only; use another", ErrInvalidTopic, topic)
}
