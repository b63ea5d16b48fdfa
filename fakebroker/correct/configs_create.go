package correct

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// checkGiven has kfake refuse topics whose configurations Kafka refuses, and
// brings what is allowed to the form in which kfake can read it.
func (s *settings) checkGiven(x *wire.Exchange, req *kmsg.CreateTopicsRequest) {
	for i := range req.Topics {
		t := &req.Topics[i]
		_, parsed, refused := created(*t)
		if refused != nil {
			unmakeable(t)
			continue
		}
		t.Configs = slices.DeleteFunc(t.Configs, func(c kmsg.CreateTopicsRequestTopicConfig) bool { return !has(parsed, c.Name) })
		for j := range t.Configs {
			t.Configs[j].Value = kmsg.StringPtr(parsed[t.Configs[j].Name])
		}
		if t.ReplicationFactor == -1 && len(t.ReplicaAssignment) == 0 {
			t.ReplicationFactor = s.replicationFactor(x)
		}
	}
	x.SetRequest(req)
}

// replicationFactor is default.replication.factor, which kfake does not look at;
// -1 leaves it to kfake.
func (s *settings) replicationFactor(x *wire.Exchange) int16 {
	v, ok := given(s.layers(x.Context(), x.Node), "default.replication.factor")
	n, err := strconv.ParseInt(v, 10, 16)
	if !ok || err != nil {
		return -1
	}
	return int16(n)
}

// created are the configurations that a topic shall have, as they are asked for and
// as Kafka describes them.
func created(t kmsg.CreateTopicsRequestTopic) (values, parsed map[string]string, _ *rejection) {
	values = make(map[string]string, len(t.Configs))
	var null []string
	for _, c := range t.Configs {
		if c.Value == nil {
			null = append(null, c.Name)
		} else {
			values[c.Name] = *c.Value
		}
	}
	if len(null) > 0 {
		return nil, nil, reject(kerr.InvalidConfig, "%s", "Null value not supported for topic configs: "+strings.Join(null, ","))
	}
	parsed, err := TopicConfigs(values)
	if err != nil {
		return nil, nil, reject(kerr.InvalidConfig, "%s", err.Error())
	}
	return values, parsed, nil
}

// originals are the topics of a request as the client asked for them.
func originals(x *wire.Exchange) map[string]kmsg.CreateTopicsRequestTopic {
	o, err := x.Original()
	if err != nil {
		return nil
	}
	topics := make(map[string]kmsg.CreateTopicsRequestTopic)
	for _, t := range o.(*kmsg.CreateTopicsRequest).Topics {
		topics[t.Topic] = t
	}
	return topics
}

// refuseCreation says why a topic was refused.
func (s *settings) refuseCreation(x *wire.Exchange, _ *kmsg.CreateTopicsRequest, resp *kmsg.CreateTopicsResponse) (changed bool) {
	var topics map[string]kmsg.CreateTopicsRequestTopic
	for i := range resp.Topics {
		a := &resp.Topics[i]
		switch a.ErrorCode { // Kafka looks at partitions after the configurations
		case kerr.InvalidPartitions.Code, kerr.InvalidReplicationFactor.Code, kerr.InvalidReplicaAssignment.Code:
		default:
			continue
		}
		if topics == nil {
			topics = originals(x)
		}
		if t, ok := topics[a.Topic]; ok {
			if _, _, refused := created(t); refused != nil {
				a.ErrorCode, a.ErrorMessage, changed = refused.code(), refused.text(), true
			}
		}
	}
	return changed
}

// sortedTopicConfigs is what a topic can be given, by name.
var sortedTopicConfigs = sync.OnceValue(func() []configDef {
	return slices.SortedFunc(slices.Values(topicConfigs), func(a, b configDef) int { return strings.Compare(a.name, b.name) })
})

// describeCreation answers with all configurations of a topic (KIP-525), also of
// one that was only checked.
func (s *settings) describeCreation(x *wire.Exchange, _ *kmsg.CreateTopicsRequest, resp *kmsg.CreateTopicsResponse) bool {
	topics := originals(x)
	layers := s.layers(x.Context(), x.Node)
	for i := range resp.Topics {
		a := &resp.Topics[i]
		a.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
		if a.ErrorCode != 0 {
			continue
		}
		values, _, _ := created(topics[a.Topic])
		a.Configs = make([]kmsg.CreateTopicsResponseTopicConfig, 0, len(topicConfigs))
		texts := make([]string, len(topicConfigs))
		for i, d := range sortedTopicConfigs() {
			c := kmsg.NewCreateTopicsResponseTopicConfig()
			c.Name, c.IsSensitive = d.name, d.sensitive()
			v, set := values[d.name]
			if c.Source = int8(kmsg.ConfigSourceDynamicTopicConfig); !set {
				var source kmsg.ConfigSource
				v, source = topicDefault(layers, d)
				c.Source = int8(source)
			}
			texts[i] = v
			c.Value = &texts[i]
			if set || !d.internal {
				a.Configs = append(a.Configs, c)
			}
		}
	}
	return true
}
