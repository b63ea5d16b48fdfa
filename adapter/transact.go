package adapter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// passageOver is what a transaction is to bring about.
type passageOver struct {
	crossings []*crossing
	commits   []laneCommit
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
