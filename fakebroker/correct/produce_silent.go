package correct

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// producingSilently is after what else judges and answers produce requests.
func producingSilently(Cluster) []Correction {
	return []Correction{{
		Rule: wire.Rule{
			Name:    "without acks a refusal ends the connection",
			Keys:    wire.Keys(kmsg.Produce),
			Wants:   func(h wire.Header) bool { return h.Silent },
			Request: func(x *wire.Exchange) { x.Confirm() },
			Skip:    tookAll,
			Answer:  amended(endsRefused),
		},
		Restores:  "KafkaApis.handleProduceRequest: with acks=0 an error closes the connection, so that the producer learns of it",
		Upstream:  "00_produce.go answers nothing",
		Behaviour: "produce/without acks a refusal ends the connection",
	}}
}

func endsRefused(x *wire.Exchange, resp *kmsg.ProduceResponse) (changed bool) {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				x.Last()
			}
		}
	}
	return false
}
