package correct

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

type (
	alterResource = kmsg.IncrementalAlterConfigsRequestResource
	alterConfig   = kmsg.IncrementalAlterConfigsRequestResourceConfig
)

// noOp is an operation that there is not. A resource with it is looked up and
// authorized by kfake, and refused.
const noOp = kmsg.IncrementalAlterConfigOp(99)

// kfakeGroupConfigs are what kfake takes for a group.
var kfakeGroupConfigs = []string{
	"consumer.session.timeout.ms", "consumer.heartbeat.interval.ms", "share.auto.offset.reset", "share.isolation.level",
	"share.record.lock.duration.ms", "share.delivery.count.limit", "share.session.timeout.ms", "share.heartbeat.interval.ms",
	"share.partition.max.record.locks",
}

// askToAlter has kfake make the changes that Kafka would make, and refuse the
// rest.
func (s *settings) askToAlter(x *wire.Exchange, req *kmsg.IncrementalAlterConfigsRequest) {
	o, err := x.Original()
	if err != nil {
		return
	}
	var all []alteration
	for _, r := range o.(*kmsg.IncrementalAlterConfigsRequest).Resources {
		a := alteration{kind: r.ResourceType, name: r.ResourceName}
		for _, c := range r.Configs {
			a.ops = append(a.ops, configOp{c.Name, c.Value, c.Op})
		}
		all = append(all, a)
	}
	plan := s.plan(x, alters, all)
	layers := s.layers(x.Context(), x.Node)
	for i, a := range plan {
		r := &req.Resources[i]
		switch {
		case a.kind == kmsg.ConfigResourceTypeBrokerLogger:
			r.ResourceType = kmsg.ConfigResourceTypeBroker // the same may change it
			r.Configs = []alterConfig{{Op: noOp}}
		case a.refused != nil:
			r.Configs = []alterConfig{{Op: noOp}}
		case a.kind == kmsg.ConfigResourceTypeBroker:
			before := applied(layers)
			layers = a.over(layers)
			r.Configs = changes(before, applied(layers))
		default:
			r.Configs = a.changes()
		}
	}
	x.SetRequest(req)
}

// over is the layers with a broker's altered one in place.
func (a *altered) over(layers []layer) []layer {
	layers = slices.Clone(layers)
	i := 1
	if a.name != "" {
		i = 0
	}
	layers[i].values = a.after
	return layers
}

// onto makes the changes of what there is by now: somebody else can have changed it
// since it was decided what is to come of them.
func (a *altered) onto(now map[string]string) map[string]string {
	if a.replace {
		return maps.Clone(a.after)
	}
	out := maps.Clone(now)
	if out == nil {
		out = make(map[string]string)
	}
	for _, o := range a.ops {
		v, set := out[o.name]
		switch {
		case o.op == kmsg.IncrementalAlterConfigOpDelete:
			delete(out, o.name)
		case o.op != kmsg.IncrementalAlterConfigOpSet && set:
			out[o.name] = alterList(v, *o.value, o.op)
		case has(a.after, o.name):
			out[o.name] = a.after[o.name] // as it was parsed
		}
	}
	return out
}

// changes are what kfake is to be told: also what would change nothing, which is
// known of the time of asking only.
func (a *altered) changes() []alterConfig {
	c := changes(a.before, a.after)
	for _, o := range a.ops {
		if a.replace || slices.ContainsFunc(c, func(c alterConfig) bool { return c.Name == o.name }) {
			continue
		}
		again := alterConfig{Name: o.name, Op: kmsg.IncrementalAlterConfigOpDelete}
		if v, set := a.after[o.name]; set {
			again.Value, again.Op = &v, kmsg.IncrementalAlterConfigOpSet
		}
		c = append(c, again)
	}
	if a.kind == kmsg.ConfigResourceTypeGroupConfig {
		c = slices.DeleteFunc(c, func(c alterConfig) bool { return !slices.Contains(kfakeGroupConfigs, c.Name) })
	}
	return c
}

func changes(before, after map[string]string) []alterConfig {
	out := []alterConfig{}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if v := after[name]; v != before[name] || !has(before, name) {
			out = append(out, alterConfig{Name: name, Value: &v, Op: kmsg.IncrementalAlterConfigOpSet})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if !has(after, name) {
			out = append(out, alterConfig{Name: name, Op: kmsg.IncrementalAlterConfigOpDelete})
		}
	}
	return out
}

func has(m map[string]string, name string) bool {
	_, ok := m[name]
	return ok
}

// answerAltered says what became of it, in Kafka's words.
func (s *settings) answerAltered(x *wire.Exchange, req *kmsg.IncrementalAlterConfigsRequest, resp *kmsg.IncrementalAlterConfigsResponse) bool {
	plan, _ := recall[[]altered](x, alters)
	if len(plan) != len(resp.Resources) {
		return false
	}
	for i, a := range plan {
		r := &resp.Resources[i]
		r.ResourceType = a.kind
		r.ErrorCode, r.ErrorMessage = a.outcome(r.ErrorCode, r.ErrorMessage)
		if r.ErrorCode == 0 && !req.ValidateOnly {
			s.commit(x.Node, a)
		}
	}
	return true
}

// outcome is what to answer where kfake has answered a code.
func (a *altered) outcome(code int16, message *string) (int16, *string) {
	switch {
	case code != 0 && !mended(code):
		return code, message
	case a.refused != nil && a.refused.message == "":
		return a.refused.code(), nil
	case a.refused != nil:
		return a.refused.code(), a.refused.text()
	case a.kind == kmsg.ConfigResourceTypeTopic && code == kerr.UnknownTopicOrPartition.Code:
		return code, kmsg.StringPtr("The topic '" + a.name + "' does not exist.")
	}
	return 0, nil
}

// commit remembers what kfake does not.
func (s *settings) commit(node int32, a altered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		return
	}
	switch a.kind {
	case kmsg.ConfigResourceTypeBroker:
		if a.name == "" {
			s.everywhere = a.onto(s.everywhere)
		} else {
			s.brokers[node] = a.onto(s.brokers[node])
		}
	case kmsg.ConfigResourceTypeBrokerLogger:
		s.loggers[node] = a.onto(s.loggers[node])
	case kmsg.ConfigResourceTypeGroupConfig:
		rest := a.onto(s.groups[a.name])
		maps.DeleteFunc(rest, func(name, _ string) bool { return slices.Contains(kfakeGroupConfigs, name) })
		if s.groups[a.name] = rest; len(rest) == 0 {
			delete(s.groups, a.name)
		}
	}
}

// askToReplace is askToAlter for AlterConfigs, which says all that shall be.
// kfake cannot be had to refuse a topic's: it is told what there is already.
func (s *settings) askToReplace(x *wire.Exchange, req *kmsg.AlterConfigsRequest) {
	o, err := x.Original()
	if err != nil {
		return
	}
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	seen := make(map[resource]bool)
	var all []alteration
	for _, r := range o.(*kmsg.AlterConfigsRequest).Resources {
		if seen[resource{r.ResourceType, r.ResourceName}] {
			x.Cut() // Kafka fails to read such a request
			return
		}
		seen[resource{r.ResourceType, r.ResourceName}] = true
		a := alteration{kind: r.ResourceType, name: r.ResourceName, replace: true}
		for _, c := range r.Configs {
			a.ops = append(a.ops, configOp{c.Name, c.Value, kmsg.IncrementalAlterConfigOpSet})
		}
		all = append(all, a)
	}
	plan := s.plan(x, replaces, all)
	layers := s.layers(x.Context(), x.Node)
	for i, a := range plan {
		r := &req.Resources[i]
		switch {
		case a.kind == kmsg.ConfigResourceTypeBroker && a.refused != nil:
			r.Configs = replacement(map[string]string{"broker.id": "none"}) // kfake wants a number
		case a.kind == kmsg.ConfigResourceTypeBroker:
			layers = a.over(layers)
			r.Configs = replacement(applied(layers))
		case a.refused != nil:
			r.Configs = replacement(a.before)
		default:
			r.Configs = replacement(a.after)
		}
	}
	x.SetRequest(req)
}

func replacement(values map[string]string) []kmsg.AlterConfigsRequestResourceConfig {
	out := []kmsg.AlterConfigsRequestResourceConfig{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		c.Name, c.Value = name, kmsg.StringPtr(values[name])
		out = append(out, c)
	}
	return out
}

// answerReplaced makes the changes of groups and client metrics, which kfake
// knows by IncrementalAlterConfigs only, and says what became of all.
func (s *settings) answerReplaced(x *wire.Exchange, req *kmsg.AlterConfigsRequest, resp *kmsg.AlterConfigsResponse) bool {
	plan, _ := recall[[]altered](x, replaces)
	if len(plan) != len(resp.Resources) {
		return false
	}
	for i, a := range plan {
		r := &resp.Resources[i]
		r.ErrorCode, r.ErrorMessage = a.outcome(r.ErrorCode, r.ErrorMessage)
		if r.ErrorCode != 0 || req.ValidateOnly {
			continue
		}
		if a.kind == kmsg.ConfigResourceTypeGroupConfig || a.kind == kmsg.ConfigResourceTypeClientMetrics {
			if code := s.alterByItself(x, a); code != 0 {
				r.ErrorCode = code
				continue
			}
		}
		s.commit(x.Node, a)
	}
	return true
}

func (s *settings) alterByItself(x *wire.Exchange, a altered) int16 {
	const version = 1
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version = version
	req.Resources = []alterResource{{ResourceType: a.kind, ResourceName: a.name, Configs: a.changes()}}
	resp, err := s.c.AskAs(x, x.Node, req)
	if err != nil {
		return kerr.UnknownServerError.Code
	}
	return resp.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode
}
