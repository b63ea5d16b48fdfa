package correct

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func fetchingNothing(Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:        "a fetch without partitions is answered at once",
				Keys:        wire.Keys(kmsg.Fetch),
				SkipRequest: hasWhatToWaitFor,
				Request: asked(func(x *wire.Exchange, req *kmsg.FetchRequest) {
					now := *req
					now.MaxWaitMillis = 0
					x.SetRequest(&now)
				}),
			},
			Restores:  "ReplicaManager.fetchMessages: a fetch of nothing does not wait, such as one that ends a session (KIP-227)",
			Upstream:  "01_fetch.go waits for MaxWaitMillis when it has read fewer bytes than wanted, whatever it was to read",
			Behaviour: "fetch/a fetch without partitions is answered at once",
		},
	}
}

// hasWhatToWaitFor reports, from how a fetch begins, that it names topics or goes
// on with a session, which may have some.
func hasWhatToWaitFor(h wire.Header, body []byte) bool {
	s := startOfFetch(h, body)
	return s.epoch > 0 || !s.ok || s.topics > 0
}
