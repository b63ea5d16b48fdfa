package brokertest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupConfigBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "configs/a group has configurations of its own",
			Source: "KIP-848, KIP-932; GroupConfig, ConfigHelper",
			Run:    groupHasConfigs,
		},
		{
			Name:   "configs/altering a group checks its configurations",
			Source: "KIP-848, KIP-932; GroupConfig.validate",
			Run:    alteringGroupsChecksConfigs,
		},
		{
			Name:   "configs/a group is a resource while it has a configuration",
			Source: "KIP-1142; ConfigurationControlManager",
			Run:    groupIsAResource,
		},
		{
			Name:   "configs/changes that are asked for at once are all made",
			Source: "KIP-339: an alteration leaves what it does not name; ConfigurationControlManager",
			Run:    changesAtOnce,
		},
		{
			Name:   "configs/a client metrics subscription is checked and described",
			Source: "KIP-714; ClientMetricsConfigs",
			Run:    metricsHaveConfigs,
		},
	}
}

// groupDefaults are the configurations of a group, with their types, values and
// the brokers' configurations that they fall back to.
var groupDefaults = []struct {
	name   string
	kind   kmsg.ConfigType
	value  string
	broker string
}{
	{"consumer.assignment.interval.ms", kmsg.ConfigTypeInt, "1000", "group.consumer.assignment.interval.ms"},
	{"consumer.heartbeat.interval.ms", kmsg.ConfigTypeInt, "5000", "group.consumer.heartbeat.interval.ms"},
	{"consumer.session.timeout.ms", kmsg.ConfigTypeInt, "45000", "group.consumer.session.timeout.ms"},
	{"share.assignment.interval.ms", kmsg.ConfigTypeInt, "1000", "group.share.assignment.interval.ms"},
	{"share.auto.offset.reset", kmsg.ConfigTypeString, "latest", "share.auto.offset.reset"},
	{"share.delivery.count.limit", kmsg.ConfigTypeInt, "5", "group.share.delivery.count.limit"},
	{"share.heartbeat.interval.ms", kmsg.ConfigTypeInt, "5000", "group.share.heartbeat.interval.ms"},
	{"share.isolation.level", kmsg.ConfigTypeString, "read_uncommitted", "share.isolation.level"},
	{"share.partition.max.record.locks", kmsg.ConfigTypeInt, "2000", "group.share.partition.max.record.locks"},
	{"share.record.lock.duration.ms", kmsg.ConfigTypeInt, "30000", "group.share.record.lock.duration.ms"},
	{"share.renew.acknowledge.enable", kmsg.ConfigTypeBoolean, "true", "share.renew.acknowledge.enable"},
	{"share.session.timeout.ms", kmsg.ConfigTypeInt, "45000", "group.share.session.timeout.ms"},
	{"streams.assignment.interval.ms", kmsg.ConfigTypeInt, "1000", "group.streams.assignment.interval.ms"},
	{"streams.heartbeat.interval.ms", kmsg.ConfigTypeInt, "5000", "group.streams.heartbeat.interval.ms"},
	{"streams.initial.rebalance.delay.ms", kmsg.ConfigTypeInt, "3000", "group.streams.initial.rebalance.delay.ms"},
	{"streams.num.standby.replicas", kmsg.ConfigTypeInt, "0", "group.streams.num.standby.replicas"},
	{"streams.session.timeout.ms", kmsg.ConfigTypeInt, "45000", "group.streams.session.timeout.ms"},
}

func groupHasConfigs(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	group := name("group")
	d := describeConfigs(t, cl, node, groupResource, group)
	code(t, "group", d.ErrorCode, nil)
	slices.SortFunc(d.Configs, func(a, b kmsg.DescribeConfigsResponseResourceConfig) int { return strings.Compare(a.Name, b.Name) })
	var got, want []string
	for _, c := range d.Configs {
		got = append(got, setting(d, c.Name)+" type "+strconv.Itoa(int(c.ConfigType)))
	}
	for _, g := range groupDefaults {
		want = append(want, g.name+"="+g.value+" 5 ["+g.broker+"="+g.value+" 5] type "+strconv.Itoa(int(g.kind)))
	}
	equal(t, "configurations", got, want)

	const session, standby, delivery = "consumer.session.timeout.ms", "streams.num.standby.replicas", "share.delivery.count.limit"
	restores(t, cl, node, alterResource(groupResource, group, unset(session), unset(standby), unset(delivery)))
	equal(t, "altered", alterConfigs(t, cl, node, false, alterResource(groupResource, group, set(session, " 50000"), set(standby, "1"))), []string{"0"})
	settles(t, cl, node, groupResource, group, session+"=50000 8 ["+session+"=50000 8] [group."+session+"=45000 5]")
	settles(t, cl, node, groupResource, group, standby+"=1 8 ["+standby+"=1 8] [group."+standby+"=0 5]")
	equal(t, "replaced", replaceConfigs(t, cl, node, false, replaceResource(groupResource, group, set(delivery, "7"))), []string{"0"})
	settles(t, cl, node, groupResource, group, delivery+"=7 8 ["+delivery+"=7 8] [group."+delivery+"=5 5]")
	settles(t, cl, node, groupResource, group, session+"=45000 5 [group."+session+"=45000 5]")
	settles(t, cl, node, groupResource, group, standby+"=0 5 [group."+standby+"=0 5]")
}

func alteringGroupsChecksConfigs(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	group := name("group")
	reset := func(v string) string {
		return "40 Invalid value " + v + " for configuration share.auto.offset.reset: Invalid value `" + v +
			"` for configuration share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'."
	}
	var cases []configCase
	for _, c := range []struct{ name, value, want string }{
		{"no.such", "1", "40 Unknown group config name: no.such"},
		{"share.max.size", "5", "40 Unknown group config name: share.max.size"},
		{"consumer.session.timeout.ms", "x", "40 Invalid value x for configuration consumer.session.timeout.ms: Not a number of type INT"},
		{"consumer.session.timeout.ms", "44999", "40 consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"},
		{"consumer.session.timeout.ms", "60001", "40 consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms"},
		{"consumer.heartbeat.interval.ms", "0", "40 Invalid value 0 for configuration consumer.heartbeat.interval.ms: Value must be at least 1"},
		{"consumer.heartbeat.interval.ms", "4999", "40 consumer.heartbeat.interval.ms must be greater than or equal to group.consumer.min.heartbeat.interval.ms"},
		{"consumer.heartbeat.interval.ms", "15001", "40 consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms"},
		{"consumer.assignment.interval.ms", "15001", "40 consumer.assignment.interval.ms must be less than or equal to group.consumer.max.assignment.interval.ms"},
		{"share.session.timeout.ms", "99999", "40 share.session.timeout.ms must be less than or equal to group.share.max.session.timeout.ms"},
		{"share.heartbeat.interval.ms", "1", "40 share.heartbeat.interval.ms must be greater than or equal to group.share.min.heartbeat.interval.ms"},
		{"share.record.lock.duration.ms", "999", "40 Invalid value 999 for configuration share.record.lock.duration.ms: Value must be at least 1000"},
		{"share.record.lock.duration.ms", "14999", "40 share.record.lock.duration.ms must be greater than or equal to group.share.min.record.lock.duration.ms"},
		{"share.record.lock.duration.ms", "60001", "40 share.record.lock.duration.ms must be less than or equal to group.share.max.record.lock.duration.ms"},
		{"share.delivery.count.limit", "1", "40 Invalid value 1 for configuration share.delivery.count.limit: Value must be at least 2"},
		{"share.delivery.count.limit", "11", "40 share.delivery.count.limit must be less than or equal to group.share.max.delivery.count.limit"},
		{"share.partition.max.record.locks", "10001", "40 share.partition.max.record.locks must be less than or equal to group.share.max.partition.max.record.locks"},
		{"share.isolation.level", "READ_COMMITTED", "40 Invalid value READ_COMMITTED for configuration share.isolation.level: String must be one of: read_committed, read_uncommitted"},
		{"share.renew.acknowledge.enable", "x", "40 Invalid value x for configuration share.renew.acknowledge.enable: Expected value to be either true or false"},
		{"streams.num.standby.replicas", "3", "40 streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas"},
		{"share.auto.offset.reset", "EARLIEST", reset("EARLIEST")},
		{"share.auto.offset.reset", "by_duration:x", reset("by_duration:x")},
		{"share.auto.offset.reset", "by_duration:-PT1H", reset("by_duration:-PT1H")},
		{"share.auto.offset.reset", "none", reset("none")},
		{"share.auto.offset.reset", "by_duration:P1DT1H2.5S", "0"},
		{"share.isolation.level", "read_committed", "0"},
	} {
		cases = append(cases, configCase{[]configChange{set(c.name, c.value)}, c.want})
	}
	cases = append(cases,
		configCase{[]configChange{add("consumer.session.timeout.ms", "50000")}, "40 Can't APPEND to key consumer.session.timeout.ms because its type is not LIST."},
		configCase{[]configChange{{name: "consumer.session.timeout.ms"}}, "42 Null value not supported for : consumer.session.timeout.ms"},
		configCase{[]configChange{unset("consumer.session.timeout.ms"), unset("no.such")}, "0"},
	)
	refusedConfigs(t, cl, node, groupResource, group, cases)
	refusedConfigs(t, cl, node, groupResource, "", []configCase{
		{[]configChange{set("consumer.session.timeout.ms", "50000")}, "42 Default group resources are not allowed."},
	})
}

// configResources are the names of the resources of a type.
func configResources(t T, cl *kgo.Client, kind resourceType) []string {
	t.Helper()
	req := kmsg.NewPtrListConfigResourcesRequest()
	req.ResourceTypes = []int8{int8(kind)}
	resp := ask[*kmsg.ListConfigResourcesResponse](t, cl, req)
	code(t, "list", resp.ErrorCode, nil)
	var names []string
	for _, r := range resp.ConfigResources {
		equal(t, "type", r.Type, int8(kind))
		names = append(names, r.Name)
	}
	return names
}

func groupIsAResource(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	// Whatever it is that a broker acts upon itself.
	for _, config := range []configChange{set("consumer.session.timeout.ms", "50000"), set("streams.num.standby.replicas", "1")} {
		group := name("group")
		restores(t, cl, node, alterResource(groupResource, group, unset(config.name)))
		equal(t, "listed", slices.Contains(configResources(t, cl, groupResource), group), false)
		equal(t, "set", alterConfigs(t, cl, node, false, alterResource(groupResource, group, config)), []string{"0"})
		eventually(t, group, func() bool { return slices.Contains(configResources(t, cl, groupResource), group) })
		equal(t, "deleted", alterConfigs(t, cl, node, false, alterResource(groupResource, group, unset(config.name))), []string{"0"})
		eventually(t, "no "+group, func() bool { return !slices.Contains(configResources(t, cl, groupResource), group) })
	}
}

func metricsHaveConfigs(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	subscription := name("metrics")
	restores(t, cl, node, alterResource(metricsResource, subscription, unset("interval.ms"), unset("metrics"), unset("match")))
	refusedConfigs(t, cl, node, metricsResource, subscription, []configCase{
		{[]configChange{set("interval.ms", "x")}, "40 Invalid value x for configuration interval.ms: Not a number of type INT"},
		{[]configChange{set("interval.ms", "1")}, "42 Invalid value 1 for interval.ms, interval must be between 100 and 3600000 (1 hour)"},
		{[]configChange{set("no.such", "1")}, "42 Unknown client metrics configuration: no.such"},
		{[]configChange{set("match", "foo")}, "40 Illegal client matching pattern: foo"},
		{[]configChange{set("match", "client_id=[")}, "40 Illegal client matching pattern: client_id=["},
		{[]configChange{add("metrics", "a")}, "40 Can't APPEND to key metrics because its type is not LIST."},
	})
	refusedConfigs(t, cl, node, metricsResource, "", []configCase{
		{[]configChange{set("interval.ms", "1000")}, "42 Subscription name can't be empty"},
	})
	settles(t, cl, node, metricsResource, subscription, "interval.ms=300000 5")
	settles(t, cl, node, metricsResource, subscription, "match= 5")
	equal(t, "set", alterConfigs(t, cl, node, false, alterResource(metricsResource, subscription, set("interval.ms", "1000"), set("match", "client_id=a.*"))), []string{"0"})
	settles(t, cl, node, metricsResource, subscription, "interval.ms=1000 7 [interval.ms=1000 7]")
	settles(t, cl, node, metricsResource, subscription, "match=client_id=a.* 7 [match=client_id=a.* 7]")
	eventually(t, subscription, func() bool { return slices.Contains(configResources(t, cl, metricsResource), subscription) })
}

// changesAtOnce does not wait for an answer before the next change is asked for, of
// configurations that are there for the time of the test only.
func changesAtOnce(t T, c Cluster) {
	cl := newClient(t, c)
	node := someBroker(t, cl)
	topic := newTopic(t, cl, 1)
	const rounds = 5
	for range rounds {
		for _, r := range []struct {
			kind  resourceType
			name  string
			names []string
		}{
			{topicResource, topic, []string{"retention.ms", "segment.ms", "flush.ms"}},
			{groupResource, name("group"), []string{"consumer.session.timeout.ms", "streams.session.timeout.ms", "share.session.timeout.ms", "streams.num.standby.replicas"}},
			{brokerResource, "", []string{"log.retention.ms", "log.flush.interval.messages", "log.index.interval.bytes", "message.max.bytes"}},
		} {
			restored := make([]configChange, len(r.names))
			sets, unsets := make([]kmsg.Request, len(r.names)), make([]kmsg.Request, len(r.names))
			for i, n := range r.names {
				v := "50000"
				if n == "streams.num.standby.replicas" {
					v = "1"
				}
				restored[i] = unset(n)
				one := func(c configChange) kmsg.Request {
					req := kmsg.NewPtrIncrementalAlterConfigsRequest()
					req.Version = 1
					req.Resources = append(req.Resources, alterResource(r.kind, r.name, c))
					return req
				}
				sets[i], unsets[i] = one(set(n, v)), one(unset(n))
			}
			restores(t, cl, node, alterResource(r.kind, r.name, restored...))
			for _, step := range []struct {
				reqs []kmsg.Request
				set  bool
			}{{sets, true}, {unsets, false}} {
				for i, a := range dial(t, c.Options).askAtOnce(step.reqs...) {
					code(t, r.kind.String()+" "+r.names[i], a.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode, nil)
				}
				eventually(t, r.kind.String()+" is altered", func() bool {
					d := describeConfigs(t, cl, node, r.kind, r.name, r.names...)
					found := 0
					for _, c := range d.Configs {
						if v := text(c.Value); v == "50000" || c.Name == "streams.num.standby.replicas" && v == "1" {
							found++
						}
					}
					return step.set && found == len(r.names) || !step.set && found == 0
				})
			}
		}
	}
}
