package fakebroker

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// groupNames are the groups that clients have asked for in a way that makes one.
// kfake lists its groups by the protocol's own request alone, and whoever waits
// for a group looks time and again.
type groupNames struct {
	unknown atomic.Bool // there may be others: of another type than classic, or from an earlier run

	mu    sync.Mutex
	names map[string]bool // a group that was deleted stays
}

// mostGroupNames is how many are kept, so that clients which make up names do not
// fill the memory. With more, kfake is asked.
const mostGroupNames = 10_000

func (g *groupNames) add(name string) {
	if g.unknown.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.names == nil {
		g.names = make(map[string]bool)
	}
	if g.names[name] = true; len(g.names) > mostGroupNames {
		g.names = nil
		g.unknown.Store(true)
	}
}

// all are the names, sorted; false when there may be others.
func (g *groupNames) all() ([]string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.names)), !g.unknown.Load()
}

// noticeGroups looks at requests on their way in: a group is there before the
// answer is.
func (b *Broker) noticeGroups() wire.Rule {
	makesOther := wire.Keys(
		kmsg.ConsumerGroupHeartbeat, kmsg.ShareGroupHeartbeat, kmsg.ShareFetch, kmsg.ShareAcknowledge, kmsg.AlterShareGroupOffsets,
	)
	return wire.Rule{
		Name: "groups",
		Keys: wire.Keys(
			kmsg.JoinGroup, kmsg.OffsetCommit, kmsg.TxnOffsetCommit,
			kmsg.ConsumerGroupHeartbeat, kmsg.ShareGroupHeartbeat, kmsg.ShareFetch, kmsg.ShareAcknowledge, kmsg.AlterShareGroupOffsets,
		),
		Wants: func(h wire.Header) bool {
			if makesOther.Has(h.Key) {
				b.groupNames.unknown.Store(true)
			}
			return !b.groupNames.unknown.Load()
		},
		Request: func(x *wire.Exchange) {
			if req, err := x.Request(); err == nil {
				b.noticeGroup(req)
			}
		},
	}
}

func (b *Broker) noticeGroup(req kmsg.Request) {
	switch r := req.(type) {
	case *kmsg.JoinGroupRequest:
		b.groupNames.add(r.Group)
	case *kmsg.OffsetCommitRequest:
		b.groupNames.add(r.Group)
	case *kmsg.TxnOffsetCommitRequest:
		b.groupNames.add(r.Group)
	case *kmsg.AlterShareGroupOffsetsRequest:
		b.groupNames.unknown.Store(true)
	}
}
