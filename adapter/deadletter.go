package adapter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The headers that a dead letter carries beside the record's own. All are
// ASCII text. A record that comes with headers of these names loses them, and
// a consumer believes them only on its own group's topics, because anybody can
// write them.
const (
	// HeaderID is topic/partition/offset of the record first published.
	HeaderID = "retry-id"
	// HeaderAttempt is how often the handler ran.
	HeaderAttempt = "retry-attempt"
	// HeaderTimestamp is when the record was first published, in RFC 3339.
	HeaderTimestamp = "retry-timestamp"
	// HeaderFirstFailed is when the first attempt failed, in RFC 3339.
	HeaderFirstFailed = "retry-first-failed"
	// HeaderError is why the record was given up, cut to 512 bytes.
	HeaderError = "retry-error"
	// HeaderGroup is the consumer group that gave it up.
	HeaderGroup = "retry-group"
)

const (
	maxErrorText = 512
	// headerRoom is what the headers above can add to a record: a topic's
	// name, a group's, the error, two times and two numbers, with their keys.
	headerRoom = 4096
	// minDeadLetterLimit is the least that the client lets through to a
	// dead-letter topic, before compression; the broker has the last word.
	minDeadLetterLimit = 64 << 20
)

var errNoSuchTopic = errors.New("it does not exist")

// isOwnHeader reports whether a header is one that the adapter writes.
func isOwnHeader(key string) bool {
	switch key {
	case HeaderID, HeaderAttempt, HeaderTimestamp, HeaderFirstFailed, HeaderError, HeaderGroup:
		return true
	}
	return false
}

// deadLetter is the record that goes to the dead-letter topic: key, value and
// other headers are unchanged, and so is the partition's number.
func deadLetter(m *Message, cause error) *kgo.Record {
	r := &kgo.Record{
		Topic:   DeadLetterTopic(m.Topic, m.Group),
		Key:     m.Key,
		Value:   m.Value,
		Context: withPartition(context.Background(), m.Partition),
	}
	for _, h := range m.Headers {
		if !isOwnHeader(h.Key) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	add := func(key, value string) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	add(HeaderID, m.Origin.String())
	add(HeaderAttempt, strconv.Itoa(m.Attempt))
	add(HeaderTimestamp, m.Timestamp.UTC().Format(time.RFC3339Nano))
	if !m.FirstFailed.IsZero() {
		add(HeaderFirstFailed, m.FirstFailed.UTC().Format(time.RFC3339Nano))
	}
	add(HeaderGroup, asciiText(m.Group, maxErrorText))
	add(HeaderError, asciiText(fmt.Sprint(cause), maxErrorText))
	return r
}

// asciiText is s with what is not printable ASCII escaped as in a Go string,
// and no longer than limit.
func asciiText(s string, limit int) string {
	q := strconv.QuoteToASCII(s[:min(len(s), limit)])
	q = q[1 : len(q)-1]
	q = strings.ReplaceAll(q, `\"`, `"`)
	return q[:min(len(q), limit)]
}

// deadLettering is a record on its way to its dead-letter topic.
type deadLettering struct {
	a       *Adapter
	m       *Message
	cause   error
	trimmed bool
	record  *kgo.Record
	sent    *sending // nil unless record is under way
}

// publish puts the record on the topic. When it fails it may be called again:
// a record whose outcome is unknown is not sent twice, but waited for again.
func (d *deadLettering) publish(ctx context.Context) error {
	if d.sent == nil {
		d.record = deadLetter(d.m, d.cause)
		if d.trimmed {
			d.record.Headers = slices.DeleteFunc(d.record.Headers, func(h kgo.RecordHeader) bool { return h.Key == HeaderError })
		}
		d.sent = d.a.send(ctx, d.record)
	}
	err := d.sent.wait(ctx)[0]
	if d.sent.ended() {
		d.sent = nil
	}
	switch {
	case err == nil:
		if f := d.a.cfg.Trace.DeadLettered; f != nil {
			f(d.m, d.cause, Origin{d.record.Topic, d.record.Partition, d.record.Offset})
		}
	case errors.Is(err, ErrTooLarge) && !d.trimmed:
		// The record was fit for its own topic, so what is too much is what
		// was added. The error's text is also in the log.
		d.trimmed = true
		return d.publish(ctx)
	}
	return err
}

// ensureDeadLetterTopics creates the dead-letter topics of a group, or
// verifies those that exist: every record of the source must fit, and keep its
// partition, and nothing may be compacted away.
func (a *Adapter) ensureDeadLetterTopics(ctx context.Context, group string, sources map[string]topicInfo) error {
	var names []string
	for _, source := range sortedKeys(sources) {
		names = append(names, DeadLetterTopic(source, group))
	}
	existing, err := a.describe(ctx, names...)
	if err != nil {
		return err
	}
	for _, source := range sortedKeys(sources) {
		dlt := DeadLetterTopic(source, group)
		configs, err := a.topicConfigs(ctx, source)
		if err != nil {
			a.cfg.Logger.Warn("cannot read the configuration of a topic: its dead letters are held to the broker's default size", "topic", source, "error", err)
		}
		limit := int32(min(int64(maxMessageBytes(configs))+headerRoom, math.MaxInt32))
		// The client looks at a batch before it is compressed, the broker
		// after: what was compressed on its way here must get past the client.
		a.limits.set(dlt, max(limit, minDeadLetterLimit))
		if _, ok := existing[dlt]; !ok {
			spec := TopicSpec{Name: dlt, Partitions: int32(sources[source].partitions), Configs: map[string]string{
				"cleanup.policy":    "delete",
				"max.message.bytes": strconv.Itoa(int(limit)),
			}}
			if err := a.createTopic(ctx, spec); err != nil {
				return err
			}
		}
	}
	have, err := a.awaitUsable(ctx, names...)
	if err != nil {
		return err
	}
	for _, source := range sortedKeys(sources) {
		dlt := DeadLetterTopic(source, group)
		if want, n := sources[source].partitions, have[dlt].partitions; n < want {
			return &TopicMismatchError{Topic: dlt, Field: "partitions", Have: strconv.Itoa(n),
				Want: fmt.Sprintf("%d or more, as topic %q has", want, source)}
		}
		if _, ok := existing[dlt]; !ok {
			continue
		}
		configs, err := a.topicConfigs(ctx, dlt)
		if err != nil {
			a.cfg.Logger.Warn("cannot verify a dead-letter topic", "topic", dlt, "error", err)
			continue
		}
		if p := configs["cleanup.policy"]; strings.Contains(p, "compact") {
			return &TopicMismatchError{Topic: dlt, Field: "cleanup.policy", Have: p, Want: "delete"}
		}
	}
	return nil
}
