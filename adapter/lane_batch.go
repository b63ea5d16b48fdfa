package adapter

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// batchRun is a fetch on its way through a BatchHandler.
type batchRun struct {
	left   []*Message // unsettled, oldest first
	high   int64
	failed int // attempts that left the first of left unresolved
	call   *batchCall
}

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

// handleBatch is lane.work for a BatchHandler: one call, and what follows.
func (l *lane) handleBatch() bool {
	if l.batch == nil {
		popped := l.pop(math.MaxInt)
		if len(popped.records) == 0 {
			return false
		}
		l.batch = &batchRun{left: l.messages(popped), high: popped.high}
	}
	run := l.batch
	if run.call == nil {
		if l.isDraining() {
			return false
		}
		l.callBatch(run)
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
		if !l.reject(r.m, r.cause) || !l.settle(r.m) {
			for _, r := range call.rejected[i:] {
				run.left = append(run.left, r.m)
			}
			return false
		}
	}
	if len(run.left) == 0 {
		l.batch = nil
		return true
	}
	if l.isDraining() {
		return false
	}
	err := call.err
	if call.told { // to stop: that is no failure of the records
		err = nil
	}
	return l.repeatBatch(run, err, run.left[0] != first)
}

// repeatBatch prepares the delivery of what is left of a batch, and waits for
// its time. progress says that the first message left is another than before.
func (l *lane) repeatBatch(run *batchRun, err error, progress bool) bool {
	policy := l.c.sub.Retry
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
		if first := run.left[0]; first.FirstFailed.IsZero() {
			failed := *first
			failed.FirstFailed = time.Now()
			run.left[0] = &failed
		}
		if run.failed >= policy.Attempts {
			first := run.left[0]
			if !l.reject(first, &AttemptsError{Attempts: run.failed, Err: err}) || !l.settle(first) {
				return false
			}
			run.left, run.failed = run.left[1:], 0
			break
		}
		wait = policy.backoff(run.failed)
		l.c.log.Warn("a batch is to be tried again", "topic", l.tp.topic, "partition", l.tp.partition, "offset", run.left[0].Offset,
			"records", len(run.left), "attempt", run.failed, "of", policy.Attempts, "in", wait, "error", err)
	}
	if len(run.left) == 0 {
		l.batch = nil
		return true
	}
	next := make([]*Message, len(run.left))
	for i, m := range run.left { // the handler may have kept them
		again := *m
		again.Attempt++
		next[i] = &again
	}
	if wait > 0 && !l.await(wait, next...) {
		return false
	}
	run.left, run.call = next, nil
	return true
}

// callBatch runs the handler once.
func (l *lane) callBatch(run *batchRun) {
	trace := l.c.a.cfg.Trace
	if trace.Delivered != nil {
		for _, m := range run.left {
			trace.Delivered(m)
		}
	}
	call := &batchCall{l: l, high: run.high, messages: run.left, resolved: -1}
	start := time.Now()
	l.setRunning(len(run.left))
	returned := func(err error) {
		l.setRunning(0)
		call.end(err)
		run.call = call
		if trace.Returned != nil {
			call.eachResult(func(m *Message, r Result) { trace.Returned(m, r, time.Since(start)) })
		}
	}
	var err error
	ok := false
	l.guard(
		func() { err = l.c.sub.batch.HandleBatch(l.ctx, call.batch()); ok = true },
		returned,
	)
	if ok {
		returned(err)
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
