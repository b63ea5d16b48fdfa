package correct

import (
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func fetchingNothing() []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:        "a fetch without partitions is answered at once",
				Wants:       wire.Keys(kmsg.Fetch),
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
	const withMaxBytes, withIsolation, withSessions, firstFlexible, withoutReplica = 3, 4, 7, 12, 15
	r := kbin.Reader{Src: body}
	flexible := h.Version >= firstFlexible
	if flexible {
		kmsg.SkipTags(&r) // wire has seen that they are there
	}
	if h.Version < withoutReplica {
		r.Int32() // replica id
	}
	r.Int32() // wait
	r.Int32() // at least so many bytes
	if h.Version >= withMaxBytes {
		r.Int32()
	}
	if h.Version >= withIsolation {
		r.Int8()
	}
	if h.Version >= withSessions {
		r.Int32() // session id
		if epoch := r.Int32(); epoch > 0 {
			return true
		}
	}
	var topics int32
	if flexible {
		topics = r.CompactArrayLen()
	} else {
		topics = r.ArrayLen()
	}
	return !r.Ok() || topics > 0
}
