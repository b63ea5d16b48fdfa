package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func deletingRecords(c Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name: "DeleteRecords has nothing to do below the log start",
				Keys: wire.Keys(kmsg.DeleteRecords),
				Answer: answered(func(_ *wire.Exchange, req *kmsg.DeleteRecordsRequest, resp *kmsg.DeleteRecordsResponse) bool {
					return correctDeletions(c, req, resp)
				}),
			},
			Restores:  "Partition.deleteRecordsOnLeader: an offset below the log start deletes nothing and is no error; errors come with low watermark -1",
			Upstream:  "21_delete_records.go answers OFFSET_OUT_OF_RANGE, and low watermark 0",
			Behaviour: "topics/records below the log start are deleted already",
		},
		{
			Rule: wire.Rule{
				Name:    keepsRecords,
				Keys:    wire.Keys(kmsg.DeleteRecords),
				Request: asked(func(x *wire.Exchange, req *kmsg.DeleteRecordsRequest) { keepUndeletable(c, x, req) }),
				Answer:  completed(keepsRecords, refuseDeletions),
			},
			Restores:  "Partition.deleteRecordsOnLeader: POLICY_VIOLATION where cleanup.policy is compact",
			Upstream:  "21_delete_records.go deletes from any topic",
			Behaviour: "topics/records that are only compacted are not deleted",
		},
	}
}

const keepsRecords = "records of topics that are only compacted are not deleted"

// undeletable are the topics of a request whose records are not to be deleted.
type undeletable map[string]bool

// keepUndeletable has the broker find an offset out of range, which is the last
// thing that it looks at.
func keepUndeletable(c Cluster, x *wire.Exchange, req *kmsg.DeleteRecordsRequest) {
	kept := make(undeletable)
	for _, t := range req.Topics {
		if of, ok := c.Topic(t.Topic); ok && of.CompactedOnly && !IsInternal(t.Topic) {
			kept[t.Topic] = true
		}
	}
	if len(kept) == 0 {
		return
	}
	const nowhere = -2
	changed := *req
	changed.Topics = slices.Clone(req.Topics)
	for i := range changed.Topics {
		t := &changed.Topics[i]
		if !kept[t.Topic] {
			continue
		}
		t.Partitions = slices.Clone(t.Partitions)
		for j := range t.Partitions {
			t.Partitions[j].Offset = nowhere
		}
	}
	keep(x, keepsRecords, kept)
	x.SetRequest(&changed)
}

func refuseDeletions(_ *wire.Exchange, kept undeletable, resp *kmsg.DeleteRecordsResponse) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			if p := &t.Partitions[j]; kept[t.Topic] && p.ErrorCode == kerr.OffsetOutOfRange.Code {
				p.ErrorCode = kerr.PolicyViolation.Code
			}
		}
	}
}

func correctDeletions(c Cluster, req *kmsg.DeleteRecordsRequest, resp *kmsg.DeleteRecordsResponse) (changed bool) {
	type partition struct {
		topic string
		id    int32
	}
	offsets := make(map[partition]int64)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			offsets[partition{t.Topic, p.Partition}] = p.Offset
		}
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.ErrorCode == 0 {
				continue
			}
			p.LowWatermark, changed = -1, true
			to, ok := offsets[partition{t.Topic, p.Partition}]
			if !ok || to < 0 || p.ErrorCode != kerr.OffsetOutOfRange.Code {
				continue
			}
			if l, ok := c.Log(t.Topic, p.Partition); ok && to < l.Start {
				p.ErrorCode, p.LowWatermark = 0, l.Start
			}
		}
	}
	return changed
}
