package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func describing(Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:       "DescribeTopicPartitions lists the eligible leaders",
				Keys:       wire.Keys(kmsg.DescribeTopicPartitions),
				AnswerOnly: true,
				Answer:     amended(completeDescription),
			},
			Restores:  "KIP-966: eligible leader replicas and the last known ones are lists, empty while all replicas are in sync; invalid names are refused",
			Upstream:  "75_describe_topic_partitions.go has null for both",
			Behaviour: "topics/the description of partitions is complete",
		},
		{
			Rule: wire.Rule{
				Name:    "DescribeTopicPartitions answers where it cannot go on",
				Keys:    wire.Keys(kmsg.DescribeTopicPartitions),
				Request: asked(checkDescription),
			},
			Restores:  "DescribeTopicPartitionsRequestHandler: a cursor of another topic or a negative partition is an invalid request, and an empty name fails all of it",
			Upstream:  "75_describe_topic_partitions.go closes the connection",
			Behaviour: "topics/descriptions go on at a cursor",
		},
	}
}

func completeDescription(_ *wire.Exchange, resp *kmsg.DescribeTopicPartitionsResponse) bool {
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
	return true
}

func checkDescription(x *wire.Exchange, req *kmsg.DescribeTopicPartitionsRequest) {
	named := func(topic string) bool {
		return slices.ContainsFunc(req.Topics, func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == topic })
	}
	var code int16
	switch c := req.Cursor; {
	case c != nil && (c.Partition < 0 || !named(c.Topic) && len(req.Topics) > 0):
		code = kerr.InvalidRequest.Code
	case named(""):
		code = kerr.UnknownServerError.Code
	default:
		return
	}
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
		rt.Topic, rt.ErrorCode = &t.Topic, code
		resp.Topics = append(resp.Topics, rt)
	}
	x.Reply(resp)
}
