package adapter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What is beyond these cannot honestly be in a header.
const (
	maxCount = 1_000_000
	maxIdle  = 100 * 365 * 24 * time.Hour
)

// trail is what a record's headers say of its way so far.
type trail struct {
	origin      Origin
	timestamp   time.Time // when it was first published
	group       string
	attempts    int       // runs of the handler
	firstFailed time.Time // zero while no attempt has failed
	notBefore   time.Time // zero when it is due as its topic says
	// Up to idleTo, idle is how much of the time since firstFailed the gate was
	// closed. Both are zero where nobody has told.
	idle     time.Duration
	idleTo   time.Time
	redriven int
}

// trailOf is the way of a message that is about to leave the topic it was read
// from.
func trailOf(m *Message) trail {
	return trail{
		origin: m.Origin, timestamp: m.Timestamp, group: m.Group,
		attempts: m.Attempt, firstFailed: m.FirstFailed, redriven: m.redriven,
	}
}

// headers are the trail in headers.
func (t trail) headers() []kgo.RecordHeader {
	var hs []kgo.RecordHeader
	add := func(key, value string) { hs = append(hs, kgo.RecordHeader{Key: key, Value: []byte(value)}) }
	add(HeaderID, t.origin.String())
	add(HeaderAttempt, strconv.Itoa(t.attempts))
	add(HeaderTimestamp, timeText(t.timestamp))
	if !t.firstFailed.IsZero() {
		add(HeaderFirstFailed, timeText(t.firstFailed))
	}
	if !t.notBefore.IsZero() {
		add(HeaderNotBefore, timeText(t.notBefore))
	}
	if !t.idleTo.IsZero() {
		add(HeaderGateClosed, strconv.FormatInt(t.idle.Milliseconds(), 10)+"/"+timeText(t.idleTo))
	}
	if t.redriven > 0 {
		add(HeaderRedriven, strconv.Itoa(t.redriven))
	}
	add(HeaderGroup, asciiText(t.group, maxGroupText))
	return hs
}

// trailError says why the headers of a record are not believed.
type trailError struct {
	header  string
	value   string
	problem string
}

func (e *trailError) Error() string {
	if e.value == "" {
		return fmt.Sprintf("header %s: %s", e.header, e.problem)
	}
	return fmt.Sprintf("header %s: %q: %s", e.header, e.value, e.problem)
}

// readTrail reads what this group's headers say of a record of a source topic.
// All of it is believed or nothing: the error is a *trailError.
func readTrail(headers []kgo.RecordHeader, source, group string) (trail, error) {
	values := map[string]string{}
	for _, h := range headers {
		if !isOwnHeader(h.Key) {
			continue
		}
		if _, ok := values[h.Key]; ok {
			return trail{}, &trailError{h.Key, "", "is there twice"}
		}
		values[h.Key] = string(h.Value)
	}
	t := trail{group: group}
	var err error
	for _, f := range []struct {
		key      string
		optional bool
		read     func(string) error
	}{
		{HeaderGroup, false, func(s string) error {
			if s != asciiText(group, maxGroupText) {
				return errors.New("is of another group")
			}
			return nil
		}},
		{HeaderID, false, func(s string) error {
			if t.origin, err = ParseOrigin(s); err == nil && !isTopicOf(t.origin.Topic, source, group) {
				err = fmt.Errorf("is of another topic than %q", source)
			}
			return err
		}},
		{HeaderAttempt, false, readCount(&t.attempts)},
		{HeaderTimestamp, false, readTime(&t.timestamp)},
		{HeaderFirstFailed, true, readTime(&t.firstFailed)},
		{HeaderNotBefore, true, readTime(&t.notBefore)},
		{HeaderGateClosed, true, t.readIdle},
		{HeaderRedriven, true, readCount(&t.redriven)},
	} {
		s, ok := values[f.key]
		if !ok {
			if f.optional {
				continue
			}
			return trail{}, &trailError{f.key, "", "is missing"}
		}
		if err := f.read(s); err != nil {
			return trail{}, &trailError{f.key, s, err.Error()}
		}
	}
	return t, nil
}

// isTopicOf reports whether a topic is a source, or one of the group's own for it:
// there starts the way of a record that somebody else put on it.
func isTopicOf(topic, source, group string) bool {
	own := source + "." + escapeGroup(group) + "."
	return topic == source || strings.HasPrefix(topic, own[:min(len(own), maxTopicName-ownHash)])
}

// returned is a record that this group put on one of its own topics for a
// source, as the message that goes to the handler again, and what its headers say.
//
// An error says that the record's headers are not believed: they stay with the
// record, which counts as first published where it is.
func returned(r *kgo.Record, source, group string) (m Message, t trail, err error) {
	m = published(r)
	m.Group, m.Attempt = group, 1
	if t, err = readTrail(r.Headers, source, group); err != nil {
		return m, t, err
	}
	m.Headers = nil
	for _, h := range r.Headers {
		if !isOwnHeader(h.Key) {
			m.Headers = append(m.Headers, Header{Key: h.Key, Value: h.Value})
		}
	}
	m.Origin, m.Timestamp, m.timestampType = t.origin, t.timestamp, -1
	m.Attempt, m.FirstFailed, m.redriven = t.attempts+1, t.firstFailed, t.redriven
	return m, t, nil
}

// parseNumber reads a number as this package writes it: no sign, no zeros
// before it.
func parseNumber(s string, limit int64) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil || strconv.FormatInt(n, 10) != s:
		return 0, errors.New("is not a number")
	case n < 0 || n > limit:
		return 0, fmt.Errorf("is not between 0 and %d", limit)
	}
	return n, nil
}

func readCount(to *int) func(string) error {
	return func(s string) error {
		n, err := parseNumber(s, maxCount)
		*to = int(n)
		return err
	}
}

// readIdle reads milliseconds/time.
func (t *trail) readIdle(s string) error {
	count, at, _ := strings.Cut(s, "/")
	n, err := parseNumber(count, maxIdle.Milliseconds())
	if err != nil {
		return fmt.Errorf("the duration %w", err)
	}
	t.idle = time.Duration(n) * time.Millisecond
	if err := readTime(&t.idleTo)(at); err != nil || t.idleTo.IsZero() {
		return errors.New("its time is not one in RFC 3339")
	}
	return nil
}

// timeText writes a time so that readTime reads the same. A timestamp of Kafka's
// may lie outside the years that RFC 3339 can write.
func timeText(t time.Time) string {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return strconv.FormatInt(t.UnixMilli(), 10)
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func readTime(to *time.Time) func(string) error {
	return func(s string) error {
		if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
			*to = time.UnixMilli(ms)
			return nil
		}
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return errors.New("is not a time in RFC 3339")
		}
		*to = t.Local() // as the client has it
		return nil
	}
}
