package adapter

import (
	"time"
)

// delivery is a record on its way through a Handler.
type delivery struct {
	m      *Message
	result *Result // what the last attempt returned; nil before it has run
}

// handleRecord is lane.work for a Handler: one attempt of one record.
func (l *lane) handleRecord() bool {
	if l.current == nil {
		popped := l.pop(1)
		if len(popped.records) == 0 {
			return false
		}
		l.current = &delivery{m: l.messages(popped)[0]}
	}
	d := l.current
	if d.result == nil {
		l.attempt(d)
	}
	return l.decide(d.m, *d.result)
}

// attempt runs the handler once.
func (l *lane) attempt(d *delivery) {
	trace := l.c.a.cfg.Trace
	if trace.Delivered != nil {
		trace.Delivered(d.m)
	}
	start := time.Now()
	returned := func(r Result) {
		l.setRunning(0)
		d.result = &r
		if trace.Returned != nil {
			trace.Returned(d.m, r, time.Since(start))
		}
	}
	l.setRunning(1)
	var r Result
	ok := false
	l.guard(
		func() { r = l.c.sub.Handler.Handle(l.ctx, d.m); ok = true },
		func(err error) { returned(Retry(err)) },
	)
	if ok {
		returned(r)
	}
}

// decide does what a result asks for, and reports whether the lane goes on.
func (l *lane) decide(m *Message, r Result) bool {
	switch {
	case l.isFenced():
		return false
	case r.Type() == ResultCommit:
		return l.settleCurrent(m)
	case r.Type() == ResultReject:
		return l.reject(m, r.Err()) && l.settleCurrent(m)
	}
	next := *m // the handler may have kept m
	next.Attempt++
	if next.FirstFailed.IsZero() {
		next.FirstFailed = time.Now()
	}
	if m.Attempt >= l.c.sub.Retry.Attempts {
		m = &next
		m.Attempt--
		return l.reject(m, &AttemptsError{Attempts: m.Attempt, Err: r.Err()}) && l.settleCurrent(m)
	}
	d := r.Delay()
	if d == 0 {
		d = l.c.sub.Retry.backoff(m.Attempt)
	}
	l.c.log.Warn("a record is to be tried again", "topic", m.Topic, "partition", m.Partition, "offset", m.Offset,
		"attempt", m.Attempt, "of", l.c.sub.Retry.Attempts, "in", d, "error", r.Err())
	if !l.await(d, &next) {
		return false
	}
	l.current = &delivery{m: &next}
	return true
}

func (l *lane) settleCurrent(m *Message) bool {
	if !l.settle(m) {
		return false
	}
	l.current = nil
	return true
}
