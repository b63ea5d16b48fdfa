package correct

import (
	"fmt"
	"math"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// groupDescriptions is about what groups look like from outside.
func groupDescriptions(g coordinators) []Correction {
	describing := wire.Keys(kmsg.DescribeGroups, kmsg.ConsumerGroupDescribe, kmsg.ShareGroupDescribe)
	return []Correction{
		{
			Rule: wire.Rule{
				Name:    "filters of ListGroups are in any case",
				Keys:    wire.Keys(kmsg.ListGroups),
				Request: asked(filterGroups),
			},
			Restores:  "KIP-518, KIP-848: states and types are compared without their case, and clients send both",
			Upstream:  "groups.go, handleList",
			Behaviour: "groups/filters of ListGroups are in any case",
		},
		{
			Rule: wire.Rule{
				Name:    "a group of the consumer protocol is listed with its protocol type",
				Keys:    wire.Keys(kmsg.ListGroups),
				Request: asked(listTypes),
				Answer:  answered(typesOfGroups),
			},
			Restores:  "ListGroups: the protocol type of a KIP-848 group is consumer; an empty one is that of a group of offsets alone",
			Upstream:  "groups.go, handleList: empty",
			Behaviour: "groups/a group of the consumer protocol is listed with its protocol type",
		},
		{
			Rule: wire.Rule{
				Name:   "DescribeGroups knows classic groups only",
				Keys:   wire.Keys(kmsg.DescribeGroups),
				Answer: answered(g.describedAsClassic),
			},
			Restores:  "DescribeGroups: a group of another type is Dead, from v6 on GROUP_ID_NOT_FOUND with a message",
			Upstream:  "groups.go, handleDescribe describes them without members; no message",
			Behaviour: "groups/DescribeGroups knows classic groups only",
		},
		{
			Rule: wire.Rule{
				Name:   "ConsumerGroupDescribe names topics and the assignor",
				Keys:   wire.Keys(kmsg.ConsumerGroupDescribe),
				Answer: answered(g.describedAsConsumer),
			},
			Restores:  "KIP-848: assignments have the names of topics beside their ids; the assignor is uniform unless members prefer another; a missing pattern is an empty string",
			Upstream:  "groups.go, uuidAssignmentToKmsg and handleConsumerGroupDescribe",
			Behaviour: "groups/ConsumerGroupDescribe names topics and the assignor",
		},
		{
			Rule: wire.Rule{
				Name:   "a member's host is an address",
				Keys:   describing,
				Answer: amended(addresses),
			},
			Restores:  "a member's client host is /ADDRESS, as Java prints it, without a port",
			Upstream:  "groups.go, share_groups.go: ADDRESS:PORT",
			Behaviour: "groups/a member's host is an address",
		},
		{
			Rule: wire.Rule{
				Name:   "a group's configuration can be described and altered",
				Keys:   describing,
				Answer: amended(groupOperations),
			},
			Restores:  "KIP-1043: the operations of a group include DESCRIBE_CONFIGS and ALTER_CONFIGS; there are none of a group that was not found",
			Upstream:  "acl.go, groupAuthorizedOps: READ, DELETE, DESCRIBE",
			Behaviour: "groups/operations of a group are those that it has",
		},
	}
}

func filterGroups(x *wire.Exchange, req *kmsg.ListGroupsRequest) {
	states := []string{"Empty", "Stable", "PreparingRebalance", "CompletingRebalance", "Dead", "Assigning", "Reconciling"}
	types := []string{"classic", "consumer", "share", "streams"}
	changed := false
	respell := func(list, known []string) {
		for i, s := range list {
			for _, k := range known {
				if s != k && strings.EqualFold(s, k) {
					list[i], changed = k, true
				}
			}
		}
	}
	respell(req.StatesFilter, states)
	respell(req.TypesFilter, types)
	if changed {
		x.SetRequest(req)
	}
}

// groupTypes is the version of ListGroups from which answers have group types.
const groupTypes = 5

func listTypes(x *wire.Exchange, req *kmsg.ListGroupsRequest) {
	if req.Version < groupTypes {
		req.Version = groupTypes
		x.SetRequest(req)
	}
}

func typesOfGroups(_ *wire.Exchange, _ *kmsg.ListGroupsRequest, resp *kmsg.ListGroupsResponse) (changed bool) {
	for i := range resp.Groups {
		g := &resp.Groups[i]
		if strings.EqualFold(g.GroupType, "consumer") && g.ProtocolType == "" {
			g.ProtocolType, changed = "consumer", true
		}
	}
	return changed
}

func (g coordinators) describedAsClassic(x *wire.Exchange, _ *kmsg.DescribeGroupsRequest, resp *kmsg.DescribeGroupsResponse) (changed bool) {
	const notFound = 6 // groups that do not exist are an error from here
	for i := range resp.Groups {
		d := &resp.Groups[i]
		if d.ErrorCode == kerr.GroupIDNotFound.Code && d.ErrorMessage == nil {
			d.ErrorMessage, changed = kmsg.StringPtr(g.noGroupOf(x, "classic", d.Group)), true
			continue
		}
		if d.ErrorCode != 0 || len(d.Members) > 0 || d.State == "Dead" {
			continue
		}
		if about, ok := g.about(x, d.Group); !ok || about.kind != consumerGroup {
			continue
		}
		other := kmsg.NewDescribeGroupsResponseGroup()
		other.Group, other.State, other.AuthorizedOperations = d.Group, "Dead", d.AuthorizedOperations
		if x.Version >= notFound {
			other.ErrorCode = kerr.GroupIDNotFound.Code
			other.ErrorMessage = kmsg.StringPtr(fmt.Sprintf("Group %s is not a classic group.", d.Group))
		}
		*d, changed = other, true
	}
	return changed
}

func (g coordinators) describedAsConsumer(x *wire.Exchange, _ *kmsg.ConsumerGroupDescribeRequest, resp *kmsg.ConsumerGroupDescribeResponse) bool {
	named := func(a kmsg.Assignment) {
		for i := range a.TopicPartitions {
			t := &a.TopicPartitions[i]
			t.Topic, _ = g.TopicName(t.TopicID) // empty for one that was just deleted
		}
	}
	for i := range resp.Groups {
		d := &resp.Groups[i]
		switch {
		case d.ErrorCode == 0 && d.AssignorName == "":
			d.AssignorName = uniform
		case d.ErrorCode == kerr.GroupIDNotFound.Code && d.Group == "":
			d.ErrorCode = kerr.InvalidGroupID.Code
		case d.ErrorCode == kerr.GroupIDNotFound.Code && d.ErrorMessage == nil:
			d.ErrorMessage = kmsg.StringPtr(g.noGroupOf(x, "consumer", d.Group))
		}
		for j := range d.Members {
			m := &d.Members[j]
			named(m.Assignment)
			named(m.TargetAssignment)
			if m.SubscribedTopicRegex == nil {
				m.SubscribedTopicRegex = kmsg.StringPtr("")
			}
		}
	}
	return true
}

func addresses(_ *wire.Exchange, a kmsg.Response) (changed bool) {
	address := func(host *string) {
		if h, _, err := net.SplitHostPort(*host); err == nil {
			*host, changed = "/"+h, true
		}
	}
	switch resp := a.(type) {
	case *kmsg.DescribeGroupsResponse:
		for _, g := range resp.Groups {
			for i := range g.Members {
				address(&g.Members[i].ClientHost)
			}
		}
	case *kmsg.ConsumerGroupDescribeResponse:
		for _, g := range resp.Groups {
			for i := range g.Members {
				address(&g.Members[i].ClientHost)
			}
		}
	case *kmsg.ShareGroupDescribeResponse:
		for _, g := range resp.Groups {
			for i := range g.Members {
				address(&g.Members[i].ClientHost)
			}
		}
	}
	return changed
}

func groupOperations(_ *wire.Exchange, a kmsg.Response) (changed bool) {
	bits := func(ops ...kmsg.ACLOperation) (set int32) {
		for _, op := range ops {
			set |= 1 << op
		}
		return set
	}
	upstream := bits(kmsg.ACLOperationRead, kmsg.ACLOperationDelete, kmsg.ACLOperationDescribe)
	configs := bits(kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationAlterConfigs)
	const none = math.MinInt32 // of what was not asked for
	correct := func(code int16, ops *int32) {
		switch {
		case code != 0 && *ops != none:
			*ops, changed = none, true
		case code == 0 && *ops == upstream: // whoever may do all of these
			*ops, changed = upstream|configs, true
		}
	}
	switch resp := a.(type) {
	case *kmsg.DescribeGroupsResponse:
		for i := range resp.Groups {
			correct(resp.Groups[i].ErrorCode, &resp.Groups[i].AuthorizedOperations)
		}
	case *kmsg.ConsumerGroupDescribeResponse:
		for i := range resp.Groups {
			correct(resp.Groups[i].ErrorCode, &resp.Groups[i].AuthorizedOperations)
		}
	case *kmsg.ShareGroupDescribeResponse:
		for i := range resp.Groups {
			correct(resp.Groups[i].ErrorCode, &resp.Groups[i].AuthorizedOperations)
		}
	}
	return changed
}
