package fakebroker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"example.com/kafkatest/fakebroker/correct"
)

// decidedBy are broker configurations that fields of a Config decide.
var decidedBy = map[string]string{
	"auto.create.topics.enable":      "AutoCreateTopics",
	"node.id":                        "NodeIDs",
	"broker.id":                      "NodeIDs",
	"broker.rack":                    "Racks",
	"listeners":                      "Listeners",
	"advertised.listeners":           "Listeners",
	"listener.security.protocol.map": "Listeners",
	"inter.broker.listener.name":     "Listeners",
	"log.dir":                        "DataDir",
	"log.dirs":                       "DataDir",
	"sasl.enabled.mechanisms":        "SASL",
	"super.users":                    "Superusers",
	"authorizer.class.name":          "ACLs",
	"allow.everyone.if.no.acl.found": "AllowEveryone",
	"process.roles":                  "Brokers",
	"controller.listener.names":      "Brokers",
}

// extras are what kfake can be told beside Kafka's configurations, all whole
// numbers. They are not described.
var extras = []string{"offset.retention.ms", "share.record.lock.sweep.interval.ms", "state.log.compact.bytes"}

const (
	numPartitions   = "num.partitions"
	replication     = "default.replication.factor"
	longestSession  = "group.max.session.timeout.ms"
	defaultSession  = 30 * time.Minute
	defaultReplicas = 3
)

// withBrokerConfig checks BrokerConfig by Kafka's own rules.
func (c Config) withBrokerConfig() (Config, error) {
	checked := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(c.BrokerConfig)) {
		value := c.BrokerConfig[name]
		if field, ok := decidedBy[name]; ok {
			return c, badConfig("BrokerConfig", "%s is decided by %s; set that and leave this out", name, field)
		}
		if slices.Contains(extras, name) {
			if _, err := strconv.ParseInt(value, 10, 64); err != nil {
				return c, badConfig("BrokerConfig", "%s: %q is not a whole number", name, value)
			}
			checked[name] = value
			continue
		}
		v, err := correct.BrokerConfig(name, value)
		if errors.Is(err, correct.ErrUnknownConfig) {
			return c, badConfig("BrokerConfig", "%q is not a configuration of Kafka 4.3's brokers; check how it is spelled", name)
		}
		if err != nil {
			return c, badConfig("BrokerConfig", "%s: %w", name, err)
		}
		checked[name] = v
	}
	if _, both := checked[longestSession]; both && c.MaxSessionTimeout > 0 {
		return c, badConfig("MaxSessionTimeout", "%s is in BrokerConfig too; leave one of the two out", longestSession)
	}
	c.BrokerConfig = checked
	return c, nil
}

// partitions is how many partitions a topic has that is created without saying
// how many.
func (c Config) partitions() int {
	n, err := strconv.Atoi(c.BrokerConfig[numPartitions])
	if err != nil {
		return 1 // Kafka's default
	}
	return n
}

// Known is the node id by which clients know a broker.
func (b corrected) Known(node int32) int32 { return b.id(node) }

// static is what brokers were started with, by kfake's node id, as far as it was
// asked for: corrections ask often, and it stays the same.
type static struct {
	mu      sync.Mutex
	configs map[int32]map[string]string
}

// BrokerConfigs are what a Kafka broker's server.properties would have to say for
// it to be like this one.
func (b corrected) BrokerConfigs(node int32) map[string]string {
	b.static.mu.Lock()
	defer b.static.mu.Unlock()
	known, ok := b.static.configs[node]
	if !ok {
		if b.static.configs == nil {
			b.static.configs = make(map[int32]map[string]string)
		}
		known = b.properties(node)
		b.static.configs[node] = known
	}
	return known
}

// Kept reports whether the cluster may have been running before.
func (b corrected) Kept() bool { return b.cfg.DataDir != "" }

func (b corrected) properties(node int32) map[string]string {
	c := &b.cfg
	id := strconv.Itoa(int(b.id(node)))
	out := map[string]string{
		"node.id":                               id,
		"broker.id":                             id,
		"process.roles":                         "broker,controller",
		"controller.listener.names":             "CONTROLLER",
		"auto.create.topics.enable":             strconv.FormatBool(c.AutoCreateTopics),
		"group.coordinator.rebalance.protocols": "classic,consumer,share",
		"group.initial.rebalance.delay.ms":      "0",
		longestSession:                          strconv.FormatInt(defaultSession.Milliseconds(), 10),
		"log.dirs":                              "/mem/kfake", // as DescribeLogDirs has it
	}
	if c.MaxSessionTimeout > 0 {
		out[longestSession] = strconv.FormatInt(c.MaxSessionTimeout.Milliseconds(), 10)
	}
	if c.Brokers > 1 {
		out[replication] = strconv.Itoa(min(c.Brokers, defaultReplicas))
	}
	if rack := b.rack(node); rack != nil {
		out["broker.rack"] = *rack
	}
	b.describeListeners(node, out)
	if len(c.SASL) > 0 {
		var mechanisms []string
		for _, u := range c.SASL {
			mechanisms = append(mechanisms, u.Mechanism)
		}
		slices.Sort(mechanisms)
		out["sasl.enabled.mechanisms"] = strings.Join(slices.Compact(mechanisms), ",")
	}
	if c.authorizes() {
		out["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		out["super.users"] = strings.Join(c.Superusers, ";")
	}
	for name, v := range c.BrokerConfig {
		if !slices.Contains(extras, name) {
			out[name] = v
		}
	}
	return out
}

// describeListeners names the listeners by what clients must bring, with a number
// where there are several of a kind.
func (b corrected) describeListeners(node int32, out map[string]string) {
	var listen, told, kinds []string
	count := make(map[string]int)
	advertised := false
	for i, l := range b.Listeners() {
		name := l.Protocol()
		if count[name]++; count[name] > 1 {
			name = fmt.Sprintf("%s_%d", name, count[name])
		}
		advertised = advertised || len(b.cfg.Listeners[i].Advertise) > 0
		listen = append(listen, name+"://"+l.Listen[node])
		told = append(told, name+"://"+l.Advertise[node])
		kinds = append(kinds, name+":"+l.Protocol())
	}
	out["listeners"] = strings.Join(listen, ",")
	if advertised {
		out["advertised.listeners"] = strings.Join(told, ",")
	}
	out["listener.security.protocol.map"] = strings.Join(append(kinds, "CONTROLLER:PLAINTEXT"), ",")
	out["inter.broker.listener.name"], _, _ = strings.Cut(kinds[0], ":")
}
