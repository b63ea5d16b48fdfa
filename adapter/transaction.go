package adapter

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// maxCrossings is how many records go in one transaction.
	maxCrossings = 200
	// transactionSlack is how much longer than a try a transaction may be open: the
	// brokers abort it then, so that one of a process that is no more holds up those
	// who read the topics, and whoever has the partition next, no longer than that.
	transactionSlack = 10 * time.Second
	// maxTransaction is how long brokers let one be open (transaction.max.timeout.ms),
	// unless they say otherwise.
	maxTransaction = 15 * time.Minute
	// stuckPause is for how long no record goes to a partition that took none in time,
	// and stuckPatience how long it has then: whatever else is to be moved or
	// committed waits as long.
	stuckPause    = 30 * time.Second
	stuckPatience = 5 * time.Second
)

var (
	errFencedOff = errors.New("the partition was taken away")
	errInDoubt   = errors.New("it is not known whether the transaction before was committed")
	errNoPlace   = errors.New("that it is settled does not fit into the metadata of a commit (offset.metadata.max.bytes), until records before it are settled")
	errStuck     = errors.New("the partition that it goes to takes no records")
	errNoMember  = errors.New("the consumer is not a member of its group at the moment")
)

// transactions moves records of a consumer to their next home, each time in one
// transaction with the commit that says so: Subscription.ExactlyOnceHops.
//
// Whoever commits has Consumer.commit, so no other commit of this member's comes
// between a transaction's begin and its end. What fences off a member that was
// expelled is its generation, which goes with the commit (KIP-447); so any
// transactional id will do that nobody else has.
//
// A transaction that fails in any way ends with its producer. The next one has the
// same transactional id: when it has been let in, the transaction before has ended,
// and what it left open is aborted. Whether a commit whose answer was lost has come
// about is then read off the group's offset, which moved with it or did not.
type transactions struct {
	c    *Consumer
	id   string
	wake chan struct{}
	ctx  context.Context // of transactions; ends with close
	stop context.CancelFunc
	gone sync.WaitGroup

	mu      sync.Mutex
	waiting []*crossing

	// Who has Consumer.commit has what follows.
	cl       *kgo.Client        // nil before the first transaction, and after one that failed
	abandon  context.CancelFunc // ends what cl waits for
	implicit bool               // the brokers add the group to a transaction by themselves (KIP-890)
	open     bool               // a transaction of a producer that is gone may be open
	doubtful *passageOver       // the last transaction, while it is not known how it ended
	// stuck are the partitions that took no record in time, and when they are tried
	// again.
	stuck  map[topicPartition]time.Time
	closed bool
}

// crossing is a record on its way in a transaction.
type crossing struct {
	l   *lane
	m   *Message
	v   *move
	out *kgo.Record // as it was sent
	// err is what kept this one, and not the whole transaction.
	err  error
	done chan error // has room for what came of it
}

// to is the partition that the record goes to.
func (x *crossing) to() topicPartition {
	partition, _ := chosen(&x.v.record)
	return topicPartition{x.v.record.Topic, int32(partition)}
}

// finish tells what came of a crossing. Only the first word counts.
func (x *crossing) finish(err error) {
	select {
	case x.done <- err:
	default:
	}
}

func newTransactions(c *Consumer) *transactions {
	t := &transactions{
		c: c, id: transactionalID(c.sub.Group, c.sub.InstanceID), wake: make(chan struct{}, 1),
		stuck: map[topicPartition]time.Time{},
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// move gives a record to the topic that it goes to, and settles it. When it fails it
// may be called again: see move.publish.
func (t *transactions) move(ctx context.Context, l *lane, m *Message, v *move) error {
	for {
		err := t.cross(ctx, &crossing{l: l, m: m, v: v, done: make(chan error, 1)})
		switch {
		case errors.Is(err, ErrTooLarge) && !v.alone:
			v.alone = true // it may have been too large only together with others
		case errors.Is(err, ErrTooLarge) && v.trim():
		default:
			return err
		}
	}
}

// cross waits for what comes of a crossing. The end of ctx takes it back, unless
// its transaction has begun.
func (t *transactions) cross(ctx context.Context, x *crossing) error {
	t.mu.Lock()
	t.waiting = append(t.waiting, x)
	t.mu.Unlock()
	notify(t.wake)
	select {
	case err := <-x.done:
		return err
	case <-ctx.Done():
	case <-t.ctx.Done():
	}
	t.mu.Lock()
	i := slices.Index(t.waiting, x)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.mu.Unlock()
	if i >= 0 {
		return &TimeoutError{Err: errFencedOff}
	}
	return <-x.done
}

// run makes transactions of what waits, one after another.
func (t *transactions) run() {
	for {
		select {
		case <-t.wake:
		case <-t.ctx.Done():
			return
		}
		for {
			t.mu.Lock()
			n := min(len(t.waiting), maxCrossings)
			batch := slices.Clone(t.waiting[:n])
			t.waiting = t.waiting[n:]
			t.mu.Unlock()
			if n == 0 {
				break
			}
			t.carry(batch)
		}
	}
}

// carry takes some records across, at last those that go to partitions which were
// stuck.
func (t *transactions) carry(batch []*crossing) {
	select {
	case t.c.commit <- struct{}{}:
		defer func() { <-t.c.commit }()
	case <-t.ctx.Done():
		for _, x := range batch {
			x.finish(ErrClosed)
		}
		return
	}
	var usual, last []*crossing
	for _, x := range batch {
		switch again, stuck := t.stuck[x.to()]; {
		case !stuck:
			usual = append(usual, x)
		case time.Now().Before(again):
			x.finish(&TimeoutError{Err: errStuck})
		default:
			last = append(last, x)
		}
	}
	t.carryFor(usual, t.c.a.cfg.PublishTimeout)
	t.carryFor(last, min(t.c.a.cfg.PublishTimeout, stuckPatience))
}

// carryFor takes records across that have so long to get onto their topics. One that
// cannot go does not keep the others.
func (t *transactions) carryFor(batch []*crossing, patience time.Duration) {
	for len(batch) > 0 {
		err := t.transact(batch, patience)
		for _, x := range batch {
			if x.err != nil {
				x.finish(x.err)
			}
		}
		n := len(batch)
		batch = slices.DeleteFunc(batch, func(x *crossing) bool { return x.err != nil })
		if len(batch) < n && t.ctx.Err() == nil {
			continue
		}
		for _, x := range batch {
			x.finish(err)
		}
		return
	}
}

// close ends what is under way, and aborts what is left open. No record is sent any
// more.
func (t *transactions) close(ctx context.Context) {
	if t == nil {
		return
	}
	t.stop()
	t.gone.Wait()
	t.c.commit <- struct{}{} // who has it waits for nothing any more when ctx ends
	defer func() { <-t.c.commit }()
	t.closed = true
	if t.open || t.doubtful != nil {
		if err := t.ready(ctx); err != nil {
			t.c.log.Warn("cannot end a transaction before closing: the brokers will, in time", "transactional id", t.id, "error", err)
		}
	}
	t.discard()
}
