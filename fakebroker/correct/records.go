package correct

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func deletingRecords(c Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:  "DeleteRecords has nothing to do below the log start",
				Wants: wire.Keys(kmsg.DeleteRecords),
				Answer: answered(func(_ *wire.Exchange, req *kmsg.DeleteRecordsRequest, resp *kmsg.DeleteRecordsResponse) bool {
					return correctDeletions(c, req, resp)
				}),
			},
			Restores:  "Partition.deleteRecordsOnLeader: an offset below the log start deletes nothing and is no error; errors come with low watermark -1",
			Upstream:  "21_delete_records.go answers OFFSET_OUT_OF_RANGE, and low watermark 0",
			Behaviour: "topics/records below the log start are deleted already",
		},
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
