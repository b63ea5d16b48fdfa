package adapter

import (
	"hash/maphash"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// take takes a run off the records whose key was let go, and off the queue. It is
// nil when there is nothing to take. resumed says that a record was found that had
// been tried before, and is a task now: that may be when no other record is
// started, too. The caller holds the lane's mutex.
func (s *scheduler) take() (r *run, resumed bool) {
	n := runSize
	if s.pace >= watchEvery || s.pace > 0 && s.order != ByPartition { // where nothing could go before
		n = min(n, max(1, int(runTime/s.pace)))
	}
	if s.l.c.sub.CountBeforeRun {
		n = 1
	}
	room := s.room()
	if len(s.open) == 0 && len(s.runs) == 0 {
		room = max(room, runCost) // there must be something to go on with
	}
	if s.full != nil || room < runCost {
		n = 0
	}
	r = &run{cost: runCost, room: room}
	resumed = s.takeReady(r, n) || s.takeQueued(r, n)
	s.l.checkRoom()
	if len(r.items) == 0 {
		return nil, resumed
	}
	r.span.Store(uint64(len(r.items)))
	return r, false
}

// takeReady adds records that waited for their key to a run.
func (s *scheduler) takeReady(r *run, most int) (resumed bool) {
	for {
		key, rec, ok := s.keys.peek()
		if !ok {
			return false
		}
		if s.l.overtaken && !s.l.ledger.isOpen(rec.Offset) {
			s.keys.skip()
			continue
		}
		tried := s.wasTried(rec)
		if !s.fits(r, most, tried) {
			break
		}
		s.keys.next(r)
		if tried {
			s.keys.taken(key)
			s.resume(rec, s.l.cut, key)
			return true
		}
		it, _ := s.add(r, rec, s.l.cut, most)
		it.busy = key
		r.cost += spanCost
	}
	if len(r.items) > 0 {
		s.keys.taken(r.items[len(r.items)-1].busy)
	}
	return false
}

// takeQueued adds records of the queue to a run.
func (s *scheduler) takeQueued(r *run, most int) (resumed bool) {
	l := s.l
	for len(l.queue) > 0 {
		rec := l.queue[0].records[0]
		if l.overtaken && !l.ledger.isOpen(rec.Offset) {
			l.popOne()
			continue
		}
		tried := s.wasTried(rec)
		if !s.fits(r, most, tried) {
			return false
		}
		if due := l.due(rec); isLater(due) {
			s.setAlarm(due)
			return false
		}
		cut := l.popOne()
		var key *busyKey
		if s.order == ByKey && rec.Key != nil {
			if key = s.keys.enter(maphash.Bytes(l.c.seed, rec.Key), r, rec); key == nil {
				if s.checkHeld(time.Now()); s.full != nil {
					return false
				}
				r.cost += spanCost
				continue
			}
		}
		if tried {
			s.resume(rec, cut, key)
			return true
		}
		it, notBefore := s.add(r, rec, cut, most)
		it.busy = key
		if isLater(notBefore) && l.own.kind == retryTopic { // nobody else writes it
			s.postpone(r, notBefore)
			return true
		}
	}
	return false
}

// isLater reports whether a time is still to come; the zero time is not, and is not
// worth a look at the clock, which costs as much as taking a record does.
func isLater(t time.Time) bool { return !t.IsZero() && t.After(time.Now()) }

// fits reports whether a record may be taken for a run: one that was tried before
// only when it is alone.
func (s *scheduler) fits(r *run, most int, tried bool) bool {
	if tried {
		return len(r.items) == 0
	}
	return len(r.items) < most && r.cost <= r.room
}

func (s *scheduler) wasTried(rec *kgo.Record) bool {
	if len(s.l.ledger.failures) == 0 {
		return false
	}
	_, tried := s.l.ledger.failures[rec.Offset]
	return tried
}

// add adds a record to a run of that many items at most.
func (s *scheduler) add(r *run, rec *kgo.Record, cut, most int) (it *item, notBefore time.Time) {
	if r.items == nil {
		r.items = make([]item, 0, min(most, s.l.queued+s.keys.waiting.records+1))
	}
	r.items = r.items[:len(r.items)+1]
	it = &r.items[len(r.items)-1]
	it.r = rec
	return it, s.l.message(&it.m, rec, cut)
}

// resume makes a task of a record that was tried by whoever had the partition
// before. Its next attempt is due when it was to be.
func (s *scheduler) resume(rec *kgo.Record, cut int, key *busyKey) {
	l := s.l
	m := &Message{}
	l.message(m, rec, cut)
	f := l.ledger.failures[rec.Offset]
	t := &task{m: m, busy: key, due: f.due, index: -1}
	if m.Attempt > l.c.sub.Retry.Attempts {
		m.Attempt--
		t.home = l.rejected(m, &AttemptsError{Attempts: m.Attempt, Err: ErrInterrupted})
	}
	s.holdNew(t)
}
