package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func streamsBehaviours() []Behaviour {
	return []Behaviour{{
		Name:   "groups/StreamsGroupDescribe says what is missing",
		Source: "KIP-1071; GroupMetadataManager.streamsGroupDescribe, GroupCoordinatorService.streamsGroupDescribe",
		Needs:  Needs{Brokers: 2},
		Run:    describeStreamsGroups,
	}}
}

func describeStreamsGroups(t T, c Cluster) {
	const notAsked = -1 << 31
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	unknown, classic, consumer, shared := name("group"), committed(t, c, topic), consuming(t, c, topic, 0).group, sharing(t, c, topic).group
	for group, says := range map[string]string{
		"":       "",
		unknown:  "Group " + unknown + " not found.",
		classic:  "Group " + classic + " is not a streams group.",
		consumer: "Group " + consumer + " is not a streams group.",
		shared:   "Group " + shared + " is not a streams group.",
	} {
		req := kmsg.NewPtrStreamsGroupDescribeRequest()
		req.Groups, req.IncludeAuthorizedOperations = []string{group}, true
		coordinators := 0
		for _, node := range brokers(t, cl) {
			got := askOf[*kmsg.StreamsGroupDescribeResponse](t, cl, node, req).Groups[0]
			equal(t, "group", got.Group, group)
			equal(t, "operations of "+group, got.AuthorizedOperations, notAsked)
			switch {
			case group == "":
				code(t, "no group id", got.ErrorCode, kerr.InvalidGroupID)
			case got.ErrorCode == kerr.NotCoordinator.Code:
			default:
				coordinators++
				code(t, says, got.ErrorCode, kerr.GroupIDNotFound)
				isText(t, "message", got.ErrorMessage, says)
			}
		}
		if group != "" {
			equal(t, "coordinators of "+group, coordinators, 1)
		}
	}
	first := kmsg.NewPtrStreamsGroupDescribeRequest()
	first.Groups = []string{unknown, ""}
	got := askOf[*kmsg.StreamsGroupDescribeResponse](t, cl, someBroker(t, cl), first).Groups
	equal(t, "groups", len(got), 2)
	equal(t, "the first is the one without an id", got[0].Group, "")
}
