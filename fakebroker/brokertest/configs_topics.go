package brokertest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func topicConfigBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "configs/a topic has all of Kafka's configurations",
			Source: "DescribeConfigs; LogConfig, ServerTopicConfigSynonyms",
			Run:    topicHasAllConfigs,
		},
		{
			Name:   "configs/those are described that were asked for",
			Source: "KIP-133, KIP-569; ConfigHelper.describeConfigs",
			Run:    describesWhatWasAskedFor,
		},
		{
			Name:   "configs/what cannot be described says why",
			Source: "ConfigHelper.describeConfigs, Topic.validate",
			Run:    describesNothing,
		},
		{
			Name:   "configs/creating a topic checks its configurations",
			Source: "KIP-4, KIP-195; ControllerConfigurationValidator, LogConfig.validate",
			Run:    creationChecksConfigs,
		},
		{
			Name:   "configs/creating a topic answers with all its configurations",
			Source: "KIP-525; ReplicationControlManager.createTopic",
			Run:    creationAnswersConfigs,
		},
		{
			Name:   "configs/altering a topic checks its configurations",
			Source: "KIP-339; ConfigAdminManager, ConfigurationControlManager",
			Run:    alteringChecksConfigs,
		},
		{
			Name:   "configs/altering a topic sets, deletes, appends and subtracts",
			Source: "KIP-339; ConfigurationControlManager.incrementalAlterConfigs",
			Run:    alteringChangesConfigs,
		},
		{
			Name:   "configs/replacing a topic's configurations checks them",
			Source: "KIP-133; ConfigAdminManager, ConfigurationControlManager.legacyAlterConfigs",
			Run:    replacingChecksConfigs,
		},
		{
			Name:   "configs/replacing a topic's configurations deletes the others",
			Source: "KIP-133; ConfigurationControlManager.legacyAlterConfigs",
			Run:    replacingChangesConfigs,
		},
	}
}

// topicDefaults are the configurations of a topic that was given none, each with
// its type, its value and the broker's configuration that it falls back to. That
// one is no synonym while it has no value itself.
var topicDefaults = []struct {
	name   string
	kind   kmsg.ConfigType
	value  string
	broker string
}{
	{"cleanup.policy", kmsg.ConfigTypeList, "delete", "log.cleanup.policy"},
	{"compression.gzip.level", kmsg.ConfigTypeInt, "-1", "compression.gzip.level"},
	{"compression.lz4.level", kmsg.ConfigTypeInt, "9", "compression.lz4.level"},
	{"compression.type", kmsg.ConfigTypeString, "producer", "compression.type"},
	{"compression.zstd.level", kmsg.ConfigTypeInt, "3", "compression.zstd.level"},
	{"delete.retention.ms", kmsg.ConfigTypeLong, "86400000", "log.cleaner.delete.retention.ms"},
	{"file.delete.delay.ms", kmsg.ConfigTypeLong, "60000", "log.segment.delete.delay.ms"},
	{"flush.messages", kmsg.ConfigTypeLong, "9223372036854775807", "log.flush.interval.messages"},
	{"flush.ms", kmsg.ConfigTypeLong, "9223372036854775807", ""},
	{"follower.replication.throttled.replicas", kmsg.ConfigTypeList, "", ""},
	{"index.interval.bytes", kmsg.ConfigTypeInt, "4096", "log.index.interval.bytes"},
	{"leader.replication.throttled.replicas", kmsg.ConfigTypeList, "", ""},
	{"local.retention.bytes", kmsg.ConfigTypeLong, "-2", "log.local.retention.bytes"},
	{"local.retention.ms", kmsg.ConfigTypeLong, "-2", "log.local.retention.ms"},
	{"max.compaction.lag.ms", kmsg.ConfigTypeLong, "9223372036854775807", "log.cleaner.max.compaction.lag.ms"},
	{"max.message.bytes", kmsg.ConfigTypeInt, "1048588", "message.max.bytes"},
	{"message.timestamp.after.max.ms", kmsg.ConfigTypeLong, "3600000", "log.message.timestamp.after.max.ms"},
	{"message.timestamp.before.max.ms", kmsg.ConfigTypeLong, "9223372036854775807", "log.message.timestamp.before.max.ms"},
	{"message.timestamp.type", kmsg.ConfigTypeString, "CreateTime", "log.message.timestamp.type"},
	{"min.cleanable.dirty.ratio", kmsg.ConfigTypeDouble, "0.5", "log.cleaner.min.cleanable.ratio"},
	{"min.compaction.lag.ms", kmsg.ConfigTypeLong, "0", "log.cleaner.min.compaction.lag.ms"},
	{"min.insync.replicas", kmsg.ConfigTypeInt, "1", "min.insync.replicas"},
	{"preallocate", kmsg.ConfigTypeBoolean, "false", "log.preallocate"},
	{"remote.log.copy.disable", kmsg.ConfigTypeBoolean, "false", ""},
	{"remote.log.delete.on.disable", kmsg.ConfigTypeBoolean, "false", ""},
	{"remote.storage.enable", kmsg.ConfigTypeBoolean, "false", ""},
	{"retention.bytes", kmsg.ConfigTypeLong, "-1", "log.retention.bytes"},
	{"retention.ms", kmsg.ConfigTypeLong, "604800000", ""},
	{"segment.bytes", kmsg.ConfigTypeInt, "1073741824", "log.segment.bytes"},
	{"segment.index.bytes", kmsg.ConfigTypeInt, "10485760", "log.index.size.max.bytes"},
	{"segment.jitter.ms", kmsg.ConfigTypeLong, "0", ""},
	{"segment.ms", kmsg.ConfigTypeLong, "604800000", ""},
	{"unclean.leader.election.enable", kmsg.ConfigTypeBoolean, "false", "unclean.leader.election.enable"},
}

// minISR is the one that a new cluster sets for all brokers (KIP-966).
const minISR = "min.insync.replicas"

func topicHasAllConfigs(t T, c Cluster) {
	for _, v := range []int16{1, 3, 4} {
		cl := newClient(t, c, version(kmsg.DescribeConfigs, v))
		topic := newTopic(t, cl, 1)
		var d described
		eventually(t, "the topic on the broker", func() bool {
			d = describeConfigs(t, cl, someBroker(t, cl), topicResource, topic)
			return d.ErrorCode == 0
		})
		slices.SortFunc(d.Configs, func(a, b kmsg.DescribeConfigsResponseResourceConfig) int { return strings.Compare(a.Name, b.Name) })
		var got, want []string
		for _, c := range d.Configs {
			s := setting(d, c.Name) + " type " + strconv.Itoa(int(c.ConfigType))
			if c.ReadOnly || c.IsSensitive {
				s += " hidden or read-only"
			}
			got = append(got, s)
		}
		for _, d := range topicDefaults {
			s := d.name + "=" + d.value + " 5"
			if d.name == minISR {
				s = d.name + "=" + d.value + " 3 [" + d.broker + "=" + d.value + " 3]"
			}
			if d.broker != "" {
				s += " [" + d.broker + "=" + d.value + " 5]"
			}
			kind := kmsg.ConfigType(0)
			if v >= 3 {
				kind = d.kind
			}
			want = append(want, s+" type "+strconv.Itoa(int(kind)))
		}
		equal(t, "configurations", got, want)
	}
}

func describesWhatWasAskedFor(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1, "retention.ms", " +5000 ", "cleanup.policy", "compact, delete", "preallocate", "TRUE", "min.cleanable.dirty.ratio", "1e-1")
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, names := range [][]string{nil, {}, {"retention.ms"}, {"no.such"}, {"preallocate", "no.such", "cleanup.policy"}} {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = topicResource, topic, names
		req.Resources = append(req.Resources, r)
	}
	var got []int
	var resp *kmsg.DescribeConfigsResponse
	eventually(t, "the topic on the broker", func() bool {
		resp = askOf[*kmsg.DescribeConfigsResponse](t, cl, someBroker(t, cl), req)
		return resp.Resources[0].ErrorCode == 0
	})
	for _, r := range resp.Resources {
		code(t, "resource", r.ErrorCode, nil)
		got = append(got, len(r.Configs))
		for _, c := range r.Configs {
			equal(t, "synonyms that were not asked for", len(c.ConfigSynonyms), 0)
			equal(t, "documentation that was not asked for", c.Documentation, nil)
		}
	}
	equal(t, "configurations", got, []int{len(topicDefaults), len(topicDefaults), 1, 0, 2})
	// Values are described as they were understood.
	equal(t, "number", setting(resp.Resources[0], "retention.ms"), "retention.ms=5000 1")
	equal(t, "list", setting(resp.Resources[0], "cleanup.policy"), "cleanup.policy=compact,delete 1")
	equal(t, "boolean", setting(resp.Resources[0], "preallocate"), "preallocate=true 1")
	equal(t, "double", setting(resp.Resources[0], "min.cleanable.dirty.ratio"), "min.cleanable.dirty.ratio=0.1 1")

	req.IncludeDocumentation = true
	for _, c := range askOf[*kmsg.DescribeConfigsResponse](t, cl, someBroker(t, cl), req).Resources[0].Configs {
		if c.Documentation == nil || *c.Documentation == "" {
			t.Errorf("%s has no documentation", c.Name)
		}
	}
}

func describesNothing(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	id := number(node)
	for _, c := range []struct {
		kind resourceType
		name string
		want string
	}{
		{topicResource, name("none"), "3"},
		{topicResource, "", "17 Topic name is invalid: the empty string is not allowed"},
		{topicResource, "..", "17 Topic name is invalid: '..' is not allowed"},
		{topicResource, "a b", "17 Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{brokerResource, "99", "42 Unexpected broker id, expected " + id + " or empty string, but received 99"},
		{brokerResource, "x", "42 Broker id must be an integer, but it is: x"},
		{loggerResource, "", "42 Broker id must not be empty"},
		{loggerResource, "99", "42 Unexpected broker id, expected " + id + " but received 99"},
		{loggerResource, "x", "42 Broker id must be an integer, but it is: x"},
		{groupResource, "", "42 Group name must not be empty"},
		{metricsResource, "", "42 Client metrics subscription name must not be empty"},
		{1, "x", "42 " + kerr.InvalidRequest.Description},
	} {
		d := describeConfigs(t, cl, node, c.kind, c.name)
		equal(t, strconv.Itoa(int(c.kind))+" "+c.name, verdict(d.ErrorCode, d.ErrorMessage), c.want)
		equal(t, "configurations", len(d.Configs), 0)
		equal(t, "resource", d.ResourceName, c.name)
		equal(t, "type", d.ResourceType, c.kind)
	}
}

// badTopicConfigs are what a topic cannot have, and why.
var badTopicConfigs = []struct{ name, value, why string }{
	{"no.such", "1", "Unknown topic config name: no.such"},
	{"message.format.version", "3.0", "Unknown topic config name: message.format.version"},
	{"kfake.is_internal", "true", "Unknown topic config name: kfake.is_internal"},
	{"retention.ms", "abc", "Invalid value abc for configuration retention.ms: Not a number of type LONG"},
	{"retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"},
	{"retention.ms", "1.5", "Invalid value 1.5 for configuration retention.ms: Not a number of type LONG"},
	{"retention.ms", "1_000", "Invalid value 1_000 for configuration retention.ms: Not a number of type LONG"},
	{"retention.ms", "9223372036854775808", "Invalid value 9223372036854775808 for configuration retention.ms: Not a number of type LONG"},
	{"retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"},
	{"max.message.bytes", "2147483648", "Invalid value 2147483648 for configuration max.message.bytes: Not a number of type INT"},
	{"segment.bytes", "1048575", "Invalid value 1048575 for configuration segment.bytes: Value must be at least 1048576"},
	{"min.insync.replicas", "0", "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"},
	{"cleanup.policy", "x", "Invalid value x for configuration cleanup.policy: String must be one of: compact, delete"},
	{"cleanup.policy", "Compact", "Invalid value Compact for configuration cleanup.policy: String must be one of: compact, delete"},
	{"cleanup.policy", "compact,", "Configuration 'cleanup.policy' values must not be empty."},
	{"compression.type", "GZIP", "Invalid value GZIP for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
	{"compression.gzip.level", "0", "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"},
	{"compression.lz4.level", "18", "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17"},
	{"compression.zstd.level", "-131073", "Invalid value -131073 for configuration compression.zstd.level: Value must be at least -131072"},
	{"message.timestamp.type", "logappendtime", "Invalid value logappendtime for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime"},
	{"min.cleanable.dirty.ratio", "1.1", "Invalid value 1.1 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"},
	{"min.cleanable.dirty.ratio", "x", "Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE"},
	{"preallocate", "yes", "Invalid value yes for configuration preallocate: Expected value to be either true or false"},
	{"leader.replication.throttled.replicas", "0:1,*", "Invalid value [0:1, *] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."},
	{"remote.storage.enable", "true", "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."},
}

// createTopic asks for one topic and returns the answer.
func createTopic(t T, cl *kgo.Client, topic string, partitions int32, validate bool, changes ...configChange) kmsg.CreateTopicsResponseTopic {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.ValidateOnly = int32(patience.Milliseconds()), validate
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, partitions, 1
	for _, c := range changes {
		rc := kmsg.NewCreateTopicsRequestTopicConfig()
		rc.Name, rc.Value = c.name, c.value
		rt.Configs = append(rt.Configs, rc)
	}
	req.Topics = append(req.Topics, rt)
	return ask[*kmsg.CreateTopicsResponse](t, cl, req).Topics[0]
}

func creationChecksConfigs(t T, c Cluster) {
	for _, v := range []int16{2, 4, 5, 7} {
		cl := newClient(t, c, version(kmsg.CreateTopics, v))
		created := kmsg.NewPtrMetadataRequest()
		for _, validate := range []bool{false, true} {
			for _, bad := range badTopicConfigs {
				a := createTopic(t, cl, name("topic"), 1, validate, set(bad.name, bad.value))
				equal(t, bad.name+"="+bad.value, verdict(a.ErrorCode, a.ErrorMessage), "40 "+bad.why)
				equal(t, "partitions", a.NumPartitions, -1)
				equal(t, "configurations", len(a.Configs), 0)
				mt := kmsg.NewMetadataRequestTopic()
				mt.Topic = &a.Topic
				created.Topics = append(created.Topics, mt)
			}
		}
		for _, m := range ask[*kmsg.MetadataResponse](t, cl, created).Topics {
			code(t, "topic "+text(m.Topic), m.ErrorCode, kerr.UnknownTopicOrPartition)
		}
	}
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	retention := configChange{name: "retention.ms"}
	for _, c := range []struct {
		topic      string
		partitions int32
		changes    []configChange
		want       string
	}{
		// Names come before values, and values in the order of their definition.
		{name("topic"), 1, []configChange{set("retention.ms", "x"), set("no.such", "1")}, "40 Unknown topic config name: no.such"},
		{name("topic"), 1, []configChange{set("retention.ms", "x"), set("segment.bytes", "1")}, "40 Invalid value 1 for configuration segment.bytes: Value must be at least 1048576"},
		{name("topic"), 1, []configChange{retention, {name: "no.such"}, set("cleanup.policy", "x")}, "40 Null value not supported for topic configs: retention.ms,no.such"},
		{name("topic"), 1, []configChange{set("min.compaction.lag.ms", "10"), set("max.compaction.lag.ms", "5")}, "40 conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"},
		{name("topic"), 0, []configChange{set("no.such", "1")}, "40 Unknown topic config name: no.such"},
		{topic, 1, []configChange{set("no.such", "1")}, "36 Topic '" + topic + "' already exists."},
		{"a b", 1, []configChange{set("no.such", "1")}, "17 Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
	} {
		a := createTopic(t, cl, c.topic, c.partitions, true, c.changes...)
		equal(t, describeChanges(c.changes), verdict(a.ErrorCode, a.ErrorMessage), c.want)
	}
	// Of a configuration that is there twice, the last one counts.
	a := createTopic(t, cl, name("topic"), 1, true, set("retention.ms", "x"), set("retention.ms", "2"))
	code(t, "twice", a.ErrorCode, nil)
}

func creationAnswersConfigs(t T, c Cluster) {
	for _, v := range []int16{4, 5, 6, 7} {
		cl := newClient(t, c, version(kmsg.CreateTopics, v))
		for _, validate := range []bool{true, false} {
			topic := name("topic")
			a := createTopic(t, cl, topic, 2, validate, set("retention.ms", "1000"), set("cleanup.policy", "compact,delete"))
			if !validate {
				deleteTopic(t, cl, topic)
			}
			code(t, "topic", a.ErrorCode, nil)
			if v < 5 {
				continue // has no place for it
			}
			equal(t, "partitions", a.NumPartitions, 2)
			equal(t, "replication factor", a.ReplicationFactor, int16(1))
			slices.SortFunc(a.Configs, func(a, b kmsg.CreateTopicsResponseTopicConfig) int { return strings.Compare(a.Name, b.Name) })
			var got, want []string
			for _, c := range a.Configs {
				s := c.Name + "=" + text(c.Value) + " " + strconv.Itoa(int(c.Source))
				if c.ReadOnly || c.IsSensitive {
					s += " hidden or read-only"
				}
				got = append(got, s)
			}
			given := map[string]string{"retention.ms": "1000 1", "cleanup.policy": "compact,delete 1", minISR: "1 3"}
			for _, d := range topicDefaults {
				s := d.name + "=" + d.value + " 5"
				if v, ok := given[d.name]; ok {
					s = d.name + "=" + v
				}
				want = append(want, s)
			}
			equal(t, "configurations", got, want)
		}
	}
}

// deleteTopic deletes a topic with the test.
func deleteTopic(t T, cl *kgo.Client, topic string) {
	t.Cleanup(func() {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TopicNames = []string{topic}
		rt := kmsg.NewDeleteTopicsRequestTopic()
		rt.Topic = &topic
		req.Topics = append(req.Topics, rt)
		_, _ = req.RequestWith(afterwards(t), cl) // the cluster may be gone already
	})
}

func alteringChecksConfigs(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	topic := newTopic(t, cl, 1, "min.compaction.lag.ms", "10")
	for _, bad := range badTopicConfigs {
		for _, validate := range []bool{true, false} {
			got := alterConfigs(t, cl, node, validate, alterResource(topicResource, topic, set(bad.name, bad.value)))
			equal(t, bad.name+"="+bad.value, got, []string{"40 " + bad.why})
		}
	}
	null := configChange{name: "retention.ms"}
	refusedConfigs(t, cl, node, topicResource, topic, []configCase{
		{[]configChange{set("max.compaction.lag.ms", "5")}, "40 conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"},
		{[]configChange{null, {op: kmsg.IncrementalAlterConfigOpAppend, name: "b"}, unset("c")}, "42 Null value not supported for : retention.ms, b"},
		{[]configChange{set("retention.ms", "1"), unset("retention.ms")}, "42 Error due to duplicate config keys"},
		{[]configChange{add("retention.ms", "1")}, "40 Can't APPEND to key retention.ms because its type is not LIST."},
		{[]configChange{subtract("retention.ms", "1")}, "40 Can't SUBTRACT to key retention.ms because its type is not LIST."},
		{[]configChange{add("no.such", "1")}, "40 Can't APPEND to key no.such because its type is not LIST."},
		{[]configChange{add("cleanup.policy", "x")}, "40 Invalid value x for configuration cleanup.policy: String must be one of: compact, delete"},
		{[]configChange{{op: 9, name: "retention.ms", value: kmsg.StringPtr("1")}}, "-1"},
		{[]configChange{unset("no.such")}, "0"},
		{nil, "0"},
	})
	none := name("none")
	for _, c := range []struct {
		kind  resourceType
		topic string
		value string
		want  string
	}{
		{topicResource, none, "1", "3 The topic '" + none + "' does not exist."},
		{topicResource, none, "x", "40 Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{topicResource, "", "1", "42 Default topic resources are not allowed."},
		{topicResource, "a b", "1", "17 Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{1, "x", "1", "42 Unknown resource type 1"},
	} {
		got := alterConfigs(t, cl, node, false, alterResource(c.kind, c.topic, set("retention.ms", c.value)))
		equal(t, "topic "+c.topic, got, []string{c.want})
	}
	// A resource that is refused does not keep others from being changed.
	other := newTopic(t, cl, 1)
	got := alterConfigs(t, cl, node, false,
		alterResource(topicResource, topic, set("retention.ms", "1")),
		alterResource(topicResource, other, set("retention.ms", "2")),
		alterResource(topicResource, topic, set("retention.ms", "3")))
	once := "42 Each resource must appear at most once."
	slices.Sort(got)
	equal(t, "the same topic twice", got, []string{"0", once, once})
	settles(t, cl, node, topicResource, other, "retention.ms=2 1 [retention.ms=2 1]")
	settles(t, cl, node, topicResource, topic, "retention.ms=604800000 5")
}

// settles waits until a broker describes a configuration as it is to be.
func settles(t T, cl *kgo.Client, node int32, kind resourceType, resource, want string) {
	t.Helper()
	got := ""
	defer func() {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", resource, got, want)
		}
	}()
	config, _, _ := strings.Cut(want, "=")
	eventually(t, want, func() bool {
		got = setting(describeConfigs(t, cl, node, kind, resource, config), config)
		return got == want
	})
}

func alteringChangesConfigs(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	topic := newTopic(t, cl, 1)
	const policy, unchanged = "cleanup.policy", " [log.cleanup.policy=delete 5]"
	for _, step := range []struct {
		change configChange
		want   string
	}{
		{add(policy, "compact"), "cleanup.policy=delete,compact 1 [cleanup.policy=delete,compact 1]" + unchanged},
		{add(policy, "compact"), "cleanup.policy=delete,compact 1 [cleanup.policy=delete,compact 1]" + unchanged},
		{subtract(policy, "delete"), "cleanup.policy=compact 1 [cleanup.policy=compact 1]" + unchanged},
		{subtract(policy, "delete"), "cleanup.policy=compact 1 [cleanup.policy=compact 1]" + unchanged},
		{set(policy, "delete, compact"), "cleanup.policy=delete,compact 1 [cleanup.policy=delete,compact 1]" + unchanged},
		{unset(policy), "cleanup.policy=delete 5" + unchanged},
		{subtract(policy, "delete"), "cleanup.policy= 1 [cleanup.policy= 1]" + unchanged},
		{unset(policy), "cleanup.policy=delete 5" + unchanged},
		{add("leader.replication.throttled.replicas", "0:1,1:1"), "leader.replication.throttled.replicas=0:1,1:1 1 [leader.replication.throttled.replicas=0:1,1:1 1]"},
		{subtract("leader.replication.throttled.replicas", "0:1,9:9"), "leader.replication.throttled.replicas=1:1 1 [leader.replication.throttled.replicas=1:1 1]"},
		{set("max.message.bytes", " 70 "), "max.message.bytes=70 1 [max.message.bytes=70 1] [message.max.bytes=1048588 5]"},
		{unset("max.message.bytes"), "max.message.bytes=1048588 5 [message.max.bytes=1048588 5]"},
	} {
		resource := alterResource(topicResource, topic, step.change)
		equal(t, "checked only", alterConfigs(t, cl, node, true, resource), []string{"0"})
		equal(t, describeChanges([]configChange{step.change}), alterConfigs(t, cl, node, false, resource), []string{"0"})
		settles(t, cl, node, topicResource, topic, step.want)
	}
	equal(t, "checked only", alterConfigs(t, cl, node, true, alterResource(topicResource, topic, set("max.message.bytes", "80"))), []string{"0"})
	settles(t, cl, node, topicResource, topic, "max.message.bytes=1048588 5 [message.max.bytes=1048588 5]")
}

func replacingChecksConfigs(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	topic := newTopic(t, cl, 1, "retention.ms", "1000")
	for _, bad := range badTopicConfigs {
		for _, validate := range []bool{true, false} {
			got := replaceConfigs(t, cl, node, validate, replaceResource(topicResource, topic, set(bad.name, bad.value)))
			equal(t, bad.name+"="+bad.value, got, []string{"40 " + bad.why})
		}
	}
	none := name("none")
	for _, c := range []struct {
		kind    resourceType
		topic   string
		changes []configChange
		want    string
	}{
		{topicResource, topic, []configChange{{name: "retention.ms"}}, "42 Null value not supported for : retention.ms"},
		{topicResource, topic, []configChange{set("retention.ms", "1"), set("retention.ms", "1")}, "42 Error due to duplicate config keys"},
		{topicResource, none, []configChange{set("retention.ms", "1")}, "3 The topic '" + none + "' does not exist."},
		{topicResource, none, []configChange{set("retention.ms", "x")}, "40 Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{topicResource, "", []configChange{set("retention.ms", "1")}, "42 Default topic resources are not allowed."},
		{loggerResource, number(node), []configChange{set("root", "INFO")}, "42 Unknown resource type 8"},
		{1, "x", nil, "42 Unknown resource type 1"},
	} {
		got := replaceConfigs(t, cl, node, false, replaceResource(c.kind, c.topic, c.changes...))
		equal(t, "topic "+c.topic+" "+describeChanges(c.changes), got, []string{c.want})
	}
	settles(t, cl, node, topicResource, topic, "retention.ms=1000 1 [retention.ms=1000 1]")
}

func replacingChangesConfigs(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	topic := newTopic(t, cl, 1, "retention.ms", "1000", "segment.ms", "2000")
	resource := replaceResource(topicResource, topic, set("retention.ms", " 3000"), set("index.interval.bytes", "7"))
	equal(t, "checked only", replaceConfigs(t, cl, node, true, resource), []string{"0"})
	settles(t, cl, node, topicResource, topic, "retention.ms=1000 1 [retention.ms=1000 1]")
	equal(t, "replaced", replaceConfigs(t, cl, node, false, resource), []string{"0"})
	settles(t, cl, node, topicResource, topic, "retention.ms=3000 1 [retention.ms=3000 1]")
	settles(t, cl, node, topicResource, topic, "segment.ms=604800000 5")
	settles(t, cl, node, topicResource, topic, "index.interval.bytes=7 1 [index.interval.bytes=7 1] [log.index.interval.bytes=4096 5]")
	equal(t, "by nothing", replaceConfigs(t, cl, node, false, replaceResource(topicResource, topic)), []string{"0"})
	settles(t, cl, node, topicResource, topic, "retention.ms=604800000 5")
}
