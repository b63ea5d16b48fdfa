package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// streamsDescriptions is about streams groups (KIP-1071), of which there are none.
func streamsDescriptions(g coordinators) []Correction {
	return []Correction{{
		Rule: wire.Rule{
			Name:    "StreamsGroupDescribe says what is missing",
			Keys:    wire.Keys(kmsg.StreamsGroupDescribe),
			Request: asked(g.describeStreams),
		},
		Restores:  "KIP-1071: GROUP_ID_NOT_FOUND for a group that is none, or of another type; INVALID_GROUP_ID for an empty group id",
		Upstream:  "there is no 89_streams_group_describe.go",
		Behaviour: "groups/StreamsGroupDescribe says what is missing",
	}}
}

func (g coordinators) describeStreams(x *wire.Exchange, req *kmsg.StreamsGroupDescribeRequest) {
	if x.Version > 0 {
		return // there is no such version, and the broker closes the connection
	}
	var refused, found []kmsg.StreamsGroupDescribeResponseGroup
	for _, group := range req.Groups {
		d := kmsg.NewStreamsGroupDescribeResponseGroup()
		d.Group = group
		switch {
		case !g.Allowed(x, kmsg.ACLOperationDescribe, kmsg.ACLResourceTypeGroup, group):
			d.ErrorCode = kerr.GroupAuthorizationFailed.Code
		case group == "":
			d.ErrorCode = kerr.InvalidGroupID.Code
		default:
			if d.ErrorCode = kerr.NotCoordinator.Code; g.GroupCoordinator(group) == x.Node {
				d.ErrorCode, d.ErrorMessage = kerr.GroupIDNotFound.Code, kmsg.StringPtr(g.noGroupOf(x, "streams", group))
			}
			found = append(found, d)
			continue
		}
		refused = append(refused, d)
	}
	resp := kmsg.NewPtrStreamsGroupDescribeResponse()
	resp.Groups = slices.Concat(refused, found)
	x.Reply(resp)
}
