package correct

import (
	"maps"
	"slices"

	"example.com/kafkatest/fakebroker/wire"
)

// versionsGone comes before all others: nobody looks into what is not served.
func versionsGone(c Cluster) []Correction {
	return []Correction{{
		Rule: wire.Rule{
			Name:    "a version that is gone ends the connection",
			Keys:    wire.Keys(slices.Collect(maps.Keys(oldestVersions))...),
			Wants:   func(h wire.Header) bool { return h.Version < oldestVersions[h.Key] && !c.Older() },
			Request: (*wire.Exchange).Cut,
		},
		Restores:  "KIP-896; SocketServer.parseRequestHeader: what is not served is no request, and closes the connection",
		Upstream:  "02_list_offsets.go, 19_create_topics.go and others serve every version that there was",
		Behaviour: "cluster/versions that are gone end the connection",
	}}
}
