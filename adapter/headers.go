package adapter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The headers that a record carries on a retry, dead-letter or redrive topic
// beside its own. All are ASCII text. A record that comes with headers of these
// names loses them when it goes there, and a consumer believes them only on its
// own group's topics, because anybody can write them.
const (
	// HeaderID is topic/partition/offset of the record first published.
	HeaderID = "retry-id"
	// HeaderAttempt is how often the handler has run for the record: 0 after
	// a redrive.
	HeaderAttempt = "retry-attempt"
	// HeaderTimestamp is when the record was first published, in RFC 3339, or
	// in milliseconds since 1970 where the year has not four digits.
	HeaderTimestamp = "retry-timestamp"
	// HeaderFirstFailed is when the first attempt failed, written like
	// HeaderTimestamp.
	HeaderFirstFailed = "retry-first-failed"
	// HeaderError is what the last attempt failed with, cut to 512 bytes.
	HeaderError = "retry-error"
	// HeaderGroup is the consumer group that failed to process the record.
	HeaderGroup = "retry-group"
	// HeaderNotBefore is when the next attempt is due, written like
	// HeaderTimestamp, where that is later than the retry topic's delay makes
	// it.
	HeaderNotBefore = "retry-not-before"
	// HeaderGateClosed is for how many milliseconds since the first failure
	// Subscription.Gate was closed, a slash, and up to when that is counted, written
	// like HeaderTimestamp. It is there on retry topics of subscriptions with a Gate.
	HeaderGateClosed = "retry-gate-closed"
	// HeaderRedriven is how often the record was taken back from the
	// dead-letter topic. It is not there before the first time.
	HeaderRedriven = "retry-redriven"
)

// The headers that Spring Kafka's DeadLetterPublishingRecoverer writes, as its
// KafkaHeaders names them.
const (
	springExceptionClass   = "kafka_dlt-exception-fqcn"
	springExceptionMessage = "kafka_dlt-exception-message"
	springTopic            = "kafka_dlt-original-topic"
	springPartition        = "kafka_dlt-original-partition"
	springOffset           = "kafka_dlt-original-offset"
	springTimestamp        = "kafka_dlt-original-timestamp"
	springTimestampType    = "kafka_dlt-original-timestamp-type"
	springGroup            = "kafka_dlt-original-consumer-group"
)

const (
	maxErrorText = 512
	maxGroupText = 512
	// headerRoom is what all of the headers above can add to a record.
	headerRoom = 4096
)

// isOwnHeader reports whether a header is one that the adapter writes.
func isOwnHeader(key string) bool {
	switch key {
	case HeaderID, HeaderAttempt, HeaderTimestamp, HeaderFirstFailed, HeaderError, HeaderGroup, HeaderNotBefore,
		HeaderGateClosed, HeaderRedriven:
		return true
	}
	return false
}

func isSpringHeader(key string) bool {
	switch key {
	case springExceptionClass, springExceptionMessage, springTopic, springPartition, springOffset,
		springTimestamp, springTimestampType, springGroup:
		return true
	}
	return false
}

// headerStyle says how a subscription wants the headers written.
type headerStyle struct {
	// redact takes out of an error's text what must not be kept. Nil keeps
	// everything.
	redact func(string) string
	// spring adds Spring Kafka's headers to dead letters.
	spring bool
}

// errorText is an error as a header has it: redacted before it is cut, so that
// a cut cannot hide from redact what it looks for.
func (s headerStyle) errorText(cause error) (text string) {
	text = fmt.Sprint(cause)
	if s.redact == nil {
		return asciiText(text, maxErrorText)
	}
	defer func() {
		if p := recover(); p != nil {
			text = "(Redact panicked)"
		}
	}()
	return asciiText(s.redact(text), maxErrorText)
}

// asciiText is s with what is not printable ASCII escaped as in a Go string,
// and no longer than limit.
func asciiText(s string, limit int) string {
	q := strconv.QuoteToASCII(s[:min(len(s), limit)])
	q = q[1 : len(q)-1]
	q = strings.ReplaceAll(q, `\"`, `"`)
	return q[:min(len(q), limit)]
}

// springHeaders are what Spring Kafka's tools read of a dead letter: texts in
// UTF-8, numbers as Java's ByteBuffer writes them.
func springHeaders(m *Message, cause error, text string) []kgo.RecordHeader {
	hs := []kgo.RecordHeader{
		{Key: springTopic, Value: []byte(m.Origin.Topic)},
		{Key: springPartition, Value: binary.BigEndian.AppendUint32(nil, uint32(m.Origin.Partition))},
		{Key: springOffset, Value: binary.BigEndian.AppendUint64(nil, uint64(m.Origin.Offset))},
		{Key: springTimestamp, Value: binary.BigEndian.AppendUint64(nil, uint64(m.Timestamp.UnixMilli()))},
	}
	// What came by way of another topic has lost the type of its timestamp.
	switch m.timestampType {
	case 0:
		hs = append(hs, kgo.RecordHeader{Key: springTimestampType, Value: []byte("CreateTime")})
	case 1:
		hs = append(hs, kgo.RecordHeader{Key: springTimestampType, Value: []byte("LogAppendTime")})
	}
	return append(hs,
		kgo.RecordHeader{Key: springGroup, Value: []byte(m.Group)},
		kgo.RecordHeader{Key: springExceptionClass, Value: []byte(asciiText(errorType(cause), maxErrorText))},
		kgo.RecordHeader{Key: springExceptionMessage, Value: []byte(text)},
	)
}

// errorType is the type of an error, in place of an exception's class: of the
// handler's own error where the adapter has wrapped it.
func errorType(err error) string {
	var used *AttemptsError
	if errors.As(err, &used) && used.Err != nil {
		err = used.Err
	}
	return fmt.Sprintf("%T", err)
}
