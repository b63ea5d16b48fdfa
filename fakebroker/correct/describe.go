package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func describing() []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:       "DescribeTopicPartitions lists the eligible leaders",
				Wants:      wire.Keys(kmsg.DescribeTopicPartitions),
				AnswerOnly: true,
				Answer: func(x *wire.Exchange) {
					if resp, err := x.Response(); err == nil {
						completeDescription(resp.(*kmsg.DescribeTopicPartitionsResponse))
						x.SetResponse(resp)
					}
				},
			},
			Restores:  "KIP-966: eligible leader replicas and the last known ones are lists, empty while all replicas are in sync; invalid names are refused",
			Upstream:  "75_describe_topic_partitions.go has null for both",
			Behaviour: "topics/the description of partitions is complete",
		},
		{
			Rule: wire.Rule{
				Name:    "DescribeTopicPartitions answers where it cannot go on",
				Wants:   wire.Keys(kmsg.DescribeTopicPartitions),
				Request: asked(checkCursor),
			},
			Restores:  "DescribeTopicPartitionsRequestHandler: a cursor of another topic or a negative partition is an invalid request",
			Upstream:  "75_describe_topic_partitions.go closes the connection",
			Behaviour: "topics/descriptions go on at a cursor",
		},
	}
}

func completeDescription(resp *kmsg.DescribeTopicPartitionsResponse) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.ErrorCode == kerr.UnknownTopicOrPartition.Code && t.Topic != nil {
			if r := checkName(*t.Topic); r != nil {
				t.ErrorCode = r.code()
			}
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.EligibleLeaderReplicas == nil {
				p.EligibleLeaderReplicas = []int32{}
			}
			if p.LastKnownELR == nil {
				p.LastKnownELR = []int32{}
			}
		}
	}
}

func checkCursor(x *wire.Exchange, req *kmsg.DescribeTopicPartitionsRequest) {
	c := req.Cursor
	if c == nil {
		return
	}
	listed := slices.ContainsFunc(req.Topics, func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == c.Topic })
	if c.Partition >= 0 && (listed || len(req.Topics) == 0) {
		return
	}
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
		rt.Topic, rt.ErrorCode = &t.Topic, kerr.InvalidRequest.Code
		resp.Topics = append(resp.Topics, rt)
	}
	x.Reply(resp)
}
