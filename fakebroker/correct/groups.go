package correct

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// groups is about groups of all types.
var groups = []func(Cluster) []Correction{
	coordinated(groupTransactions), // before groupOffsets, which completes what it answers
	coordinated(groupOffsets),
	oldOffsetErrors, // what is still an error
	coordinated(groupCommits),
	coordinated(groupDeletions),
	coordinated(groupMembers),
	coordinated(consumerHeartbeats),
	coordinated(groupDescriptions),
	coordinated(streamsDescriptions),
	coordinated(sharing),
}

func coordinated(area func(coordinators) []Correction) func(Cluster) []Correction {
	return func(c Cluster) []Correction { return area(coordinators{c}) }
}

// coordinators asks about groups. An answer that a fault has struck can look like
// one that is to be corrected, so corrections make sure of what they put right.
type coordinators struct{ Cluster }

// askCoordinator asks the broker that has a group, which after a coordinator has
// moved can be another one than clients take for it.
func askCoordinator[R kmsg.Response](g coordinators, x *wire.Exchange, group string, req kmsg.Request) (resp R, ok bool) {
	return askCoordinatorWithin[R](x.Context(), g, x.Node, group, req)
}

// askCoordinatorWithin is askCoordinator from a broker, where there is no exchange.
func askCoordinatorWithin[R kmsg.Response](ctx context.Context, g coordinators, node int32, group string, req kmsg.Request) (resp R, ok bool) {
	const version = 3 // the last that names one key
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKey = version, group
	a, err := g.Ask(ctx, node, find)
	if err != nil {
		return resp, false
	}
	at := a.(*kmsg.FindCoordinatorResponse)
	if at.ErrorCode != 0 {
		return resp, false
	}
	a, err = g.Ask(ctx, at.NodeID, req)
	if err != nil {
		return resp, false
	}
	resp, ok = a.(R)
	return resp, ok
}

// known is what a group is.
type known int

const (
	noGroup       known = iota // there is none, or it is a share group
	simpleGroup                // it never had a member since it was created
	classicGroup               // its members speak JoinGroup
	consumerGroup              // its members speak ConsumerGroupHeartbeat (KIP-848)
)

// about describes a group as kfake does. What cannot be asked is false: the
// broker is closing.
func (g coordinators) about(x *wire.Exchange, group string) (about description, ok bool) {
	const version = 6 // says when a group does not exist
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Version, req.Groups = version, []string{group}
	resp, ok := askCoordinator[*kmsg.DescribeGroupsResponse](g, x, group, req)
	if !ok || len(resp.Groups) != 1 {
		return about, false
	}
	about.classic = resp.Groups[0]
	switch about.classic.ErrorCode {
	case 0:
	case kerr.GroupIDNotFound.Code:
		return about, true
	default:
		return about, false
	}
	about.kind = classicGroup
	if about.classic.ProtocolType == "" {
		about.kind = simpleGroup
	}
	if len(about.classic.Members) > 0 {
		return about, true
	}
	members := kmsg.NewPtrConsumerGroupDescribeRequest()
	members.Version, members.Groups = 1, []string{group}
	consumers, ok := askCoordinator[*kmsg.ConsumerGroupDescribeResponse](g, x, group, members)
	if !ok || len(consumers.Groups) != 1 {
		return about, false
	}
	if consumers.Groups[0].ErrorCode == 0 {
		about.kind, about.consumer = consumerGroup, consumers.Groups[0]
	}
	return about, true
}

// description is what a group is, and its members.
type description struct {
	kind     known
	classic  kmsg.DescribeGroupsResponseGroup
	consumer kmsg.ConsumerGroupDescribeResponseGroup // of a consumerGroup
}

func (d description) member(id string) bool {
	return slices.ContainsFunc(d.classic.Members, func(m kmsg.DescribeGroupsResponseGroupMember) bool { return m.MemberID == id }) ||
		slices.ContainsFunc(d.consumer.Members, func(m kmsg.ConsumerGroupDescribeResponseGroupMember) bool { return m.MemberID == id })
}

// noGroupOf says why there is no group of a type under an id.
func (g coordinators) noGroupOf(x *wire.Exchange, kind, group string) string {
	about, _ := g.about(x, group) // without an answer there is none
	shared := false
	if about.kind == noGroup {
		shared, _ = g.shareGroup(x, group)
	}
	if shared || about.kind != noGroup {
		return fmt.Sprintf("Group %s is not a %s group.", group, kind)
	}
	return fmt.Sprintf("Group %s not found.", group)
}

// unknown reports whether there is certainly no such group.
func (g coordinators) unknown(x *wire.Exchange, group string) bool {
	about, ok := g.about(x, group)
	return ok && about.kind == noGroup
}
