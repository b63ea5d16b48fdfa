package adapter

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What a lane holds of fetched records at most, before fetching its partition
// pauses. One fetch may go beyond it.
const (
	maxQueuedRecords = 5000
	maxQueuedBytes   = 4 << 20
)

// pauseReason is why a partition is not fetched. Reasons are counted, so that
// the end of one does not undo another.
type pauseReason int

const (
	pausedByUser  pauseReason = iota // Consumer.Pause
	pausedByBatch                    // Batch.Pause
	pausedForRoom                    // enough is fetched
	pauseReasons
)

var pauseReasonNames = [pauseReasons]string{"paused by Pause", "paused by a batch handler", "enough records fetched"}

// lane runs the handler for the records of one partition, from its assignment
// to its end.
//
// It ends in one of two ways. Drained, it finishes what its handler is at and
// drops the rest. Fenced, it may settle nothing any more, whatever its handler
// returns.
type lane struct {
	c    *Consumer
	tp   topicPartition
	turn chan struct{} // see Adapter.turn
	mine bool          // this lane is in it

	ctx      context.Context // of the handler; ends when the lane is fenced
	cancel   context.CancelFunc
	draining chan struct{}
	drainIt  sync.Once
	wake     chan struct{} // something was pushed
	done     chan struct{} // run has returned

	// work does the next thing there is to do, and reports whether to go on.
	// What it keeps between calls outlives a handler that exits its goroutine.
	work    func() bool
	current *delivery // for a Handler
	batch   *batchRun // for a BatchHandler

	mu        sync.Mutex
	queue     []chunk
	queued    int // records in queue
	bytes     int
	ledger    ledger
	committed int64 // -1 when this member has committed nothing
	log       int   // which log of the partition this is: see push
	fenceUp   bool
	reasons   [pauseReasons]int
	position  int64 // the offset after the last record pushed; -1 before
	high      int64 // the high watermark of the last fetch; -1 before
	running   int   // records in the handler, or in OnReject
	due       time.Time
	blocked   error
}

// chunk is what one fetch brought.
type chunk struct {
	records []*kgo.Record
	high    int64
	log     int
}

func newLane(c *Consumer, tp topicPartition) *lane {
	l := &lane{
		c: c, tp: tp, turn: c.a.turn(c.sub.Group, tp),
		draining:  make(chan struct{}),
		wake:      make(chan struct{}, 1),
		done:      make(chan struct{}),
		ledger:    newLedger(),
		committed: -1, position: -1, high: -1,
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.work = l.handleRecord
	if c.sub.batch != nil {
		l.work = l.handleBatch
	}
	return l
}

func (l *lane) run() {
	exited := true
	defer func() {
		if exited { // by the handler: everything is in place to go on
			go l.run()
			return
		}
		l.cancel()
		l.finish()
		if l.mine {
			<-l.turn
		}
		close(l.done)
	}()
	if !l.mine {
		select {
		case l.turn <- struct{}{}:
			l.mine = true
		case <-l.draining:
		}
	}
	for l.mine && l.work() {
	}
	exited = false
}

// finish tells of the record that the lane leaves unsettled.
func (l *lane) finish() {
	f := l.c.a.cfg.Trace.Fenced
	if f == nil {
		return
	}
	if l.current != nil {
		f(l.current.m)
	}
	if l.batch != nil {
		for _, m := range l.batch.left {
			f(m)
		}
	}
}

// push adds what was fetched. It does not wait for room: fetching pauses
// until there is.
func (l *lane) push(records []*kgo.Record, high int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		if !l.ledger.enter(r.Offset, r.LeaderEpoch) {
			// What is queued of the log that was is no more, and what is in
			// the handler must not settle another record of the same offset.
			l.committed = -1
			l.log++
			l.queue, l.queued, l.bytes = nil, 0, 0
			l.c.log.Warn("offsets went back: the log was cut or the topic made anew",
				"topic", l.tp.topic, "partition", l.tp.partition, "offset", r.Offset)
		}
		l.bytes += size(r)
	}
	l.queue = append(l.queue, chunk{records, high, l.log})
	l.queued += len(records)
	l.position = records[len(records)-1].Offset + 1
	l.high = high
	if l.reasons[pausedForRoom] == 0 && (l.queued >= maxQueuedRecords || l.bytes >= maxQueuedBytes) {
		l.pauseLocked(pausedForRoom)
	}
	notify(l.wake)
}

// size is about how much memory a record takes.
func size(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// pop takes up to limit records that one fetch brought, and waits for some. It
// returns none when the lane is to end.
func (l *lane) pop(limit int) chunk {
	for {
		if l.isDraining() {
			return chunk{}
		}
		l.mu.Lock()
		if len(l.queue) > 0 {
			first := &l.queue[0]
			n := min(limit, len(first.records))
			popped := chunk{first.records[:n], first.high, first.log}
			first.records = first.records[n:]
			if len(first.records) == 0 {
				l.queue = l.queue[1:]
			}
			l.queued -= n
			for _, r := range popped.records {
				l.bytes -= size(r)
			}
			if l.reasons[pausedForRoom] > 0 && l.queued <= maxQueuedRecords/2 && l.bytes <= maxQueuedBytes/2 {
				l.resumeLocked(pausedForRoom)
			}
			l.mu.Unlock()
			return popped
		}
		l.mu.Unlock()
		select {
		case <-l.wake:
		case <-l.draining:
		}
	}
}

// messages are the first deliveries of records.
func (l *lane) messages(c chunk) []*Message {
	ms := make([]*Message, len(c.records))
	for i, r := range c.records {
		ms[i] = published(r)
		ms[i].Group, ms[i].Attempt, ms[i].log = l.c.sub.Group, 1, c.log
	}
	return ms
}

// guard runs a handler's call, and tells a panic or an exit of the goroutine
// from a return. After an exit it does not return: run goes on elsewhere.
func (l *lane) guard(call func(), failed func(error)) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if r := recover(); r != nil {
			l.c.log.Error("the handler panicked", "topic", l.tp.topic, "partition", l.tp.partition,
				"panic", r, "stack", string(debug.Stack()))
			failed(fmt.Errorf("%w: %v", ErrHandlerPanicked, r))
			return
		}
		failed(ErrHandlerExited)
	}()
	call()
	returned = true
}

// settle marks a record as done, unless the lane is fenced: then what the
// handler did no longer counts, and settle reports false.
func (l *lane) settle(m *Message) bool {
	l.mu.Lock()
	if l.fenceUp {
		l.mu.Unlock()
		return false
	}
	fresh := m.log == l.log && l.ledger.settle(m.Offset)
	l.mu.Unlock()
	if fresh {
		if f := l.c.a.cfg.Trace.Settled; f != nil {
			f(m)
		}
		notify(l.c.dirty)
	}
	return true
}

// await holds a record until its next attempt, and reports false when the lane
// is to end first.
func (l *lane) await(d time.Duration, ms ...*Message) bool {
	due := time.Now().Add(d)
	l.setDue(due)
	defer l.setDue(time.Time{})
	if f := l.c.a.cfg.Trace.Waiting; f != nil {
		for _, m := range ms {
			f(m, due)
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.draining:
	}
	return !l.isDraining()
}

// reject gives a record to OnReject, again and again until it is taken. It
// reports false when the lane is to end first: the record is held, and the
// handler is not run for it again while this member has the partition.
func (l *lane) reject(m *Message, cause error) bool {
	log := l.c.log.With("topic", m.Topic, "partition", m.Partition, "offset", m.Offset, "attempt", m.Attempt)
	log.Error("rejecting a record", "error", cause)
	take := func() error { return l.callOnReject(m, cause) }
	if l.c.sub.OnReject == nil {
		letter := deadLettering{a: l.c.a, m: m, cause: cause}
		take = func() error { return letter.publish(l.ctx) }
	}
	policy := l.c.sub.Retry
	for failed := 1; ; failed++ {
		err := take()
		if err == nil {
			l.setBlocked(nil)
			return true
		}
		if l.isFenced() {
			return false
		}
		d := policy.backoff(failed)
		switch {
		case l.c.sub.OnReject == nil && !Retryable(err):
			// Somebody has to act; until then, look now and then.
			d = policy.MaxBackoff
			l.setBlocked(err)
		case l.c.sub.OnReject != nil && failed >= policy.Attempts:
			l.setBlocked(err)
		default:
			l.setBlocked(nil)
		}
		log.Error("the rejected record was not taken, and holds up its partition", "error", err, "next try in", d)
		if !l.await(d, m) {
			return false
		}
	}
}

// callOnReject runs the subscription's hook on a goroutine of its own, so that
// one that exits its goroutine fails like any other.
func (l *lane) callOnReject(m *Message, cause error) error {
	l.setRunning(1)
	defer l.setRunning(0)
	outcome := make(chan error, 1)
	go func() {
		err := errors.New("OnReject exited its goroutine")
		defer func() {
			if r := recover(); r != nil {
				l.c.log.Error("OnReject panicked", "topic", m.Topic, "partition", m.Partition, "offset", m.Offset,
					"panic", r, "stack", string(debug.Stack()))
				err = fmt.Errorf("OnReject panicked: %v", r)
			}
			outcome <- err
		}()
		err = l.c.sub.OnReject(l.ctx, m, cause)
	}()
	if err := <-outcome; err != nil {
		return err
	}
	if f := l.c.a.cfg.Trace.Rejected; f != nil {
		f(m, cause)
	}
	return nil
}

// drain makes the lane end after what its handler is at.
func (l *lane) drain() { l.drainIt.Do(func() { close(l.draining) }) }

func (l *lane) isDraining() bool {
	select {
	case <-l.draining:
		return true
	default:
		return false
	}
}

// fence makes the lane end, and settle nothing from here on. It reports
// whether that cuts off a handler, the first time.
func (l *lane) fence() bool {
	l.mu.Lock()
	cutOff := l.running > 0 && !l.fenceUp
	l.fenceUp = true
	l.mu.Unlock()
	l.drain()
	l.cancel()
	return cutOff
}

func (l *lane) isFenced() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fenceUp
}

// uncommitted is the position that the next commit should commit. fenceCommit
// has the last word on it.
func (l *lane) uncommitted() (position, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.ledger.prefix
	return p, p.offset >= 0 && p.offset != l.committed
}

func (l *lane) committedTo(offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.committed = offset
}

// startAt pins where the group starts in a partition that is new to it, to be
// committed like something settled: or else a group that starts with the latest
// record would, after a restart, start later still, and skip what came between.
//
// Where the start was pinned before, and the commit has not come through, it
// stays: startAt returns the offset to start at.
func (l *lane) startAt(offset int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ledger.prefix == none {
		l.ledger.prefix = position{offset: offset, epoch: -1}
	}
	notify(l.c.dirty)
	return l.ledger.prefix.offset
}

func (l *lane) setDue(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due = t
}

func (l *lane) setBlocked(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocked = err
}

func (l *lane) setRunning(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = n
}

func (l *lane) pause(r pauseReason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pauseLocked(r)
}

func (l *lane) resume(r pauseReason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resumeLocked(r)
}

func (l *lane) pauseLocked(r pauseReason) {
	l.reasons[r]++
	if !l.fenceUp {
		l.c.cl.PauseFetchPartitions(map[string][]int32{l.tp.topic: {l.tp.partition}})
	}
}

func (l *lane) resumeLocked(r pauseReason) {
	l.reasons[r]--
	if !l.fenceUp && !slices.ContainsFunc(l.reasons[:], func(n int) bool { return n > 0 }) {
		l.c.cl.ResumeFetchPartitions(map[string][]int32{l.tp.topic: {l.tp.partition}})
	}
}
