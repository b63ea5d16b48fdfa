package correct

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

type (
	describedConfig = kmsg.DescribeConfigsResponseResourceConfig
	configSynonym   = kmsg.DescribeConfigsResponseResourceConfigConfigSynonym
)

// askForConfigs has kfake asked only what it can be: whether the client may
// know, and whether there is what it asks about. All the rest is ours.
func (s *settings) askForConfigs(x *wire.Exchange, req *kmsg.DescribeConfigsRequest) {
	if !allDescribable(req) {
		x.Reply(refuseToDescribe(req))
		return
	}
	for i := range req.Resources {
		r := &req.Resources[i]
		if r.ResourceType == kmsg.ConfigResourceTypeBrokerLogger {
			r.ResourceType = kmsg.ConfigResourceTypeBroker // the same may know, and the same must be asked
		}
		if r.ResourceType != kmsg.ConfigResourceTypeGroupConfig && r.ResourceType != kmsg.ConfigResourceTypeClientMetrics {
			r.ConfigNames = []string{}
		}
	}
	x.SetRequest(req)
}

// allDescribable reports whether all resources are of types that Kafka knows.
func allDescribable(req *kmsg.DescribeConfigsRequest) bool {
	return !slices.ContainsFunc(req.Resources, func(r kmsg.DescribeConfigsRequestResource) bool {
		switch r.ResourceType {
		case kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger,
			kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig:
			return false
		}
		return true
	})
}

// refuseToDescribe answers a request for a resource of no known type: Kafka
// refuses it as a whole.
func refuseToDescribe(req *kmsg.DescribeConfigsRequest) *kmsg.DescribeConfigsResponse {
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	for _, r := range req.Resources {
		a := kmsg.NewDescribeConfigsResponseResource()
		a.ResourceType, a.ResourceName = r.ResourceType, r.ResourceName
		a.ErrorCode, a.ErrorMessage = kerr.InvalidRequest.Code, &kerr.InvalidRequest.Description
		resp.Resources = append(resp.Resources, a)
	}
	return resp
}

// describe answers with all that there is to be said about configurations.
func (s *settings) describe(x *wire.Exchange, _ *kmsg.DescribeConfigsRequest, resp *kmsg.DescribeConfigsResponse) bool {
	o, err := x.Original()
	if err != nil {
		return false
	}
	req, ok := o.(*kmsg.DescribeConfigsRequest)
	if !ok || len(req.Resources) != len(resp.Resources) || !allDescribable(req) {
		return false
	}
	layers := s.layers(x.Context(), x.Node)
	for i := range resp.Resources {
		d := configDescription{
			settings: s, layers: layers, node: x.Node,
			req: req, asked: req.Resources[i], answer: &resp.Resources[i],
		}
		d.answer.ResourceType = d.asked.ResourceType
		if denied := s.denied(x, kmsg.ACLOperationDescribeConfigs, d.asked.ResourceType, d.asked.ResourceName); denied != nil {
			d.answer.ErrorCode = denied.Code
		} else if c := d.answer.ErrorCode; c == 0 || mended(c) {
			d.run(x.Context())
		}
		if d.answer.ErrorCode != 0 {
			d.answer.Configs = nil
		}
		if d.answer.ErrorMessage == nil {
			d.answer.ErrorMessage = kmsg.StringPtr("")
		}
	}
	return true
}

// mended reports whether a code of kfake's can be wrong. Others are about
// authorization, or come from faults.
func mended(code int16) bool {
	return code == kerr.InvalidRequest.Code || code == kerr.InvalidConfig.Code || code == kerr.UnknownTopicOrPartition.Code
}

// configDescription is what is answered about one resource.
type configDescription struct {
	*settings
	layers []layer
	node   int32
	req    *kmsg.DescribeConfigsRequest
	asked  kmsg.DescribeConfigsRequestResource
	answer *kmsg.DescribeConfigsResponseResource
}

func (d *configDescription) run(ctx context.Context) {
	theirs := d.answer.Configs
	d.answer.Configs = nil
	switch name := d.asked.ResourceName; d.asked.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		d.topic(name)
	case kmsg.ConfigResourceTypeBroker:
		d.broker(name)
	case kmsg.ConfigResourceTypeBrokerLogger:
		d.logger(name)
	case kmsg.ConfigResourceTypeGroupConfig:
		d.group(ctx, name)
	case kmsg.ConfigResourceTypeClientMetrics:
		d.metrics(name, theirs)
	}
	slices.SortFunc(d.answer.Configs, func(a, b describedConfig) int { return strings.Compare(a.Name, b.Name) })
}

func (d *configDescription) refuse(e *kerr.Error, message string) {
	d.answer.ErrorCode, d.answer.ErrorMessage = e.Code, &message
}

func (d *configDescription) topic(name string) {
	if r := checkName(name); r != nil {
		d.refuse(r.err, r.message)
		return
	}
	t, ok := d.c.TopicAlone(name)
	if !ok {
		d.answer.ErrorCode = kerr.UnknownTopicOrPartition.Code
		return
	}
	d.answer.ErrorCode = 0
	for _, def := range topicConfigs {
		v, set := t.Configs[def.name]
		if def.internal && !set || !d.wants(def.name) {
			continue
		}
		var synonyms []configSynonym
		if def.broker != "" {
			synonyms = d.synonyms(def.broker, def.sensitive(), kmsg.ConfigSourceUnknown)
		}
		if set {
			if p, err := def.parse(v); err == nil {
				v = p
			}
			synonyms = slices.Insert(synonyms, 0, configSynonym{Name: def.name, Value: &v, Source: kmsg.ConfigSourceDynamicTopicConfig})
		} else {
			v, _ = topicDefault(d.layers, def)
		}
		d.add(def, &v, false, synonyms, "topicconfigs_")
	}
}

func (d *configDescription) broker(name string) {
	id := d.c.Known(d.node)
	n, err := strconv.ParseInt(name, 10, 32)
	switch {
	case name == "":
		d.answer.ErrorCode = 0
		for name, v := range d.layers[1].values {
			def, ok := define(brokerConfigs, name)
			if !ok {
				def = configDef{name: name}
			}
			d.add(def, &v, !def.dynamic(), d.synonyms(name, def.kind == 0 || def.sensitive(), kmsg.ConfigSourceDynamicDefaultBrokerConfig), "brokerconfigs_")
		}
		return
	case err != nil:
		d.refuse(kerr.InvalidRequest, "Broker id must be an integer, but it is: "+name)
		return
	case int32(n) != id:
		d.refuse(kerr.InvalidRequest, "Unexpected broker id, expected "+strconv.Itoa(int(id))+" or empty string, but received "+name)
		return
	}
	d.answer.ErrorCode = 0
	seen := make(map[string]bool)
	for _, def := range brokerConfigs {
		seen[def.name] = true
		if _, set := given(d.layers, def.name); !def.internal || set {
			d.add(def, effective(d.layers, def.name), !def.dynamic(), d.synonyms(def.name, def.sensitive(), kmsg.ConfigSourceUnknown), "brokerconfigs_")
		}
	}
	for _, l := range d.layers {
		for name := range l.values {
			if !seen[name] { // such as one of a plugin: what it is nobody knows
				seen[name] = true
				d.add(configDef{name: name}, nil, true, d.synonyms(name, true, kmsg.ConfigSourceUnknown), "")
			}
		}
	}
}

// synonyms are the values of a broker configuration, the one that counts first.
// Given a source, they are only those from there.
func (d *configDescription) synonyms(name string, hide bool, only kmsg.ConfigSource) []configSynonym {
	var out []configSynonym
	names := synonymNames(name)
	add := func(name, v string, source kmsg.ConfigSource) {
		s := configSynonym{Name: name, Value: &v, Source: source}
		if hide {
			s.Value = nil
		}
		if only == kmsg.ConfigSourceUnknown || only == source {
			out = append(out, s)
		}
	}
	for _, l := range d.layers {
		for _, name := range names {
			if v, ok := l.values[name]; ok {
				add(name, v, l.source)
			}
		}
	}
	for _, name := range names {
		if def, ok := define(brokerConfigs, name); ok && !def.null {
			add(name, def.value, kmsg.ConfigSourceDefaultConfig)
		}
	}
	first := slices.IndexFunc(out, func(s configSynonym) bool { return s.Name == name })
	if first < 0 {
		return nil
	}
	return out[first:]
}

func (d *configDescription) group(ctx context.Context, name string) {
	if name == "" {
		d.refuse(kerr.InvalidRequest, "Group name must not be empty")
		return
	}
	d.answer.ErrorCode = 0
	values := d.groupConfigs(ctx, name)
	for _, def := range groupConfigs {
		own := configSynonym{Name: def.name, Value: &def.value, Source: kmsg.ConfigSourceDefaultConfig}
		synonyms := []configSynonym{own}
		v := def.value
		if def.broker != "" {
			synonyms = d.synonyms(def.broker, false, kmsg.ConfigSourceUnknown)
			if e := effective(d.layers, def.broker); e != nil {
				v = *e
			}
		}
		if set, ok := values[def.name]; ok {
			v = set
			own.Value, own.Source = &v, kmsg.ConfigSourceGroupConfig
			synonyms = slices.Insert(synonyms, 0, own)
		}
		d.add(def, &v, false, synonyms, "groupconfigs_")
	}
}

func (d *configDescription) metrics(name string, theirs []describedConfig) {
	if name == "" {
		d.refuse(kerr.InvalidRequest, "Client metrics subscription name must not be empty")
		return
	}
	d.answer.ErrorCode = 0
	for _, def := range metricsConfigs {
		v := def.value
		var synonyms []configSynonym
		for _, c := range theirs {
			if c.Name == def.name && c.Source == kmsg.ConfigSourceClientMetricsConfig && c.Value != nil {
				v = *c.Value
				synonyms = []configSynonym{{Name: c.Name, Value: c.Value, Source: c.Source}}
			}
		}
		d.add(def, &v, false, synonyms, "")
	}
}

func (d *configDescription) logger(name string) {
	id := d.c.Known(d.node)
	n, err := strconv.ParseInt(name, 10, 32)
	switch {
	case name == "":
		d.refuse(kerr.InvalidRequest, "Broker id must not be empty")
		return
	case err != nil:
		d.refuse(kerr.InvalidRequest, "Broker id must be an integer, but it is: "+name)
		return
	case int32(n) != id:
		d.refuse(kerr.InvalidRequest, "Unexpected broker id, expected "+strconv.Itoa(int(id))+" but received "+name)
		return
	}
	d.answer.ErrorCode = 0
	for logger, level := range d.levels(d.node) {
		d.include(describedConfig{Name: logger, Value: &level, Source: kmsg.ConfigSourceDynamicBrokerLoggerConfig})
	}
}

// add adds a configuration to the answer, when it was asked for. Its source is
// that of the first synonym. anchor is where Kafka's documentation describes it.
func (d *configDescription) add(def configDef, value *string, readOnly bool, synonyms []configSynonym, anchor string) {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value, c.ReadOnly, c.ConfigType = def.name, value, readOnly, def.kind
	if c.IsSensitive = def.kind == 0 || def.sensitive(); c.IsSensitive {
		c.Value = nil
	}
	c.Source = kmsg.ConfigSourceDefaultConfig
	if len(synonyms) > 0 {
		c.Source = synonyms[0].Source
	}
	c.IsDefault = c.Source == kmsg.ConfigSourceDefaultConfig
	if d.req.IncludeSynonyms {
		c.ConfigSynonyms = synonyms
	}
	if d.req.IncludeDocumentation && def.kind != 0 {
		where := "https://kafka.apache.org/documentation/"
		if anchor != "" {
			where += "#" + anchor + def.name
		}
		c.Documentation = kmsg.StringPtr("See " + where)
	}
	d.include(c)
}

// wants reports whether a configuration was asked for: no names mean all.
func (d *configDescription) wants(name string) bool {
	return len(d.asked.ConfigNames) == 0 || slices.Contains(d.asked.ConfigNames, name)
}

// include adds what was asked for.
func (d *configDescription) include(c describedConfig) {
	if d.wants(c.Name) {
		d.answer.Configs = append(d.answer.Configs, c)
	}
}

// groupConfigs are what a group was given: by kfake what it acts upon, the rest
// is ours.
func (s *settings) groupConfigs(ctx context.Context, group string) map[string]string {
	const version, first = 4, 0
	s.load(ctx)
	s.mu.Lock()
	out := maps.Clone(s.groups[group])
	s.mu.Unlock()
	if out == nil {
		out = make(map[string]string)
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = version
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	req.Resources = append(req.Resources, res)
	resp, err := s.c.Ask(ctx, first, req)
	if err != nil {
		return out
	}
	for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		for _, c := range r.Configs {
			if c.Source == kmsg.ConfigSourceGroupConfig && c.Value != nil {
				out[c.Name] = *c.Value
			}
		}
	}
	return out
}
