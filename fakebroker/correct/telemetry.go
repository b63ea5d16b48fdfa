package correct

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func telemetry(Cluster) []Correction {
	return []Correction{{
		Rule: wire.Rule{
			Name:   "nobody subscribes to the metrics of clients",
			Keys:   wire.Keys(kmsg.GetTelemetrySubscriptions),
			Answer: answered(unsubscribed),
		},
		Restores:  "KIP-714: without a receiver no metric is asked for",
		Upstream:  "71_get_telemetry_subscriptions.go asks for all, every 30 seconds",
		Behaviour: "cluster/nobody subscribes to the metrics of clients",
	}}
}

func unsubscribed(_ *wire.Exchange, _ *kmsg.GetTelemetrySubscriptionsRequest, resp *kmsg.GetTelemetrySubscriptionsResponse) bool {
	const interval = 5 * time.Minute // of who has no subscription
	resp.RequestedMetrics = nil
	resp.PushIntervalMillis = int32(interval.Milliseconds())
	resp.AcceptedCompressionTypes = []int8{4, 3, 1, 2} // zstd, lz4, gzip, snappy
	return true
}
