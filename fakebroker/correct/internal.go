package correct

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Topics in which Kafka's coordinators keep what they know. Here they are there to
// be seen, and stay empty.
const (
	offsetsTopic      = "__consumer_offsets"
	transactionsTopic = "__transaction_state"
	sharesTopic       = "__share_group_state"
)

// IsInternal reports whether a topic is one of a coordinator's.
func IsInternal(topic string) bool {
	return topic == offsetsTopic || topic == transactionsTopic || topic == sharesTopic
}

// Internal is which topics of coordinators there are. The zero value knows none.
// It is safe for concurrent use.
type Internal struct{ particular[struct{}] }

func (p *Internal) look(topic string, t Topic, ok bool) {
	if IsInternal(topic) {
		p.set(topic, t.ID, struct{}{}, ok)
	}
}

// InternalConfigs are the configurations that a topic has because of what is kept
// in it, nil for others.
func InternalConfigs(topic string) map[string]string {
	const segment = "104857600"
	switch topic {
	case offsetsTopic:
		return map[string]string{"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": segment}
	case transactionsTopic:
		return map[string]string{
			"cleanup.policy": "compact", "compression.type": "uncompressed", "segment.bytes": segment,
			"min.insync.replicas": "1", "unclean.leader.election.enable": "false",
		}
	case sharesTopic:
		return map[string]string{
			"cleanup.policy": "delete", "compression.type": "producer", "segment.bytes": segment,
			"min.insync.replicas": "1", "retention.ms": "-1",
		}
	}
	return nil
}

func internals(c Cluster) []Correction {
	const upstream = "kfake keeps what coordinators know elsewhere: "
	return []Correction{
		{
			Rule: wire.Rule{
				Name: "the first coordinator has an internal topic",
				Keys: wire.Keys(kmsg.FindCoordinator),
				Answer: answered(func(_ *wire.Exchange, req *kmsg.FindCoordinatorRequest, resp *kmsg.FindCoordinatorResponse) bool {
					makeCoordinated(c, req, resp)
					return false
				}),
			},
			Restores:  "AutoTopicCreationManager: __consumer_offsets and __transaction_state are made when a coordinator is looked for",
			Upstream:  upstream + "10_find_coordinator.go makes no topic",
			Behaviour: "topics/the first coordinator has an internal topic",
		},
		{
			Rule: wire.Rule{
				Name:       "share groups have an internal topic",
				Keys:       wire.Keys(kmsg.ShareGroupHeartbeat),
				AnswerOnly: true,
				Answer: amended(func(_ *wire.Exchange, resp *kmsg.ShareGroupHeartbeatResponse) bool {
					if resp.ErrorCode == 0 {
						makeInternal(c, sharesTopic, "share.coordinator.state.topic.num.partitions")
					}
					return false
				}),
			},
			Restores:  "KIP-932: __share_group_state is made for the first share group",
			Upstream:  upstream + "share_groups.go makes no topic",
			Behaviour: "topics/share groups have an internal topic",
		},
		{
			Rule: wire.Rule{
				Name:       "internal topics are said to be",
				Keys:       wire.Keys(kmsg.Metadata, kmsg.DescribeTopicPartitions),
				AnswerOnly: true,
				Answer:     amended(markInternal),
			},
			Restores:  "Topic.isInternal: it goes by the name",
			Upstream:  "03_metadata.go, 75_describe_topic_partitions.go: it goes by a configuration",
			Behaviour: "topics/the first coordinator has an internal topic",
		},
		{
			Rule:      protecting(c),
			Restores:  "ReplicaManager.appendToLocalLog: INVALID_TOPIC_EXCEPTION, but to Kafka's own admin client",
			Upstream:  "00_produce.go does not know internal topics",
			Behaviour: "topics/clients do not write to internal topics",
		},
		{
			Rule: wire.Rule{
				Name:       "no records of internal topics are deleted",
				Keys:       wire.Keys(kmsg.DeleteRecords),
				AnswerOnly: true,
				Answer:     amended(keepInternal),
			},
			Restores:  "ReplicaManager.deleteRecordsOnLocalLog: INVALID_TOPIC_EXCEPTION",
			Upstream:  "21_delete_records.go does not know internal topics",
			Behaviour: "topics/clients do not write to internal topics",
		},
	}
}

func makeCoordinated(c Cluster, req *kmsg.FindCoordinatorRequest, resp *kmsg.FindCoordinatorResponse) {
	found := len(resp.Coordinators) == 0 && resp.ErrorCode == 0
	for _, of := range resp.Coordinators {
		found = found || of.ErrorCode == 0
	}
	const group, transaction = 0, 1
	switch {
	case !found:
	case req.CoordinatorType == group:
		makeInternal(c, offsetsTopic, "offsets.topic.num.partitions")
	case req.CoordinatorType == transaction:
		makeInternal(c, transactionsTopic, "transaction.state.log.num.partitions")
	}
}

// makeInternal makes a topic unless there is one, with as many partitions as a
// broker configuration says.
func makeInternal(c Cluster, topic, partitions string) {
	if _, ok := c.TopicAlone(topic); ok {
		return
	}
	n, err := strconv.ParseInt(c.BrokerConfigs(c.Nodes()[0])[partitions], 10, 32)
	if err != nil {
		n = 50 // Kafka's default
	}
	configs := InternalConfigs(topic)
	// Nothing is there to be compacted, and kfake would look time and again.
	delete(configs, "cleanup.policy")
	_ = c.CreateTopic(topic, int32(n), configs) // somebody else was first, or its name collides with another
}

func markInternal(_ *wire.Exchange, resp kmsg.Response) (changed bool) {
	mark := func(topic *string, internal *bool) {
		if topic != nil && IsInternal(*topic) {
			*internal, changed = true, true
		}
	}
	switch r := resp.(type) {
	case *kmsg.MetadataResponse:
		for i := range r.Topics {
			mark(r.Topics[i].Topic, &r.Topics[i].IsInternal)
		}
	case *kmsg.DescribeTopicPartitionsResponse:
		for i := range r.Topics {
			mark(r.Topics[i].Topic, &r.Topics[i].IsInternal)
		}
	}
	return changed
}

// protecting refuses records for internal topics.
func protecting(c Cluster) wire.Rule {
	const adminClient = "__admin_client"
	rule := judging(c, "clients do not write to internal topics", func() topicSet { return c.Internal() }, func(topic string) judge {
		if !IsInternal(topic) {
			return nil
		}
		return func(place, []byte) ([]byte, *refusal) {
			return nil, &refusal{code: kerr.InvalidTopicException.Code}
		}
	})
	wants := rule.Wants
	rule.Wants = func(h wire.Header) bool {
		return wants(h) && h.ClientID != adminClient
	}
	rule.SkipRequest = nil
	judges := rule.Request
	rule.Request = func(x *wire.Exchange) {
		asked(func(x *wire.Exchange, req *kmsg.ProduceRequest) {
			if slices.ContainsFunc(req.Topics, func(t kmsg.ProduceRequestTopic) bool { return c.Internal().has([]byte(t.Topic), t.TopicID[:]) }) {
				judges(x)
			}
		})(x)
	}
	return rule
}

func keepInternal(_ *wire.Exchange, resp *kmsg.DeleteRecordsResponse) (changed bool) {
	for _, t := range resp.Topics {
		for i := range t.Partitions {
			p := &t.Partitions[i]
			if IsInternal(t.Topic) && (p.ErrorCode == 0 || p.ErrorCode == kerr.OffsetOutOfRange.Code) {
				p.ErrorCode, p.LowWatermark, changed = kerr.InvalidTopicException.Code, -1, true
			}
		}
	}
	return changed
}
