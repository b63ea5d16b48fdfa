package adapter

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// move is a record on its way to its next home: a retry, dead-letter or redrive
// topic of its group.
type move struct {
	a      *Adapter
	record kgo.Record     // as it is to be; what is sent is a copy
	done   func(m Origin) // told once, where the record is now; may be nil

	alone bool     // no other record may be on its way to the partition
	sent  *sending // nil unless a copy is under way
	out   *kgo.Record
}

// movedTo is a record with a key, value and headers for another topic, with the
// same partition number.
func (a *Adapter) movedTo(topic string, partition int32, key, value []byte, headers []kgo.RecordHeader) *move {
	return &move{a: a, record: kgo.Record{
		Topic: topic, Key: key, Value: value, Headers: headers,
		Context: withPartition(context.Background(), partition),
	}}
}

// moveToDeadLetters gives a message up, because of cause. source is the topic
// of the subscription that the message came by, which no header decides.
func (a *Adapter) moveToDeadLetters(source string, m *Message, cause error, style headerStyle) *move {
	text := style.errorText(cause)
	headers := foreignHeaders(m, style.spring)
	headers = append(headers, trailOf(m).headers()...)
	headers = append(headers, kgo.RecordHeader{Key: HeaderError, Value: []byte(text)})
	if style.spring {
		headers = append(headers, springHeaders(m, cause, text)...)
	}
	v := a.movedTo(DeadLetterTopic(source, m.Group), m.Partition, m.Key, m.Value, headers)
	v.done = func(at Origin) {
		if f := a.cfg.Trace.DeadLettered; f != nil {
			f(m, cause, at)
		}
	}
	return v
}

// moveToRetry puts a message, whose last attempt failed with cause, on the
// retry topic for a delay. A notBefore that is not zero is when the next
// attempt is due where that is later.
func (l *lane) moveToRetry(m *Message, cause error, delay time.Duration, notBefore time.Time) *move {
	t := trailOf(m)
	t.notBefore = notBefore
	if l.c.gate != nil && !m.FirstFailed.IsZero() {
		t.idle, t.idleTo = l.c.gate.idleFor(m), time.Now()
	}
	return l.c.a.moveToRetry(l.own.source, m, t, cause, delay, l.c.sub.headerStyle())
}

func (a *Adapter) moveToRetry(source string, m *Message, t trail, cause error, delay time.Duration, style headerStyle) *move {
	headers := append(foreignHeaders(m, false), t.headers()...)
	headers = append(headers, kgo.RecordHeader{Key: HeaderError, Value: []byte(style.errorText(cause))})
	v := a.movedTo(RetryTopic(source, m.Group, delay), m.Partition, m.Key, m.Value, headers)
	v.done = func(at Origin) {
		if f := a.cfg.Trace.Hopped; f != nil {
			f(m, cause, at)
		}
	}
	return v
}

// moveOn puts a record of a retry topic, as it is, on the retry topic for a
// delay: its time has not come, and no attempt is used.
func (a *Adapter) moveOn(source string, m *Message, r *kgo.Record, delay time.Duration) *move {
	v := a.movedTo(RetryTopic(source, m.Group, delay), r.Partition, r.Key, r.Value, r.Headers)
	v.done = func(at Origin) {
		if f := a.cfg.Trace.Hopped; f != nil {
			f(m, nil, at)
		}
	}
	return v
}

// moving is how a record gets to another topic. What makes the move runs without the
// lane's mutex: it calls the user's Redact.
func (l *lane) moving(m *Message, build func() *move) func(context.Context) error {
	var v *move
	return func(ctx context.Context) error {
		if v == nil {
			v = build()
		}
		if l.c.hops != nil {
			return l.c.hops.move(ctx, l, m, v)
		}
		return v.publish(ctx)
	}
}

// foreignHeaders are those of a message's headers that moving it does not
// overwrite.
func foreignHeaders(m *Message, spring bool) []kgo.RecordHeader {
	var hs []kgo.RecordHeader
	for _, h := range m.Headers {
		if !isOwnHeader(h.Key) && (!spring || !isSpringHeader(h.Key)) {
			hs = append(hs, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	return hs
}

// send hands the record to the client, unless it has it already. ctx bounds the
// wait until it may go.
func (v *move) send(ctx context.Context) error {
	if v.sent != nil {
		return nil
	}
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, v.a.cfg.PublishTimeout)
	defer cancel()
	leave, err := v.a.limits.enter(limited, &v.record, v.alone)
	switch {
	case ctx.Err() != nil && err != nil:
		return &TimeoutError{Err: ctx.Err()}
	case err != nil:
		return &TimeoutError{After: time.Since(start).Round(time.Millisecond), Err: errors.New("too much is on its way to the partition")}
	}
	r := v.record
	v.out = &r
	v.sent = v.a.sendThen(ctx, leave, v.out)
	return nil
}

// publish puts the record on the topic and waits until the brokers have
// acknowledged it. When it fails it may be called again: a record whose outcome
// is unknown is not sent twice, but waited for again. obstacleOf tells what kind
// of failure it is.
func (v *move) publish(ctx context.Context) error {
	for {
		if err := v.send(ctx); err != nil {
			return err
		}
		err, out := v.sent.wait(ctx)[0], v.out
		if v.sent.ended() {
			v.sent, v.out = nil, nil
		}
		switch {
		case err == nil:
			if v.done != nil {
				v.done(Origin{out.Topic, out.Partition, out.Offset})
			}
			return nil
		case errors.Is(err, ErrTooLarge) && !v.alone:
			// It may have been too large only together with others.
			v.alone = true
		case errors.Is(err, ErrTooLarge) && v.trim():
		default:
			return err
		}
	}
}

// obstacle is what kind of failure keeps a move from its topic.
type obstacle int

const (
	// passing: trying again can help.
	passing obstacle = iota
	// tooLarge: the topic does not take a record of this size, although what the
	// headers said of the error has been left out.
	tooLarge
	// forGood: somebody has to act first, as with a permission that is missing.
	forGood
)

// obstacleOf tells what kind of failure an error of move.publish is. It is passing
// for nil.
func obstacleOf(err error) obstacle {
	switch {
	case errors.Is(err, ErrTooLarge):
		return tooLarge
	case err == nil, Retryable(err):
		return passing
	}
	return forGood
}

// trim leaves out what an error said, and reports whether there was something.
// The record was fit for its own topic, so what is too much is what was added.
// The error's text is also in the log.
func (v *move) trim() bool {
	kept := slices.DeleteFunc(slices.Clone(v.record.Headers), func(h kgo.RecordHeader) bool {
		return h.Key == HeaderError || h.Key == springExceptionMessage
	})
	trimmed := len(kept) < len(v.record.Headers)
	v.record.Headers = kept
	return trimmed
}
