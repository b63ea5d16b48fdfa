package adapter

import (
	"errors"
	"slices"
	"time"
)

var errNotDue = errors.New("its next attempt is not due yet")

// hops reports whether a record goes to a retry topic after an attempt that
// failed, rather than waiting in its place.
func (s *scheduler) hops(m *Message, wait time.Duration) bool {
	sub := &s.l.c.sub
	switch {
	case len(sub.Retry.Tiers) == 0:
		return false
	case s.l.own.kind == retryTopic:
		return true
	case sub.Order == Unordered && (m.Attempt >= sub.Retry.InPlace || wait > sub.Retry.MaxBackoff):
		return true
	case sub.OnHeldLimit == Hop:
		s.l.mu.Lock()
		defer s.l.mu.Unlock()
		return s.whyFull(time.Now()) != nil
	}
	return false
}

// hop sends a record to a retry topic. delay is what the handler asked for, or
// zero.
func (s *scheduler) hop(t *task, delay time.Duration) {
	s.l.mu.Lock()
	ours := !s.l.fenceUp && t.m.cut == s.l.cut
	if ours {
		s.leave(t, delay)
	}
	s.l.mu.Unlock()
	if ours {
		s.bringHome(t)
	}
}

// leave makes a retry topic a task's home. The caller holds the lane's mutex.
func (s *scheduler) leave(t *task, delay time.Duration) {
	l, m, cause := s.l, t.m, t.cause
	tier, notBefore := l.tier(delay)
	t.home = &home{retry: true, take: l.moving(m, func() *move { return l.moveToRetry(m, cause, tier, notBefore) })}
	s.leaving++
}

// tier is the delay of the retry topic that comes next, or of the one that fits a
// delay. Beyond the last one, notBefore is when the record is due.
func (l *lane) tier(delay time.Duration) (tier time.Duration, notBefore time.Time) {
	tiers := l.c.sub.Retry.Tiers
	last := len(tiers) - 1
	if delay == 0 {
		i := 0
		if l.own.kind == retryTopic {
			i = min(slices.Index(tiers, l.own.delay)+1, last)
		}
		return tiers[i], time.Time{}
	}
	i, _ := slices.BinarySearch(tiers, delay)
	if i > last {
		return tiers[last], time.Now().Add(delay)
	}
	return tiers[i], time.Time{}
}

// postpone makes a task of the last item of a run, which is not due before a time:
// it goes on to the retry topic that fits, without an attempt, or waits in its place
// when that is not for long. The caller holds the lane's mutex.
func (s *scheduler) postpone(r *run, notBefore time.Time) {
	l := s.l
	it := r.items[len(r.items)-1]
	r.drop()
	m := it.m
	t := &task{m: &m, busy: it.busy, due: notBefore, index: -1, cause: errNotDue}
	if wait := time.Until(notBefore); wait > l.c.sub.Retry.MaxBackoff && len(l.c.sub.Retry.Tiers) > 0 {
		tier := l.c.sub.Retry.Tiers[0] // the longest that is not too long
		for _, d := range l.c.sub.Retry.Tiers {
			if d <= wait {
				tier = d
			}
		}
		m.Attempt-- // there is none
		t.home = &home{retry: true, take: l.moving(t.m, func() *move { return l.c.a.moveOn(l.own.source, t.m, it.r, tier) })}
		t.due = time.Now()
		s.leaving++
	}
	s.holdNew(t)
}

// overflow has the held record that most others wait for leave for a retry topic,
// where no more may be held and OnHeldLimit says so. The caller holds the lane's
// mutex.
func (s *scheduler) overflow(why error) {
	if s.l.c.sub.OnHeldLimit != Hop || s.leaving > 0 {
		return // one at a time: there may be room when it has gone
	}
	var first *task
	most := -1
	for _, t := range s.held {
		if n := t.busy.behind(); t.home == nil && (n > most || n == most && t.m.Offset < first.m.Offset) {
			first, most = t, n
		}
	}
	if first == nil {
		return
	}
	s.l.log.Warn("a held record goes to a retry topic, and the order of its key is given up: "+why.Error(), "offset", first.m.Offset, "behind it", most)
	m := *first.m
	m.Attempt-- // the next one is not in its place
	first.m = &m
	s.held.remove(first)
	delay := max(0, time.Until(first.due)) // no earlier than it was to be
	first.due = time.Now()
	s.leave(first, delay)
	s.held.add(first)
	s.spawn()
}
