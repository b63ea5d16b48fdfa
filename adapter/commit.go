package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// commitInterval is the least time between two commits. The first record
	// settled after a pause is committed at once.
	commitInterval = 100 * time.Millisecond
	// commitTimeout is how long one commit may take.
	commitTimeout = 30 * time.Second
)

// keepCommitting commits soon after something was settled.
func (c *Consumer) keepCommitting() {
	for {
		select {
		case <-c.dirty:
		case <-c.ctx.Done():
			return
		}
		c.mu.Lock()
		lanes := make([]*lane, 0, len(c.lanes))
		for _, l := range c.lanes {
			lanes = append(lanes, l)
		}
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(c.ctx, commitTimeout)
		err := c.commitLanes(ctx, lanes)
		cancel()
		if err != nil && c.ctx.Err() == nil {
			c.log.Warn("cannot commit, and will try again", "error", err)
			notify(c.dirty)
			if !sleep(c.ctx, time.Second) {
				return
			}
		}
		if !sleep(c.ctx, commitInterval) {
			return
		}
	}
}

// commitLanes commits the settled prefixes of lanes that are not committed
// yet, and waits for the broker's answer. One commit is under way at a time.
func (c *Consumer) commitLanes(ctx context.Context, lanes []*lane) error {
	select {
	case c.commit <- struct{}{}:
		defer func() { <-c.commit }()
	case <-ctx.Done():
		return fmt.Errorf("commit offsets of group %q: an earlier commit has no answer yet: %w", c.sub.Group, ctx.Err())
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	byPartition := map[topicPartition]*lane{}
	for _, l := range lanes {
		p, ok := l.uncommitted()
		if !ok {
			continue
		}
		if offsets[l.tp.topic] == nil {
			offsets[l.tp.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[l.tp.topic][l.tp.partition] = kgo.EpochOffset{Epoch: p.epoch, Offset: p.offset}
		byPartition[l.tp] = l
	}
	if len(offsets) == 0 {
		return nil
	}
	var outcome error
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		return fenceCommit(req, byPartition)
	})
	c.cl.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			if !errors.Is(err, errAllFenced) {
				outcome = fmt.Errorf("commit offsets of group %q: %w", c.sub.Group, err)
			}
			return
		}
		// Since OffsetCommit v10 topics are answered by id, and the client
		// does not always put their names back.
		names := map[[16]byte]string{}
		for _, t := range req.Topics {
			names[t.TopicID] = t.Topic
		}
		var errs []error
		for _, t := range resp.Topics {
			topic := cmp.Or(t.Topic, names[t.TopicID])
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					errs = append(errs, fmt.Errorf("commit topic %q partition %d: %w", topic, p.Partition, err))
					continue
				}
				tp := topicPartition{topic, p.Partition}
				l := byPartition[tp]
				if l == nil {
					continue
				}
				offset := offsets[tp.topic][tp.partition].Offset
				l.committedTo(offset)
				if f := c.a.cfg.Trace.Committed; f != nil {
					f(c.member, tp.topic, tp.partition, offset)
				}
			}
		}
		outcome = errors.Join(errs...)
	})
	return outcome
}

var errAllFenced = errors.New("every partition of the commit was taken away")

// fenceCommit takes out of a commit, at the last moment, the partitions that
// have been taken away since it was made. The client may have held it back
// while it joined the group anew.
func fenceCommit(req *kmsg.OffsetCommitRequest, lanes map[topicPartition]*lane) error {
	topics := req.Topics[:0]
	for _, t := range req.Topics {
		partitions := t.Partitions[:0]
		for _, p := range t.Partitions {
			if l := lanes[topicPartition{t.Topic, p.Partition}]; l != nil && !l.isFenced() {
				p.Metadata = nil
				partitions = append(partitions, p)
			}
		}
		if len(partitions) > 0 {
			t.Partitions = partitions
			topics = append(topics, t)
		}
	}
	req.Topics = topics
	if len(topics) == 0 {
		return errAllFenced
	}
	return nil
}
