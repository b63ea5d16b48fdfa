package adapter

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

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
