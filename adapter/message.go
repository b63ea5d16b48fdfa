package adapter

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Message is one delivery of a record to a handler. A handler must not change
// it: other attempts see the same key, value and headers. It may keep it, which
// keeps up to 119 others in memory with it.
type Message struct {
	// Topic, Partition and Offset say where the record was read from.
	Topic     string
	Partition int32
	Offset    int64

	// Key and Value are the record's raw bytes. Nil is null: a record
	// without a key, or a tombstone.
	Key, Value []byte
	// Headers are the record's headers, in order.
	Headers []Header
	// Timestamp is when the record was first published, by the clock that
	// the topic's message.timestamp.type names.
	Timestamp time.Time

	// Group is the consumer group that handles the record.
	Group string
	// Attempt counts the runs of the handler for this record in this group:
	// 1 is the first. In Mode ShareGroup it counts deliveries.
	Attempt int
	// FirstFailed is when the first attempt failed. Zero while none has, and in
	// Mode ShareGroup before the record was on a retry topic: the group does not
	// know it.
	FirstFailed time.Time
	// Origin is where the record was first published. It differs from Topic,
	// Partition and Offset when the record came back by way of another topic.
	Origin Origin

	cut           int           // see lane.push
	redriven      int           // see HeaderRedriven
	idle          time.Duration // see gate.idleFor
	timestampType int8          // as in a batch's attributes; -1 when it is not known
}

// Origin is the place of a record when it was first published.
type Origin struct {
	Topic     string
	Partition int32
	Offset    int64
}

// String is topic/partition/offset. A topic's name has no slash.
func (o Origin) String() string {
	return fmt.Sprintf("%s/%d/%d", o.Topic, o.Partition, o.Offset)
}

// ParseOrigin reads what Origin.String writes, as HeaderID has it, and nothing else:
// the error says what is wrong with it.
func ParseOrigin(s string) (Origin, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || parts[0] == "" || len(parts[0]) > maxTopicName {
		return Origin{}, errors.New("is not topic/partition/offset")
	}
	partition, err := parseNumber(parts[1], math.MaxInt32)
	if err != nil {
		return Origin{}, fmt.Errorf("the partition %w", err)
	}
	offset, err := parseNumber(parts[2], math.MaxInt64)
	if err != nil {
		return Origin{}, fmt.Errorf("the offset %w", err)
	}
	return Origin{parts[0], int32(partition), offset}, nil
}

// ID is the same for every delivery of a record to a group, and for no other:
// what a handler remembers to recognize a record that it has seen before.
// It is made of the origin and the group.
func (m *Message) ID() string { return m.Origin.String() + "/" + m.Group }

// Header is the value of the last header with that key, and whether there is
// one. The last wins where a key repeats, as in Kafka's own Headers.lastHeader.
func (m *Message) Header(key string) ([]byte, bool) {
	for i := len(m.Headers) - 1; i >= 0; i-- {
		if m.Headers[i].Key == key {
			return m.Headers[i].Value, true
		}
	}
	return nil, false
}

// String names the message for logs: topic, partition, offset and attempt.
func (m *Message) String() string {
	return fmt.Sprintf("%s[%d]@%d attempt %d", m.Topic, m.Partition, m.Offset, m.Attempt)
}
