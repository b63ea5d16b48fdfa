package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Why a record is given up, or no other is started.
var (
	// ErrInterrupted is the cause of an AttemptsError for a record whose last
	// attempt is known by its number only: the process ended, or the partition
	// was taken away, before the record was settled.
	ErrInterrupted = errors.New("what the last attempt failed with is not known: it was another process's, or another assignment's")

	errTooManyHeld = errors.New("as many are held for another attempt as may be (MaxHeldRecords)")
	errHeldTooLong = errors.New("one is held for another attempt for longer than may be (MaxHeldAge)")
	errNotCounted  = errors.New("what was committed does not tell of it: there was no room in the metadata, or the partition is another member's")
	errNoRoom      = errors.New("what is known of those that are held fills the metadata of a commit")
)

// outcome does what a result asks for, of an item whose attempt is over.
func (s *scheduler) outcome(r *run, it *item, result Result) {
	t := it.task
	if t == nil {
		if t = s.keep(r, it); t == nil {
			return
		}
	}
	switch result.Type() {
	case ResultCommit:
		s.settle(t)
	case ResultReject:
		s.giveUp(t, result.Err())
	case ResultRetry:
		s.again(t, result)
	}
}

// keep makes a task of an item, which holds up what must not overtake it. It is
// nil when what becomes of the record is no more this lane's to say.
func (s *scheduler) keep(r *run, it *item) *task {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	it.out = true
	if it.m.cut != l.cut {
		return nil
	}
	if !l.fenceUp && !l.ledger.isOpen(it.m.Offset) { // others have settled it meanwhile
		if it.busy != nil {
			s.keys.release(it.busy)
		}
		return nil
	}
	m := it.m // not the run's, which has others beside it
	t := &task{m: &m, busy: it.busy, index: -1}
	s.open[t] = struct{}{}
	if l.fenceUp {
		return nil
	}
	s.giveBack(r) // some of it may have to wait
	if t.busy != nil {
		s.keys.hold(t.busy, t)
	}
	return t
}

// again holds a record for its next attempt, or gives it up after the last one.
func (s *scheduler) again(t *task, result Result) {
	l, policy, now := s.l, &s.l.c.sub.Retry, time.Now()
	m := *t.m // the handler may have kept it
	t.m, t.cause = &m, result.Err()
	if result.Unavailable() && l.c.gate.isClosedNow(l.draining) {
		t.due = now // that is: when it is open
		l.log.Debug("a record waits for the gate", "offset", m.Offset, "attempt", m.Attempt, "error", result.Err())
		s.wait(t)
		return
	}
	if m.FirstFailed.IsZero() {
		l.c.gate.failedFirst(&m, now)
	}
	age := now.Sub(m.FirstFailed) - l.c.gate.idleFor(&m)
	switch {
	case m.Attempt >= policy.Attempts:
		s.giveUp(t, &AttemptsError{Attempts: m.Attempt, Err: result.Err()})
		return
	case policy.MaxAge > 0 && age >= policy.MaxAge:
		s.giveUp(t, &AgeError{Age: age, Attempts: m.Attempt, Err: result.Err()})
		return
	}
	wait := result.Delay()
	if wait == 0 {
		wait = policy.backoff(m.Attempt)
	}
	if s.hops(t.m, wait) {
		l.log.Warn("a record goes to a retry topic", "offset", m.Offset, "attempt", m.Attempt, "of", policy.Attempts, "error", result.Err())
		s.hop(t, result.Delay())
		return
	}
	l.log.Warn("a record is to be tried again", "offset", m.Offset, "attempt", m.Attempt, "of", policy.Attempts, "in", wait, "error", result.Err())
	m.Attempt++
	t.due = now.Add(wait)
	s.wait(t)
}

// wait holds a task, tells of it, and notes what is known of it for whoever has
// the partition next.
func (s *scheduler) wait(t *task) {
	l := s.l
	if f := l.c.a.cfg.Trace.Waiting; f != nil {
		f(t.m, t.due)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fenceUp || t.m.cut != l.cut {
		return
	}
	if !l.ledger.isOpen(t.m.Offset) { // others have settled it, or a transaction of its
		s.forget(t)
		s.checkHeld(time.Now())
		s.spawn()
		return
	}
	s.note(t)
	s.hold(t)
}

// note puts what is known of a task into the ledger. The caller holds the lane's
// mutex.
func (s *scheduler) note(t *task) {
	ended := t.m.Attempt - 1
	if t.home != nil {
		ended = t.m.Attempt
	}
	switch {
	case errors.Is(t.cause, errNotDue):
		return // nothing was tried: its headers say all there is to know
	case ended == 0:
		delete(s.l.ledger.failures, t.m.Offset) // an attempt that was counted, and does not count
		notify(s.l.c.dirty)
		return
	}
	s.l.ledger.fail(t.m.Offset, failure{attempts: ended, first: t.m.FirstFailed, due: t.due, idle: s.l.c.gate.idleFor(t.m)})
	notify(s.l.c.dirty)
}

// giveUp sends a record where those go that will not be tried again.
func (s *scheduler) giveUp(t *task, cause error) {
	l, m := s.l, t.m
	l.log.Error("rejecting a record", "offset", m.Offset, "attempt", m.Attempt, "error", cause)
	t.home = l.rejected(m, cause)
	s.bringHome(t)
}

// rejected is where a record goes that is rejected.
func (l *lane) rejected(m *Message, cause error) *home {
	if l.c.sub.OnReject != nil {
		return &home{take: func(context.Context) error { return l.callOnReject(m, cause) }, patience: l.c.sub.Retry.Attempts}
	}
	return &home{take: l.moving(m, func() *move {
		return l.c.a.moveToDeadLetters(l.own.source, m, cause, l.c.sub.headerStyle())
	})}
}

// bringHome gives a record to its home, and settles it once that has it.
func (s *scheduler) bringHome(t *task) {
	l := s.l
	err := t.home.take(l.ctx)
	if err == nil {
		s.settle(t)
		return
	}
	if l.isFenced() {
		return
	}
	if t.home.retry && obstacleOf(err) == tooLarge {
		l.mu.Lock()
		if t.m.cut == l.cut {
			s.leaving--
		}
		l.mu.Unlock()
		t.failed = 0
		s.giveUp(t, fmt.Errorf("too large for its retry topic (%w), after: %w", err, cmp.Or(t.cause, errNotDue)))
		return
	}
	t.failed++
	wait, blocked := t.home.afterFailure(err, t.failed, &l.c.sub.Retry)
	l.log.Error("a record was not taken where it goes, and is held", "offset", t.m.Offset, "attempt", t.m.Attempt, "error", err, "next try in", wait)
	l.mu.Lock()
	t.blocked = blocked
	l.mu.Unlock()
	t.due = time.Now().Add(wait)
	s.wait(t)
}

// afterFailure is when to try again, after so many failures, and why the record is
// blocked, if it is.
func (h *home) afterFailure(err error, failed int, policy *RetryPolicy) (wait time.Duration, blocked error) {
	switch {
	case h.patience == 0 && !Retryable(err):
		// Somebody has to act; until then, look now and then.
		return policy.MaxBackoff, err
	case h.patience > 0 && failed >= h.patience:
		blocked = err
	}
	return policy.backoff(failed), blocked
}

// settle ends a task.
func (s *scheduler) settle(t *task) {
	l := s.l
	l.mu.Lock()
	if l.fenceUp || t.m.cut != l.cut {
		if t.m.cut == l.cut && !l.ledger.isOpen(t.m.Offset) {
			delete(s.open, t) // its transaction was faster
		}
		l.mu.Unlock()
		return
	}
	fresh := l.ledger.settle(t.m.Offset) // a transaction has told already
	s.forget(t)
	s.checkHeld(time.Now())
	s.spawn()
	l.mu.Unlock()
	if fresh {
		l.tellSettled(t.m)
	}
}

// count commits that an attempt is about to begin, and reports false when the
// lane is to end first, or others have settled the record: then it does not count.
func (s *scheduler) count(it *item) bool {
	l, m := s.l, it.message()
	l.mu.Lock()
	before, tried := l.ledger.failures[m.Offset]
	l.mu.Unlock()
	if s.commitCount(m) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case m.cut != l.cut:
	case !l.fenceUp && !l.ledger.isOpen(m.Offset):
		switch {
		case it.task != nil:
			s.forget(it.task)
			s.checkHeld(time.Now())
		case it.busy != nil:
			s.keys.release(it.busy)
		}
		s.spawn()
	case tried:
		l.ledger.fail(m.Offset, before)
	default:
		delete(l.ledger.failures, m.Offset)
	}
	return false
}

func (s *scheduler) commitCount(m *Message) bool {
	l := s.l
	for failed := 1; ; failed++ {
		l.mu.Lock()
		if m.cut != l.cut || !l.ledger.isOpen(m.Offset) {
			l.mu.Unlock()
			return false
		}
		f := l.ledger.failures[m.Offset]
		f.attempts, f.due = m.Attempt, time.Time{}
		if f.first.IsZero() { // no failure here yet, but an attempt that ends with the process is one
			f.first, f.idle = cmp.Or(m.FirstFailed, time.Now()), l.c.gate.idleFor(m)
		}
		l.ledger.fail(m.Offset, f)
		l.mu.Unlock()
		ctx, cancel := l.untilDraining(commitTimeout)
		err := l.c.commitLanes(ctx, []*lane{l})
		cancel()
		if err == nil && !l.isDraining() && !l.hasCounted(m) {
			err = errNotCounted
		}
		if err == nil {
			return !l.isDraining()
		}
		wait := l.c.sub.Retry.backoff(failed)
		if l.isDraining() {
			return false
		}
		l.log.Warn("cannot commit that an attempt begins, and does not begin it", "offset", m.Offset, "error", err, "next try in", wait)
		if !l.sleep(wait) {
			return false
		}
	}
}

// hasCounted reports whether what the group has tells of an attempt. A commit may have
// left it out: for want of room, or because the partition has come to another member.
func (l *lane) hasCounted(m *Message) bool {
	l.mu.Lock()
	has := l.committed
	l.mu.Unlock()
	told := newLedger()
	return told.restore(has.offset, has.metadata) == nil && told.failures[m.Offset].attempts >= m.Attempt
}

// untilDraining is a context that ends after a time, or when the lane is to end.
func (l *lane) untilDraining(d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(l.ctx, d)
	go func() {
		select {
		case <-l.draining:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// sleep waits, and reports false when the lane is to end first.
func (l *lane) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.draining:
	}
	return !l.isDraining()
}

// AgeError is the cause with which a record goes to OnReject that has failed for
// longer than RetryPolicy.MaxAge.
type AgeError struct {
	Age      time.Duration // since the first failure, without the time that the gate was closed
	Attempts int           // how often it was tried
	Err      error         // what the last attempt failed with
}

func (e *AgeError) Error() string {
	return fmt.Sprintf("failed for %v, %d times, the last time with: %v", e.Age.Round(time.Millisecond), e.Attempts, e.Err)
}

// Unwrap is the error of the last attempt.
func (e *AgeError) Unwrap() error { return e.Err }
