package fakebroker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker/correct"
)

// What corrections ask of a cluster about topics and where they are; see
// [correct.Cluster].

// Nodes lists the brokers.
func (b corrected) Nodes() []int32 {
	out := make([]int32, len(b.listeners))
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

// Up reports whether a broker can be reached.
func (b corrected) Up(node int32) bool { return !b.outage.isDown(node) }

// Topic tells about a topic.
func (b corrected) Topic(name string) (t correct.Topic, ok bool) {
	_ = b.do(func() error { // closed: there are none
		info := b.cluster.TopicInfo(name)
		parts := b.cluster.PartitionInfos(name)
		if info == nil || len(parts) == 0 {
			return nil
		}
		t, ok = correct.Topic{ID: info.TopicID, Replicas: info.NumReplicas}, true
		policy := info.Configs["cleanup.policy"]
		t.Compacted = policy != nil && strings.Contains(*policy, "compact")
		for _, p := range parts {
			t.Leaders = append(t.Leaders, p.Leader)
		}
		return nil
	})
	return t, ok
}

// Move makes a broker the leader of a partition.
func (b corrected) Move(topic string, partition, to int32) error {
	return b.do(func() error { return b.cluster.MoveTopicPartition(topic, partition, to) })
}

// Placements is where replicas are.
func (b corrected) Placements() *correct.Placements { return &b.replicas }

// Compaction is which topics are compacted.
func (b corrected) Compaction() *correct.Compaction { return &b.compaction }

// Timestamps is which topics take other timestamps than most.
func (b corrected) Timestamps() *correct.Timestamps { return &b.timestamps }

// Decompressor decompresses records.
func (b corrected) Decompressor() kgo.Decompressor { return newDecompressor() }

// ID is the node id that clients know a broker by.
func (b corrected) ID(node int32) int32 { return b.id(node) }
