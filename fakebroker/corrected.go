package fakebroker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/correct"
)

// What corrections ask of a cluster about topics and where they are; see
// [correct.Cluster].

// Nodes lists the brokers.
func (b corrected) Nodes() []int32 { return b.nodes() }

// Up reports whether a broker can be reached.
func (b corrected) Up(node int32) bool { return !b.outage.isDown(node) }

// Topic tells about a topic.
func (b corrected) Topic(name string) (t correct.Topic, ok bool) {
	_ = b.do(func() error { // closed: there are none
		if t, ok = b.withoutLeaders(name); !ok {
			return nil
		}
		for _, p := range b.cluster.PartitionInfos(name) {
			t.Leaders = append(t.Leaders, p.Leader)
		}
		ok = len(t.Leaders) > 0
		return nil
	})
	return t, ok
}

// TopicAlone is Topic without the leaders.
func (b corrected) TopicAlone(name string) (t correct.Topic, ok bool) {
	_ = b.do(func() error { // closed: there are none
		t, ok = b.withoutLeaders(name)
		return nil
	})
	return t, ok
}

func (b corrected) withoutLeaders(name string) (correct.Topic, bool) {
	info := b.cluster.TopicInfo(name)
	if info == nil {
		return correct.Topic{}, false
	}
	t := correct.Topic{ID: info.TopicID, Replicas: info.NumReplicas}
	policy := info.Configs["cleanup.policy"]
	t.Compacted = policy != nil && strings.Contains(*policy, "compact")
	t.CompactedOnly = t.Compacted && !strings.Contains(*policy, "delete")
	t.Configs = correct.InternalConfigs(name) // where kfake is not told all
	for k, v := range info.Configs {
		if v == nil {
			continue
		}
		if t.Configs == nil {
			t.Configs = make(map[string]string, len(info.Configs))
		}
		t.Configs[k] = *v
	}
	return t, true
}

// Move makes a broker the leader of a partition.
func (b corrected) Move(topic string, partition, to int32) error {
	return b.do(func() error { return b.cluster.MoveTopicPartition(topic, partition, to) })
}

// Placements is where replicas are.
func (b corrected) Placements() *correct.Placements { return &b.replicas }

// Unfinished is which topics do not have all their partitions yet.
func (b corrected) Unfinished() *correct.Unfinished { return &b.unfinished }

// Compaction is which topics are compacted.
func (b corrected) Compaction() *correct.Compaction { return &b.compaction }

// Timestamps is which topics take other timestamps than most.
func (b corrected) Timestamps() *correct.Timestamps { return &b.timestamps }

// Batches reads a partition's log.
func (b corrected) Batches(topic string, partition int32, look func(batch []byte)) error {
	parts, err := b.partitions(topic)
	if err != nil {
		return err
	}
	if partition < 0 || int(partition) >= len(parts) {
		return unknownTopic(topic)
	}
	p := parts[partition]
	return b.fetch(topic, p, p.Start, func(got *kmsg.FetchResponseTopicPartition, from int64) (int64, error) {
		var passed end
		err := passed.each(got.RecordBatches, look)
		return max(from, passed.read), err
	})
}

// Internal is which topics of coordinators there are.
func (b corrected) Internal() *correct.Internal { return &b.internal }

// CreateTopic creates a topic.
func (b corrected) CreateTopic(name string, partitions int32, configs map[string]string) error {
	return b.Broker.CreateTopic(Topic{Name: name, Partitions: partitions, Configs: configs})
}

// Decompressor decompresses records.
func (b corrected) Decompressor() kgo.Decompressor { return newDecompressor() }

// ID is the node id that clients know a broker by.
func (b corrected) ID(node int32) int32 { return b.id(node) }

// TransactionCoordinator is the broker that coordinates a transactional id.
func (b corrected) TransactionCoordinator(id string) int32 {
	_, outside := b.place(coordinated{transactions, id})
	return outside
}

// GroupCoordinator is the broker that coordinates a group.
func (b corrected) GroupCoordinator(group string) int32 {
	_, outside := b.place(coordinated{groups, group})
	return outside
}
