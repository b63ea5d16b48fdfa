package wire

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Log is what a correction needs to know about a partition.
type Log struct {
	LeaderEpoch   int32 // the present leader's epoch
	LastEpoch     int32 // the epoch of the last batch, -1 when there is none
	Start         int64 // the first offset
	HighWatermark int64
}

// CorrectLeaderEpochEnd restores the answer of OffsetForLeaderEpoch (KIP-320):
// the largest epoch that is not above the requested one, and the offset where it
// ends. A broker that looks for the next epoch's first batch only, as kfake does
// (23_offset_for_leader_epoch.go), answers that it knows nothing when the leader
// has changed and nothing was produced since. Clients take this for data loss
// and read the partition again from its start.
//
// log is asked about partitions whose answer may be wrong; false leaves it.
func CorrectLeaderEpochEnd(log func(topic string, partition int32) (Log, bool)) Rule {
	return Rule{
		Name:  "OffsetForLeaderEpoch after an epoch without records",
		Wants: Keys(kmsg.OffsetForLeaderEpoch),
		Answer: func(x *Exchange) {
			req, err := x.Request()
			if err != nil {
				return // the broker has refused it already
			}
			resp, err := x.Response()
			if err != nil {
				return
			}
			answer, ok := resp.(*kmsg.OffsetForLeaderEpochResponse)
			if ok && correctEpochs(req.(*kmsg.OffsetForLeaderEpochRequest), answer, log) {
				x.SetResponse(answer)
			}
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
			if !ok || epoch < 0 || p.ErrorCode != 0 {
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
