package adapter

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Status is what a consumer is at.
type Status struct {
	// Group is what the brokers call the group: see GroupMember.GroupID.
	Group string
	// Topics are those that it consumes, by name: those of the subscription, and
	// of the adapter's own the retry topics, and the redrive topics where
	// Subscription.Redrive is set.
	Topics []string
	// Partitions are those assigned, by topic and partition. In a share group, where
	// every member may have records of every partition, they are those of which it has
	// some, and of what is told of a partition Queued, InFlight, Held, Stalled, Due and
	// Blocked apply: Queued are those whose handler has not begun, Stalled those of
	// them that a closed Gate keeps waiting. The offsets are -1.
	Partitions []PartitionStatus
	// Joined says that the group has taken this member in, with or without
	// partitions, and not expelled it since.
	Joined bool
	// Fenced is how many handlers still run for partitions that were taken
	// away. Their results will not count.
	Fenced int
	// Stuck is how many handlers ignore that their context was cancelled more
	// than 10 seconds ago, by RetryPolicy.HandlerTimeout or because their
	// partition was taken away.
	Stuck int
	// Gate is why Subscription.Gate is closed; nil while it is open. GateAsked is
	// when it last answered; zero before that, and without a Gate.
	Gate      error
	GateAsked time.Time
}

// PartitionStatus is what a consumer is at in one partition.
type PartitionStatus struct {
	Topic     string
	Partition int32

	// Position is the offset after the last record fetched, and HighWatermark
	// what the broker said with it. Both are -1 before the first fetch that
	// brought something.
	Position, HighWatermark int64
	// Settled is the offset before which everything is settled; -1 before the
	// first fetch that brought something. Committed is what the group has of
	// that; -1 when it has nothing.
	Settled, Committed int64

	Queued   int // records fetched that wait for the handler, or for others of their key
	InFlight int // records in the handler, or on their way to where they go from it
	// Held is how many records wait for their next attempt: on a retry topic, all
	// that are queued. Stalled is how many of those queued wait behind them. See
	// Subscription.MaxHeldRecords.
	Held, Stalled int
	Due           time.Time // when the next attempt is; zero when none is held
	// Full is why no more records are started; nil while they are.
	Full error
	// Blocked is why a record cannot get where it is to go until somebody acts: its
	// retry topic or dead-letter topic refused it for good, or OnReject has failed
	// as often as RetryPolicy.Attempts allows. It is held, and still tried again.
	Blocked error
	// Paused are the reasons for which the partition is not fetched, in words; none
	// while it is.
	Paused []string
}

// Lag is how many offsets the group is behind the end of the partition, as far
// as this member knows. In a share group it is 0: only the brokers know it.
func (p PartitionStatus) Lag() int64 {
	return max(0, p.HighWatermark-max(p.Settled, 0))
}

// Status is what the consumer is at now.
func (c *Consumer) Status() Status {
	s := Status{Group: c.sub.groupID, Topics: sortedKeys(c.topics)}
	s.GateAsked, s.Gate = c.gate.lastAnswer()
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Fenced, s.Joined, s.Stuck = c.fenced, c.joined, c.stuck
	if c.share != nil {
		c.share.status(&s)
	}
	for _, l := range c.lanes {
		s.Stuck += int(l.stuck.Load())
		s.Partitions = append(s.Partitions, l.status())
	}
	slices.SortFunc(s.Partitions, func(a, b PartitionStatus) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return s
}

func (l *lane) status() PartitionStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := PartitionStatus{
		Topic: l.tp.topic, Partition: l.tp.partition,
		Position: l.position, HighWatermark: l.high,
		Settled: l.ledger.first(), Committed: l.committed.offset,
		Queued: l.queued,
	}
	l.runner.status(&p)
	for r, n := range l.reasons {
		if n > 0 {
			p.Paused = append(p.Paused, pauseReasonNames[r])
		}
	}
	return p
}

func (s *scheduler) status(p *PartitionStatus) {
	for _, r := range s.runs {
		if r.begun() > r.flushed || r.items[0].task != nil {
			p.InFlight++
		}
		p.Queued += r.end() - r.begun()
	}
	p.Queued += s.keys.waiting.records
	p.Held, p.Stalled, p.Full = len(s.held)+len(s.gated), s.keys.stalled.records, s.full
	if len(s.held) > 0 {
		p.Due = s.held[0].due
	}
	if queue := s.l.queue; len(queue) > 0 {
		if due := s.l.due(queue[0].records[0]); due.After(time.Now()) {
			p.Held, p.Stalled = p.Held+p.Queued, p.Queued
			if p.Due.IsZero() || due.Before(p.Due) {
				p.Due = due
			}
		}
	}
	if s.full != nil || s.order == ByPartition && len(s.open) > 0 {
		p.Stalled = p.Queued // all of them
	}
	first := int64(math.MaxInt64)
	for t := range s.open {
		if t.blocked != nil && t.m.Offset < first {
			first, p.Blocked = t.m.Offset, t.blocked
		}
	}
}
