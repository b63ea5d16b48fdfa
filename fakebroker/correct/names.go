package correct

import (
	"context"
	"slices"
	"strings"
	"sync"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// maxTopicName is Kafka's limit, which is of UTF-16 units.
const maxTopicName = 249

// checkName holds a topic's name to Kafka's rules, nil when it keeps them.
func checkName(name string) *rejection {
	invalid := func(why string) *rejection {
		return reject(kerr.InvalidTopicException, "Topic name is invalid: %s", why)
	}
	switch {
	case name == "":
		return invalid("the empty string is not allowed")
	case name == "." || name == "..":
		return invalid("'" + name + "' is not allowed")
	case len(name) > maxTopicName && len(utf16.Encode([]rune(name))) > maxTopicName:
		return invalid("the length of '" + name + "' is longer than the max allowed length 249")
	case strings.ContainsFunc(name, illegal):
		return invalid("'" + name + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
	}
	return nil
}

func illegal(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
		return false
	}
	return true
}

// collision is the topic whose name differs from another's in '.' and '_' only,
// which would have the same metrics; empty when there is none.
func collision(ctx context.Context, c Cluster, name string) string {
	if !strings.ContainsAny(name, "._") {
		return ""
	}
	unified := func(s string) string { return strings.ReplaceAll(s, ".", "_") }
	for _, other := range topicNames(ctx, c) {
		if other != name && unified(other) == unified(name) {
			return other
		}
	}
	return ""
}

// topicNames lists all topics.
func topicNames(ctx context.Context, c Cluster) (names []string) {
	const version = 9 // lists all topics when it names none
	req := kmsg.NewPtrMetadataRequest()
	req.Version = version
	resp, err := c.Ask(ctx, c.Nodes()[0], req)
	if err != nil {
		return nil // the cluster was closed
	}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		if t.Topic != nil {
			names = append(names, *t.Topic)
		}
	}
	slices.Sort(names)
	return names
}

// autoCreated is the first version of Metadata in which clients say whether
// topics are to be created; before it, they are. It is also one in which naming
// no topic is not the same as naming all, as it is in version 0.
const autoCreated = 4

func naming(c Cluster) []Correction {
	const bad, unknown = "Metadata does not know topics of invalid names, nor makes them", "Metadata answers for each unknown topic id"
	const later = "Metadata does not know the topics yet that it makes"
	const unauthorized = "Metadata makes topics for who may create them"
	refused := func(_ *wire.Exchange, left []kmsg.MetadataResponseTopic, resp *kmsg.MetadataResponse) {
		resp.Topics = append(resp.Topics, left...)
	}
	creates := sync.OnceValue(func() bool { return c.BrokerConfigs(c.Nodes()[0])["auto.create.topics.enable"] == "true" })
	var made emerging
	return []Correction{
		{
			Rule: wire.Rule{
				Name:    "Metadata before version 4 creates topics",
				Keys:    wire.Keys(kmsg.Metadata),
				Wants:   func(h wire.Header) bool { return h.Version < autoCreated },
				Request: asked(askToCreate),
			},
			Restores:  "Metadata: allow_auto_topic_creation is true by default, for versions that do not have it",
			Upstream:  "03_metadata.go creates nothing for them",
			Behaviour: "topics/old versions of metadata create topics",
		},
		{
			Rule: wire.Rule{
				Name: bad,
				Keys: wire.Keys(kmsg.Metadata),
				Request: asked(func(x *wire.Exchange, req *kmsg.MetadataRequest) {
					leaveOut(x, req, bad, func(topic string) *rejection { return badName(c, x, req, topic) })
				}),
				Answer: completed(bad, refused),
			},
			Restores:  "Topic.validate, AutoTopicCreationManager: an invalid name is refused with INVALID_TOPIC_EXCEPTION, one that collides with another is not created",
			Upstream:  "03_metadata.go takes any name, and creates a topic called that when it may",
			Behaviour: "topics/metadata of an invalid name",
		},
		{
			Rule: wire.Rule{
				Name:  unauthorized,
				Keys:  wire.Keys(kmsg.Metadata),
				Wants: func(wire.Header) bool { return creates() },
				Request: asked(func(x *wire.Exchange, req *kmsg.MetadataRequest) {
					leaveOut(x, req, unauthorized, func(topic string) *rejection { return notTheirs(c, x, req, topic) })
				}),
				Answer: completed(unauthorized, refused),
			},
			Restores:  "KafkaApis.handleTopicMetadataRequest: TOPIC_AUTHORIZATION_FAILED where a topic would be made for who may not CREATE it, nor any in the cluster",
			Upstream:  "03_metadata.go asks for DESCRIBE alone",
			Behaviour: "acls/a topic is made by asking for who may create it",
		},
		{
			Rule: wire.Rule{
				Name:    later,
				Keys:    wire.Keys(kmsg.Metadata),
				Wants:   func(wire.Header) bool { return creates() },
				Request: asked(func(x *wire.Exchange, req *kmsg.MetadataRequest) { made.notice(c, x, req) }),
				Answer:  answered(made.hide),
			},
			Restores:  "AutoTopicCreationManager.createTopics: UNKNOWN_TOPIC_OR_PARTITION to who asks while the controller makes the topic, for which it takes controller.quorum.append.linger.ms (25) and more",
			Upstream:  "03_metadata.go makes the topic and answers with its partitions",
			Behaviour: "topics/a topic that is created by asking is there later",
		},
		{
			Rule: wire.Rule{
				Name:   unknown,
				Keys:   wire.Keys(kmsg.Metadata),
				Wants:  func(h wire.Header) bool { return h.Version >= 10 },
				Answer: answered(answerUnknownIDs),
			},
			Restores:  "KIP-516: UNKNOWN_TOPIC_ID for each topic id that is not known",
			Upstream:  "03_metadata.go answers for the first of them",
			Behaviour: "topics/metadata of unknown topic ids",
		},
	}
}

// leaveOut does not ask the broker for topics that are refused by name, nil for those
// that are not.
func leaveOut(x *wire.Exchange, req *kmsg.MetadataRequest, rule string, refused func(topic string) *rejection) {
	var left []kmsg.MetadataResponseTopic
	var topics []kmsg.MetadataRequestTopic
	seen := make(map[string]bool)
	for _, t := range req.Topics {
		if t.TopicID != ([16]byte{}) || t.Topic == nil {
			topics = append(topics, t)
			continue
		}
		r := refused(*t.Topic)
		if r == nil {
			topics = append(topics, t)
			continue
		}
		if seen[*t.Topic] {
			continue
		}
		seen[*t.Topic] = true
		lt := kmsg.NewMetadataResponseTopic()
		lt.Topic, lt.ErrorCode = t.Topic, r.code()
		left = append(left, lt)
	}
	if left == nil {
		return
	}
	without := *req
	without.Topics = append([]kmsg.MetadataRequestTopic{}, topics...) // not nil, which would ask for all
	keep(x, rule, left)
	x.SetRequest(&without)
}

// badName refuses topics that the broker would make and should not.
func badName(c Cluster, x *wire.Exchange, req *kmsg.MetadataRequest, topic string) *rejection {
	r := checkName(topic)
	if r == nil && req.AllowAutoTopicCreation && collides(x, c, topic) {
		r = &rejection{err: kerr.UnknownTopicOrPartition}
	}
	return r
}

// notTheirs refuses topics that would be made for who may not create them.
func notTheirs(c Cluster, x *wire.Exchange, req *kmsg.MetadataRequest, topic string) *rejection {
	if !req.AllowAutoTopicCreation {
		return nil
	}
	if _, exists := c.TopicAlone(topic); exists {
		return nil
	}
	if c.Allowed(x, kmsg.ACLOperationCreate, kmsg.ACLResourceTypeCluster, clusterName) || c.Allowed(x, kmsg.ACLOperationCreate, kmsg.ACLResourceTypeTopic, topic) {
		return nil
	}
	return &rejection{err: kerr.TopicAuthorizationFailed}
}

// collides reports whether a topic cannot be made because of another's name.
func collides(x *wire.Exchange, c Cluster, name string) bool {
	if name == "__cluster_metadata" {
		return true
	}
	if _, exists := c.Topic(name); exists {
		return false
	}
	return collision(x.Context(), c, name) != ""
}

func askToCreate(x *wire.Exchange, req *kmsg.MetadataRequest) {
	if len(req.Topics) == 0 {
		return
	}
	create := *req
	create.Version, create.AllowAutoTopicCreation = autoCreated, true
	x.SetRequest(&create)
}

func answerUnknownIDs(_ *wire.Exchange, req *kmsg.MetadataRequest, resp *kmsg.MetadataResponse) (changed bool) {
	answered := make(map[[16]byte]bool)
	for _, t := range resp.Topics {
		answered[t.TopicID] = true
	}
	for _, t := range req.Topics {
		if t.TopicID == ([16]byte{}) || answered[t.TopicID] {
			continue
		}
		answered[t.TopicID], changed = true, true
		unknown := kmsg.NewMetadataResponseTopic()
		unknown.TopicID, unknown.ErrorCode = t.TopicID, kerr.UnknownTopicID.Code
		resp.Topics = append(resp.Topics, unknown)
	}
	return changed
}
