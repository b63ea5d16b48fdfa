package adapter

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// batches is the runner of a BatchHandler: one batch at a time.
type batches struct {
	l    *lane
	wake chan struct{}
	gone chan struct{}

	// What it is at outlives a handler that exits its goroutine. Only its
	// goroutine changes it.
	current *batchRun

	// The lane's mutex guards what follows.
	inFlight int // records in the handler, or on their way to where they go from it
	due      time.Time
	blocked  error
}

// batchRun is a fetch on its way through a BatchHandler.
type batchRun struct {
	left   []*Message // unsettled, oldest first
	high   int64
	failed int // attempts that left the first of left unresolved
	call   *batchCall
	// due is when the first call may be, where the first of left was tried by
	// whoever had the partition before; else zero.
	due time.Time
}

func newBatches(l *lane) *batches {
	return &batches{l: l, wake: make(chan struct{}, 1), gone: make(chan struct{})}
}

func (b *batches) run() {
	go b.work()
	<-b.gone
}

// work goes on until the lane is to end. A handler that ends its goroutine ends
// this one, and another goes on.
func (b *batches) work() {
	exited := true
	defer func() {
		if exited {
			go b.work()
			return
		}
		close(b.gone)
	}()
	for b.step() {
	}
	exited = false
}

func (b *batches) pushed() { notify(b.wake) }

// halted leaves the batch that is under way alone: its handler runs.
func (b *batches) halted() {}

// restarted leaves the batch that is under way alone: what it resolves settles
// nothing.
func (b *batches) restarted() {}

// overtaken leaves it alone, too: some of it may not be settled.
func (b *batches) overtaken() {}

func (b *batches) waiting() (records, bytes int) { return 0, 0 }

func (b *batches) running() int { return min(b.inFlight, 1) }

func (b *batches) unsettled() []*Message {
	if b.current == nil {
		return nil
	}
	return b.current.left
}

func (b *batches) status(p *PartitionStatus) {
	p.InFlight, p.Due, p.Blocked = b.inFlight, b.due, b.blocked
	if !b.due.IsZero() {
		p.Held = len(b.current.left)
	}
}

// set changes what the lane's mutex guards.
func (b *batches) set(change func()) {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	change()
}

// next takes a batch off the queue, and waits for one. It is nil when the lane is
// to end.
func (b *batches) next() *batchRun {
	l := b.l
	for !l.isDraining() {
		l.mu.Lock()
		popped := l.pop(math.MaxInt)
		now := time.Now()
		if i := slices.IndexFunc(popped.records, func(r *kgo.Record) bool { return l.retryDue(r).After(now) }); i > 0 {
			l.unpop(popped.records[i:])
			popped.records = popped.records[:i]
		}
		l.checkRoom()
		slab := make([]Message, len(popped.records))
		left := make([]*Message, len(popped.records))
		for i, r := range popped.records {
			l.message(&slab[i], r, popped.cut)
			left[i] = &slab[i]
		}
		var due time.Time
		if len(left) > 0 {
			due = l.retryDue(popped.records[0])
		}
		l.mu.Unlock()
		if len(left) > 0 {
			return &batchRun{left: left, high: popped.high, failed: left[0].Attempt - 1, due: due}
		}
		select {
		case <-b.wake:
		case <-l.draining:
		}
	}
	return nil
}

// retryDue is when a record is due that was tried by whoever had the partition
// before, and zero for others. The caller holds mu.
func (l *lane) retryDue(r *kgo.Record) time.Time { return l.ledger.failures[r.Offset].due }

// batchCall is one call of the handler.
type batchCall struct {
	l    *lane
	high int64

	mu       sync.Mutex
	messages []*Message
	resolved int64 // through this offset
	rejected []rejection
	err      error
	ended    bool
	told     bool // to stop: see autoResolves
}

type rejection struct {
	m     *Message
	cause error
}

// step does the next thing there is to do, and reports whether to go on.
func (b *batches) step() bool {
	l := b.l
	if b.current == nil {
		run := b.next()
		b.set(func() { b.current = run })
		if run == nil {
			return false
		}
	}
	run := b.current
	if run.call == nil {
		if wait := time.Until(run.due); wait > 0 && !b.await(wait, run.left...) {
			return false
		}
		if !l.c.gate.pass(l.draining) || l.isDraining() {
			return false
		}
		b.callHandler(run)
	}
	call := run.call
	first := run.left[0]
	if l.isFenced() {
		return false
	}
	if call.autoResolves() {
		call.resolved = math.MaxInt64
	}
	var left []*Message
	for _, m := range call.messages {
		switch {
		case call.isRejected(m):
		case m.Offset > call.resolved:
			left = append(left, m)
		case !l.settle(m): // again, where the handler resolved it
			return false
		}
	}
	run.left = left
	for i, r := range call.rejected {
		if !b.reject(r.m, r.cause) || !l.settle(r.m) {
			for _, r := range call.rejected[i:] {
				run.left = append(run.left, r.m)
			}
			return false
		}
	}
	if len(run.left) == 0 {
		b.set(func() { b.current = nil })
		return true
	}
	if l.isDraining() {
		return false
	}
	err := call.err
	if call.told { // to stop: that is no failure of the records
		err = nil
	}
	return b.again(run, err, run.left[0] != first)
}

// again prepares the delivery of what is left of a batch, and waits for its time.
// progress says that the first message left is another than before.
func (b *batches) again(run *batchRun, err error, progress bool) bool {
	l, policy := b.l, &b.l.c.sub.Retry
	wait := time.Duration(0)
	switch {
	case err == nil && progress:
		run.failed = 0
	case err == nil: // nothing failed, but calling again at once would spin
		wait = policy.backoff(1)
	default:
		if progress {
			run.failed = 0
		}
		run.failed++
		failed := *run.left[0]
		if failed.FirstFailed.IsZero() {
			l.c.gate.failedFirst(&failed, time.Now())
			run.left[0] = &failed
		}
		idle := l.c.gate.idleFor(&failed)
		age := time.Since(failed.FirstFailed) - idle
		var cause error
		switch {
		case run.failed >= policy.Attempts:
			cause = &AttemptsError{Attempts: run.failed, Err: err}
		case policy.MaxAge > 0 && age >= policy.MaxAge:
			cause = &AgeError{Age: age, Attempts: run.failed, Err: err}
		}
		if cause != nil {
			if !b.reject(run.left[0], cause) || !l.settle(run.left[0]) {
				return false
			}
			run.left, run.failed = run.left[1:], 0
			break
		}
		wait = policy.backoff(run.failed)
		l.log.Warn("a batch is to be tried again", "offset", failed.Offset, "records", len(run.left),
			"attempt", run.failed, "of", policy.Attempts, "in", wait, "error", err)
		b.set(func() {
			if failed.cut == l.cut {
				l.ledger.fail(failed.Offset, failure{attempts: run.failed, first: failed.FirstFailed, due: time.Now().Add(wait), idle: idle})
			}
		})
		notify(l.c.dirty)
	}
	if len(run.left) == 0 {
		b.set(func() { b.current = nil })
		return true
	}
	next := make([]*Message, len(run.left))
	for i, m := range run.left { // the handler may have kept them
		again := *m
		again.Attempt++
		next[i] = &again
	}
	if wait > 0 && !b.await(wait, next...) {
		return false
	}
	run.left, run.call = next, nil
	return true
}

// callHandler runs the handler once.
func (b *batches) callHandler(run *batchRun) {
	l, trace := b.l, b.l.c.a.cfg.Trace
	ctx := l.ctx
	if trace.Delivered != nil {
		for _, m := range run.left {
			ctx = trace.Delivered(ctx, m)
		}
	}
	var watch *overrun
	if limit := l.c.sub.Retry.HandlerTimeout; limit > 0 {
		ctx, watch = l.limitTime(ctx, limit, run.left[0].String())
	}
	call := &batchCall{l: l, high: run.high, messages: run.left, resolved: -1}
	start := time.Now()
	b.set(func() { b.inFlight = len(run.left) })
	ended := func(err error) {
		b.set(func() { b.inFlight = 0 })
		if watch != nil && watch.end(l) {
			err = fmt.Errorf("%w of %v: it returned %w", ErrHandlerTimeout, l.c.sub.Retry.HandlerTimeout, cmp.Or(err, errNothing))
		}
		call.end(err)
		run.call = call
		if trace.Returned != nil {
			call.eachResult(func(m *Message, r Result) { trace.Returned(m, r, time.Since(start)) })
		}
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		err := ErrHandlerExited
		if p := recover(); p != nil {
			l.log.Error("the handler panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", ErrHandlerPanicked, p)
		}
		ended(err)
	}()
	err := l.attemptBatch(ctx, call.batch())
	returned = true
	ended(err)
}

// attemptBatch is attempt for a BatchHandler.
func (l *lane) attemptBatch(ctx context.Context, b *Batch) error {
	return l.c.sub.batch.HandleBatch(ctx, b)
}

// await holds records until their next attempt, and reports false when the lane is
// to end first.
func (b *batches) await(d time.Duration, ms ...*Message) bool {
	due := time.Now().Add(d)
	b.set(func() { b.due = due })
	defer b.set(func() { b.due = time.Time{} })
	if f := b.l.c.a.cfg.Trace.Waiting; f != nil {
		for _, m := range ms {
			f(m, due)
		}
	}
	return b.l.sleep(d)
}

// reject gives a record to where rejected ones go, again and again until it is
// taken. It reports false when the lane is to end first: the record is held, and
// the handler is not run for it again while this member has the partition.
func (b *batches) reject(m *Message, cause error) bool {
	l := b.l
	log := l.log.With("offset", m.Offset, "attempt", m.Attempt)
	log.Error("rejecting a record", "error", cause)
	home := l.rejected(m, cause)
	for failed := 1; ; failed++ {
		b.set(func() { b.inFlight = 1 })
		err := home.take(l.ctx)
		b.set(func() { b.inFlight = 0 })
		if err == nil {
			b.set(func() { b.blocked = nil })
			return true
		}
		if l.isFenced() {
			return false
		}
		wait, blocked := home.afterFailure(err, failed, &l.c.sub.Retry)
		b.set(func() { b.blocked = blocked })
		log.Error("the rejected record was not taken, and holds up its partition", "error", err, "next try in", wait)
		if !b.await(wait, m) {
			return false
		}
	}
}

// batch is what the handler gets. Its controls do nothing once the call has
// ended.
func (b *batchCall) batch() *Batch {
	return NewBatch(b.l.tp.topic, b.l.tp.partition, b.messages, b.high, BatchFuncs{
		ResolveOffset:            b.resolve,
		RejectAt:                 b.rejectAt,
		Heartbeat:                b.heartbeat,
		Pause:                    b.pause,
		CommitOffsetsIfNecessary: b.commit,
		UncommittedOffsets:       b.uncommitted,
		IsRunning:                func() bool { return !b.tell(b.l.c.ctx.Err() != nil) },
		IsStale:                  func() bool { return b.tell(b.stale()) },
	})
}

// tell notes that the handler has heard that it should stop.
func (b *batchCall) tell(stop bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if stop && !b.ended {
		b.told = true
	}
	return stop
}

// autoResolves reports whether the end of the call settles its last record. A
// handler that was told to stop may have done so half way, without an error.
func (b *batchCall) autoResolves() bool {
	return b.err == nil && !b.l.c.sub.noAutoResolve && !b.told
}

func (b *batchCall) stale() bool {
	b.mu.Lock()
	ended := b.ended
	b.mu.Unlock()
	return ended || b.l.isDraining()
}

func (b *batchCall) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended, b.err = true, err
	slices.SortFunc(b.rejected, func(x, y rejection) int { return cmp.Compare(x.m.Offset, y.m.Offset) })
}

// eachResult is what the call comes to for each record. It is called after the
// end.
func (b *batchCall) eachResult(f func(*Message, Result)) {
	for _, m := range b.messages {
		i := slices.IndexFunc(b.rejected, func(r rejection) bool { return r.m == m })
		switch {
		case i >= 0:
			f(m, Reject(b.rejected[i].cause))
		case m.Offset <= b.resolved || b.autoResolves():
			f(m, Commit())
		default:
			f(m, Retry(b.err))
		}
	}
}

// isRejected reports whether the handler isolated a record. The caller holds
// mu, or the call has ended.
func (b *batchCall) isRejected(m *Message) bool {
	return slices.ContainsFunc(b.rejected, func(r rejection) bool { return r.m == m })
}

func (b *batchCall) resolve(offset int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended || offset <= b.resolved || offset < b.messages[0].Offset || offset > b.messages[len(b.messages)-1].Offset {
		return
	}
	from := b.resolved
	b.resolved = offset
	for _, m := range b.messages {
		if m.Offset > from && m.Offset <= offset && !b.isRejected(m) {
			b.l.settle(m)
		}
	}
}

func (b *batchCall) rejectAt(offset int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended || offset <= b.resolved {
		return
	}
	for _, m := range b.messages {
		if m.Offset == offset && !b.isRejected(m) {
			b.rejected = append(b.rejected, rejection{m, err})
		}
	}
}

func (b *batchCall) heartbeat(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.tell(b.stale()) {
		return ErrStale
	}
	return nil
}

func (b *batchCall) pause() func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return func() {}
	}
	b.l.pause(pausedByBatch)
	var once sync.Once
	return func() { once.Do(func() { b.l.resume(pausedByBatch) }) }
}

func (b *batchCall) commit(ctx context.Context) error {
	if err := b.heartbeat(ctx); err != nil {
		return err
	}
	return b.l.c.commitLanes(ctx, []*lane{b.l})
}

func (b *batchCall) uncommitted() map[string]map[int32]int64 {
	p, ok := b.l.uncommitted()
	if !ok || b.stale() {
		return map[string]map[int32]int64{}
	}
	return map[string]map[int32]int64{b.l.tp.topic: {b.l.tp.partition: p.offset}}
}
