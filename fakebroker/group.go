package fakebroker

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Group is a snapshot of a consumer group or share group.
type Group struct {
	Name    string
	State   string // as Kafka says it: Empty, PreparingRebalance, CompletingRebalance, Assigning, Reconciling, Stable, Dead
	Epoch   int32  // the generation, or the group epoch of KIP-848
	Members []Member
	Offsets []GroupOffset // sorted by topic and partition; none for share groups
}

// Member is a member of a group.
type Member struct {
	ID         string
	InstanceID string // of a static member (KIP-345), else empty
	ClientID   string
	ClientHost string
	Topics     []string           // subscribed
	Assignment map[string][]int32 // partitions by topic
}

// GroupOffset is where a group is in a partition that it has committed, or that
// one of its members is assigned.
type GroupOffset struct {
	Topic       string
	Partition   int32
	Committed   int64 // -1 when nothing is committed
	LeaderEpoch int32 // the one committed with, -1 when there is none
	Metadata    string
	At          time.Time // of the commit
	End         int64     // the partition's EndOfData
	Lag         int64     // records from Committed, or from the partition's start, to End
}

// Group returns a group; false when there is none of that name, or the broker is
// closed.
func (b *Broker) Group(name string) (Group, bool) {
	var info *kfake.GroupInfo
	err := b.do(func() error {
		info = b.cluster.GroupInfo(name)
		return nil
	})
	if err != nil || info == nil {
		return Group{}, false
	}
	g := Group{Name: info.Group, State: info.State, Epoch: info.Epoch}
	for _, m := range info.Members {
		member := Member{
			ID: m.MemberID, ClientID: m.ClientID, ClientHost: m.ClientHost,
			Topics: m.SubscribedTopics, Assignment: m.Assignment,
		}
		if m.InstanceID != nil {
			member.InstanceID = *m.InstanceID
		}
		g.Members = append(g.Members, member)
	}
	g.Offsets = b.groupOffsets(info)
	return g, true
}

func (b *Broker) groupOffsets(info *kfake.GroupInfo) []GroupOffset {
	where := make(map[string]map[int32]GroupOffset)
	put := func(o GroupOffset) {
		if where[o.Topic] == nil {
			where[o.Topic] = make(map[int32]GroupOffset)
		}
		where[o.Topic][o.Partition] = o
	}
	for _, m := range info.Members {
		for topic, parts := range m.Assignment {
			for _, p := range parts {
				put(GroupOffset{Topic: topic, Partition: p, Committed: -1, LeaderEpoch: -1})
			}
		}
	}
	for topic, commits := range info.Commits {
		for p, c := range commits {
			put(GroupOffset{Topic: topic, Partition: p, Committed: c.Offset, LeaderEpoch: c.LeaderEpoch, Metadata: c.Metadata, At: c.At})
		}
	}
	var out []GroupOffset
	for topic, offsets := range where {
		parts, _ := b.Partitions(topic) // a topic that is gone has no end and no lag
		for _, o := range offsets {
			if i, ok := slices.BinarySearchFunc(parts, o.Partition, func(p Partition, n int32) int { return cmp.Compare(p.Partition, n) }); ok {
				o.End = parts[i].EndOfData
				o.Lag = max(0, o.End-max(o.Committed, parts[i].Start))
			}
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(x, y GroupOffset) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
	return out
}

// Groups returns all groups, sorted by name; nil when the broker is closed.
func (b *Broker) Groups() []Group {
	names := make(map[string]bool)
	for node := range b.listeners {
		const version = 4
		req := kmsg.NewPtrListGroupsRequest()
		req.Version = version
		resp, err := b.ask(context.Background(), int32(node), own(req))
		if err != nil {
			return nil
		}
		for _, g := range resp.(*kmsg.ListGroupsResponse).Groups {
			names[g.Group] = true
		}
	}
	var out []Group
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if g, ok := b.Group(name); ok {
			out = append(out, g)
		}
	}
	return out
}
