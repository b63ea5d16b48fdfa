package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"example.com/kafkatest/adapter"
)

// effects are the records that one run of a handler published.
type effects struct {
	group     string
	of        []place // what it handles: more than one for a batch
	published []place
}

type effectsKey struct{}

// handling is the context of a handler, which leads to its effects.
type handling struct {
	context.Context
	m     *adapter.Message // of a batch, the first
	known *effects         // nil while there are none; guarded by the watch's mutex
}

// Value is context.Context's.
func (h *handling) Value(key any) any {
	if key == (effectsKey{}) {
		return h
	}
	return h.Context.Value(key)
}

func (h *handling) effects() *effects {
	if h.known == nil {
		h.known = &effects{group: h.m.Group, of: []place{messagePlace(h.m)}}
	}
	return h.known
}

func messagePlace(m *adapter.Message) place { return place{m.Topic, m.Partition, m.Offset} }

// trace is what an adapter tells the watch by. The user's own trace hears of
// everything, too, and first.
func (w *watch) trace(l *link, user *adapter.Trace, withoutFates bool) *adapter.Trace {
	name := func(g adapter.GroupMember) string {
		if l.name == firstAdapter {
			return g.Name
		}
		return fmt.Sprintf("%s of %s", g.Name, l.name)
	}
	// locked runs f, unless the adapter's member has been killed: what its
	// goroutines still do, no process would have done.
	locked := func(f func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !l.killed {
			f()
		}
	}
	// member notes what happened to a member of a group.
	member := func(kind eventKind, g adapter.GroupMember, e event) {
		e.kind, e.member, e.group, e.client = kind, name(g), g.Group, l.name
		w.happened(e)
	}
	t := &adapter.Trace{
		Published: func(ctx context.Context, e adapter.Event, m *adapter.Message) {
			locked(func() {
				if p, ok := ctx.Value(publicationsKey{}).(*publications); ok {
					p.records = append(p.records, recordOf(m))
				}
				e := event{kind: evPublished, place: messagePlace(m), client: l.name}
				if h, ok := ctx.Value(effectsKey{}).(*handling); ok {
					by := h.effects()
					w.caused(by, e.place)
					e.group, e.to = by.group, by.of[len(by.of)-1]
				}
				w.happened(e)
			})
		},
		Subscribed: func(g adapter.GroupMember, topics []string) {
			locked(func() {
				w.group(g.Group).adapters[l.name] = true
				for _, t := range topics {
					w.group(g.Group).topics[t] = true
					w.group(g.Group).redrives[adapter.RedriveTopic(t, g.Group)] = true
					if g.GroupID != g.Group {
						w.group(g.Group).ids[t] = g.GroupID
					}
				}
				member(evSubscribed, g, event{detail: strings.Join(topics, ", ")})
			})
		},
		Stopped: func(g adapter.GroupMember, err error) {
			locked(func() {
				if err == nil {
					member(evClosed, g, event{})
					return
				}
				w.group(g.Group).refused = err
				member(evStopped, g, event{detail: err})
			})
		},
		Assigned: func(g adapter.GroupMember, ps map[string][]int32) {
			locked(func() { member(evAssigned, g, event{detail: partitionsOf(ps)}) })
		},
		Started: func(g adapter.GroupMember, topic string, partition int32, offset int64) {
			locked(func() {
				p := w.partition(g.Group, topic, partition)
				p.claims = append(p.claims, span{offset, offset})
				member(evStarted, g, event{place: place{topic, partition, offset}})
			})
		},
		Revoked: func(g adapter.GroupMember, ps map[string][]int32, lost bool) {
			kind := evRevoked
			if lost {
				kind = evLost
			}
			locked(func() { member(kind, g, event{detail: partitionsOf(ps)}) })
		},
		Gate: func(g adapter.GroupMember, closed error) {
			locked(func() { member(evGate, g, event{detail: closed}) })
		},
		Committed: func(g adapter.GroupMember, topic string, partition int32, offset int64) {
			locked(func() {
				if cs := w.partition(g.Group, topic, partition).claims; len(cs) > 0 {
					last := &cs[len(cs)-1]
					last.to = max(offset, last.to)
				}
				member(evCommitted, g, event{place: place{topic, partition, offset}})
			})
		},
		Delivered: func(ctx context.Context, m *adapter.Message) context.Context {
			w.record(l, evDelivered, m, func(s *story, e *event) {
				s.deliveries++
				s.attempt = int32(m.Attempt)
				s.running = true
				s.due = 0
				if m.Topic != m.Origin.Topic {
					w.group(m.Group).returns[m.Topic] = true
				}
				w.running++
				l.running++
				e.attempt = s.attempt
			})
			l.whileFrozen(ctx)
			if h, ok := ctx.Value(effectsKey{}).(*handling); ok { // a batch
				w.mu.Lock()
				defer w.mu.Unlock()
				h.effects().of = append(h.effects().of, messagePlace(m))
				return ctx
			}
			return &handling{Context: ctx, m: m}
		},
		Returned: func(m *adapter.Message, r adapter.Result, took time.Duration) {
			w.record(l, evReturned, m, func(s *story, e *event) {
				s.running = false
				s.err = r.Err()
				if errors.Is(s.err, adapter.ErrHandlerExited) && w.exited == "" {
					w.exited = exitLine()
				}
				w.running--
				l.running--
				if s.settled { // while its handler still ran, as with ResolveOffset
					w.over(m.Group, messagePlace(m), s)
				}
				if e.took, e.plain = took, r.Type() == adapter.ResultCommit; e.plain {
					e.detail = plainCommit
				} else {
					e.detail = r
				}
			})
		},
		Waiting: func(m *adapter.Message, due time.Time) {
			w.record(l, evWaiting, m, func(s *story, e *event) {
				s.due = due.Sub(w.start)
				e.due = s.due
			})
		},
		Hopped: func(m *adapter.Message, cause error, at adapter.Origin) {
			w.record(l, evHopped, m, func(s *story, e *event) {
				s.hop = &place{at.Topic, at.Partition, at.Offset}
				e.to = *s.hop
				if cause != nil {
					e.detail = cause
				}
			})
		},
		DeadLettered: func(m *adapter.Message, cause error, at adapter.Origin) {
			w.record(l, evDeadLettered, m, func(s *story, e *event) {
				s.dead, s.err = &place{at.Topic, at.Partition, at.Offset}, cause
				e.to, e.detail = *s.dead, cause
			})
		},
		Redriven: func(group string, letter *adapter.DeadLetter, at adapter.Origin) {
			locked(func() { w.redriven(group, l.name, way{letter.Origin, letter.Redriven + 1}, originPlace(at)) })
		},
		Rejected: func(m *adapter.Message, cause error) {
			w.record(l, evRejected, m, func(s *story, e *event) {
				s.rejected, s.err = true, cause
				e.detail = cause
			})
		},
		Settled: func(ms []*adapter.Message) { locked(func() { w.settled(l, ms) }) },
		Fenced: func(m *adapter.Message) {
			w.record(l, evFenced, m, func(s *story, _ *event) { s.due = 0 })
		},
	}
	if withoutFates {
		t.Delivered, t.Returned, t.Waiting, t.Settled, t.Fenced = nil, nil, nil, nil, nil
		t.Hopped, t.DeadLettered, t.Rejected, t.Committed = nil, nil, nil, nil
	}
	return adapter.JoinTraces(user, t)
}

// record changes the story of a record, and notes what happened to it: change
// says what is particular about it. It does nothing when the member has been
// killed, as locked does in trace.
func (w *watch) record(l *link, kind eventKind, m *adapter.Message, change func(*story, *event)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.killed {
		return
	}
	e := w.draftOf(l, kind, m)
	change(w.story(m.Group, e.place), e)
	w.add(e)
}

// draftOf is an event of a record that is being put together, in the same place each
// time, because there are so many. The caller holds mu.
func (w *watch) draftOf(l *link, kind eventKind, m *adapter.Message) *event {
	e := &w.draft
	e.kind, e.group, e.place, e.client = kind, m.Group, messagePlace(m), l.name
	e.attempt, e.took, e.due, e.to, e.detail, e.plain = 0, 0, 0, place{}, nil, false
	return e
}

// settled notes what became of records of one partition. The caller holds mu.
func (w *watch) settled(l *link, ms []*adapter.Message) {
	e := w.draftOf(l, evSettled, ms[0])
	p := w.partition(e.group, e.place.topic, e.place.partition)
	w.stir(evSettled)
	e.at = w.elapsed()
	for _, m := range ms {
		e.place.offset = m.Offset
		s := p.stories.edit(m.Offset)
		s.settled = true
		if !s.running {
			w.over(e.group, e.place, s)
		}
		w.timeline.add(e)
	}
}

// plainCommit is what nearly all handlers return, to be kept without a copy for
// each record.
var plainCommit any = adapter.Commit()

// kill has the watch believe nothing any more that a link's adapters say.
func (w *watch) kill(l *link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.killed = true
	w.running -= l.running
	w.happened(event{kind: evNote, client: l.name, detail: l.name + " is killed"})
}

// caused links a record to those that were handled when it was published. The
// caller holds mu.
func (w *watch) caused(by *effects, published place) {
	by.published = append(by.published, published)
	if len(by.published) > 1 {
		return // linked already
	}
	for _, at := range by.of {
		s := w.story(by.group, at)
		s.effects = append(s.effects, by)
	}
}

func recordOf(m *adapter.Message) Record {
	return Record{
		Topic: m.Topic, Partition: m.Partition, Offset: m.Offset,
		Key: m.Key, Value: m.Value, Headers: m.Headers, Timestamp: m.Timestamp,
	}
}

// publications collects the records that one call to Publish made.
type publications struct{ records []Record }

type publicationsKey struct{}

func (p *publications) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, publicationsKey{}, p)
}
