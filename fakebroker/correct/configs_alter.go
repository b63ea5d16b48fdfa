package correct

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// alteration is what a client wants to change of one resource, named as the
// client names it.
type alteration struct {
	kind    kmsg.ConfigResourceType
	name    string
	replace bool // what is not named is deleted (AlterConfigs)
	ops     []configOp
}

type configOp struct {
	name  string
	value *string
	op    kmsg.IncrementalAlterConfigOp
}

// altered is what comes of it.
type altered struct {
	alteration
	refused *rejection
	before  map[string]string // what the resource itself had been given
	after   map[string]string
}

// plan decides about all resources of a request, and keeps that for the answer.
func (s *settings) plan(x *wire.Exchange, rule string, all []alteration) []altered {
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	count := make(map[resource]int)
	for _, a := range all {
		count[resource{a.kind, a.name}]++
	}
	layers := s.layers(x.Context(), x.Node)
	out := make([]altered, len(all))
	for i, a := range all {
		out[i].alteration = a
		if a.kind == kmsg.ConfigResourceTypeTopic {
			t, _ := s.c.TopicAlone(a.name)
			out[i].before = t.Configs
		}
		if count[resource{a.kind, a.name}] > 1 {
			out[i].refused = reject(kerr.InvalidRequest, "%s", "Each resource must appear at most once.")
			continue
		}
		s.decide(x, layers, &out[i])
	}
	keep(x, rule, out)
	return out
}

// decide goes by the order in which Kafka checks: the broker that was asked
// (ConfigAdminManager), then the controller (ConfigurationControlManager).
func (s *settings) decide(x *wire.Exchange, layers []layer, a *altered) {
	if a.refused = a.malformed(); a.refused != nil {
		return
	}
	if denied := s.denied(x, kmsg.ACLOperationAlterConfigs, a.kind, a.name); denied != nil {
		a.refused = reject(denied, "")
		return
	}
	ctx := x.Context()
	switch a.kind {
	case kmsg.ConfigResourceTypeBrokerLogger:
		if a.replace {
			a.refused = reject(kerr.InvalidRequest, "%s", "Unknown resource type "+strconv.Itoa(int(a.kind)))
			return
		}
		a.after, a.refused = s.alterLoggers(x.Node, a.alteration)
	case kmsg.ConfigResourceTypeBroker:
		s.alterBroker(x.Node, layers, a)
	case kmsg.ConfigResourceTypeTopic:
		if a.refused = a.apply(topicConfigs, func(d configDef) string { v, _ := topicDefault(layers, d); return v }); a.refused != nil {
			return
		}
		if a.name == "" {
			a.refused = reject(kerr.InvalidRequest, "%s", "Default topic resources are not allowed.")
		} else if a.refused = checkName(a.name); a.refused != nil {
			return
		} else if parsed, err := TopicConfigs(a.after); err != nil {
			a.refused = reject(kerr.InvalidConfig, "%s", err.Error())
		} else {
			a.after = parsed
		}
	case kmsg.ConfigResourceTypeGroupConfig:
		a.before = s.groupConfigs(ctx, a.name)
		if a.refused = a.apply(groupConfigs, func(d configDef) string { return d.value }); a.refused == nil {
			a.refused = a.checkGroup(layers)
		}
	case kmsg.ConfigResourceTypeClientMetrics:
		a.before = s.metricsConfigs(ctx, a.name)
		if a.refused = a.apply(nil, nil); a.refused == nil {
			a.refused = a.checkMetrics()
		}
	default:
		a.refused = reject(kerr.InvalidRequest, "%s", "Unknown resource type "+strconv.Itoa(int(a.kind)))
	}
}

// denied is why a client may not do something with the configurations of a group or
// of client metrics, nil when it may: kfake asks nobody about groups, and about
// client metrics not by every request. About others it asks.
func (s *settings) denied(x *wire.Exchange, op kmsg.ACLOperation, kind kmsg.ConfigResourceType, name string) *kerr.Error {
	switch kind {
	case kmsg.ConfigResourceTypeGroupConfig:
		if !s.c.Allowed(x, op, kmsg.ACLResourceTypeGroup, name) {
			return kerr.GroupAuthorizationFailed
		}
	case kmsg.ConfigResourceTypeClientMetrics:
		if !s.c.Allowed(x, op, kmsg.ACLResourceTypeCluster, clusterName) {
			return kerr.ClusterAuthorizationFailed
		}
	}
	return nil
}

// malformed is what can be seen to be wrong without knowing more.
func (a *alteration) malformed() *rejection {
	seen := make(map[string]bool)
	var null []string
	for _, o := range a.ops {
		if seen[o.name] {
			return reject(kerr.InvalidRequest, "%s", "Error due to duplicate config keys")
		}
		seen[o.name] = true
		if o.value == nil && o.op != kmsg.IncrementalAlterConfigOpDelete {
			null = append(null, o.name)
		}
	}
	if len(null) > 0 {
		return reject(kerr.InvalidRequest, "%s", "Null value not supported for : "+strings.Join(null, ", "))
	}
	return nil
}

// apply makes after from before. Lists that were not set begin as their default.
func (a *altered) apply(defs []configDef, unset func(configDef) string) *rejection {
	a.after = maps.Clone(a.before)
	if a.after == nil || a.replace {
		a.after = make(map[string]string)
	}
	for _, o := range a.ops {
		switch o.op {
		case kmsg.IncrementalAlterConfigOpSet:
			a.after[o.name] = *o.value
		case kmsg.IncrementalAlterConfigOpDelete:
			delete(a.after, o.name)
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			d, ok := define(defs, o.name)
			if !ok || d.kind != kmsg.ConfigTypeList {
				return reject(kerr.InvalidConfig, "%s", "Can't "+o.op.String()+" to key "+o.name+" because its type is not LIST.")
			}
			v, set := a.after[o.name]
			if !set {
				v = unset(d)
			}
			a.after[o.name] = alterList(v, *o.value, o.op)
		default:
			return reject(kerr.UnknownServerError, "")
		}
	}
	return nil
}

// alterList takes the elements of one list to or from another.
func alterList(list, change string, op kmsg.IncrementalAlterConfigOp) string {
	elements := slices.DeleteFunc(strings.Split(list, ","), func(s string) bool { return s == "" })
	for _, c := range strings.Split(change, ",") {
		i := slices.Index(elements, c)
		switch {
		case op == kmsg.IncrementalAlterConfigOpAppend && i < 0:
			elements = append(elements, c)
		case op == kmsg.IncrementalAlterConfigOpSubtract && i >= 0:
			elements = slices.Delete(elements, i, i+1)
		}
	}
	return strings.Join(elements, ",")
}

// alterBroker is for one broker, or without a name for all of them.
func (s *settings) alterBroker(node int32, layers []layer, a *altered) {
	perBroker := a.name != ""
	own := layers[1]
	if perBroker {
		own = layers[0]
		id := s.c.Known(node)
		n, err := strconv.ParseInt(a.name, 10, 32)
		if err != nil {
			a.refused = reject(kerr.InvalidRequest, "%s", "Node id must be an integer, but it is: "+a.name)
			return
		}
		if int32(n) != id {
			a.refused = reject(kerr.InvalidRequest, "%s", "Unexpected broker id, expected "+strconv.Itoa(int(id))+", but received "+a.name)
			return
		}
	}
	a.before = own.values
	for _, o := range a.ops {
		switch o.op {
		case kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete:
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			d, ok := define(brokerConfigs, o.name)
			if !ok {
				a.refused = reject(kerr.InvalidConfig, "%s", "Unknown config name: "+o.name)
				return
			}
			if d.kind != kmsg.ConfigTypeList {
				a.refused = reject(kerr.InvalidConfig, "%s", "Config value "+strings.ToLower(o.op.String())+" is not allowed for config key: "+o.name)
				return
			}
		default:
			a.refused = reject(kerr.InvalidRequest, "%s", "Unknown operations type "+strconv.Itoa(int(o.op)))
			return
		}
	}
	if a.refused = a.apply(brokerConfigs, func(d configDef) string { return d.value }); a.refused == nil {
		a.refused = a.checkBroker(layers, perBroker)
	}
}

var (
	listenerConfig = regexp.MustCompile(`^listener\.name\.[^.]*\.(.*)$`)
	securityConfig = regexp.MustCompile(`^ssl\.(protocol|provider|cipher\.suites|enabled\.protocols|keystore\..*|truststore\..*|key\.password|keymanager\.algorithm|trustmanager\.algorithm|endpoint\.identification\.algorithm|secure\.random\.implementation|engine\.factory\.class)$`)
)

// checkBroker holds what a broker would have been given to the rules of Kafka's
// DynamicBrokerConfig.
func (a *altered) checkBroker(layers []layer, perBroker bool) *rejection {
	var fixed, security, single []string
	plain := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(a.after)) {
		base, listener := name, false
		if m := listenerConfig.FindStringSubmatch(name); m != nil {
			base, listener = m[1], true
		}
		plain[base] = a.after[name]
		d, ok := define(brokerConfigs, base)
		switch {
		case ok && !listener && !d.dynamic():
			fixed = append(fixed, name)
		case !listener && securityConfig.MatchString(name):
			security = append(security, name)
		case listener || d.perBroker:
			single = append(single, name)
		}
	}
	list := func(what string, names []string) *rejection {
		return reject(kerr.InvalidRequest, "%s", what+": ["+strings.Join(names, ", ")+"]")
	}
	if len(fixed) > 0 {
		return list("Cannot update these configs dynamically", fixed)
	}
	if len(security) > 0 {
		return list("These security configs can be dynamically updated only per-listener using the listener prefix", security)
	}
	parsed, err := parseAll(brokerConfigs, plain)
	if err != nil {
		return reject(kerr.InvalidRequest, "%s", err.Error())
	}
	if !perBroker && len(single) > 0 {
		return list("Cannot update these configs at default cluster level, broker id must be specified", single)
	}
	for name := range a.after {
		if v, ok := parsed[name]; ok {
			a.after[name] = v
		}
	}
	if r := a.checkLimits(layers); r != nil {
		return r
	}
	_, set := a.after[minISR]
	if _, was := a.before[minISR]; perBroker && set {
		return reject(kerr.InvalidConfig, "%s", "Broker-level min.insync.replicas cannot be altered while ELR is enabled.")
	} else if !perBroker && was && !set {
		return reject(kerr.InvalidConfig, "%s", "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")
	}
	return nil
}

// threadPools can be changed to no less than half of what they are, and to no
// more than twice as much.
var threadPools = []string{
	"background.threads", "num.io.threads", "num.network.threads", "num.recovery.threads.per.data.dir", "num.replica.fetchers",
	"remote.log.reader.threads", "remote.log.manager.copier.thread.pool.size", "remote.log.manager.expiration.thread.pool.size",
	"remote.log.manager.follower.thread.pool.size", cleanerThreads,
}

const cleanerThreads = "log.cleaner.threads"

// checkLimits holds numbers to bounds that depend on what there is, or have words
// of their own.
func (a *altered) checkLimits(layers []layer) *rejection {
	number := func(name string) (int64, bool) {
		n, err := strconv.ParseInt(a.after[name], 10, 64)
		return n, err == nil
	}
	if n, ok := number("log.retention.ms"); ok && (n == 0 || n < -1) {
		return reject(kerr.InvalidRequest, "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1")
	}
	if n, ok := number("log.roll.ms"); ok && n < 1 {
		return reject(kerr.InvalidRequest, "requirement failed: log.roll.ms must be greater than or equal to 1")
	}
	for _, name := range threadPools {
		want, ok := number(name)
		if !ok {
			continue
		}
		now := *effective(layers, name)
		have, _ := strconv.ParseInt(now, 10, 64) // parsed when it was set
		const invalid = "Invalid value org.apache.kafka.common.config.ConfigException: %s the current value %s for configuration Invalid dynamic configuration"
		what := "Dynamic thread count update validation failed for " + name + "=" + a.after[name] + ", value should"
		less, more := what+" be at least half", what+" not be greater than double"
		if name == cleanerThreads {
			less, more = "Log cleaner threads cannot be reduced to less than half", "Log cleaner threads cannot be increased to more than double"
		}
		switch {
		case want < 1:
			return reject(kerr.InvalidRequest, "/ by zero")
		case want < have/2:
			return reject(kerr.InvalidRequest, invalid, less, now)
		case want > have*2:
			return reject(kerr.InvalidRequest, invalid, more, now)
		}
	}
	return nil
}

// checkGroup holds what a group would have been given to the rules of Kafka's
// GroupConfig.
func (a *altered) checkGroup(layers []layer) *rejection {
	if a.name == "" {
		return reject(kerr.InvalidRequest, "%s", "Default group resources are not allowed.")
	}
	if name := unknownConfig(groupConfigs, a.after); name != "" {
		return reject(kerr.InvalidConfig, "%s", "Unknown group config name: "+name)
	}
	parsed, err := parseAll(groupConfigs, a.after)
	if err != nil {
		return reject(kerr.InvalidConfig, "%s", err.Error())
	}
	a.after = parsed
	number := func(name string) int {
		v, set := parsed[name]
		if d, ok := define(groupConfigs, name); ok && !set {
			if v = d.value; d.broker != "" {
				v = *effective(layers, d.broker)
			}
		}
		n, _ := strconv.Atoi(v) // what is no number has no bounds
		return n
	}
	for _, d := range groupConfigs {
		if _, set := parsed[d.name]; !set {
			continue
		}
		n := number(d.name)
		kind, rest, _ := strings.Cut(d.name, ".")
		for _, rest := range []string{rest, strings.TrimPrefix(rest, "num.")} {
			low, high := "group."+kind+".min."+rest, "group."+kind+".max."+rest
			if v := effective(layers, low); v != nil {
				if m, err := strconv.Atoi(*v); err == nil && n < m {
					return reject(kerr.InvalidConfig, "%s", d.name+" must be greater than or equal to "+low)
				}
			}
			if v := effective(layers, high); v != nil {
				if m, err := strconv.Atoi(*v); err == nil && n > m {
					return reject(kerr.InvalidConfig, "%s", d.name+" must be less than or equal to "+high)
				}
			}
		}
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		session, heartbeat := kind+".session.timeout.ms", kind+".heartbeat.interval.ms"
		if number(session) <= number(heartbeat) {
			return reject(kerr.InvalidConfig, "%s", session+" must be greater than "+heartbeat)
		}
	}
	return nil
}

// matchKeys are what clients can be told apart by (ClientMetricsConfigs).
var matchKeys = []string{"client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port"}

// checkMetrics holds what a subscription to client metrics would have been given
// to the rules of Kafka's ClientMetricsConfigs.
func (a *altered) checkMetrics() *rejection {
	const least, most = 100, 3_600_000
	if a.name == "" {
		return reject(kerr.InvalidRequest, "%s", "Subscription name can't be empty")
	}
	if name := unknownConfig(metricsConfigs, a.after); name != "" {
		return reject(kerr.InvalidRequest, "%s", "Unknown client metrics configuration: "+name)
	}
	parsed, err := parseAll(metricsConfigs, a.after)
	if err != nil {
		return reject(kerr.InvalidConfig, "%s", err.Error())
	}
	a.after = parsed
	if v, ok := parsed["interval.ms"]; ok {
		if n, _ := strconv.Atoi(v); n < least || n > most {
			return reject(kerr.InvalidRequest, "%s", "Invalid value "+v+" for interval.ms, interval must be between 100 and 3600000 (1 hour)")
		}
	}
	for _, m := range splitList(parsed["match"]) {
		key, pattern, _ := strings.Cut(m, "=")
		_, err := regexp.Compile(strings.TrimSpace(pattern))
		if err != nil || pattern == "" || strings.Contains(pattern, "=") || !slices.Contains(matchKeys, strings.TrimSpace(key)) {
			return reject(kerr.InvalidConfig, "%s", "Illegal client matching pattern: "+m)
		}
	}
	return nil
}

// metricsConfigs are what a subscription to client metrics was given.
func (s *settings) metricsConfigs(ctx context.Context, name string) map[string]string {
	const version, first = 4, 0
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = version
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeClientMetrics, name
	req.Resources = append(req.Resources, res)
	out := make(map[string]string)
	resp, err := s.c.Ask(ctx, first, req)
	if err != nil {
		return out
	}
	for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		for _, c := range r.Configs {
			if c.Source == kmsg.ConfigSourceClientMetricsConfig && c.Value != nil {
				out[c.Name] = *c.Value
			}
		}
	}
	return out
}
