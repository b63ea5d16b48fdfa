package brokertest

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupDescriptionBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "groups/filters of ListGroups are in any case",
			Source: "KIP-518, KIP-848; GroupMetadataManager.listGroups",
			Run:    listFiltered,
		},
		{
			Name:   "groups/a group of the consumer protocol is listed with its protocol type",
			Source: "KIP-848; ConsumerGroup.asListedGroup",
			Run:    listConsumers,
		},
		{
			Name:   "groups/DescribeGroups knows classic groups only",
			Source: "DescribeGroups; KIP-1043; GroupMetadataManager.describeGroups",
			Run:    describeClassic,
		},
		{
			Name:   "groups/ConsumerGroupDescribe names topics and the assignor",
			Source: "KIP-848; ConsumerGroup.asDescribedGroup",
			Run:    describeConsumers,
		},
		{
			Name:   "groups/a member's host is an address",
			Source: "DescribeGroups, ConsumerGroupDescribe; RequestContext.clientAddress",
			Run:    memberHosts,
		},
		{
			Name:   "groups/operations of a group are those that it has",
			Source: "KIP-430, KIP-1043; AclEntry.supportedOperations",
			Run:    groupOperations,
		},
	}
}

// listed finds a group in ListGroups.
func listed(t T, c Cluster, v int16, group string, states, types []string) (kmsg.ListGroupsResponseGroup, bool) {
	t.Helper()
	req := kmsg.NewPtrListGroupsRequest()
	req.StatesFilter, req.TypesFilter = states, types
	resp := askIn[*kmsg.ListGroupsResponse](t, c, v, req)
	code(t, "ListGroups v"+number(int32(v)), resp.ErrorCode, nil)
	i := slices.IndexFunc(resp.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return g.Group == group })
	if i < 0 {
		return kmsg.ListGroupsResponseGroup{}, false
	}
	return resp.Groups[i], true
}

func listFiltered(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	for _, g := range []struct{ name, state, typ string }{
		{committed(t, c, topic), "Empty", "Classic"},
		{joined(t, c, nil, topic.name).group, "Stable", "Classic"},
		{consuming(t, c, topic, 0).group, "Stable", "Consumer"},
	} {
		spellings := func(s string) []string { return []string{s, strings.ToLower(s), strings.ToUpper(s)} }
		for _, v := range versions(4, 5) {
			for _, state := range spellings(g.state) {
				got, ok := listed(t, c, v, g.name, []string{"Dead", state}, nil)
				equal(t, g.state+" group by "+state, ok, true)
				equal(t, g.state+" group, state", got.GroupState, g.state)
			}
			_, ok := listed(t, c, v, g.name, []string{"dead"}, nil)
			equal(t, g.state+" group by dead", ok, false)
		}
		for _, typ := range spellings(g.typ) {
			got, ok := listed(t, c, 5, g.name, nil, []string{"Share", typ})
			equal(t, g.typ+" group by "+typ, ok, true)
			equal(t, g.typ+" group, type", got.GroupType, strings.ToLower(g.typ))
		}
		_, ok := listed(t, c, 5, g.name, nil, []string{"share"})
		equal(t, g.typ+" group by share", ok, false)
		_, ok = listed(t, c, 5, g.name, []string{strings.ToLower(g.state)}, []string{"nonsense"})
		equal(t, g.typ+" group by nonsense", ok, false)
	}
}

func listConsumers(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	groups := map[string]string{
		consuming(t, c, topic, 0).group:     "consumer",
		joined(t, c, nil, topic.name).group: "consumer",
		committed(t, c, topic):              "",
	}
	for group, typ := range groups {
		for _, v := range versions(0, 5) {
			got, ok := listed(t, c, v, group, nil, nil)
			equal(t, "listed in v"+number(int32(v)), ok, true)
			equal(t, "protocol type in v"+number(int32(v)), got.ProtocolType, typ)
		}
	}
}

func describeGroup(t T, c Cluster, v int16, group string, operations bool) kmsg.DescribeGroupsResponseGroup {
	t.Helper()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{group}, operations
	return askIn[*kmsg.DescribeGroupsResponse](t, c, v, req).Groups[0]
}

func describeConsumer(t T, c Cluster, group string, operations bool) kmsg.ConsumerGroupDescribeResponseGroup {
	t.Helper()
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{group}, operations
	return askIn[*kmsg.ConsumerGroupDescribeResponse](t, c, 1, req).Groups[0]
}

func describeClassic(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	m := consuming(t, c, topic, 0)
	left := consuming(t, c, topic, 0)
	code(t, "leave", ask[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, leaving(left)).ErrorCode, nil)
	unknown, shared := name("group"), sharing(t, c, topic).group
	for group, says := range map[string]string{
		shared:     "Group " + shared + " is not a classic group.",
		m.group:    "Group " + m.group + " is not a classic group.",
		left.group: "Group " + left.group + " is not a classic group.",
		unknown:    "Group " + unknown + " not found.",
	} {
		for _, v := range versions(0, 6) {
			what := "v" + number(int32(v)) + ", " + says
			got := describeGroup(t, c, v, group, false)
			equal(t, what+" state", got.State, "Dead")
			equal(t, what+" members", len(got.Members), 0)
			if v < 6 {
				code(t, what, got.ErrorCode, nil)
				continue
			}
			code(t, what, got.ErrorCode, kerr.GroupIDNotFound)
			isText(t, what, got.ErrorMessage, says)
		}
	}
	empty := describeGroup(t, c, 6, committed(t, c, topic), false)
	code(t, "group of offsets", empty.ErrorCode, nil)
	equal(t, "group of offsets, state", empty.State, "Empty")
}

func describeConsumers(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	m := consuming(t, c, topic, 0)
	got := describeConsumer(t, c, m.group, false)
	code(t, "group", got.ErrorCode, nil)
	equal(t, "assignor", got.AssignorName, "uniform")
	equal(t, "members", len(got.Members), 1)
	isText(t, "pattern", got.Members[0].SubscribedTopicRegex, "")
	for what, a := range map[string]kmsg.Assignment{"assigned": got.Members[0].Assignment, "target": got.Members[0].TargetAssignment} {
		equal(t, what+" topics", len(a.TopicPartitions), 1)
		equal(t, what+" topic", a.TopicPartitions[0].Topic, topic.name)
		equal(t, what+" topic id", a.TopicPartitions[0].TopicID, topic.id)
		equal(t, what+" partitions", a.TopicPartitions[0].Partitions, []int32{0})
	}
	unknown, classic, shared := name("group"), joined(t, c, nil, topic.name).group, sharing(t, c, topic).group
	for group, says := range map[string]string{
		unknown: "Group " + unknown + " not found.",
		classic: "Group " + classic + " is not a consumer group.",
		shared:  "Group " + shared + " is not a consumer group.",
	} {
		got := describeConsumer(t, c, group, false)
		code(t, says, got.ErrorCode, kerr.GroupIDNotFound)
		isText(t, "message", got.ErrorMessage, says)
	}
}

func memberHosts(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	address := func(what, host string) {
		if !strings.HasPrefix(host, "/") || strings.Contains(host, ":") {
			t.Errorf("%s: host %q, want /ADDRESS", what, host)
		}
	}
	address("classic", describeGroup(t, c, 5, joined(t, c, nil, topic.name).group, false).Members[0].ClientHost)
	address("consumer", describeConsumer(t, c, consuming(t, c, topic, 0).group, false).Members[0].ClientHost)
}

func groupOperations(t T, c Cluster) {
	const notAsked = -1 << 31
	all := int32(0)
	for _, op := range []kmsg.ACLOperation{
		kmsg.ACLOperationRead, kmsg.ACLOperationDelete, kmsg.ACLOperationDescribe,
		kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationAlterConfigs,
	} {
		all |= 1 << op
	}
	topic := newTopicOf(t, newClient(t, c), 1)
	group, unknown := committed(t, c, topic), name("group")
	for _, v := range versions(3, 6) {
		what := "v" + number(int32(v))
		equal(t, what, describeGroup(t, c, v, group, true).AuthorizedOperations, all)
		equal(t, what+", not asked for", describeGroup(t, c, v, group, false).AuthorizedOperations, notAsked)
		want := all
		if v >= 6 {
			want = notAsked
		}
		equal(t, what+", unknown group", describeGroup(t, c, v, unknown, true).AuthorizedOperations, want)
	}
	equal(t, "consumer group", describeConsumer(t, c, consuming(t, c, topic, 0).group, true).AuthorizedOperations, all)
	equal(t, "unknown consumer group", describeConsumer(t, c, unknown, true).AuthorizedOperations, notAsked)
}
