package adapter

import (
	"time"
)

// holdNew is hold for a task whose record was in no handler here. The caller holds
// the lane's mutex.
func (s *scheduler) holdNew(t *task) {
	s.open[t] = struct{}{}
	if t.busy != nil {
		s.keys.hold(t.busy, t)
	}
	s.hold(t)
}

// hold keeps a task until it is due. The caller holds the lane's mutex.
func (s *scheduler) hold(t *task) {
	t.since = t.m.FirstFailed
	s.noteAge(t)
	s.held.add(t)
	s.setAlarm(t.due)
	s.checkHeld(time.Now())
}

// setAlarm has the scheduler wake at a time, or earlier. The caller holds the
// lane's mutex.
func (s *scheduler) setAlarm(at time.Time) {
	now := time.Now()
	if s.alarmAt.After(now) && !at.Before(s.alarmAt) || s.l.isDraining() {
		return
	}
	s.alarmAt = at
	if s.alarm == nil {
		s.alarm = time.AfterFunc(at.Sub(now), s.wake)
	} else {
		s.alarm.Reset(at.Sub(now))
	}
}

// checkHeld looks whether more may be held. The caller holds the lane's mutex.
func (s *scheduler) checkHeld(now time.Time) {
	was := s.full
	if s.full = s.whyFull(now); s.full != nil {
		s.overflow(s.full)
		s.full = s.whyFull(now)
	}
	// What a pause drops is fetched again, so it lasts until there is nothing left
	// to do.
	s.l.setPaused(pausedByHeld, s.full != nil || s.l.reasons[pausedByHeld] > 0 && s.l.queued > 0)
	switch {
	case s.full != nil && was == nil:
		s.l.log.Warn("no more records are started: "+s.full.Error(), "held", s.heldRecords())
	case s.full == nil && was != nil:
		s.l.log.Info("records are started again", "held", s.heldRecords())
	}
}

// heldRecords are the records that wait for another attempt, and those that wait
// behind them.
func (s *scheduler) heldRecords() int { return len(s.open) - s.leaving + s.keys.stalled.records }

func (s *scheduler) whyFull(now time.Time) error {
	switch sub := &s.l.c.sub; {
	case len(s.open) == s.leaving:
		return nil
	case s.heldRecords() >= sub.MaxHeldRecords:
		return errTooManyHeld
	case s.isTooOld(now):
		return errHeldTooLong
	case s.room() < runCost:
		return errNoRoom
	}
	return nil
}

// isTooOld reports whether a record is held for longer than may be.
func (s *scheduler) isTooOld(now time.Time) bool {
	if s.tooOld.IsZero() || now.Before(s.tooOld) {
		return false
	}
	s.tooOld = time.Time{} // the one that it was set for may be done
	for t := range s.open {
		s.noteAge(t)
	}
	return !s.tooOld.IsZero() && !now.Before(s.tooOld)
}

// noteAge has tooOld be no later than when a task is held for too long.
func (s *scheduler) noteAge(t *task) {
	if t.since.IsZero() {
		return
	}
	if until := t.since.Add(s.l.c.sub.MaxHeldAge); s.tooOld.IsZero() || until.Before(s.tooOld) {
		s.tooOld = until
	}
}

// A run may add to the ledger that is committed one failure, for the rest of it is
// given back then, and a gap for each of its records that does not follow on the
// one before.
const runCost = failureCost + 2*spanCost

// room is how many bytes of a commit's metadata are left for runs to come. The
// caller holds the lane's mutex.
func (s *scheduler) room() int {
	left := ledgerBytes(s.l.c.maxMetadata()) - s.reserved
	if n := left - s.l.ledger.cost(); n >= runSize*spanCost {
		return n
	}
	return left - s.l.ledger.size()
}
