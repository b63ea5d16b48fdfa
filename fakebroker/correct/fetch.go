package correct

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func fetching(c Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:  "OffsetForLeaderEpoch finds the end of an epoch that the last record has",
				Wants: wire.Keys(kmsg.OffsetForLeaderEpoch),
				Answer: answered(func(_ *wire.Exchange, req *kmsg.OffsetForLeaderEpochRequest, resp *kmsg.OffsetForLeaderEpochResponse) bool {
					return correctEpochs(req, resp, c.Log)
				}),
			},
			Restores:  "KIP-320: the largest epoch that is not above the requested one, and the offset where it ends",
			Upstream:  "23_offset_for_leader_epoch.go looks for the first batch of a later epoch only",
			Behaviour: "fetch/an epoch ends where the log does when nothing was written since",
		},
	}
}

func correctEpochs(req *kmsg.OffsetForLeaderEpochRequest, resp *kmsg.OffsetForLeaderEpochResponse, log func(string, int32) (Log, bool)) (changed bool) {
	type partition struct {
		topic string
		id    int32
	}
	asked := make(map[partition]int32)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			asked[partition{t.Topic, p.Partition}] = p.LeaderEpoch
		}
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			epoch, ok := asked[partition{t.Topic, p.Partition}]
			if !ok || p.ErrorCode != 0 {
				continue
			}
			if epoch < 0 {
				p.LeaderEpoch, p.EndOffset, changed = -1, -1, true
				continue
			}
			l, ok := log(t.Topic, p.Partition)
			if !ok || epoch >= l.LeaderEpoch || (p.EndOffset >= l.Start && p.EndOffset >= 0) {
				continue // the epoch is the present one, or unknown, or its end was found
			}
			// Nothing was written since the requested epoch, so it ends
			// where the log does.
			p.LeaderEpoch, p.EndOffset = epoch, l.HighWatermark
			if l.LastEpoch >= 0 {
				p.LeaderEpoch = min(epoch, l.LastEpoch)
			}
			changed = true
		}
	}
	return changed
}
