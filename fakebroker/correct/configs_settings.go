package correct

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// settings are what brokers, groups and loggers were given by clients, where
// kfake has no place for it: it has one set of broker configurations, which
// applies to all, and does not tell what a broker was started with from what
// came later.
type settings struct {
	c Cluster

	mu         sync.Mutex
	known      bool
	everywhere map[string]string           // of all brokers (dynamic defaults)
	brokers    map[int32]map[string]string // of one broker
	groups     map[string]map[string]string
	loggers    map[int32]map[string]string
}

// minISR is set for all brokers of a Kafka cluster from the start, where eligible
// leader replicas are on, as they are in a new one (KIP-966).
const minISR = "min.insync.replicas"

// load fills in what there is when a cluster starts.
func (s *settings) load(ctx context.Context) {
	const first = 0
	s.mu.Lock()
	known := s.known
	s.mu.Unlock()
	if known {
		return
	}
	static := Applied(s.c.BrokerConfigs(first))
	everywhere := make(map[string]string)
	if s.c.Kept() {
		var ok bool
		if everywhere, ok = s.kept(ctx, first, static); !ok {
			return // the cluster is closed, or the client gone
		}
	}
	if d, ok := define(brokerConfigs, minISR); ok && everywhere[minISR] == "" {
		everywhere[minISR] = cmp.Or(static[minISR], d.value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known {
		return // somebody else was faster
	}
	s.known, s.everywhere = true, everywhere
	s.brokers = make(map[int32]map[string]string)
	s.groups = make(map[string]map[string]string)
	s.loggers = make(map[int32]map[string]string)
}

// kept is what clients changed before a restart, which kfake has kept in its
// DataDir: everything that is not as the brokers were started with.
func (s *settings) kept(ctx context.Context, first int32, static map[string]string) (map[string]string, bool) {
	const version = 4
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = version
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType = kmsg.ConfigResourceTypeBroker
	req.Resources = append(req.Resources, res)
	resp, err := s.c.Ask(ctx, first, req)
	if err != nil {
		return nil, false
	}
	everywhere := make(map[string]string)
	for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		for _, c := range r.Configs {
			d, ok := define(brokerConfigs, c.Name)
			if ok && d.dynamic() && c.Source == kmsg.ConfigSourceDynamicBrokerConfig && c.Value != nil && *c.Value != static[c.Name] {
				everywhere[c.Name] = *c.Value
			}
		}
	}
	return everywhere, true
}

// layer is where values of brokers come from.
type layer struct {
	source kmsg.ConfigSource
	values map[string]string
}

// layers are those of a broker, the first to count first, but for the defaults.
func (s *settings) layers(ctx context.Context, node int32) []layer {
	s.load(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return []layer{
		{kmsg.ConfigSourceDynamicBrokerConfig, maps.Clone(s.brokers[node])},
		{kmsg.ConfigSourceDynamicDefaultBrokerConfig, maps.Clone(s.everywhere)},
		{kmsg.ConfigSourceStaticBrokerConfig, s.c.BrokerConfigs(node)},
	}
}

// given is the value of a name that somebody set; false when nobody did.
func given(layers []layer, name string) (string, bool) {
	for _, l := range layers {
		if v, ok := l.values[name]; ok {
			return v, true
		}
	}
	return "", false
}

// effective is a broker's value of a name, set or not; nil when it has none.
func effective(layers []layer, name string) *string {
	if v, ok := given(layers, name); ok {
		return &v
	}
	if d, ok := define(brokerConfigs, name); ok && !d.null {
		return &d.value
	}
	return nil
}

// alike are the broker configurations that say the same thing in other units,
// the first to count first.
var alike = [][]string{
	{"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
	{"log.roll.ms", "log.roll.hours"},
	{"log.roll.jitter.ms", "log.roll.jitter.hours"},
	{"log.flush.interval.ms", "log.flush.scheduler.interval.ms"},
}

// synonymNames are the names that a broker configuration can be given by.
func synonymNames(name string) []string {
	for _, names := range alike {
		if names[0] == name || slices.Contains(names, name) && names[0] != "log.flush.interval.ms" {
			return names
		}
	}
	return []string{name}
}

// milliseconds brings a value to the unit of the first of the names alike.
func milliseconds(name, value string) string {
	var unit int64
	switch {
	case strings.HasSuffix(name, ".minutes"):
		unit = 60_000
	case strings.HasSuffix(name, ".hours"):
		unit = 3_600_000
	default:
		return value
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return value
	}
	return strconv.FormatInt(n*unit, 10)
}

// topicDefault is what a topic has that was not given a value, and where it comes
// from.
func topicDefault(layers []layer, d configDef) (string, kmsg.ConfigSource) {
	if d.broker == "" {
		return d.value, kmsg.ConfigSourceDefaultConfig
	}
	names := synonymNames(d.broker)
	for _, l := range layers {
		for _, name := range names {
			if v, ok := l.values[name]; ok {
				return milliseconds(name, v), l.source
			}
		}
	}
	return d.value, kmsg.ConfigSourceDefaultConfig
}

// Applied is what kfake is to be told of a broker's configurations, by the names
// that it acts upon.
func Applied(configs map[string]string) map[string]string {
	out := maps.Clone(configs)
	if out == nil {
		out = make(map[string]string)
	}
	for _, names := range alike {
		if _, ok := out[names[0]]; ok {
			continue
		}
		for _, name := range names[1:] {
			if v, ok := configs[name]; ok {
				out[names[0]] = milliseconds(name, v)
				break
			}
		}
	}
	// A lock of Kafka's has a timer. kfake looks for those that are over, every 5 s
	// unless it is told otherwise.
	const sweep = "share.record.lock.sweep.interval.ms"
	if _, ok := out[sweep]; !ok {
		out[sweep] = "100"
	}
	return out
}

// applied is Applied of all layers together.
func applied(layers []layer) map[string]string {
	all := make(map[string]string)
	for _, l := range slices.Backward(layers) {
		for name, v := range l.values {
			for _, same := range synonymNames(name) {
				delete(all, same)
			}
			all[name] = v
		}
	}
	return Applied(all)
}
