package adapter

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// choice is a partition that a record must go to, carried in its context
// because a kgo.Record's Partition field cannot tell 0 from unset.
type choice int32

type choiceKey struct{}

func withPartition(ctx context.Context, p int32) context.Context {
	return context.WithValue(ctx, choiceKey{}, choice(p))
}

// choosePartition sends a record with a choice where it says, and leaves the
// others to another partitioner.
type choosePartition struct{ kgo.Partitioner }

func (c choosePartition) ForTopic(topic string) kgo.TopicPartitioner {
	return chooseTopicPartition{c.Partitioner.ForTopic(topic)}
}

type chooseTopicPartition struct{ kgo.TopicPartitioner }

func chosen(r *kgo.Record) (int, bool) {
	if r.Context == nil {
		return 0, false
	}
	p, ok := r.Context.Value(choiceKey{}).(choice)
	return int(p), ok
}

func (c chooseTopicPartition) RequiresConsistency(r *kgo.Record) bool {
	_, ok := chosen(r)
	return ok || c.TopicPartitioner.RequiresConsistency(r)
}

func (c chooseTopicPartition) Partition(r *kgo.Record, n int) int {
	if p, ok := chosen(r); ok {
		return p
	}
	return c.TopicPartitioner.Partition(r, n)
}

// PartitionByBackup and OnNewBatch are optional in the client, so the
// partitioner underneath may not have them.
func (c chooseTopicPartition) PartitionByBackup(r *kgo.Record, n int, backup kgo.TopicBackupIter) int {
	if b, ok := c.TopicPartitioner.(kgo.TopicBackupPartitioner); ok {
		if _, ok := chosen(r); !ok {
			return b.PartitionByBackup(r, n, backup)
		}
	}
	return c.Partition(r, n)
}

func (c chooseTopicPartition) OnNewBatch() {
	if b, ok := c.TopicPartitioner.(kgo.TopicPartitionerOnNewBatch); ok {
		b.OnNewBatch()
	}
}
