package adapter

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// runSize is how many records a worker takes at once at most: no more than fit
	// into 32 KiB, beyond which memory is not used again so soon.
	runSize = 120
	// runTime is how long a run is meant to take: where handlers are slow, runs
	// are short.
	runTime = 200 * time.Microsecond
	// slowRecord is how long a handler takes at least for more workers to be
	// worth it.
	slowRecord = 20 * time.Microsecond
	// watchEvery is how often the runs under way are looked at: what waits in one
	// behind a handler that takes its time goes to another worker.
	watchEvery = 2 * time.Millisecond
)

// scheduler is the runner of a Handler: it decides which record is handled next,
// and has as many workers as the order allows.
//
// A worker takes a run of records off the queue, and marks them as settled when
// it is through, so that a record costs little where handlers are quick. A record
// that is to be tried again becomes a task, which waits until it is due.
type scheduler struct {
	l     *lane
	order Order
	limit int // workers at once
	gone  sync.WaitGroup

	// The lane's mutex guards what follows.
	turn     bool // it is the lane's turn
	workers  int
	runs     []*run // under way
	reserved int    // bytes of a commit's metadata that they may need
	pace     time.Duration
	watch    *time.Timer // nil before it is needed
	watching bool

	keys    keys
	open    map[*task]struct{} // all tasks, from the first failure to the end
	leaving int                // those of them that are on their way to a retry topic
	held    tasks              // those that wait until they are due
	gated   []*task            // those that are due, while the gate is closed
	full    error              // why no other record is started
	tooOld  time.Time          // when the first of the tasks is too old, or earlier; zero for never
	alarm   *time.Timer        // for what is due next
	alarmAt time.Time
	cutOff  []*Message // what was in the handler when the lane was fenced
}

func newScheduler(l *lane) *scheduler {
	s := &scheduler{
		l: l, order: l.c.sub.Order, limit: l.c.sub.MaxInFlight, pace: slowRecord,
		open: map[*task]struct{}{},
	}
	if l.own.kind == retryTopic {
		s.order = Unordered
	}
	if s.order == ByPartition {
		s.limit = 1
	}
	return s
}

func (s *scheduler) run() {
	s.l.mu.Lock()
	s.turn = true
	s.spawn()
	s.l.mu.Unlock()
	<-s.l.draining
	s.l.mu.Lock() // whoever spawns a worker holds it, and looks whether to drain
	if s.alarm != nil {
		s.alarm.Stop()
	}
	s.l.mu.Unlock()
	s.gone.Wait()
}

func (s *scheduler) pushed() { s.spawn() }

// halted takes back what was not begun.
func (s *scheduler) halted() {
	for _, r := range s.runs {
		if r.items[0].task == nil { // a task is alone, and as good as begun
			s.giveBack(r)
		}
	}
}

func (s *scheduler) restarted() {
	s.keys, s.held, s.gated, s.leaving = keys{}, nil, nil, 0
	clear(s.open)
	for _, r := range s.runs {
		r.cut()
	}
	s.checkHeld(time.Now())
}

func (s *scheduler) overtaken() {
	over := func(t *task) bool { return !s.l.ledger.isOpen(t.m.Offset) }
	s.gated = slices.DeleteFunc(s.gated, func(t *task) bool {
		if over(t) {
			s.forget(t)
		}
		return over(t)
	})
	for t := range s.open {
		if t.index >= 0 && over(t) {
			s.held.remove(t)
			s.forget(t)
		}
	}
	s.checkHeld(time.Now())
	s.spawn()
}

// forget ends a task that is settled. The caller holds the lane's mutex.
func (s *scheduler) forget(t *task) {
	delete(s.open, t)
	if t.home != nil && t.home.retry {
		s.leaving--
	}
	if t.busy != nil {
		s.keys.letGo(t.busy)
	}
}

func (s *scheduler) waiting() (records, bytes int) {
	return s.keys.waiting.records - s.keys.stalled.records, s.keys.waiting.bytes - s.keys.stalled.bytes
}

func (s *scheduler) running() int { return len(s.runs) }

func (s *scheduler) unsettled() []*Message {
	var ms []*Message
	for t := range s.open {
		ms = append(ms, t.m)
	}
	ms = append(ms, s.cutOff...)
	slices.SortFunc(ms, func(a, b *Message) int { return int(a.Offset - b.Offset) })
	return ms
}

// wake has the scheduler look for something to do.
func (s *scheduler) wake() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.alarmAt = time.Time{} // it has gone off
	s.spawn()
	if len(s.held) > 0 && s.held[0].due.After(time.Now()) {
		s.setAlarm(s.held[0].due) // it may have been set for one that has gone
	}
}

// spawn adds a worker when there may be something to do for one. The caller holds
// the lane's mutex.
func (s *scheduler) spawn() {
	if s.turn && s.workers < s.limit && !s.l.isDraining() && s.hasWork() {
		s.workers++
		s.gone.Go(func() { s.work(nil) })
	}
}

// hasWork reports whether next is likely to find something. The caller holds the
// lane's mutex.
func (s *scheduler) hasWork() bool {
	if len(s.gated) > 0 || len(s.held) > 0 && !s.held[0].due.After(time.Now()) {
		return true
	}
	return len(s.keys.ready) > 0 || len(s.l.queue) > 0
}

// work goes on with a run, and takes others until there is none. A handler that
// ends its goroutine ends the worker, and another takes its place.
func (s *scheduler) work(r *run) {
	exited := true
	defer func() {
		if exited {
			s.gone.Go(func() { s.work(r) })
		}
	}()
	for {
		if r != nil {
			for !s.through(r) {
			}
			s.end(r)
		}
		known := s.l.c.gate.await(s.l.draining)
		if r = s.next(known); r == nil {
			break
		}
	}
	exited = false
}

// through runs the handler for the items of a run, and reports false when it
// panicked: then there may be more.
func (s *scheduler) through(r *run) (done bool) {
	var current *item
	var a attempt
	defer func() {
		if current == nil {
			return
		}
		err := ErrHandlerExited
		if p := recover(); p != nil {
			s.l.log.Error("the handler panicked", "offset", a.m.Offset, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", ErrHandlerPanicked, p)
		}
		s.outcome(r, current, s.l.ended(&a, Retry(err)))
	}()
	for !s.l.isDraining() {
		i, ok := r.begin()
		if !ok {
			return true
		}
		it := &r.items[i]
		if it.out {
			continue
		}
		if it.task != nil && it.task.home != nil {
			s.bringHome(it.task)
			continue
		}
		a.m = it.message()
		if s.l.c.sub.CountBeforeRun && !s.count(it) {
			it.out = true
			break
		}
		current = it
		result := s.l.ended(&a, s.l.attempt(&a))
		current = nil
		if it.task != nil || result.decision != commit {
			s.outcome(r, it, result)
		}
	}
	r.cut() // the rest is delivered again, to another member
	return true
}

// next is the next run. It is nil when there is none, or the lane is to end, as it
// is when it is not known whether the gate is open: then the worker is counted as
// gone.
func (s *scheduler) next(known bool) *run {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	var r *run
	if known {
		r = s.find()
	}
	if r == nil {
		s.workers--
		return nil
	}
	s.runs = append(s.runs, r)
	s.reserved += r.cost
	r.started = time.Now()
	if len(r.items) > 1 && !s.watching {
		s.watching = true
		if s.watch == nil {
			s.watch = time.AfterFunc(watchEvery, s.look)
		} else {
			s.watch.Reset(watchEvery)
		}
	}
	// A record that is alone is not looked at, and need not be quick because those
	// before it were.
	if s.pace >= slowRecord || len(r.items) == 1 {
		s.spawn()
	}
	return r
}

// find puts a run together. The caller holds the lane's mutex.
func (s *scheduler) find() *run {
	for !s.l.isDraining() && !s.l.fenceUp {
		now := time.Now()
		isOpen := s.l.c.gate.isOpen()
		if t := s.dueTask(now, isOpen); t != nil {
			return newRun([]item{{task: t, busy: t.busy}})
		}
		if !isOpen || s.order == ByPartition && (len(s.open) > 0 || len(s.runs) > 0) {
			return nil
		}
		s.checkHeld(now)
		r, resumed := s.take()
		if r != nil || !resumed {
			return r
		}
	}
	return nil
}

// dueTask takes a task that is due off the heap. Attempts are put aside while the
// gate is closed. The caller holds the lane's mutex.
func (s *scheduler) dueTask(now time.Time, isOpen bool) *task {
	if isOpen && len(s.gated) > 0 {
		t := s.gated[0]
		s.gated = slices.Delete(s.gated, 0, 1)
		return t
	}
	for len(s.held) > 0 {
		t := s.held[0]
		if t.due.After(now) {
			s.setAlarm(t.due)
			return nil
		}
		s.held.remove(t)
		if t.home != nil || isOpen {
			return t
		}
		s.gated = append(s.gated, t)
	}
	return nil
}

// end marks what a run has settled, and forgets the run.
func (s *scheduler) end(r *run) {
	s.l.mu.Lock()
	told := s.mark(r, r.begun())
	s.runs = slices.DeleteFunc(s.runs, func(other *run) bool { return other == r })
	s.reserved -= r.cost
	if n := r.begun(); n > 0 && r.items[0].task == nil {
		per := time.Since(r.started) / time.Duration(n)
		s.pace = max(per, (3*s.pace+per)/4) // quick to slow down
	}
	if len(s.runs) == 0 && s.watching {
		s.watching = !s.watch.Stop()
	}
	s.l.mu.Unlock()
	s.l.tellSettled(told...)
}

// mark settles the items of a run before an index, but for those that are out. The
// caller holds the lane's mutex, and tells of those that are returned.
func (s *scheduler) mark(r *run, before int) (told []*Message) {
	tell := s.l.c.a.cfg.Trace.Settled != nil
	if tell && before > r.flushed {
		told = make([]*Message, 0, before-r.flushed)
	}
	for ; r.flushed < before; r.flushed++ {
		it := &r.items[r.flushed]
		switch {
		case it.out || it.task != nil || it.m.cut != s.l.cut:
			continue
		case s.l.fenceUp:
			s.cutOff = append(s.cutOff, &it.m)
			continue
		}
		s.l.ledger.settle(it.m.Offset)
		if it.busy != nil {
			s.keys.release(it.busy)
		}
		if tell {
			told = append(told, &it.m)
		}
	}
	return told
}

// look marks what is settled of the runs under way, and takes from those that have
// not moved what they have not begun: a handler that takes its time holds up no
// record that need not wait for it.
func (s *scheduler) look() {
	s.l.mu.Lock()
	var told []*Message
	s.watching = false
	for _, r := range s.runs {
		begun := r.begun()
		told = append(told, s.mark(r, max(r.flushed, begun-1))...)
		if begun == r.seen && r.items[0].task == nil { // a task is alone, and is not given back
			s.giveBack(r)
			s.pace = max(s.pace, watchEvery)
		}
		r.seen = begun
		s.watching = s.watching || begun < r.end()
	}
	if s.watching {
		s.watch.Reset(watchEvery)
	}
	s.spawn()
	s.l.mu.Unlock()
	s.l.tellSettled(told...)
}

// giveBack puts back what a run has not begun. The caller holds the lane's mutex.
func (s *scheduler) giveBack(r *run) {
	rest := r.cut()
	var queue []*kgo.Record
	for i := len(rest) - 1; i >= 0; i-- {
		it := &rest[i]
		if it.out || it.m.cut != s.l.cut {
			continue
		}
		if it.busy == nil || s.keys.putBack(it.busy, it.r) {
			queue = append(queue, it.r)
		}
	}
	slices.Reverse(queue)
	s.l.unpop(queue)
}
