package correct

import (
	"crypto/rand"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// creation is what was found out about a CreateTopics request before kfake had
// it, with nodes as kfake numbers them.
type creation struct {
	rejected   map[string]*rejection
	duplicates []string
}

func creating(c Cluster) []Correction {
	const rule = "CreateTopics checks topics as Kafka does, and says what is wrong"
	const spreads = "CreateTopics spreads leaders, or puts them where it is told"
	return []Correction{
		{
			Rule: wire.Rule{
				Name:    rule,
				Keys:    wire.Keys(kmsg.CreateTopics),
				Request: asked(func(x *wire.Exchange, req *kmsg.CreateTopicsRequest) { checkCreation(c, x, req, rule) }),
				Answer: answered(func(x *wire.Exchange, req *kmsg.CreateTopicsRequest, resp *kmsg.CreateTopicsResponse) bool {
					kept, ok := recall[creation](x, rule)
					if ok {
						explainCreation(c, x, kept, req, resp)
					}
					return ok
				}),
			},
			Restores:  "Topic.validate, ControllerApis.createTopics, ReplicationControlManager.createTopics: invalid names, numbers and assignments are refused, duplicates by themselves, all with messages",
			Upstream:  "19_create_topics.go takes any name, number of replicas and broker, and sends no message",
			Behaviour: "topics/what cannot be created is refused with a message",
		},
		{
			Rule: wire.Rule{
				Name:  spreads,
				Keys:  wire.Keys(kmsg.CreateTopics, kmsg.Metadata, kmsg.DescribeTopicPartitions),
				Wants: func(wire.Header) bool { return len(c.Nodes()) > 1 },
				Request: func(x *wire.Exchange) {
					if x.Key != kmsg.CreateTopics {
						noteFinished(c, x)
					}
				},
				Act: func(x *wire.Exchange) {
					if x.Key == kmsg.CreateTopics {
						create(c, x)
					}
				},
				Answer: answered(func(x *wire.Exchange, req kmsg.Request, resp kmsg.Response) bool {
					return hideUnfinished(c, x, req, resp)
				}),
			},
			Restores:  "StripedReplicaPlacer: leaders go round the brokers, in their first epoch; the first replica of an assignment leads",
			Upstream:  "data.go, newPartData: a random broker leads",
			Behaviour: "topics/leaders are spread over the brokers",
		},
	}
}

// unmakeable changes a topic so that kfake refuses it with INVALID_PARTITIONS,
// after it has looked at everything that comes before: faults, ACLs, and whether
// the topic exists.
func unmakeable(t *kmsg.CreateTopicsRequestTopic) {
	t.NumPartitions, t.ReplicationFactor, t.ReplicaAssignment = 0, -1, nil
}

func checkCreation(c Cluster, x *wire.Exchange, req *kmsg.CreateTopicsRequest, rule string) {
	found := creation{rejected: make(map[string]*rejection)}
	times := make(map[string]int)
	for _, t := range req.Topics {
		if times[t.Topic]++; times[t.Topic] == 2 {
			found.duplicates = append(found.duplicates, t.Topic)
		}
	}
	checked := *req
	checked.Topics = slices.DeleteFunc(slices.Clone(req.Topics), func(t kmsg.CreateTopicsRequestTopic) bool { return times[t.Topic] > 1 })
	for i := range checked.Topics {
		t := &checked.Topics[i]
		r := checkName(t.Topic)
		switch {
		case req.TimeoutMillis <= 0:
			r = &rejection{err: kerr.RequestTimedOut}
		case t.Topic == "__cluster_metadata":
			r = reject(kerr.InvalidRequest, "Creation of internal topic __cluster_metadata is prohibited.")
		case r == nil:
			r = checkPartitions(c, t)
		}
		if r != nil {
			found.rejected[t.Topic] = r
			unmakeable(t)
		}
	}
	keep(x, rule, found)
	x.SetRequest(&checked)
}

// checkPartitions holds a topic's partitions to Kafka's rules, nil when they keep
// them.
func checkPartitions(c Cluster, t *kmsg.CreateTopicsRequestTopic) *rejection {
	switch nodes := len(c.Nodes()); {
	case len(t.ReplicaAssignment) > 0:
		return checkAssignments(c, t)
	case t.ReplicationFactor < -1 || t.ReplicationFactor == 0:
		return reject(kerr.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	case t.NumPartitions < -1 || t.NumPartitions == 0:
		return reject(kerr.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	case int(t.ReplicationFactor) > nodes:
		return reject(kerr.InvalidReplicationFactor,
			"Unable to replicate the partition %d time(s): The target replication factor of %[1]d cannot be reached because only %d broker(s) are registered or some brokers have all their log directories cordoned.",
			t.ReplicationFactor, nodes)
	}
	return nil
}

func checkAssignments(c Cluster, t *kmsg.CreateTopicsRequestTopic) *rejection {
	switch {
	case t.ReplicationFactor != -1:
		return reject(kerr.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	case t.NumPartitions != -1:
		return reject(kerr.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	}
	seen := make(map[int32]bool)
	for i, a := range t.ReplicaAssignment {
		if seen[a.Partition] {
			return reject(kerr.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition %d", a.Partition)
		}
		seen[a.Partition] = true
		if r := checkReplicas(c, a.Replicas); r != nil {
			return r
		}
		if i > 0 {
			if r := checkFactor(a.Replicas, len(t.ReplicaAssignment[i-1].Replicas)); r != nil {
				return r
			}
		}
	}
	for i := range t.ReplicaAssignment {
		if !seen[int32(i)] {
			return reject(kerr.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
	}
	return nil
}

// checkFactor holds a partition to the number of replicas that others have.
func checkFactor(replicas []int32, others int) *rejection {
	if len(replicas) == others {
		return nil
	}
	return reject(kerr.InvalidReplicaAssignment,
		"The manual partition assignment includes a partition with %d replica(s), but this is not consistent with previous partitions, which have %d replica(s).",
		len(replicas), others)
}

func explainCreation(c Cluster, x *wire.Exchange, found creation, req *kmsg.CreateTopicsRequest, resp *kmsg.CreateTopicsResponse) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		r := found.rejected[t.Topic]
		switch {
		case r != nil && (t.ErrorCode == kerr.InvalidPartitions.Code || req.TimeoutMillis <= 0 && t.ErrorCode == kerr.TopicAlreadyExists.Code):
			t.ErrorCode, t.ErrorMessage = r.code(), r.text()
		case t.ErrorCode == 0 && req.ValidateOnly && t.TopicID == [16]byte{}:
			_, _ = rand.Read(t.TopicID[:]) // it never fails
		case t.ErrorMessage != nil:
		case t.ErrorCode == kerr.TopicAlreadyExists.Code:
			t.ErrorMessage = kmsg.StringPtr("Topic '" + t.Topic + "' already exists.")
		case t.ErrorCode == kerr.InvalidTopicException.Code:
			t.ErrorMessage = kmsg.StringPtr("Topic '" + t.Topic + "' collides with existing topic: " + collision(x.Context(), c, t.Topic))
		case t.ErrorCode == kerr.TopicAuthorizationFailed.Code:
			t.ErrorMessage = kmsg.StringPtr("Authorization failed.")
		}
	}
	for _, name := range found.duplicates {
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic, t.ErrorCode, t.ErrorMessage = name, kerr.InvalidRequest.Code, kmsg.StringPtr("Duplicate topic name.")
		resp.Topics = append(resp.Topics, t)
	}
}
