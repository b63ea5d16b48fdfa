package fakebroker

import (
	"github.com/twmb/franz-go/pkg/kfake"
)

// Partition is a snapshot of a partition.
type Partition struct {
	Partition   int32
	Leader      int32 // node id
	LeaderEpoch int32 // how often the leader has changed

	Start            int64 // the first offset there is
	HighWatermark    int64 // the offset after the last record, control records included
	LastStableOffset int64 // where the first open transaction begins, else the high watermark

	// EndOfData is the offset after the last data record, or Start when there
	// is none. It is below the high watermark when control records of
	// transactions (KIP-98) come last: consumers never see those, so committed
	// offsets reach EndOfData and not always the high watermark. Records of
	// open and of aborted transactions count.
	EndOfData int64
}

// Partitions returns the partitions of a topic, by number. It is cheap enough to
// be called in a loop: records are read only where transactions have been, and
// only new ones. An error wraps [ErrUnknownTopic] or [ErrClosed].
func (b *Broker) Partitions(topic string) ([]Partition, error) {
	out, err := b.partitions(topic)
	for i := range out {
		out[i].Leader = b.id(out[i].Leader)
	}
	return out, err
}

// partitions is Partitions with kfake's number of the leader.
func (b *Broker) partitions(topic string) ([]Partition, error) {
	var infos []*kfake.PartitionInfo
	var id [16]byte
	err := b.do(func() error {
		infos = b.cluster.PartitionInfos(topic)
		if b.transactional.Load() {
			if t := b.cluster.TopicInfo(topic); t != nil {
				id = t.TopicID
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if infos == nil {
		return nil, unknownTopic(topic)
	}
	out := make([]Partition, len(infos))
	for i, p := range infos {
		out[i] = Partition{
			Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.Epoch,
			Start: p.LogStartOffset, HighWatermark: p.HighWatermark, LastStableOffset: p.LastStableOffset,
			EndOfData: p.HighWatermark,
		}
		if !b.transactional.Load() {
			continue
		}
		if out[i].EndOfData, err = b.ends.of(b, topic, id, out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Node is a broker of the cluster.
type Node struct {
	ID   int32
	Addr string // HOST:PORT of its first listener, as clients are told
	Rack string // empty for none
	Up   bool   // false while a fault has taken it down
}

// Nodes returns the brokers, in the order of the config. It is safe for
// concurrent use.
func (b *Broker) Nodes() []Node {
	addrs := b.Addrs()
	out := make([]Node, len(addrs))
	for i, addr := range addrs {
		out[i] = Node{ID: b.id(int32(i)), Addr: addr, Up: !b.outage.isDown(int32(i))}
		if rack := b.rack(int32(i)); rack != nil {
			out[i].Rack = *rack
		}
	}
	return out
}
