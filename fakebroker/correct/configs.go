package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Rules that keep what they decided until the answer comes.
const (
	alters   = "IncrementalAlterConfigs checks what it is asked for"
	replaces = "AlterConfigs checks what it is asked for"
)

// configs is what is corrected about configurations: kfake knows a few of them,
// and takes any value.
func configs(c Cluster) []Correction {
	s := &settings{c: c}
	return []Correction{
		{
			Rule: wire.Rule{
				Name:    "CreateTopics refuses configurations that a topic cannot have",
				Keys:    wire.Keys(kmsg.CreateTopics),
				Request: asked(s.checkGiven),
				Answer:  answered(s.refuseCreation),
			},
			Restores:  "CreateTopics: INVALID_CONFIG for unknown names and bad values; LogConfig.validate",
			Upstream:  "19_create_topics.go takes any name and value",
			Behaviour: "configs/creating a topic checks its configurations",
		},
		{
			Rule: wire.Rule{
				Name:   "CreateTopics answers with all configurations",
				Keys:   wire.Keys(kmsg.CreateTopics),
				Wants:  func(h wire.Header) bool { return h.Version >= 5 },
				Answer: answered(s.describeCreation),
			},
			Restores:  "KIP-525: the configurations of a topic in the answer to its creation, with their sources",
			Upstream:  "19_create_topics.go answers with those that were asked for, or null",
			Behaviour: "configs/creating a topic answers with all its configurations",
		},
		{
			Rule: wire.Rule{
				Name:    "DescribeConfigs tells all configurations",
				Keys:    wire.Keys(kmsg.DescribeConfigs),
				Request: asked(s.askForConfigs),
				Answer:  answered(s.describe),
			},
			Restores:  "KIP-133, KIP-226, KIP-569: all configurations with types, defaults, sources and synonyms; ConfigHelper",
			Upstream:  "32_describe_configs.go knows a third of the topic configurations and a tenth of the broker's",
			Behaviour: "configs/a topic has all of Kafka's configurations",
		},
		{
			Rule: wire.Rule{
				Name:    alters,
				Keys:    wire.Keys(kmsg.IncrementalAlterConfigs),
				Request: asked(s.askToAlter),
				Answer:  answered(s.answerAltered),
			},
			Restores:  "KIP-339: INVALID_CONFIG and INVALID_REQUEST, with why; ConfigAdminManager, ConfigurationControlManager",
			Upstream:  "44_incremental_alter_configs.go takes any name and value of topics and brokers",
			Behaviour: "configs/altering a topic checks its configurations",
		},
		{
			Rule: wire.Rule{
				Name:    replaces,
				Keys:    wire.Keys(kmsg.AlterConfigs),
				Request: asked(s.askToReplace),
				Answer:  answered(s.answerReplaced),
			},
			Restores:  "KIP-133: INVALID_CONFIG and INVALID_REQUEST, with why; ConfigAdminManager, ConfigurationControlManager",
			Upstream:  "33_alter_configs.go takes any name and value, and knows topics and brokers only",
			Behaviour: "configs/replacing a topic's configurations checks them",
		},
		{
			Rule: wire.Rule{
				Name:   "ListConfigResources names the groups that have configurations",
				Keys:   wire.Keys(kmsg.ListConfigResources),
				Answer: answered(s.listGroups),
			},
			Restores:  "KIP-1142: a group whose last configuration was deleted is no resource",
			Upstream:  "44_incremental_alter_configs.go keeps the group without configurations",
			Behaviour: "configs/a group is a resource while it has a configuration",
		},
	}
}

// listGroups corrects the groups of a list. kfake lists all groups when it lists
// any, so what it has not is to be found in ours.
func (s *settings) listGroups(x *wire.Exchange, req *kmsg.ListConfigResourcesRequest, resp *kmsg.ListConfigResourcesResponse) bool {
	const group = int8(kmsg.ConfigResourceTypeGroupConfig)
	if req.Version < 1 || resp.ErrorCode != 0 || len(req.ResourceTypes) > 0 && !slices.Contains(req.ResourceTypes, group) {
		return false
	}
	s.load(x.Context())
	s.mu.Lock()
	ours := make(map[string]bool)
	for g := range s.groups {
		ours[g] = true
	}
	s.mu.Unlock()
	resp.ConfigResources = slices.DeleteFunc(resp.ConfigResources, func(r kmsg.ListConfigResourcesResponseConfigResource) bool {
		if r.Type != group {
			return false
		}
		listed := ours[r.Name]
		delete(ours, r.Name)
		return !listed && len(s.groupConfigs(x.Context(), r.Name)) == 0
	})
	for g := range ours {
		r := kmsg.NewListConfigResourcesResponseConfigResource()
		r.Name, r.Type = g, group
		resp.ConfigResources = append(resp.ConfigResources, r)
	}
	return true
}
