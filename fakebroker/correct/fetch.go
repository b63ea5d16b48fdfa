package correct

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func fetching(c Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name: "OffsetForLeaderEpoch finds the end of an epoch that the last record has",
				Keys: wire.Keys(kmsg.OffsetForLeaderEpoch),
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

// correctEpochs goes by place, because a partition may be asked for in several
// epochs. kfake answers in order, but with all that is of one topic at once.
func correctEpochs(req *kmsg.OffsetForLeaderEpochRequest, resp *kmsg.OffsetForLeaderEpochResponse, log func(string, int32) (Log, bool)) bool {
	left := make(map[string][]kmsg.OffsetForLeaderEpochResponseTopicPartition)
	for _, t := range resp.Topics {
		left[t.Topic] = append(left[t.Topic], t.Partitions...)
	}
	topics := make([]kmsg.OffsetForLeaderEpochResponseTopic, 0, len(req.Topics))
	for _, asked := range req.Topics {
		n := len(asked.Partitions)
		if len(left[asked.Topic]) < n {
			return false // another rule has answered
		}
		t := kmsg.NewOffsetForLeaderEpochResponseTopic()
		t.Topic, t.Partitions, left[asked.Topic] = asked.Topic, left[asked.Topic][:n:n], left[asked.Topic][n:]
		for i := range t.Partitions {
			p := &t.Partitions[i]
			if p.Partition == asked.Partitions[i].Partition && p.ErrorCode == 0 {
				correctEpoch(t.Topic, asked.Partitions[i].LeaderEpoch, p, log)
			}
		}
		topics = append(topics, t)
	}
	resp.Topics = topics
	return true
}

func correctEpoch(topic string, epoch int32, p *kmsg.OffsetForLeaderEpochResponseTopicPartition, log func(string, int32) (Log, bool)) {
	if epoch < 0 {
		p.LeaderEpoch, p.EndOffset = -1, -1
		return
	}
	l, ok := log(topic, p.Partition)
	if !ok || epoch >= l.LeaderEpoch || (p.EndOffset >= l.Start && p.EndOffset >= 0) {
		return // the epoch is the present one, or unknown, or its end was found
	}
	// Nothing was written since the requested epoch, so it ends where the log
	// does.
	p.LeaderEpoch, p.EndOffset = epoch, l.HighWatermark
	if l.LastEpoch >= 0 {
		p.LeaderEpoch = min(epoch, l.LastEpoch)
	}
}
