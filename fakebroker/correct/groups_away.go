package correct

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// awayMembers ends the sessions of static members of the consumer protocol that
// have left for a while: kfake stops counting, and keeps what they were assigned
// for ever.
func awayMembers(g coordinators) Correction {
	a := &awaySessions{g: g, ends: make(map[groupMember]*time.Timer)}
	return Correction{
		Rule: wire.Rule{
			Name:   "the session of a static member that is away ends",
			Keys:   wire.Keys(kmsg.ConsumerGroupHeartbeat),
			Answer: answered(a.begin),
		},
		Restores:  "KIP-848: a static member that has left with epoch -2 and does not come back within the session timeout is removed",
		Upstream:  "groups.go, consumerStaticLeave stops the timer",
		Behaviour: "groups/the session of a static member that is away ends",
	}
}

// awayEpoch is the member epoch of a static member that is away.
const awayEpoch = -2

// awaySessions are the sessions of members that are away.
type awaySessions struct {
	g coordinators

	mu   sync.Mutex
	ends map[groupMember]*time.Timer // at most one session long
}

type groupMember struct{ group, member string }

func (a *awaySessions) begin(x *wire.Exchange, req *kmsg.ConsumerGroupHeartbeatRequest, resp *kmsg.ConsumerGroupHeartbeatResponse) bool {
	if req.MemberEpoch != awayEpoch || req.InstanceID == nil || resp.ErrorCode != 0 {
		return false
	}
	session := a.g.consumerSession(x, req.Group)
	if session == 0 {
		return false
	}
	node, m, instance := x.Node, groupMember{req.Group, req.MemberID}, *req.InstanceID
	a.mu.Lock()
	defer a.mu.Unlock()
	if earlier := a.ends[m]; earlier != nil { // it has been back
		earlier.Stop()
	}
	var ends *time.Timer
	ends = time.AfterFunc(session, func() {
		a.mu.Lock()
		latest := a.ends[m] == ends
		if latest {
			delete(a.ends, m)
		}
		a.mu.Unlock()
		if latest {
			a.g.endAway(node, m, instance)
		}
	})
	a.ends[m] = ends
	return false
}

// consumerSession is how long a member of a group may say nothing; 0 when that
// cannot be asked.
func (g coordinators) consumerSession(x *wire.Exchange, group string) time.Duration {
	const ofGroup, ofAll, version = "consumer.session.timeout.ms", "group.consumer.session.timeout.ms", 4
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = version
	for _, of := range []struct {
		kind   kmsg.ConfigResourceType
		name   string
		config string
	}{{kmsg.ConfigResourceTypeGroupConfig, group, ofGroup}, {kmsg.ConfigResourceTypeBroker, "", ofAll}} {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = of.kind, of.name, []string{of.config}
		req.Resources = append(req.Resources, r)
	}
	resp, err := g.Ask(x.Context(), x.Node, req)
	if err != nil {
		return 0
	}
	for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		for _, c := range r.Configs {
			if ms, err := strconv.Atoi(deref(c.Value)); err == nil && ms > 0 {
				return time.Duration(ms) * time.Millisecond
			}
		}
	}
	const byDefault = 45 * time.Second
	return byDefault
}

// endAway has a member leave for good that is still away.
func (g coordinators) endAway(node int32, of groupMember, instance string) {
	const leaves, version = -1, 1
	describe := kmsg.NewPtrConsumerGroupDescribeRequest()
	describe.Version, describe.Groups = version, []string{of.group}
	ctx := context.Background()
	resp, ok := askCoordinatorWithin[*kmsg.ConsumerGroupDescribeResponse](ctx, g, node, of.group, describe)
	if !ok || len(resp.Groups) != 1 {
		return // the cluster is closed
	}
	away := slices.ContainsFunc(resp.Groups[0].Members, func(m kmsg.ConsumerGroupDescribeResponseGroupMember) bool {
		return m.MemberID == of.member && m.MemberEpoch == awayEpoch
	})
	if !away {
		return
	}
	beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	beat.Version, beat.Group, beat.MemberID, beat.InstanceID, beat.MemberEpoch = version, of.group, of.member, &instance, leaves
	askCoordinatorWithin[*kmsg.ConsumerGroupHeartbeatResponse](ctx, g, node, of.group, beat)
}
