package correct

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// versionsTold are the answers to ApiVersions so far. Each connection begins with
// the question, and to the same one there is the same answer until somebody
// updates a feature.
type versionsTold struct {
	cluster Cluster

	mu      sync.Mutex
	answers map[versionsAsked][]byte
	changed bool // features have been, or are about to be
}

// versionsAsked is a question. With KIP-1242 it can name the broker that it is for.
type versionsAsked struct {
	node, listener int
	version        int16
	body           string
}

// mostVersionsTold is how many different answers are kept. A client has one
// question, and those who try others only are not to fill the memory.
const mostVersionsTold = 64

func askedVersions(x *wire.Exchange) versionsAsked {
	return versionsAsked{int(x.Node), x.Listener, x.Version, string(x.Asked())}
}

// repeat answers a question that was asked before.
func (v *versionsTold) repeat(x *wire.Exchange) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if x.Key == kmsg.UpdateFeatures {
		v.changed, v.answers = true, nil
		return
	}
	if known := v.answers[askedVersions(x)]; known != nil {
		x.Repeat(known)
	}
}

// answer corrects an answer of the broker's, and keeps it.
func (v *versionsTold) answer(x *wire.Exchange) {
	if x.Key != kmsg.ApiVersions || x.Replied() {
		return
	}
	a, err := x.Response()
	if err != nil {
		return
	}
	resp, is := a.(*kmsg.ApiVersionsResponse)
	if !is || resp.ErrorCode != 0 {
		return
	}
	nameVersions(resp, v.cluster.Older())
	hideFeatures(resp)
	x.SetResponse(resp)
	v.mu.Lock()
	defer v.mu.Unlock()
	if known := x.Answered(); known != nil && !v.changed && len(v.answers) < mostVersionsTold {
		if v.answers == nil {
			v.answers = make(map[versionsAsked][]byte)
		}
		v.answers[askedVersions(x)] = known
	}
}
