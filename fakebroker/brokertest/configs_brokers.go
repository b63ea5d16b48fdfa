package brokertest

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func brokerConfigBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "configs/a broker has Kafka's configurations",
			Source: "DescribeConfigs; KafkaConfig, DynamicBrokerConfig",
			Run:    brokerHasConfigs,
		},
		{
			Name:   "configs/a broker's configurations say where they come from",
			Source: "KIP-226; DynamicBrokerConfig, ConfigHelper",
			Run:    brokerConfigsHaveSources,
		},
		{
			Name:   "configs/altering a broker checks its configurations",
			Source: "KIP-226, KIP-966; ConfigAdminManager, DynamicBrokerConfig",
			Run:    alteringBrokersChecksConfigs,
		},
		{
			Name:   "configs/replacing a broker's configurations deletes the others",
			Source: "KIP-226; ConfigAdminManager",
			Run:    replacingBrokerConfigs,
		},
		{
			Name:   "configs/levels of loggers are checked and changed",
			Source: "KIP-412; RuntimeLoggerManager",
			Run:    loggersHaveLevels,
		},
	}
}

// brokerDefaults are configurations of a broker that clients and tools look at,
// each with its type, its default and whether it can be changed while the broker
// runs. "-" is no default.
var brokerDefaults = []struct {
	name    string
	kind    kmsg.ConfigType
	value   string
	dynamic bool
}{
	{"advertised.listeners", kmsg.ConfigTypeList, "-", false},
	{"auto.create.topics.enable", kmsg.ConfigTypeBoolean, "true", false},
	{"background.threads", kmsg.ConfigTypeInt, "10", true},
	{"broker.id", kmsg.ConfigTypeInt, "-1", false},
	{"broker.rack", kmsg.ConfigTypeString, "-", false},
	{"compression.type", kmsg.ConfigTypeString, "producer", true},
	{"connections.max.idle.ms", kmsg.ConfigTypeLong, "600000", false},
	{"default.replication.factor", kmsg.ConfigTypeInt, "1", false},
	{"delete.topic.enable", kmsg.ConfigTypeBoolean, "true", false},
	{"fetch.max.bytes", kmsg.ConfigTypeInt, "57671680", false},
	{"group.consumer.heartbeat.interval.ms", kmsg.ConfigTypeInt, "5000", false},
	{"group.consumer.session.timeout.ms", kmsg.ConfigTypeInt, "45000", false},
	{"group.initial.rebalance.delay.ms", kmsg.ConfigTypeInt, "3000", false},
	{"group.max.session.timeout.ms", kmsg.ConfigTypeInt, "1800000", false},
	{"group.max.size", kmsg.ConfigTypeInt, "2147483647", false},
	{"group.min.session.timeout.ms", kmsg.ConfigTypeInt, "6000", false},
	{"group.share.delivery.count.limit", kmsg.ConfigTypeInt, "5", false},
	{"group.share.record.lock.duration.ms", kmsg.ConfigTypeInt, "30000", false},
	{"inter.broker.listener.name", kmsg.ConfigTypeString, "-", false},
	{"listener.security.protocol.map", kmsg.ConfigTypeString, "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", true},
	{"listeners", kmsg.ConfigTypeList, "PLAINTEXT://:9092", true},
	{"log.cleaner.threads", kmsg.ConfigTypeInt, "1", true},
	{"log.cleanup.policy", kmsg.ConfigTypeList, "delete", true},
	{"log.dir", kmsg.ConfigTypeList, "/tmp/kafka-logs", false},
	{"log.dirs", kmsg.ConfigTypeList, "-", false},
	{"log.message.timestamp.type", kmsg.ConfigTypeString, "CreateTime", true},
	{"log.retention.bytes", kmsg.ConfigTypeLong, "-1", true},
	{"log.retention.hours", kmsg.ConfigTypeInt, "168", false},
	{"log.retention.minutes", kmsg.ConfigTypeInt, "-", false},
	{"log.retention.ms", kmsg.ConfigTypeLong, "-", true},
	{"log.roll.hours", kmsg.ConfigTypeInt, "168", false},
	{"log.roll.ms", kmsg.ConfigTypeLong, "-", true},
	{"log.segment.bytes", kmsg.ConfigTypeInt, "1073741824", true},
	{"message.max.bytes", kmsg.ConfigTypeInt, "1048588", true},
	{minISR, kmsg.ConfigTypeInt, "1", true},
	{"node.id", kmsg.ConfigTypeInt, "-", false},
	{"num.io.threads", kmsg.ConfigTypeInt, "8", true},
	{"num.network.threads", kmsg.ConfigTypeInt, "3", true},
	{"num.partitions", kmsg.ConfigTypeInt, "1", false},
	{"offsets.retention.minutes", kmsg.ConfigTypeInt, "10080", false},
	{"offsets.topic.num.partitions", kmsg.ConfigTypeInt, "50", false},
	{"offsets.topic.replication.factor", kmsg.ConfigTypeShort, "3", false},
	{"process.roles", kmsg.ConfigTypeList, "-", false},
	{"sasl.enabled.mechanisms", kmsg.ConfigTypeList, "GSSAPI", true},
	{"socket.request.max.bytes", kmsg.ConfigTypeInt, "104857600", false},
	{"ssl.keystore.password", kmsg.ConfigTypePassword, "-", true},
	{"transaction.max.timeout.ms", kmsg.ConfigTypeInt, "900000", false},
	{"transactional.id.expiration.ms", kmsg.ConfigTypeInt, "604800000", false},
	{"unclean.leader.election.enable", kmsg.ConfigTypeBoolean, "false", true},
}

func brokerHasConfigs(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	d := describeConfigs(t, cl, node, brokerResource, number(node))
	code(t, "broker", d.ErrorCode, nil)
	if n := len(d.Configs); n < 300 {
		t.Errorf("%d configurations, want more than 300", n)
	}
	byName := make(map[string]kmsg.DescribeConfigsResponseResourceConfig)
	for _, c := range d.Configs {
		byName[c.Name] = c
	}
	for _, want := range brokerDefaults {
		c, ok := byName[want.name]
		if !ok {
			t.Errorf("%s is not described", want.name)
			continue
		}
		equal(t, "type of "+want.name, c.ConfigType, want.kind)
		equal(t, "read-only "+want.name, c.ReadOnly, !want.dynamic)
		equal(t, "sensitive "+want.name, c.IsSensitive, want.kind == kmsg.ConfigTypePassword)
		def := "-"
		for _, y := range c.ConfigSynonyms {
			if y.Name == want.name && y.Source == kmsg.ConfigSourceDefaultConfig {
				def = text(y.Value)
			}
		}
		equal(t, "default of "+want.name, def, want.value)
		if len(c.ConfigSynonyms) > 0 {
			equal(t, "source of "+want.name, c.Source, c.ConfigSynonyms[0].Source)
		} else {
			equal(t, "source of "+want.name, c.Source, kmsg.ConfigSourceDefaultConfig)
		}
	}
	id := number(node)
	equal(t, "node id", setting(d, "node.id"), "node.id="+id+" 4 [node.id="+id+" 4]")
	equal(t, "broker id", setting(d, "broker.id"), "broker.id="+id+" 4 [broker.id="+id+" 4] [broker.id=-1 5]")
	equal(t, "partitions", setting(d, "num.partitions"), "num.partitions=1 5 [num.partitions=1 5]")
	equal(t, "retention", setting(d, "log.retention.hours"), "log.retention.hours=168 5 [log.retention.hours=168 5]")
	equal(t, "in sync replicas", setting(d, minISR), minISR+"=1 3 ["+minISR+"=1 3] ["+minISR+"=1 5]")
}

func brokerConfigsHaveSources(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	id := number(node)
	topic := newTopic(t, cl, 1)
	const delay, ratio = "log.segment.delete.delay.ms", "log.cleaner.min.cleanable.ratio"
	restores(t, cl, node, alterResource(brokerResource, "", unset(delay), unset(ratio)), alterResource(brokerResource, id, unset(delay)))

	equal(t, "altered", alterConfigs(t, cl, node, false,
		alterResource(brokerResource, "", set(delay, "60001"), set(ratio, "0.40")),
		alterResource(brokerResource, id, set(delay, "60002"))), []string{"0", "0"})
	settles(t, cl, node, brokerResource, id, delay+"=60002 2 ["+delay+"=60002 2] ["+delay+"=60001 3] ["+delay+"=60000 5]")
	settles(t, cl, node, brokerResource, "", delay+"=60001 3 ["+delay+"=60001 3]")
	settles(t, cl, node, topicResource, topic, "file.delete.delay.ms=60002 2 ["+delay+"=60002 2] ["+delay+"=60001 3] ["+delay+"=60000 5]")
	equal(t, "what was not set for all", setting(describeConfigs(t, cl, node, brokerResource, ""), "num.partitions"), "num.partitions is not described")
	a := createTopic(t, cl, name("topic"), 1, true)
	for _, c := range a.Configs {
		switch c.Name {
		case "file.delete.delay.ms":
			equal(t, "new topic", text(c.Value)+" "+strconv.Itoa(int(c.Source)), "60002 2")
		case "min.cleanable.dirty.ratio":
			equal(t, "new topic's source", c.Source, int8(3))
		}
	}

	equal(t, "deleted", alterConfigs(t, cl, node, false, alterResource(brokerResource, id, unset(delay))), []string{"0"})
	settles(t, cl, node, brokerResource, id, delay+"=60001 3 ["+delay+"=60001 3] ["+delay+"=60000 5]")
	equal(t, "deleted", alterConfigs(t, cl, node, false, alterResource(brokerResource, "", unset(delay))), []string{"0"})
	settles(t, cl, node, brokerResource, id, delay+"=60000 5 ["+delay+"=60000 5]")
	settles(t, cl, node, topicResource, topic, "file.delete.delay.ms=60000 5 ["+delay+"=60000 5]")
}

func alteringBrokersChecksConfigs(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	id := number(node)
	for _, resource := range []string{id, ""} {
		refusedConfigs(t, cl, node, brokerResource, resource, []configCase{
			{[]configChange{set("num.partitions", "3")}, "42 Cannot update these configs dynamically: [num.partitions]"},
			{[]configChange{set("log.cleaner.threads", "2"), set("advertised.listeners", "x")}, "42 Cannot update these configs dynamically: [advertised.listeners]"},
			{[]configChange{set("log.cleaner.threads", "x")}, "42 Invalid value x for configuration log.cleaner.threads: Not a number of type INT"},
			{[]configChange{set("message.max.bytes", "-1")}, "42 Invalid value -1 for configuration message.max.bytes: Value must be at least 0"},
			{[]configChange{set("compression.type", "x")}, "42 Invalid value x for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
			{[]configChange{set("log.cleanup.policy", "x")}, "42 Invalid value x for configuration log.cleanup.policy: String must be one of: compact, delete"},
			{[]configChange{set("log.retention.ms", "0")}, "42 requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1"},
			{[]configChange{set("num.io.threads", "17")}, "42 Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation failed for num.io.threads=17, value should not be greater than double the current value 8 for configuration Invalid dynamic configuration"},
			{[]configChange{set("num.io.threads", "3")}, "42 Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation failed for num.io.threads=3, value should be at least half the current value 8 for configuration Invalid dynamic configuration"},
			{[]configChange{set("ssl.keystore.location", "/x")}, "42 These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.keystore.location]"},
			{[]configChange{add("log.cleaner.threads", "2")}, "40 Config value append is not allowed for config key: log.cleaner.threads"},
			{[]configChange{subtract("log.cleaner.threads", "2")}, "40 Config value subtract is not allowed for config key: log.cleaner.threads"},
			{[]configChange{add("no.such", "2")}, "40 Unknown config name: no.such"},
			{[]configChange{{op: 9, name: "log.cleaner.threads", value: kmsg.StringPtr("2")}}, "42 Unknown operations type 9"},
			{[]configChange{{name: "log.cleaner.threads"}}, "42 Null value not supported for : log.cleaner.threads"},
			{[]configChange{set("log.cleaner.threads", "1"), set("log.cleaner.threads", "1")}, "42 Error due to duplicate config keys"},
			{[]configChange{set("log.cleaner.threads", "2"), set("log.cleaner.io.max.bytes.per.second", "1e9")}, "0"},
			{[]configChange{set("no.such.config.of.kafka", "3")}, "0"}, // perhaps a plugin's
			{[]configChange{unset("num.partitions"), unset("no.such")}, "0"},
			{[]configChange{add("log.cleanup.policy", "compact")}, "0"},
		})
	}
	refusedConfigs(t, cl, node, brokerResource, "", []configCase{
		{[]configChange{set("listeners", "PLAINTEXT://:9092")}, "42 Cannot update these configs at default cluster level, broker id must be specified: [listeners]"},
		{[]configChange{set("listener.name.x.ssl.keystore.location", "/x")}, "42 Cannot update these configs at default cluster level, broker id must be specified: [listener.name.x.ssl.keystore.location]"},
		{[]configChange{unset(minISR)}, "40 Cluster-level min.insync.replicas cannot be removed while ELR is enabled."},
		{[]configChange{set(minISR, "2")}, "0"},
	})
	refusedConfigs(t, cl, node, brokerResource, id, []configCase{
		{[]configChange{set("principal.builder.class", "com.example.None")}, "42 Invalid value com.example.None for configuration principal.builder.class: Class com.example.None could not be found."},
		{[]configChange{set(minISR, "2")}, "40 Broker-level min.insync.replicas cannot be altered while ELR is enabled."},
	})
	for resource, want := range map[string]string{
		"99": "42 Unexpected broker id, expected " + id + ", but received 99",
		"x":  "42 Node id must be an integer, but it is: x",
	} {
		got := alterConfigs(t, cl, node, true, alterResource(brokerResource, resource, set("log.cleaner.threads", "1")))
		equal(t, "broker "+resource, got, []string{want})
		got = replaceConfigs(t, cl, node, true, replaceResource(brokerResource, resource, set("log.cleaner.threads", "1")))
		equal(t, "broker "+resource, got, []string{want})
	}
	for _, c := range []configCase{
		{[]configChange{set("num.partitions", "3")}, "42 Cannot update these configs dynamically: [num.partitions]"},
		{[]configChange{set("log.cleaner.threads", "x")}, "42 Invalid value x for configuration log.cleaner.threads: Not a number of type INT"},
	} {
		got := replaceConfigs(t, cl, node, false, replaceResource(brokerResource, id, c.changes...))
		equal(t, "replaced by "+describeChanges(c.changes), got, []string{c.want})
	}
}

func replacingBrokerConfigs(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	id := number(node)
	const backoff, size = "log.cleaner.backoff.ms", "log.cleaner.io.buffer.size"
	restores(t, cl, node, alterResource(brokerResource, id, unset(backoff), unset(size)))
	equal(t, "altered", alterConfigs(t, cl, node, false, alterResource(brokerResource, id, set(backoff, "15001"), set(size, "524289"))), []string{"0"})
	settles(t, cl, node, brokerResource, id, size+"=524289 2 ["+size+"=524289 2] ["+size+"=524288 5]")
	equal(t, "replaced", replaceConfigs(t, cl, node, false, replaceResource(brokerResource, id, set(backoff, "15002"))), []string{"0"})
	settles(t, cl, node, brokerResource, id, backoff+"=15002 2 ["+backoff+"=15002 2] ["+backoff+"=15000 5]")
	settles(t, cl, node, brokerResource, id, size+"=524288 5 ["+size+"=524288 5]")
	settles(t, cl, node, brokerResource, "", minISR+"=1 3 ["+minISR+"=1 3]")
	equal(t, "by nothing", replaceConfigs(t, cl, node, false, replaceResource(brokerResource, id)), []string{"0"})
	settles(t, cl, node, brokerResource, id, backoff+"=15000 5 ["+backoff+"=15000 5]")
}

// Which loggers there are depends on how a broker was told to log; there is
// always the root.
func loggersHaveLevels(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	id := number(node)
	d := describeConfigs(t, cl, node, loggerResource, id, "root")
	code(t, "loggers", d.ErrorCode, nil)
	equal(t, "loggers", len(d.Configs), 1)
	equal(t, "source", d.Configs[0].Source, kmsg.ConfigSourceDynamicBrokerLoggerConfig)
	refusedConfigs(t, cl, node, loggerResource, id, []configCase{
		{[]configChange{set("root", "INFO")}, "0"},
		{[]configChange{set("root", "LOUD")}, "40 Cannot set the log level of root to LOUD as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN"},
		{[]configChange{set("no.such.logger", "INFO")}, "40 Logger no.such.logger does not exist!"},
		{[]configChange{unset("no.such.logger")}, "40 Logger no.such.logger does not exist!"},
		{[]configChange{unset("root")}, "42 Removing the log level of the root logger is not allowed"},
		{[]configChange{add("root", "INFO")}, "42 APPEND operation is not allowed for the BROKER_LOGGER resource"},
		{[]configChange{subtract("root", "INFO")}, "42 SUBTRACT operation is not allowed for the BROKER_LOGGER resource"},
	})
	for resource, want := range map[string]string{
		"99": "42 Unexpected node id. Expected " + id + ", but received 99",
		"":   "42 Node id must be an integer, but it is: ",
	} {
		got := alterConfigs(t, cl, node, true, alterResource(loggerResource, resource, set("root", "INFO")))
		equal(t, "logger of "+resource, got, []string{want})
	}
	level := text(d.Configs[0].Value)
	restores(t, cl, node, alterResource(loggerResource, id, set("root", level)))
	equal(t, "set", alterConfigs(t, cl, node, false, alterResource(loggerResource, id, set("root", "FATAL"))), []string{"0"})
	settles(t, cl, node, loggerResource, id, "root=FATAL 6")
}
