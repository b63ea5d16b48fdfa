package fakebroker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ExpireSession ends the sessions of group members at once, as if their
// heartbeats had stopped for the session timeout: the group goes on without
// them, and the next heartbeat of each is answered with UNKNOWN_MEMBER_ID, upon
// which clients join again. It works for members of classic groups, of KIP-848
// groups and of share groups, static ones (KIP-345) included. Hits counts the
// members. Those who join later are left alone, so there is nothing to clear.
//
// Of the scope, Group says which groups (empty means all), ClientID and Remote
// which members, Topic and Partitions which by what they are assigned, and
// Brokers which by their coordinator. Nth and Count count members, by group and
// member id. APIs are not looked at.
func (b *Broker) ExpireSession(s Scope) *Fault {
	s.APIs = nil
	f := b.newFault(fmt.Sprintf("expire the session of %s", s), 1) // it is over at once
	kinds, _ := b.groupTypes(b.nodes()...)                         // closed: there are no members any more
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		if s.Group != "" && s.Group != name {
			continue
		}
		inside, outside := b.place(coordinated{groups, name})
		if !s.hasBroker(b.id(outside)) {
			continue
		}
		for _, m := range b.members(name) {
			if s.hasMember(m) && f.strike(s) {
				b.expire(inside, name, kinds[name], m.MemberID)
				f.tell(FaultEvent{Phase: FaultStruck, API: -1, ClientID: m.ClientID, Remote: strings.TrimPrefix(m.ClientHost, "/"), Group: name, Broker: b.id(outside)})
			}
		}
	}
	f.inert = f.struck == 0 // nobody else has the fault yet
	return f
}

func (b *Broker) members(group string) (out []kfake.GroupMember) {
	_ = b.do(func() error { // closed: none
		if info := b.cluster.GroupInfo(group); info != nil {
			out = info.Members
		}
		return nil
	})
	return out
}

func (s Scope) hasMember(m kfake.GroupMember) bool {
	if !s.hasClient(m.ClientID) || s.Remote != "" && !s.hasAddr(strings.TrimPrefix(m.ClientHost, "/")) {
		return false
	}
	s.Group = ""
	return s.matches(names{topics: m.Assignment})
}

// expire has a member leave, which for the others is the same: only a static
// member that leaves by itself keeps its place, by another epoch (KIP-848).
func (b *Broker) expire(coordinator int32, group, kind, member string) {
	const gone = -1
	var req kmsg.Request
	switch kind {
	case "share":
		r := kmsg.NewPtrShareGroupHeartbeatRequest()
		r.Version, r.GroupID, r.MemberID, r.MemberEpoch = 1, group, member, gone
		req = own(r)
	case "consumer":
		r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		r.Version, r.Group, r.MemberID, r.MemberEpoch = 1, group, member, gone
		req = own(r)
	default:
		r := kmsg.NewPtrLeaveGroupRequest()
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID = member
		r.Version, r.Group, r.Members = 5, group, append(r.Members, m)
		req = own(r)
	}
	_, _ = b.ask(context.Background(), coordinator, req) // closed, or gone meanwhile: it has no session either way
}
