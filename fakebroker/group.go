package fakebroker

import (
	"cmp"
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/correct"
)

// Group is a snapshot of a consumer group or share group.
type Group struct {
	Name    string
	Type    string // as Kafka says it: classic, consumer (KIP-848) or share (KIP-932)
	State   string // as Kafka says it: Empty, PreparingRebalance, CompletingRebalance, Assigning, Reconciling, Stable, Dead
	Epoch   int32  // the generation, or the group epoch of KIP-848
	Members []Member
	Offsets []GroupOffset // sorted by topic and partition
}

// Member is a member of a group.
type Member struct {
	ID         string
	InstanceID string // of a static member (KIP-345), else empty
	ClientID   string
	ClientHost string             // as Kafka says it: /ADDRESS
	Topics     []string           // subscribed
	Assignment map[string][]int32 // partitions by topic
}

// GroupOffset is where a group is in a partition that it has committed, or that
// one of its members is assigned. A share group (KIP-932) commits nothing: there
// Committed is the start offset, before which everything is done, and records
// after it that are done count for the lag.
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
	var coordinator int32
	others := false // there may be groups of other types
	err := b.do(func() error {
		info = b.cluster.GroupInfo(name)
		if others = b.groupNames.unknown.Load(); others {
			coordinator = b.cluster.CoordinatorFor(name)
		}
		return nil
	})
	if err != nil || info == nil {
		return Group{}, false
	}
	kind := classic
	if others {
		kinds, _ := b.groupTypes(coordinator) // closed: the rest is what was asked for
		kind = kinds[name]
	}
	return b.group(info, kind), true
}

// group is kfake's snapshot in terms of ours.
func (b *Broker) group(info *kfake.GroupInfo, kind string) Group {
	g := Group{Name: info.Group, Type: kind, State: info.State, Epoch: info.Epoch}
	for _, m := range info.Members {
		member := Member{
			ID: m.MemberID, ClientID: m.ClientID, ClientHost: clientHost(m.ClientHost),
			Topics: m.SubscribedTopics, Assignment: m.Assignment,
		}
		if m.InstanceID != nil {
			member.InstanceID = *m.InstanceID
		}
		g.Members = append(g.Members, member)
	}
	g.Offsets = b.groupOffsets(info)
	if kind == "share" {
		g.Epoch = correct.ShareEpoch(g.Epoch)
		b.shareOffsets(&g)
	}
	return g
}

// clientHost is the address of a client without its port, as Kafka has it.
func clientHost(addr string) string {
	addr = strings.TrimPrefix(addr, "/")
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	return "/" + addr
}

// shareOffsets adds the start offsets of a share group.
func (b *Broker) shareOffsets(g *Group) {
	req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	rg := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
	rg.GroupID = g.Name
	req.Version, req.Groups = 1, append(req.Groups, rg)
	inside, _ := b.place(coordinated{groups, g.Name})
	resp, err := b.ask(context.Background(), inside, own(req))
	if err != nil {
		return // closed: what is known of the members will do
	}
	for _, rg := range resp.(*kmsg.DescribeShareGroupOffsetsResponse).Groups {
		for _, t := range rg.Topics {
			for _, p := range t.Partitions {
				o := GroupOffset{Topic: t.Topic, Partition: p.Partition, Committed: p.StartOffset, LeaderEpoch: -1, Lag: max(0, p.Lag)}
				i, there := slices.BinarySearchFunc(g.Offsets, o, compareOffsets)
				if !there {
					g.Offsets = slices.Insert(g.Offsets, i, o)
				}
				if parts, err := b.partitions(t.Topic); err == nil && int(p.Partition) < len(parts) {
					o.End = parts[p.Partition].EndOfData
				}
				g.Offsets[i] = o
			}
		}
	}
}

func compareOffsets(x, y GroupOffset) int {
	return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
}

// groupOffsets are those of the partitions that a group has committed in, or has
// given to a member.
func (b *Broker) groupOffsets(info *kfake.GroupInfo) []GroupOffset {
	var all []GroupOffset
	for _, m := range info.Members {
		for topic, parts := range m.Assignment {
			for _, p := range parts {
				all = append(all, GroupOffset{Topic: topic, Partition: p, Committed: -1, LeaderEpoch: -1})
			}
		}
	}
	for topic, commits := range info.Commits {
		for p, c := range commits {
			all = append(all, GroupOffset{Topic: topic, Partition: p, Committed: c.Offset, LeaderEpoch: c.LeaderEpoch, Metadata: c.Metadata, At: c.At})
		}
	}
	slices.SortStableFunc(all, compareOffsets)
	out := all[:0]
	var parts []Partition
	for i, o := range all {
		if i+1 < len(all) && compareOffsets(o, all[i+1]) == 0 {
			continue // the last one of a partition is what was committed, if anything was
		}
		if n := len(out); n == 0 || out[n-1].Topic != o.Topic {
			parts, _ = b.partitions(o.Topic) // a topic that is gone has no end and no lag
		}
		if at, ok := slices.BinarySearchFunc(parts, o.Partition, func(p Partition, n int32) int { return cmp.Compare(p.Partition, n) }); ok {
			o.End = parts[at].EndOfData
			o.Lag = max(0, o.End-max(o.Committed, parts[at].Start))
		}
		out = append(out, o)
	}
	return out
}

// classic is the type of a group that no KIP has given another.
const classic = "classic"

// Groups returns all groups, sorted by name; nil when the broker is closed.
func (b *Broker) Groups() []Group { return b.GroupsBut(nil) }

// GroupsBut is Groups without those whose name leave reports true for, which are
// not looked at. Nil leaves none out.
func (b *Broker) GroupsBut(leave func(name string) bool) []Group {
	names, complete := b.groupNames.all()
	var kinds map[string]string
	if !complete {
		var err error
		if kinds, err = b.groupTypes(b.nodes()...); err != nil {
			return nil
		}
		names = slices.Sorted(maps.Keys(kinds))
	}
	var out []Group
	for _, name := range names {
		if leave != nil && leave(name) {
			continue
		}
		var info *kfake.GroupInfo
		err := b.do(func() error {
			info = b.cluster.GroupInfo(name)
			return nil
		})
		if err == nil && info != nil {
			out = append(out, b.group(info, cmp.Or(kinds[name], classic)))
		}
	}
	if complete && b.groupNames.unknown.Load() {
		return b.GroupsBut(leave) // meanwhile there are others
	}
	return out
}

func (b *Broker) nodes() []int32 {
	out := make([]int32, len(b.listeners))
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

// groupTypes lists the groups of some coordinators, with their types.
func (b *Broker) groupTypes(coordinators ...int32) (map[string]string, error) {
	const version = 5
	kinds := make(map[string]string)
	for _, node := range coordinators {
		req := kmsg.NewPtrListGroupsRequest()
		req.Version = version
		resp, err := b.ask(context.Background(), node, own(req))
		if err != nil {
			return nil, err
		}
		for _, g := range resp.(*kmsg.ListGroupsResponse).Groups {
			kinds[g.Group] = g.GroupType
		}
	}
	return kinds, nil
}
