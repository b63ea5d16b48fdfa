package adapter

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// What callers branch on, by errors.Is; the typed errors below, found by
// errors.As, tell the details. The end of a context may be the context's own error.
var (
	// ErrNotConnected: no broker could be reached. See NotConnectedError.
	ErrNotConnected = errors.New("not connected")
	// ErrSerialize: an event's data could not be turned into bytes. See
	// SerializeError.
	ErrSerialize = errors.New("cannot serialize")
	// ErrRefused: the broker answered with an error. See RefusedError.
	ErrRefused = errors.New("refused by the broker")
	// ErrTooLarge: a record is larger than the topic or the client allows.
	// See TooLargeError.
	ErrTooLarge = errors.New("record too large")
	// ErrUnknownTopic: the topic, or the partition, does not exist. See
	// UnknownTopicError and MissingTopicsError.
	ErrUnknownTopic = errors.New("unknown topic or partition")
	// ErrTimeout: no answer came in time, so the outcome is unknown. See
	// TimeoutError.
	ErrTimeout = errors.New("timed out")
	// ErrClosed: the adapter or the consumer is closed.
	ErrClosed = errors.New("closed")
	// ErrTopicMismatch: a topic exists, and is not as specified. See
	// TopicMismatchError.
	ErrTopicMismatch = errors.New("topic is not as specified")
	// ErrConfig: a Config, a subscription, a RedriveSpec or a TopicSpec cannot
	// work. See ConfigError.
	ErrConfig = errors.New("bad configuration")
	// ErrStale: the partition was taken away from this member, so that what
	// is done with its records here no longer counts.
	ErrStale = errors.New("the partition is no longer assigned to this member")
	// ErrDecode: a value could not be decoded. See DecodeError.
	ErrDecode = errors.New("cannot decode")
)

var errTombstone = errors.New("the value is null (a tombstone)")

// Retryable reports whether doing the same again can help, as the first error
// in err's tree that has an opinion says. Unknown errors are not retryable.
func Retryable(err error) bool {
	var r interface{ Retryable() bool }
	return errors.As(err, &r) && r.Retryable()
}

// ConfigError is a setting that cannot work.
type ConfigError struct {
	Field   string // the field's name, as in Config.Brokers or Subscription.Group
	Problem string // what is wrong, and what to do
}

func (e *ConfigError) Error() string   { return fmt.Sprintf("%s: %s", e.Field, e.Problem) }
func (e *ConfigError) Is(t error) bool { return t == ErrConfig }
func (e *ConfigError) Retryable() bool { return false }

// NotConnectedError says which brokers were tried, and why the last try
// failed.
type NotConnectedError struct {
	Brokers []string
	Cause   error // the last cause; nil when no try has ended yet
}

func (e *NotConnectedError) Error() string {
	s := "not connected to any of " + strings.Join(e.Brokers, ", ")
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}
func (e *NotConnectedError) Is(t error) bool { return t == ErrNotConnected }
func (e *NotConnectedError) Unwrap() error   { return e.Cause }

// Retryable is true, unless the broker was reached and refused the
// credentials.
func (e *NotConnectedError) Retryable() bool { return !isAuthentication(e.Cause) }

// PublishError is one event that was not published, or not known to be: see
// PublishErrors.
type PublishError struct {
	Index int    // the event's place in Publish's arguments, from 0
	Event Event  // the event itself
	Topic string // its topic
	Err   error  // why: see Publish
}

func (e *PublishError) Error() string {
	return fmt.Sprintf("publish event %d (%T) to topic %q: %v", e.Index, e.Event, e.Topic, e.Err)
}
func (e *PublishError) Unwrap() error { return e.Err }

// SerializeError is an event whose data could not be turned into bytes.
type SerializeError struct {
	Type string // the event's Go type
	Err  error  // the Serializer's
}

func (e *SerializeError) Error() string   { return fmt.Sprintf("cannot serialize %s: %v", e.Type, e.Err) }
func (e *SerializeError) Is(t error) bool { return t == ErrSerialize }
func (e *SerializeError) Unwrap() error   { return e.Err }
func (e *SerializeError) Retryable() bool { return false }

// RefusedError is a protocol error that the broker answered with.
type RefusedError struct {
	Code  int16  // Kafka's error code, as in the protocol's table; -1 also for what the client refused itself
	Name  string // its name, as in TOPIC_AUTHORIZATION_FAILED; empty for what the client refused
	Err   error  // the client's error
	retry bool
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("refused by the broker with error %d: %v", e.Code, e.Err)
}
func (e *RefusedError) Is(t error) bool { return t == ErrRefused }
func (e *RefusedError) Unwrap() error   { return e.Err }

// Retryable is what the protocol's table says of the code.
func (e *RefusedError) Retryable() bool { return e.retry }

// TooLargeError is a record that is larger than allowed.
type TooLargeError struct {
	Topic string
	Err   error // the client's or the broker's word
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("record too large for topic %q: %v: send less, or raise the topic's max.message.bytes", e.Topic, e.Err)
}
func (e *TooLargeError) Is(t error) bool { return t == ErrTooLarge || t == ErrRefused }
func (e *TooLargeError) Unwrap() error   { return e.Err }
func (e *TooLargeError) Retryable() bool { return false }

// UnknownTopicError is a topic, or a partition of one, that does not exist.
type UnknownTopicError struct {
	Topic string
	Err   error // the broker's or the client's word
}

func (e *UnknownTopicError) Error() string {
	return fmt.Sprintf("topic %q: %v: create it first, with EnsureTopics for example", e.Topic, e.Err)
}
func (e *UnknownTopicError) Is(t error) bool { return t == ErrUnknownTopic || t == ErrRefused }
func (e *UnknownTopicError) Unwrap() error   { return e.Err }

// Retryable is true: somebody may create the topic.
func (e *UnknownTopicError) Retryable() bool { return true }

// TimeoutError is an answer that did not come in time. What was asked for may
// have happened, and may still happen.
type TimeoutError struct {
	After time.Duration // how long was waited; zero when the caller set the limit
	Err   error         // the last cause, when one is known
}

func (e *TimeoutError) Error() string {
	s := "no answer in time"
	if e.After > 0 {
		s = fmt.Sprintf("no answer within %v", e.After)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}
func (e *TimeoutError) Is(t error) bool { return t == ErrTimeout }
func (e *TimeoutError) Unwrap() error   { return e.Err }
func (e *TimeoutError) Timeout() bool   { return true }
func (e *TimeoutError) Retryable() bool { return true }

// TopicMismatchError is a topic that exists and differs from its TopicSpec, or
// from what a subscription needs of its own topics.
type TopicMismatchError struct {
	Topic      string
	Field      string // partitions, replication factor, or a configuration's name
	Want, Have string
}

func (e *TopicMismatchError) Error() string {
	return fmt.Sprintf("topic %q exists with %s %s, want %s: alter the topic or the specification", e.Topic, e.Field, e.Have, e.Want)
}
func (e *TopicMismatchError) Is(t error) bool { return t == ErrTopicMismatch }
func (e *TopicMismatchError) Retryable() bool { return false }

// MissingTopicsError is topics of the adapter's own that do not exist and may
// not be created by it: the subscription, or the broker, does not allow that.
type MissingTopicsError struct {
	// Topics are the topics to create, with what they need.
	Topics []TopicSpec
	Err    error // the broker's refusal; nil when the subscription forbids it
}

func (e *MissingTopicsError) Error() string {
	s := "topics are missing and may not be created here"
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	for i, t := range e.Topics {
		s += [...]string{": create ", "; and "}[min(i, 1)] + specText(t)
	}
	return s
}
func (e *MissingTopicsError) Is(t error) bool { return t == ErrUnknownTopic }
func (e *MissingTopicsError) Unwrap() error   { return e.Err }

// Retryable is true: somebody may create the topics.
func (e *MissingTopicsError) Retryable() bool { return true }

// DecodeError is a value that is not what the handler expects.
type DecodeError struct {
	Type string // the Go type wanted
	Err  error  // what is wrong with the value
}

func (e *DecodeError) Error() string   { return fmt.Sprintf("cannot decode a %s: %v", e.Type, e.Err) }
func (e *DecodeError) Is(t error) bool { return t == ErrDecode }
func (e *DecodeError) Unwrap() error   { return e.Err }
func (e *DecodeError) Retryable() bool { return false }

// isAuthentication reports whether a broker was reached and refused the
// credentials: trying again with the same ones cannot help.
func isAuthentication(err error) bool {
	return errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism) ||
		errors.Is(err, kerr.IllegalSaslState)
}
