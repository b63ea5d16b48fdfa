package adapter

import (
	"encoding"
	"encoding/json"
)

// Event is something that happened, in a form that knows how to put itself on
// a topic.
//
// An event may say more by implementing MessageKeyer, MessageHeaderer or
// MessagePartitioner.
type Event interface {
	// TopicName is the topic the event goes to.
	TopicName() string
	// MessageKey is the record's key: records with the same key go to the
	// same partition, in order. An empty key is a null key, which leaves the
	// partition to the producer.
	MessageKey() string
	// MessageData is what the Serializer turns into the record's value. Nil
	// is a tombstone: a record with a null value.
	MessageData() any
}

// MessageKeyer is an Event whose key is not text. It takes precedence over
// MessageKey. A nil key is a null key; an empty one is an empty key.
type MessageKeyer interface{ MessageKeyBytes() []byte }

// MessageHeaderer is an Event with record headers.
type MessageHeaderer interface{ MessageHeaders() []Header }

// MessagePartitioner is an Event that names its partition itself. A partition
// that the topic does not have makes Publish fail.
type MessagePartitioner interface{ MessagePartition() int32 }

// Header is one record header. Keys may repeat, and order is kept.
type Header struct {
	Key   string
	Value []byte // nil is null
}

// Serializer turns an event's data into a record's value. It is called from
// the goroutine that calls Publish and must be safe for concurrent use.
type Serializer func(data any) ([]byte, error)

// DefaultSerializer sends []byte and string as they are, lets an
// encoding.BinaryMarshaler or else an encoding.TextMarshaler speak for itself,
// and encodes the rest as JSON. Nil data gives a nil value, which is a
// tombstone.
func DefaultSerializer(data any) ([]byte, error) {
	switch d := data.(type) {
	case nil:
		return nil, nil
	case []byte:
		return d, nil
	case string:
		return []byte(d), nil
	case encoding.BinaryMarshaler:
		return nonNil(d.MarshalBinary())
	case encoding.TextMarshaler:
		return nonNil(d.MarshalText())
	default:
		return json.Marshal(d)
	}
}

// nonNil keeps an empty value from becoming a tombstone.
func nonNil(b []byte, err error) ([]byte, error) {
	if b == nil && err == nil {
		b = []byte{}
	}
	return b, err
}
