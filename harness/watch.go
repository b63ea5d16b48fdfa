package harness

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"example.com/kafkatest/adapter"
)

// place is where a record is.
type place struct {
	topic     string
	partition int32
	offset    int64
}

func placeOf(r Record) place { return place{r.Topic, r.Partition, r.Offset} }

// story is what a group did with a record, as far as the adapters told.
type story struct {
	deliveries int
	attempt    int
	running    bool
	settled    bool
	dead       *place // where its dead letter is
	rejected   bool
	err        error
	due        time.Time
}

// claim is a stretch of a partition that a member started at and committed to.
type claim struct{ from, to int64 }

type groupPartition struct {
	group     string
	topic     string
	partition int32
}

// watch hears from adapters what happens to records.
type watch struct {
	wake chan struct{} // something happened

	mu      sync.Mutex
	start   time.Time
	changes int // how much has happened
	running int // handlers that run, each counted once for each record
	stories map[string]map[place]*story
	claims  map[groupPartition][]claim
	topics  map[string]map[string]bool // that each group consumes, or has consumed
	refused map[string]error           // why a consumer of a group stopped by itself
	lines   []string
	cut     int // lines dropped
}

func newWatch(now time.Time) *watch {
	return &watch{
		wake:    make(chan struct{}, 1),
		start:   now,
		stories: map[string]map[place]*story{},
		claims:  map[groupPartition][]claim{},
		topics:  map[string]map[string]bool{},
		refused: map[string]error{},
	}
}

// happened counts and notes something. The caller holds mu.
func (w *watch) happened(format string, args ...any) {
	w.changes++
	select {
	case w.wake <- struct{}{}:
	default:
	}
	w.note(format, args...)
}

func (w *watch) story(m *adapter.Message) *story {
	group := w.stories[m.Group]
	if group == nil {
		group = map[place]*story{}
		w.stories[m.Group] = group
	}
	at := place{m.Topic, m.Partition, m.Offset}
	s := group[at]
	if s == nil {
		s = &story{}
		group[at] = s
	}
	return s
}

// consumes notes that a group consumes a topic. The caller holds mu.
func (w *watch) consumes(group, topic string) {
	if w.topics[group] == nil {
		w.topics[group] = map[string]bool{}
	}
	w.topics[group][topic] = true
}

// trace is what the nth adapter tells the watch by. The user's own trace hears
// of everything, too, and first.
func (w *watch) trace(n int, user *adapter.Trace) *adapter.Trace {
	if user == nil {
		user = &adapter.Trace{}
	}
	name := func(g adapter.GroupMember) string {
		if n == 1 {
			return g.Name
		}
		return fmt.Sprintf("%s of adapter %d", g.Name, n)
	}
	return &adapter.Trace{
		Published: func(ctx context.Context, e adapter.Event, m *adapter.Message) {
			call(user.Published != nil, func() { user.Published(ctx, e, m) })
			w.mu.Lock()
			defer w.mu.Unlock()
			if p, ok := ctx.Value(publicationsKey{}).(*publications); ok {
				p.records = append(p.records, recordOf(m))
			}
			w.happened("%s published", m.Origin)
		},
		Subscribed: func(g adapter.GroupMember, topics []string) {
			call(user.Subscribed != nil, func() { user.Subscribed(g, topics) })
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, t := range topics {
				w.consumes(g.Group, t)
			}
			w.happened("%s subscribes to %s", name(g), strings.Join(topics, ", "))
		},
		Stopped: func(g adapter.GroupMember, err error) {
			call(user.Stopped != nil, func() { user.Stopped(g, err) })
			w.mu.Lock()
			defer w.mu.Unlock()
			if err == nil {
				w.happened("%s closed", name(g))
				return
			}
			w.refused[g.Group] = err
			w.happened("%s stopped: %v", name(g), err)
		},
		Assigned: func(g adapter.GroupMember, ps map[string][]int32) {
			call(user.Assigned != nil, func() { user.Assigned(g, ps) })
			w.mu.Lock()
			defer w.mu.Unlock()
			w.happened("%s assigned %v", name(g), ps)
		},
		Started: func(g adapter.GroupMember, topic string, partition int32, offset int64) {
			call(user.Started != nil, func() { user.Started(g, topic, partition, offset) })
			w.mu.Lock()
			defer w.mu.Unlock()
			gp := groupPartition{g.Group, topic, partition}
			w.claims[gp] = append(w.claims[gp], claim{offset, offset})
			w.happened("%s starts %s/%d at %d", name(g), topic, partition, offset)
		},
		Revoked: func(g adapter.GroupMember, ps map[string][]int32, lost bool) {
			call(user.Revoked != nil, func() { user.Revoked(g, ps, lost) })
			w.mu.Lock()
			defer w.mu.Unlock()
			if lost {
				w.happened("%s lost %v", name(g), ps)
			} else {
				w.happened("%s revoked %v", name(g), ps)
			}
		},
		Delivered: func(m *adapter.Message) {
			call(user.Delivered != nil, func() { user.Delivered(m) })
			w.mu.Lock()
			defer w.mu.Unlock()
			s := w.story(m)
			s.deliveries++
			s.attempt = m.Attempt
			s.running = true
			s.due = time.Time{}
			w.running++
			w.happened("%s delivered to %s, attempt %d", m.Origin, m.Group, m.Attempt)
		},
		Returned: func(m *adapter.Message, r adapter.Result, took time.Duration) {
			call(user.Returned != nil, func() { user.Returned(m, r, took) })
			w.mu.Lock()
			defer w.mu.Unlock()
			s := w.story(m)
			s.running = false
			s.err = r.Err()
			w.running--
			w.happened("%s returned by %s after %v: %v", m.Origin, m.Group, took, r)
		},
		Waiting: func(m *adapter.Message, due time.Time) {
			call(user.Waiting != nil, func() { user.Waiting(m, due) })
			w.mu.Lock()
			defer w.mu.Unlock()
			w.story(m).due = due
			w.happened("%s waits in %s until %s", m.Origin, m.Group, w.at(due))
		},
		DeadLettered: func(m *adapter.Message, cause error, at adapter.Origin) {
			call(user.DeadLettered != nil, func() { user.DeadLettered(m, cause, at) })
			w.mu.Lock()
			defer w.mu.Unlock()
			s := w.story(m)
			s.dead = &place{at.Topic, at.Partition, at.Offset}
			s.err = cause
			w.happened("%s dead-lettered by %s to %s: %v", m.Origin, m.Group, at, cause)
		},
		Rejected: func(m *adapter.Message, cause error) {
			call(user.Rejected != nil, func() { user.Rejected(m, cause) })
			w.mu.Lock()
			defer w.mu.Unlock()
			s := w.story(m)
			s.rejected = true
			s.err = cause
			w.happened("%s rejected by %s: %v", m.Origin, m.Group, cause)
		},
		Settled: func(m *adapter.Message) {
			call(user.Settled != nil, func() { user.Settled(m) })
			w.mu.Lock()
			defer w.mu.Unlock()
			w.story(m).settled = true
			w.happened("%s settled in %s", m.Origin, m.Group)
		},
		Fenced: func(m *adapter.Message) {
			call(user.Fenced != nil, func() { user.Fenced(m) })
			w.mu.Lock()
			defer w.mu.Unlock()
			w.story(m).due = time.Time{}
			w.happened("%s given up by a member of %s, to be delivered again", m.Origin, m.Group)
		},
		Committed: func(g adapter.GroupMember, topic string, partition int32, offset int64) {
			call(user.Committed != nil, func() { user.Committed(g, topic, partition, offset) })
			w.mu.Lock()
			defer w.mu.Unlock()
			if cs := w.claims[groupPartition{g.Group, topic, partition}]; len(cs) > 0 {
				cs[len(cs)-1].to = max(offset, cs[len(cs)-1].to)
			}
			w.happened("%s committed %s/%d through %d", name(g), topic, partition, offset)
		},
	}
}

// claimed reports whether some member of the group started before a record and
// committed past it. The caller holds mu.
func (w *watch) claimed(group string, at place) bool {
	for _, c := range w.claims[groupPartition{group, at.topic, at.partition}] {
		if c.from <= at.offset && at.offset < c.to {
			return true
		}
	}
	return false
}

func call(yes bool, f func()) {
	if yes {
		f()
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

// maxLines is how much of a timeline is kept: the beginning, which says how it
// came about, and the end, which says what went wrong.
const maxLines = 2000

// at is a time as a timeline says it: how long after the start.
func (w *watch) at(t time.Time) string {
	return fmt.Sprintf("%+v", t.Sub(w.start).Round(10*time.Microsecond))
}

func (w *watch) note(format string, args ...any) {
	if len(w.lines) == maxLines {
		half := maxLines / 2
		w.lines = append(w.lines[:half], w.lines[half+half/2:]...)
		w.cut += half / 2
	}
	w.lines = append(w.lines, fmt.Sprintf("%14s  ", w.at(time.Now()))+fmt.Sprintf(format, args...))
}

// timeline is what happened, one line an event, in order.
func (w *watch) timeline() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b []byte
	for i, line := range w.lines {
		if w.cut > 0 && i == maxLines/2 {
			b = fmt.Appendf(b, "%14s  %d lines left out\n", "", w.cut)
		}
		b = append(append(b, line...), '\n')
	}
	return string(b)
}
