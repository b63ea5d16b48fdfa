package adapter

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A member of a classic group that was expelled and does not know it may hear it
// from the answer to a commit, or to its joining again. The client then joins under
// another member id, and says nothing of it where the group gives it the same
// partitions as before. Others may have had them in between, and what a lane knows of
// its partition is out of date: it commits nothing as the new member until it has
// taken over what they have done.

// renew notes that a new member has the partitions of lanes that an old one had.
// The client has told of all that it has lost.
func (c *Consumer) renew() {
	member, _ := c.cl.GroupMetadata()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lanes {
		l.mu.Lock()
		if l.member != member {
			l.renewed = member
			notify(c.dirty)
		}
		l.mu.Unlock()
	}
}

// catchUp has lanes that a new member has take over what the group has of their
// partitions. Whoever calls it has Consumer.commit.
func (c *Consumer) catchUp(ctx context.Context, lanes []*lane) error {
	member, _ := c.cl.GroupMetadata()
	var stale []*lane
	for _, l := range lanes {
		l.mu.Lock()
		if !l.fenceUp && l.member != member && l.renewed == member {
			stale = append(stale, l)
		}
		l.mu.Unlock()
	}
	if len(stale) == 0 {
		return nil
	}
	offsets, err := c.a.admin.FetchOffsets(kadm.RequireStable(ctx), c.sub.groupID)
	if err != nil {
		return fmt.Errorf("find out what group %q has committed: %w", c.sub.Group, c.a.adminError(ctx, err))
	}
	for _, l := range stale {
		has, ok := offsets.Lookup(l.tp.topic, l.tp.partition)
		if !ok {
			has.At = -1
		}
		if has.Err != nil {
			return fmt.Errorf("find out what group %q has committed: %w", c.sub.Group, c.a.adminError(ctx, has.Err))
		}
		l.catchUp(member, has.At, has.Metadata)
	}
	return nil
}

// catchUp makes a lane that of another member, with what the group has of its
// partition.
func (l *lane) catchUp(member string, committed int64, metadata string) {
	others := newLedger()
	if err := others.restore(committed, metadata); err != nil {
		l.log.Warn("the metadata of the committed offset is ignored", "offset", committed, "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.member = member
	l.floor = committed
	if n := l.ledger.join(&others); n > 0 {
		l.overtaken = true
		l.runner.overtaken()
		l.log.Warn("this member was expelled, and others have gone on with the partition: records that they have settled are settled", "records", n)
	}
	if committed >= 0 {
		l.committed = commitment{position{offset: committed, epoch: -1}, metadata}
	}
}

// isMembers reports whether a lane is that of a member, and may commit as it.
func (l *lane) isMembers(member string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.fenceUp && l.member == member
}
