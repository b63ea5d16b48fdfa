package brokertest

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func configBehaviours() []Behaviour {
	return slices.Concat(
		topicConfigBehaviours(),
		brokerConfigBehaviours(),
		groupConfigBehaviours(),
	)
}

type (
	resourceType = kmsg.ConfigResourceType
	described    = kmsg.DescribeConfigsResponseResource
)

const (
	topicResource   = kmsg.ConfigResourceTypeTopic
	brokerResource  = kmsg.ConfigResourceTypeBroker
	loggerResource  = kmsg.ConfigResourceTypeBrokerLogger
	metricsResource = kmsg.ConfigResourceTypeClientMetrics
	groupResource   = kmsg.ConfigResourceTypeGroupConfig
)

// someBroker is the node id of a broker.
func someBroker(t T, cl *kgo.Client) int32 {
	t.Helper()
	return ask[*kmsg.MetadataResponse](t, cl, kmsg.NewPtrMetadataRequest()).Brokers[0].NodeID
}

// askOf sends a request to one broker, also where a client would ask another.
func askOf[R kmsg.Response](t T, cl *kgo.Client, node int32, req kmsg.Request) R {
	t.Helper()
	resp, err := cl.Broker(int(node)).Request(within(t), req)
	noError(t, err)
	typed, ok := resp.(R)
	if !ok {
		t.Errorf("answer is a %T, want a %T", resp, typed)
		t.FailNow()
	}
	return typed
}

// describeConfigs asks a broker about one resource, with synonyms. No names are
// null, which asks for all.
func describeConfigs(t T, cl *kgo.Client, node int32, kind resourceType, resource string, names ...string) described {
	t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms = true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, resource, names
	req.Resources = append(req.Resources, r)
	resp := askOf[*kmsg.DescribeConfigsResponse](t, cl, node, req)
	if len(resp.Resources) != 1 {
		t.Errorf("%d resources described, want 1", len(resp.Resources))
		t.FailNow()
	}
	return resp.Resources[0]
}

// setting is a configuration with its value and where it comes from, the synonyms
// included: "retention.ms=5 1 [retention.ms=5 1] [log.retention.hours=168 5]".
func setting(d described, name string) string {
	for _, c := range d.Configs {
		if c.Name != name {
			continue
		}
		s := c.Name + "=" + text(c.Value) + " " + strconv.Itoa(int(c.Source))
		for _, y := range c.ConfigSynonyms {
			s += " [" + y.Name + "=" + text(y.Value) + " " + strconv.Itoa(int(y.Source)) + "]"
		}
		return s
	}
	return name + " is not described"
}

// configChange is what is done to a configuration; without a value it is null.
type configChange struct {
	op    kmsg.IncrementalAlterConfigOp
	name  string
	value *string
}

func set(name, value string) configChange {
	return configChange{kmsg.IncrementalAlterConfigOpSet, name, &value}
}

func unset(name string) configChange {
	return configChange{kmsg.IncrementalAlterConfigOpDelete, name, nil}
}

func add(name, value string) configChange {
	return configChange{kmsg.IncrementalAlterConfigOpAppend, name, &value}
}

func subtract(name, value string) configChange {
	return configChange{kmsg.IncrementalAlterConfigOpSubtract, name, &value}
}

// alterResource is a resource of IncrementalAlterConfigs.
func alterResource(kind resourceType, resource string, changes ...configChange) kmsg.IncrementalAlterConfigsRequestResource {
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, resource
	for _, c := range changes {
		rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		rc.Op, rc.Name, rc.Value = c.op, c.name, c.value
		r.Configs = append(r.Configs, rc)
	}
	return r
}

// alterConfigs asks a broker for changes, by IncrementalAlterConfigs. The answer
// has a line for each resource.
func alterConfigs(t T, cl *kgo.Client, node int32, validate bool, resources ...kmsg.IncrementalAlterConfigsRequestResource) []string {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly, req.Resources = validate, resources
	var out []string
	for _, r := range askOf[*kmsg.IncrementalAlterConfigsResponse](t, cl, node, req).Resources {
		out = append(out, verdict(r.ErrorCode, r.ErrorMessage))
	}
	return out
}

// replaceResource is a resource of AlterConfigs; null values are those of
// changes.
func replaceResource(kind resourceType, resource string, changes ...configChange) kmsg.AlterConfigsRequestResource {
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, resource
	for _, c := range changes {
		rc := kmsg.NewAlterConfigsRequestResourceConfig()
		rc.Name, rc.Value = c.name, c.value
		r.Configs = append(r.Configs, rc)
	}
	return r
}

// replaceConfigs asks a broker for changes, by AlterConfigs. The answer has a
// line for each resource.
func replaceConfigs(t T, cl *kgo.Client, node int32, validate bool, resources ...kmsg.AlterConfigsRequestResource) []string {
	t.Helper()
	req := kmsg.NewPtrAlterConfigsRequest()
	req.ValidateOnly, req.Resources = validate, resources
	var out []string
	for _, r := range askOf[*kmsg.AlterConfigsResponse](t, cl, node, req).Resources {
		out = append(out, verdict(r.ErrorCode, r.ErrorMessage))
	}
	return out
}

// verdict is an error code with what is said about it: "40 Unknown topic config
// name: x".
func verdict(code int16, message *string) string {
	s := strconv.Itoa(int(code))
	if message != nil && *message != "" {
		s += " " + *message
	}
	return s
}

// configCase is changes and the verdict on them.
type configCase struct {
	changes []configChange
	want    string
}

// refusedConfigs asks for the changes, each set by itself, without making them.
func refusedConfigs(t T, cl *kgo.Client, node int32, kind resourceType, resource string, cases []configCase) {
	t.Helper()
	for _, c := range cases {
		got := alterConfigs(t, cl, node, true, alterResource(kind, resource, c.changes...))
		equal(t, describeChanges(c.changes), got, []string{c.want})
	}
}

func describeChanges(changes []configChange) string {
	s := ""
	for _, c := range changes {
		s += c.op.String() + " " + c.name + "=" + text(c.value) + " "
	}
	return s
}

// afterwards is a context for what is done when a behaviour is over.
func afterwards(t T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// restores takes changes back when the behaviour is over.
func restores(t T, cl *kgo.Client, node int32, resources ...kmsg.IncrementalAlterConfigsRequestResource) {
	t.Cleanup(func() {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Resources = resources
		_, _ = cl.Broker(int(node)).Request(afterwards(t), req) // the cluster may be gone already
	})
}
