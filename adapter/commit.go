package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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
	// clearTimeout is how long a commit waits to hear how a transaction ended, before it
	// leaves out the partitions of that. It is less than lastWords.
	clearTimeout = 2 * time.Second
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
	inDoubt, doubt := c.hops.clear(ctx)
	n := len(lanes)
	lanes = slices.DeleteFunc(slices.Clone(lanes), func(l *lane) bool { return slices.Contains(inDoubt, l.tp) })
	err := c.commitClear(ctx, lanes)
	if len(lanes) < n {
		err = errors.Join(err, doubt)
	}
	return err
}

// commitClear is commitLanes of lanes that no transaction in doubt has to do with. The
// caller has Consumer.commit.
func (c *Consumer) commitClear(ctx context.Context, lanes []*lane) error {
	if err := c.catchUp(ctx, lanes); err != nil {
		return err
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	byPartition := map[topicPartition]laneCommit{}
	for _, l := range lanes {
		p, ok := l.uncommitted()
		if !ok {
			continue
		}
		if offsets[l.tp.topic] == nil {
			offsets[l.tp.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[l.tp.topic][l.tp.partition] = kgo.EpochOffset{Epoch: p.epoch, Offset: p.offset}
		byPartition[l.tp] = laneCommit{l, p}
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
				outcome = fmt.Errorf("commit offsets of group %q: %w", c.sub.Group, c.a.adminError(ctx, err))
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
				tp := topicPartition{topic, p.Partition}
				of, ours := byPartition[tp]
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					errs = append(errs, fmt.Errorf("commit topic %q partition %d: %w", topic, p.Partition, c.a.adminError(ctx, err)))
					if ours && errors.Is(err, kerr.OffsetMetadataTooLarge) {
						c.shortenMetadata(len(of.metadata))
					}
					continue
				}
				if !ours {
					continue
				}
				moved := of.lane.committedTo(of.commitment)
				if f := c.a.cfg.Trace.Committed; f != nil && moved {
					f(c.member, tp.topic, tp.partition, of.offset)
				}
			}
		}
		outcome = errors.Join(errs...)
	})
	return outcome
}

var errAllFenced = errors.New("every partition of the commit was taken away")

// laneCommit is what is to be committed of a lane.
type laneCommit struct {
	lane *lane
	commitment
}

// fenceCommit takes out of a commit, at the last moment, the partitions that
// have been taken away since it was made, or came to another member, and gives the
// others their metadata.
// The client may have held the commit back while it joined the group anew.
func fenceCommit(req *kmsg.OffsetCommitRequest, of map[topicPartition]laneCommit) error {
	topics := req.Topics[:0]
	for _, t := range req.Topics {
		partitions := t.Partitions[:0]
		for _, p := range t.Partitions {
			c, ok := of[topicPartition{t.Topic, p.Partition}]
			if !ok || !c.lane.isMembers(req.MemberID) {
				continue
			}
			p.Metadata = nil
			if c.metadata != "" {
				p.Metadata = &c.metadata
			}
			partitions = append(partitions, p)
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

// shortenMetadata takes a broker's word that metadata of that length is too long:
// its offset.metadata.max.bytes is less than the default.
func (c *Consumer) shortenMetadata(refused int) {
	limit := min(c.maxMetadata(), refused/2)
	c.metadataLimit.Store(int32(limit))
	c.log.Warn("the brokers take less metadata with a commit than usual (offset.metadata.max.bytes): fewer records can be held", "bytes", limit)
}

// maxMetadata is how long the metadata of a commit may be.
func (c *Consumer) maxMetadata() int { return int(c.metadataLimit.Load()) }

// restore hands what the group has committed over to the lanes.
func (c *Consumer) restore(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	restore := func(topic string, partition int32, offset int64, metadata *string) {
		c.mu.Lock()
		l := c.lanes[topicPartition{topic, partition}]
		c.mu.Unlock()
		if l != nil && offset >= 0 {
			text := ""
			if metadata != nil {
				text = *metadata
			}
			l.restore(offset, text)
		}
	}
	for _, t := range resp.Topics { // before OffsetFetch v8
		for _, p := range t.Partitions {
			restore(t.Topic, p.Partition, p.Offset, p.Metadata)
		}
	}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				restore(t.Topic, p.Partition, p.Offset, p.Metadata)
			}
		}
	}
	return nil
}
