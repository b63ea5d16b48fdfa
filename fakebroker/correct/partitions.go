package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// growth is what was found out about a CreatePartitions request before kfake had
// it.
type growth struct {
	rejected   map[string]*rejection
	duplicates []string
}

func growing(c Cluster) []Correction {
	const rule = "CreatePartitions checks topics as Kafka does, and says what is wrong"
	return []Correction{
		{
			Rule: wire.Rule{
				Name:    rule,
				Keys:    wire.Keys(kmsg.CreatePartitions),
				Request: asked(func(x *wire.Exchange, req *kmsg.CreatePartitionsRequest) { checkGrowth(c, x, req, rule) }),
				Answer:  completed(rule, explainGrowth),
			},
			Restores:  "ControllerApis.createPartitions, ReplicationControlManager.createPartitions: the number must grow, assignments must fit; duplicates are refused by themselves, all with messages",
			Upstream:  "37_create_partitions.go accepts the number that there is, and sends no message",
			Behaviour: "topics/partitions that cannot be added are refused with a message",
		},
		{
			Rule: wire.Rule{
				Name:    "CreatePartitions spreads leaders",
				Keys:    wire.Keys(kmsg.CreatePartitions),
				Request: asked(func(x *wire.Exchange, req *kmsg.CreatePartitionsRequest) { assignAdded(c, x, req) }),
				Answer: answered(func(_ *wire.Exchange, req *kmsg.CreatePartitionsRequest, resp *kmsg.CreatePartitionsResponse) bool {
					if !req.ValidateOnly {
						placeAdded(c, req, resp)
					}
					return false
				}),
			},
			Restores:  "StripedReplicaPlacer: leaders go round the brokers",
			Upstream:  "37_create_partitions.go: a random broker leads",
			Behaviour: "topics/leaders of added partitions are spread over the brokers",
		},
	}
}

func checkGrowth(c Cluster, x *wire.Exchange, req *kmsg.CreatePartitionsRequest, rule string) {
	found := growth{rejected: make(map[string]*rejection)}
	times := make(map[string]int)
	for _, t := range req.Topics {
		if times[t.Topic]++; times[t.Topic] == 2 {
			found.duplicates = append(found.duplicates, t.Topic)
		}
	}
	checked := *req
	checked.Topics = slices.DeleteFunc(slices.Clone(req.Topics), func(t kmsg.CreatePartitionsRequestTopic) bool { return times[t.Topic] > 1 })
	for i := range checked.Topics {
		t := &checked.Topics[i]
		r := checkAdded(c, t)
		if req.TimeoutMillis <= 0 {
			r = &rejection{err: kerr.RequestTimedOut}
		}
		if r != nil {
			found.rejected[t.Topic] = r
			t.Count, t.Assignment = 0, nil // which kfake refuses with INVALID_PARTITIONS
		}
	}
	keep(x, rule, found)
	x.SetRequest(&checked)
}

// checkAdded holds partitions to add to Kafka's rules, nil when they keep them or
// there is no such topic.
func checkAdded(c Cluster, t *kmsg.CreatePartitionsRequestTopic) *rejection {
	topic, ok := c.Topic(t.Topic)
	if !ok {
		return nil
	}
	have := len(topic.Leaders)
	added := int(t.Count) - have
	switch {
	case added == 0:
		return reject(kerr.InvalidPartitions, "Topic already has %d partition(s).", have)
	case added < 0:
		return reject(kerr.InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", t.Topic, have, t.Count)
	case t.Assignment != nil && len(t.Assignment) != added:
		return reject(kerr.InvalidReplicaAssignment, "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", added, len(t.Assignment))
	}
	for _, a := range t.Assignment {
		if r := checkReplicas(c, a.Replicas); r != nil {
			return r
		}
		if r := checkFactor(a.Replicas, len(replicasOf(c, topic, 0))); r != nil {
			return r
		}
	}
	return nil
}

func explainGrowth(_ *wire.Exchange, found growth, resp *kmsg.CreatePartitionsResponse) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if r := found.rejected[t.Topic]; r != nil && t.ErrorCode == kerr.InvalidPartitions.Code {
			t.ErrorCode, t.ErrorMessage = r.code(), r.text()
		}
	}
	for _, name := range found.duplicates {
		t := kmsg.NewCreatePartitionsResponseTopic()
		t.Topic, t.ErrorCode, t.ErrorMessage = name, kerr.InvalidRequest.Code, kmsg.StringPtr("Duplicate topic name.")
		resp.Topics = append(resp.Topics, t)
	}
}

// assignAdded has kfake put new partitions where they are to be: where it is told,
// it puts them.
func assignAdded(c Cluster, x *wire.Exchange, req *kmsg.CreatePartitionsRequest) {
	if len(c.Nodes()) < 2 || partitionsAdded(c, req) > maxPartitions {
		return // the latter has been refused
	}
	assigned := *req
	assigned.Topics = slices.Clone(req.Topics)
	for i := range assigned.Topics {
		t := &assigned.Topics[i]
		if len(t.Assignment) == 0 {
			t.Assignment = assignment(addition(c, t.Topic, t.Count))
		}
	}
	x.SetRequest(&assigned)
}

func placeAdded(c Cluster, req *kmsg.CreatePartitionsRequest, resp *kmsg.CreatePartitionsResponse) {
	wanted := make(map[string]kmsg.CreatePartitionsRequestTopic)
	for _, t := range req.Topics {
		wanted[t.Topic] = t
	}
	for _, t := range resp.Topics {
		if w := wanted[t.Topic]; t.ErrorCode == 0 {
			placeAddition(c, t.Topic, w.Count, w.Assignment)
		}
	}
}
