package adapter

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
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

// passageOver is what a transaction is to bring about.
type passageOver struct {
	crossings []*crossing
	commits   []laneCommit
}

func newTransactions(c *Consumer) *transactions {
	t := &transactions{
		c: c, id: transactionalID(c.sub.Group, c.sub.InstanceID), wake: make(chan struct{}, 1),
		stuck: map[topicPartition]time.Time{},
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// transactionalID is one that nobody else has. A static member keeps its own, so
// that what it left open when it was killed ends when it comes back.
func transactionalID(group, instance string) string {
	own := "instance." + instance
	if instance == "" {
		var random [9]byte
		_, _ = rand.Read(random[:]) // which never fails
		own = "member." + hex.EncodeToString(random[:])
	}
	return group + ".hops." + own
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

// transact takes records across in one transaction, or none of them.
func (t *transactions) transact(batch []*crossing, patience time.Duration) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.ctx, t.c.a.cfg.PublishTimeout)
	defer cancel()
	err := t.ready(ctx)
	if err == nil {
		batch, err = t.admit(ctx, batch)
	}
	if err == nil && len(batch) > 0 {
		if err = t.attempt(ctx, batch, patience); err != nil {
			t.discard()
			// What is left open holds up others, and doubt this consumer.
			limit, cancel := context.WithTimeout(t.ctx, lastWords)
			if failed := t.ready(limit); failed != nil {
				t.c.log.Warn("cannot end a transaction that failed: the brokers will, in time", "transactional id", t.id, "error", failed)
			}
			cancel()
		}
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && t.ctx.Err() == nil:
		return &TimeoutError{After: time.Since(start).Round(time.Millisecond), Err: err}
	}
	return err
}

// admit is which records a transaction is for: those that are not settled. It fails
// where some cannot go now.
func (t *transactions) admit(ctx context.Context, batch []*crossing) ([]*crossing, error) {
	if err := t.c.catchUp(ctx, lanesOf(batch)); err != nil {
		return nil, err
	}
	batch = slices.DeleteFunc(slices.Clone(batch), func(x *crossing) bool {
		over := x.l.isOver(x.m)
		if over {
			x.finish(nil) // by a transaction that was in doubt
		}
		return over
	})
	if member, _ := t.c.cl.GroupMetadata(); refuseFenced(batch, member) {
		return nil, errFencedOff
	}
	if refuseUntold(batch, commitsWith(batch)) {
		return nil, errNoPlace
	}
	return batch, nil
}

// attempt is transact, up to what fails.
func (t *transactions) attempt(ctx context.Context, batch []*crossing, patience time.Duration) error {
	if err := t.cl.BeginTransaction(); err != nil {
		return t.failure(ctx, "begin a transaction", err)
	}
	if err := t.produce(ctx, batch, patience); err != nil {
		return err
	}
	commits, err := t.commitOffsets(ctx, batch)
	if err != nil {
		return err
	}
	// The client may still be at storing the topics that it has just heard of, and
	// aborts, without an error, a transaction in which it finds no partition. It is
	// through with that when it has looked for records of topics it does not know.
	// There is none left that this could abort.
	if err := t.cl.AbortBufferedRecords(ctx); err != nil {
		return t.failure(ctx, "commit a transaction", err)
	}
	over := &passageOver{batch, commits}
	t.doubtful = over
	if err := t.cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return t.failure(ctx, "commit a transaction", err)
	}
	t.cameAbout(over)
	return nil
}

func lanesOf(batch []*crossing) []*lane {
	var lanes []*lane
	for _, x := range batch {
		if !slices.Contains(lanes, x.l) {
			lanes = append(lanes, x.l)
		}
	}
	return lanes
}

// refuseFenced keeps those whose partition was taken away, or came to another member,
// and reports whether there are any.
func refuseFenced(batch []*crossing, member string) (some bool) {
	for _, x := range batch {
		x.l.mu.Lock()
		if x.l.fenceUp || x.m.cut != x.l.cut || x.l.member != member {
			x.err, some = &TimeoutError{Err: errFencedOff}, true
		}
		x.l.mu.Unlock()
	}
	return some
}

// refuseUntold keeps those that would not be settled by what is to be committed, which
// was cut short, and reports whether there are any. The first open record of a partition
// is never one of them: with that it is the offset that moves.
func refuseUntold(batch []*crossing, commits []laneCommit) (some bool) {
	for _, c := range commits {
		l := newLedger()
		_ = l.restore(c.offset, c.metadata) // which was just made
		for _, x := range batch {
			if x.l == c.lane && !l.wasSettled(x.m.Offset) {
				x.err, some = &TimeoutError{Err: errNoPlace}, true
			}
		}
	}
	return some
}

// isOver reports whether a record is settled already.
func (l *lane) isOver(m *Message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return m.cut == l.cut && !l.fenceUp && !l.ledger.isOpen(m.Offset)
}

// produce puts the records on their topics. Where it takes too long, those that go to
// partitions which have not acknowledged all of theirs are kept.
func (t *transactions) produce(ctx context.Context, batch []*crossing, patience time.Duration) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	acked := make(chan int, len(batch))
	errs := make([]error, len(batch)) // each is written before acked has it
	missing := map[int]bool{}
	for i, x := range batch {
		missing[i] = true
		r := x.v.record
		leave, err := t.c.a.limits.enter(ctx, &r, x.v.alone)
		if err != nil {
			break
		}
		r.Context = withPartition(context.Background(), x.to().partition) // its end is the producer's
		x.out = &r
		t.cl.Produce(r.Context, x.out, func(_ *kgo.Record, err error) {
			leave()
			errs[i] = err
			acked <- i
		})
	}
	for len(missing) > 0 && ctx.Err() == nil {
		select {
		case i := <-acked:
			delete(missing, i)
			if errors.Is(errs[i], kgo.ErrRecordTimeout) {
				t.stuck[batch[i].to()] = time.Now().Add(stuckPause)
			}
		case <-ctx.Done():
		}
	}
	if len(missing) > 0 {
		late := map[topicPartition]bool{}
		for i := range missing {
			late[batch[i].to()] = true
			t.stuck[batch[i].to()] = time.Now().Add(stuckPause)
		}
		for _, x := range batch {
			if late[x.to()] {
				x.err = &TimeoutError{After: time.Since(start).Round(time.Millisecond), Err: errStuck}
			}
		}
		return errStuck
	}
	failed := false
	for i, x := range batch {
		if errs[i] == nil {
			delete(t.stuck, x.to())
			continue
		}
		failed = true
		if x.err = t.c.a.publishError(x.out, errs[i], time.Since(start)); isProducers(errs[i]) {
			x.err = t.failure(ctx, "publish in a transaction", errs[i])
		}
	}
	if failed {
		return errors.New("a record of the transaction was not published")
	}
	return nil
}

// commitOffsets commits, as a part of the transaction, that the records are settled.
func (t *transactions) commitOffsets(ctx context.Context, batch []*crossing) ([]laneCommit, error) {
	// The generation is read before the fences: a partition that is this member's
	// now was so in that generation, and in a later one the broker refuses.
	member, generation := t.c.cl.GroupMetadata()
	if member == "" {
		return nil, t.failure(ctx, "commit in a transaction", errNoMember)
	}
	if refuseFenced(batch, member) {
		return nil, errFencedOff
	}
	id, epoch, err := t.cl.ProducerID(ctx)
	if err != nil {
		return nil, t.failure(ctx, "commit in a transaction", err)
	}
	if !t.implicit {
		add := kmsg.NewPtrAddOffsetsToTxnRequest()
		add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = t.id, id, epoch, t.c.sub.Group
		resp, err := add.RequestWith(ctx, t.cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err != nil {
			return nil, t.failure(ctx, "add the group to a transaction", err)
		}
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = t.id, id, epoch
	req.Group, req.MemberID, req.Generation = t.c.sub.Group, member, generation
	if t.c.sub.InstanceID != "" {
		req.InstanceID = &t.c.sub.InstanceID
	}
	commits := commitsWith(batch)
	if refuseUntold(batch, commits) {
		return nil, errNoPlace
	}
	of := map[topicPartition]laneCommit{}
	for _, c := range commits {
		of[c.lane.tp] = c
		topic := kmsg.NewTxnOffsetCommitRequestTopic()
		topic.Topic = c.lane.tp.topic
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = c.lane.tp.partition, c.offset, c.epoch
		if c.metadata != "" {
			p.Metadata = &c.metadata
		}
		i := slices.IndexFunc(req.Topics, func(has kmsg.TxnOffsetCommitRequestTopic) bool { return has.Topic == topic.Topic })
		if i < 0 {
			i, req.Topics = len(req.Topics), append(req.Topics, topic)
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	resp, err := req.RequestWith(ctx, t.cl)
	if err != nil {
		return nil, t.failure(ctx, "commit in a transaction", err)
	}
	if resp.Version < fencedCommit {
		return nil, t.failure(ctx, "commit in a transaction", kerr.UnsupportedVersion)
	}
	var refused error
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			err := kerr.ErrorForCode(p.ErrorCode)
			if err == nil {
				continue
			}
			c := of[topicPartition{topic.Topic, p.Partition}]
			if errors.Is(err, kerr.OffsetMetadataTooLarge) {
				t.c.shortenMetadata(len(c.metadata))
			}
			refused = t.failure(ctx, fmt.Sprintf("commit topic %q partition %d in a transaction", topic.Topic, p.Partition), err)
			for _, x := range batch {
				if x.l == c.lane {
					x.err = refused
				}
			}
		}
	}
	return commits, refused
}

// commitsWith is what is to be committed once the records are settled.
func commitsWith(batch []*crossing) []laneCommit {
	var commits []laneCommit
	offsets := map[*lane][]int64{}
	for _, x := range batch {
		offsets[x.l] = append(offsets[x.l], x.m.Offset)
	}
	for _, x := range batch { // in this order
		if settled := offsets[x.l]; settled != nil {
			commits = append(commits, laneCommit{x.l, x.l.committedWith(settled)})
			delete(offsets, x.l)
		}
	}
	return commits
}

// cameAbout settles what a transaction that was committed has brought about. The
// group has it, so it counts for a partition, too, that was taken away meanwhile.
func (t *transactions) cameAbout(over *passageOver) {
	t.doubtful = nil
	trace := t.c.a.cfg.Trace
	for _, x := range over.crossings {
		x.l.mu.Lock()
		if x.m.cut == x.l.cut {
			x.l.ledger.settle(x.m.Offset)
		}
		x.l.mu.Unlock()
		if x.v.done != nil {
			x.v.done(Origin{x.out.Topic, x.out.Partition, x.out.Offset})
		}
		x.l.tellSettled(x.m)
		x.finish(nil)
	}
	for _, c := range over.commits {
		if moved := c.lane.committedTo(c.commitment); moved && trace.Committed != nil {
			trace.Committed(t.c.member, c.lane.tp.topic, c.lane.tp.partition, c.offset)
		}
	}
}

// ready returns when there is a producer, the transactions before have ended, and
// it is known how.
func (t *transactions) ready(ctx context.Context) error {
	if t.cl == nil {
		if err := t.connect(ctx); err != nil {
			return err
		}
	}
	if t.doubtful == nil {
		return nil
	}
	committed, err := t.isCommitted(ctx, t.doubtful)
	switch {
	case err != nil:
		return t.failure(ctx, "find out how a transaction ended", err)
	case committed:
		t.c.log.Info("a transaction was committed, although its answer was lost", "transactional id", t.id)
		t.cameAbout(t.doubtful)
	}
	t.doubtful = nil
	return nil
}

// connect makes a producer, and returns when no transaction of one before it is open.
func (t *transactions) connect(ctx context.Context) error {
	a := t.c.a
	newest, err := transactionVersion(ctx, a.cl)
	if err != nil {
		return t.failure(ctx, "look for the version of transactions", err)
	}
	implicit := newest >= 2
	opts, err := a.transactionalOptions(t.id, implicit)
	if err != nil {
		return err
	}
	background, abandon := context.WithCancel(context.Background())
	cl, err := kgo.NewClient(append(opts, kgo.WithContext(background))...)
	if err != nil {
		abandon()
		return &ConfigError{Field: "Config.ClientOptions", Problem: err.Error()}
	}
	t.cl, t.abandon, t.implicit = cl, abandon, implicit
	if _, _, err := cl.ProducerID(ctx); err != nil {
		t.discard()
		return t.failure(ctx, "begin to make transactions", err)
	}
	t.open = false
	return nil
}

const (
	// fencedCommit is the version of TxnOffsetCommit from which on it tells the broker
	// the generation.
	fencedCommit = 3
	// implicitCommit is that from which on the brokers add the group to a transaction by
	// themselves, where they can; else they refuse it. In later ones topics have ids in
	// place of names.
	implicitCommit = 5
)

// transactionalOptions are those of a client that makes transactions. What the user's
// options say of versions holds for it, as far as it can.
func (a *Adapter) transactionalOptions(id string, implicit bool) ([]kgo.Opt, error) {
	opts, err := a.cfg.clientOptions(a.conn)
	if err != nil {
		return nil, err
	}
	commit := int16(implicitCommit)
	if !implicit {
		commit--
	}
	versions := kversion.Tip()
	if users, _ := a.cl.OptValue(kgo.MaxVersions).(*kversion.Versions); users != nil {
		versions = &kversion.Versions{}
		users.EachMaxKeyVersion(versions.SetMaxKeyVersion)
	}
	has, _ := versions.LookupMaxKeyVersion(int16(kmsg.TxnOffsetCommit))
	if has < fencedCommit {
		return nil, &ConfigError{Field: "Config.ClientOptions", Problem: "has a kgo.MaxVersions without TxnOffsetCommit v3, which ExactlyOnceHops needs (Kafka 2.5, KIP-447)"}
	}
	versions.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), min(has, commit))
	own := append(a.producerOptions(),
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(min(a.cfg.PublishTimeout+transactionSlack, maxTransaction)),
	)
	return append(append(own, opts...), kgo.MaxVersions(versions)), nil
}

// canMakeTransactions reports, as an error, why the user's options exclude it.
func (a *Adapter) canMakeTransactions() error {
	opts, err := a.transactionalOptions("any", true)
	if err != nil {
		return err
	}
	if err := kgo.ValidateOpts(opts...); err != nil {
		return &ConfigError{Field: "Config.ClientOptions", Problem: "is not for ExactlyOnceHops: " + err.Error()}
	}
	return nil
}

// transactionVersion is the cluster's transaction.version.
func transactionVersion(ctx context.Context, cl *kgo.Client) (int16, error) {
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, cl)
	if err != nil {
		return 0, err
	}
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" {
			return f.MaxVersionLevel, nil
		}
	}
	return 0, nil
}

// discard ends the producer, whatever it is at.
func (t *transactions) discard() {
	if t.cl == nil {
		return
	}
	t.abandon()
	t.cl.Close()
	t.cl, t.open = nil, true
}

// isCommitted reads off the group's offsets whether a transaction was committed: then
// all its records are settled. That one is not proves that it was not. That some are
// proves nothing, for somebody else may have settled them; where it was all of them,
// there is nothing left to do, either.
func (t *transactions) isCommitted(ctx context.Context, over *passageOver) (bool, error) {
	offsets, err := t.c.a.admin.FetchOffsets(kadm.RequireStable(ctx), t.c.sub.groupID)
	if err != nil {
		return false, err
	}
	for _, c := range over.commits {
		has, ok := offsets.Lookup(c.lane.tp.topic, c.lane.tp.partition)
		switch {
		case !ok:
			return false, nil
		case has.Err != nil:
			return false, has.Err
		}
		l := newLedger()
		_ = l.restore(has.At, has.Metadata) // without metadata, it is the offset that tells
		for _, x := range over.crossings {
			if x.l == c.lane && !l.wasSettled(x.m.Offset) {
				return false, nil
			}
		}
	}
	return true, nil
}

// clear is for a commit outside of transactions, which must not come after one of
// which it is not known how it ended: it would undo that. The partitions of that are
// left in doubt, and err says why.
func (t *transactions) clear(ctx context.Context) (inDoubt []topicPartition, err error) {
	if t == nil || t.doubtful == nil {
		return nil, nil
	}
	if err = errInDoubt; !t.closed {
		ctx, cancel := context.WithTimeout(ctx, clearTimeout)
		defer cancel()
		defer context.AfterFunc(t.ctx, cancel)()
		err = t.ready(ctx)
	}
	if err != nil {
		for _, c := range t.doubtful.commits {
			inDoubt = append(inDoubt, c.lane.tp)
		}
	}
	return inDoubt, err
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

// failure is an error in this package's terms. What says that a transaction, or this
// member of the group, is out of date passes: the next one is not.
func (t *transactions) failure(ctx context.Context, what string, err error) error {
	var protocol *kerr.Error
	switch {
	case isProducers(err) && errors.As(err, &protocol):
		err = &RefusedError{Code: protocol.Code, Name: protocol.Message, Err: err, retry: true}
	case errors.Is(err, errNoMember):
		err = &TimeoutError{Err: err}
	default:
		err = t.c.a.adminError(ctx, err)
	}
	return fmt.Errorf("%s of group %q: %w", what, t.c.sub.Group, err)
}

// isProducers reports whether an error is about what a producer or a member has been
// let in with, which another one need not meet.
func isProducers(err error) bool {
	return slices.ContainsFunc([]error{
		kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.UnknownProducerID, kerr.InvalidProducerIDMapping,
		kerr.InvalidTxnState, kerr.TransactionAbortable, kerr.OutOfOrderSequenceNumber, kerr.ConcurrentTransactions,
		kerr.OperationNotAttempted, kerr.UnknownServerError, kerr.OffsetMetadataTooLarge,
		kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.StaleMemberEpoch, kerr.RebalanceInProgress,
		kerr.FencedInstanceID, kerr.GroupIDNotFound,
	}, func(is error) bool { return errors.Is(err, is) })
}
