package adapter

import (
	"cmp"
	"slices"
	"time"
)

// Status is what a consumer is at.
type Status struct {
	Group      string
	Topics     []string
	Partitions []PartitionStatus // those assigned, by topic and partition
	// Joined says that the group has taken this member in, with or without
	// partitions, and not expelled it since.
	Joined bool
	// Fenced is how many handlers still run for partitions that were taken
	// away. Their results will not count.
	Fenced int
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
	// first fetch that brought something. Committed is what this member has
	// committed of that; -1 before it has committed something.
	Settled, Committed int64

	Queued   int       // records fetched that wait for the handler
	InFlight int       // records in the handler, or in OnReject
	Held     int       // records that wait for their next attempt: 0 or 1, or a batch
	Due      time.Time // when the next attempt is; zero when none is held
	// Blocked is why a rejected record cannot be put anywhere until somebody
	// acts: its dead letter was refused for good, or OnReject has failed as
	// often as RetryPolicy.Attempts allows. It holds up the partition, and is
	// still tried again.
	Blocked error
	// Paused are the reasons for which the partition is not fetched.
	Paused []string
}

// Lag is how many offsets the group is behind the end of the partition, as far
// as this member knows.
func (p PartitionStatus) Lag() int64 {
	return max(0, p.HighWatermark-max(p.Settled, 0))
}

// Status is what the consumer is at now.
func (c *Consumer) Status() Status {
	s := Status{Group: c.sub.Group, Topics: c.sub.Topics}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Fenced, s.Joined = len(c.fenced), c.joined
	for _, l := range c.lanes {
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
		Settled: l.ledger.first(), Committed: l.committed,
		Queued: l.queued, InFlight: l.running, Due: l.due, Blocked: l.blocked,
	}
	if !l.due.IsZero() {
		p.Held = 1
	}
	for r, n := range l.reasons {
		if n > 0 {
			p.Paused = append(p.Paused, pauseReasonNames[r])
		}
	}
	return p
}
