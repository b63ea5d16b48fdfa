package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What a lane holds of fetched records at most, before fetching its partition
// pauses. One fetch may go beyond it. Records that are held for another attempt,
// and those that wait behind them, have limits of their own.
const (
	maxQueuedRecords = 20_000
	maxQueuedBytes   = 16 << 20
)

// pauseReason is why a partition is not fetched. Reasons are counted, so that
// the end of one does not undo another.
type pauseReason int

const (
	pausedByUser  pauseReason = iota // Consumer.Pause
	pausedByBatch                    // Batch.Pause
	pausedForRoom                    // enough is fetched
	pausedByHeld                     // as many records are held as may be
	pausedByGate                     // Subscription.Gate is closed
	pauseReasons
)

var pauseReasonNames = [pauseReasons]string{
	"paused by Pause", "paused by a batch handler", "enough records fetched",
	"as many records are held for another attempt as may be", "the gate is closed",
}

// lane is what becomes of the records of one partition, from its assignment to
// its end.
//
// It ends in one of two ways. Drained, it finishes what its handlers are at and
// drops the rest. Fenced, it may settle nothing any more, whatever its handlers
// return.
type lane struct {
	c    *Consumer
	tp   topicPartition
	own  ownTopic // what the topic is for
	log  *slog.Logger
	turn chan struct{} // see Adapter.turn

	ctx      context.Context // of handlers; ends when the lane is fenced
	cancel   context.CancelFunc
	draining chan struct{}
	drainIt  sync.Once
	stopping atomic.Bool // draining is closed
	done     chan struct{}
	stuck    atomic.Int32 // handlers that ignore that their context was cancelled
	foreign  atomic.Bool  // it was told of a source's headers that are not believed

	runner runner

	mu        sync.Mutex
	queue     []chunk
	queued    int // records in queue
	bytes     int
	ledger    ledger
	committed commitment // what the group has, as far as is known
	pinned    bool       // where the ledger starts is to be committed
	cut       int        // how often the partition's log was cut: see push
	fenceUp   bool
	member    string // who it is a lane of, by the group's member id
	renewed   string // who else has the partition: see Consumer.renew
	overtaken bool   // others have settled records of it
	floor     int64  // the group has that; nothing before it is committed. -1 for nothing
	reasons   [pauseReasons]int
	position  int64 // the offset after the last record pushed; -1 before
	high      int64 // the high watermark of the last fetch; -1 before
}

// runner runs the handler for what a lane has queued. Its methods but run are
// called with the lane's mutex held.
type runner interface {
	// run returns when the lane is draining and no handler runs any more. It is
	// called when it is the lane's turn.
	run()
	// pushed says that something was added to the queue, or may go on.
	pushed()
	// halted says that no handler is to begin until pushed is called: the gate is
	// closed.
	halted()
	// restarted drops what is known of records of a log that is no more.
	restarted()
	// overtaken drops what waits for another attempt and was settled by others.
	overtaken()
	// waiting is how many records, of how many bytes, wait outside of the queue,
	// and count as fetched.
	waiting() (records, bytes int)
	// running is how many handlers run, or are about to.
	running() int
	// unsettled are the records that were begun, and are not settled.
	unsettled() []*Message
	// status fills in what the runner knows of.
	status(*PartitionStatus)
}

// chunk is records that one fetch brought.
type chunk struct {
	records []*kgo.Record
	high    int64
	cut     int
}

func newLane(c *Consumer, tp topicPartition) *lane {
	l := &lane{
		c: c, tp: tp, own: c.topics[tp.topic], turn: c.a.turn(c.sub.Group, tp),
		log:       c.log.With("topic", tp.topic, "partition", tp.partition),
		draining:  make(chan struct{}),
		done:      make(chan struct{}),
		ledger:    newLedger(),
		committed: commitment{position: none},
		position:  -1, high: -1, floor: -1,
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if c.sub.batch != nil {
		l.runner = newBatches(l)
	} else {
		l.runner = newScheduler(l)
	}
	return l
}

// run waits for the lane's turn, and ends when nothing of the lane runs any more.
func (l *lane) run() {
	select {
	case l.turn <- struct{}{}:
		l.runner.run()
		<-l.turn
	case <-l.draining:
	}
	l.cancel()
	if f := l.c.a.cfg.Trace.Fenced; f != nil {
		l.mu.Lock()
		left := l.runner.unsettled()
		l.mu.Unlock()
		for _, m := range left {
			f(m)
		}
	}
	close(l.done)
}

// push adds what was fetched. It does not wait for room: fetching pauses
// until there is.
func (l *lane) push(records []*kgo.Record, high int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh, from, copied := records, 0, false
	for i, r := range records {
		settled, afresh := l.ledger.enter(r.Offset, r.LeaderEpoch)
		if afresh {
			// What is queued of the log that was is no more, and what is in
			// the handler must not settle another record of the same offset.
			l.committed, l.floor = commitment{position: none}, -1
			l.cut++
			l.queue, l.queued, l.bytes = nil, 0, 0
			l.runner.restarted()
			fresh, from, copied = records[i:], i, false
			l.log.Warn("offsets went back: the log was cut or the topic made anew", "offset", r.Offset)
		}
		if settled {
			if !copied {
				fresh, copied = slices.Clone(records[from:i]), true
			}
			notify(l.c.dirty)
			continue
		}
		if copied {
			fresh = append(fresh, r)
		}
		l.bytes += size(r)
	}
	l.position = records[len(records)-1].Offset + 1
	l.high = high
	if len(fresh) == 0 {
		return
	}
	l.queue = append(l.queue, chunk{fresh, high, l.cut})
	l.queued += len(fresh)
	l.checkRoom()
	l.runner.pushed()
}

// size is about how much memory a record takes.
func size(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// pop takes up to limit records off the queue that one fetch brought. The caller
// holds mu.
func (l *lane) pop(limit int) chunk {
	if len(l.queue) == 0 {
		return chunk{}
	}
	first := &l.queue[0]
	n := min(limit, len(first.records))
	popped := chunk{first.records[:n], first.high, first.cut}
	first.records = first.records[n:]
	if len(first.records) == 0 {
		l.queue = l.queue[1:]
	}
	l.queued -= n
	for _, r := range popped.records {
		l.bytes -= size(r)
	}
	return popped
}

// popOne takes the next record off the queue, which is not empty, and is how often
// the log had been cut when that came. The caller holds mu.
func (l *lane) popOne() (cut int) {
	first := &l.queue[0]
	l.queued--
	l.bytes -= size(first.records[0])
	cut = first.cut
	if first.records = first.records[1:]; len(first.records) == 0 {
		l.queue = l.queue[1:]
	}
	return cut
}

// unpop puts records back to the head of the queue. The caller holds mu.
func (l *lane) unpop(records []*kgo.Record) {
	if len(records) == 0 {
		return
	}
	l.queue = slices.Insert(l.queue, 0, chunk{records, l.high, l.cut})
	l.queued += len(records)
	for _, r := range records {
		l.bytes += size(r)
	}
}

// checkRoom pauses fetching when enough is fetched, and ends that when half of it
// is gone. The caller holds mu.
func (l *lane) checkRoom() {
	records, bytes := l.runner.waiting()
	records, bytes = records+l.queued, bytes+l.bytes
	switch paused := l.reasons[pausedForRoom] > 0; {
	case !paused && (records >= maxQueuedRecords || bytes >= maxQueuedBytes):
		l.pauseLocked(pausedForRoom)
	case paused && records <= maxQueuedRecords/2 && bytes <= maxQueuedBytes/2:
		l.resumeLocked(pausedForRoom)
	}
}

// restore takes over what the group knows of the partition.
func (l *lane) restore(committed int64, metadata string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.committed = commitment{position{offset: committed, epoch: -1}, metadata}
	if err := l.ledger.restore(committed, metadata); err != nil {
		l.log.Warn("the metadata of the committed offset is ignored: records after it that were settled are delivered again",
			"offset", committed, "error", err)
	}
}

// message is the next delivery of a record. notBefore is when it is due, where that
// is later than its topic says; else zero.
func (l *lane) message(m *Message, r *kgo.Record, cut int) (notBefore time.Time) {
	if l.own.kind == sourceTopic {
		m.publish(r)
		m.Group, m.Attempt = l.c.sub.Group, 1
		if len(m.Headers) > 0 && !l.foreign.Load() && slices.ContainsFunc(m.Headers, func(h Header) bool { return isOwnHeader(h.Key) }) {
			l.foreign.Store(true)
			l.log.Warn("headers that are named like the adapter's are not believed here, where anybody can write them: they are left with the record; of other records of the partition this is not told", "offset", r.Offset)
		}
	} else {
		var t trail
		var err error
		*m, t, err = returned(r, l.own.source, l.c.sub.Group)
		if err != nil {
			l.log.Warn("the headers of a record are not believed: it counts as first published here", "offset", r.Offset, "error", err)
		}
		notBefore = t.notBefore
		if !m.FirstFailed.IsZero() {
			m.idle = l.c.gate.idleOf(t.idle, cmp.Or(t.idleTo, r.Timestamp))
		}
	}
	m.cut = cut
	if len(l.ledger.failures) > 0 {
		if f, ok := l.ledger.failures[r.Offset]; ok {
			m.Attempt, m.FirstFailed = max(m.Attempt, f.attempts+1), f.first
			m.idle = l.c.gate.idleOf(f.idle, time.Now())
		}
	}
	return notBefore
}

// due is when a record may be handled. The records of a retry topic are in the
// order in which the broker took them, and wait for as long as each other.
//
// Their time is the broker's, and is held against the clock of this process. Where
// that is behind, or jumps back, they are late by the difference, and so are those
// behind them; none is lost, for none is settled before it has run.
func (l *lane) due(r *kgo.Record) time.Time {
	if l.own.kind != retryTopic {
		return time.Time{}
	}
	return r.Timestamp.Add(l.own.delay)
}

// settle marks a record as done, unless the lane is fenced: then what the
// handler did no longer counts, and settle reports false.
func (l *lane) settle(m *Message) bool {
	l.mu.Lock()
	fenced := l.fenceUp
	fresh := !fenced && l.markLocked(m)
	l.mu.Unlock()
	if fresh {
		l.tellSettled(m)
	}
	return !fenced
}

// markLocked marks a record in the ledger, and reports whether that was news.
func (l *lane) markLocked(m *Message) bool { return m.cut == l.cut && l.ledger.settle(m.Offset) }

func (l *lane) tellSettled(ms ...*Message) {
	if f := l.c.a.cfg.Trace.Settled; f != nil && len(ms) > 0 {
		f(ms)
	}
	notify(l.c.dirty)
}

// callOnReject runs the subscription's hook on a goroutine of its own, so that
// one that exits its goroutine fails like any other.
func (l *lane) callOnReject(m *Message, cause error) error {
	outcome := make(chan error, 1)
	go func() {
		err := errors.New("OnReject exited its goroutine")
		defer func() {
			if r := recover(); r != nil {
				l.log.Error("OnReject panicked", "offset", m.Offset, "panic", r, "stack", string(debug.Stack()))
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

// drain makes the lane end after what its handlers are at.
func (l *lane) drain() {
	l.drainIt.Do(func() {
		l.stopping.Store(true)
		close(l.draining)
	})
}

func (l *lane) isDraining() bool { return l.stopping.Load() }

// fence makes the lane end, and settle nothing from here on. It returns how many
// handlers that cuts off, the first time.
func (l *lane) fence() (cutOff int) {
	l.mu.Lock()
	if !l.fenceUp {
		cutOff = l.runner.running()
	}
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

// commitment is what is committed of a partition.
type commitment struct {
	position
	metadata string
}

// uncommitted is what the next commit should commit. fenceCommit has the last
// word on it.
func (l *lane) uncommitted() (commitment, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.commitmentOf(&l.ledger)
	if next.offset < 0 {
		return next, false
	}
	if l.committed.position == none && next.metadata == "" && next.offset == l.ledger.start && !l.pinned {
		return next, false // where it starts is no news to the group
	}
	if next.offset < l.floor {
		return next, false
	}
	return next, next.offset != l.committed.offset || next.metadata != l.committed.metadata
}

// commitmentOf is what to commit by a ledger of the lane's. The caller holds mu.
func (l *lane) commitmentOf(of *ledger) commitment {
	next := commitment{position: of.prefix()}
	if next.offset >= 0 && (next.offset < of.next || len(of.done) > 0 || len(of.failures) > 0) {
		var whole bool
		if next.metadata, whole = of.encode(l.c.maxMetadata()); !whole {
			l.log.Warn("not all that is settled fits into the commit's metadata: after a crash some records are delivered again", "offset", next.offset)
		}
	}
	return next
}

// committedWith is what to commit when some more offsets are settled.
func (l *lane) committedWith(settled []int64) commitment {
	l.mu.Lock()
	defer l.mu.Unlock()
	with := l.ledger.clone()
	for _, offset := range settled {
		with.settle(offset)
	}
	return l.commitmentOf(&with)
}

// committedTo notes what the group has now, and reports whether the offset is
// another than before.
func (l *lane) committedTo(c commitment) (moved bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	moved = l.committed.offset != c.offset
	l.committed = c
	return moved
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
	if l.ledger.start < 0 {
		l.ledger.start, l.pinned = offset, true
	}
	notify(l.c.dirty)
	return l.ledger.first()
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

// setPaused makes a reason hold once or not at all. The caller holds mu.
func (l *lane) setPaused(r pauseReason, holds bool) {
	switch held := l.reasons[r] > 0; {
	case holds && !held:
		l.pauseLocked(r)
	case !holds && held:
		l.resumeLocked(r)
	}
}
