package brokertest

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	saslplain "github.com/twmb/franz-go/pkg/sasl/plain"
)

func aclBehaviours() []Behaviour {
	needs := Needs{ACLs: true}
	return []Behaviour{
		{
			Name:   "acls/what nobody has allowed is denied",
			Source: "KIP-11; KafkaApis, AclApis",
			Needs:  needs,
			Run:    deniesByDefault,
		},
		{
			Name:   "acls/what is allowed is done",
			Source: "KIP-11, KIP-290; StandardAuthorizer",
			Needs:  needs,
			Run:    allows,
		},
		{
			Name:   "acls/configurations are those of who may change or see them",
			Source: "KIP-133, KIP-339, KIP-848; ControllerApis.authorizeAlterResource, ConfigHelper.handleDescribeConfigsRequest",
			Needs:  needs,
			Run:    configsOfOthers,
		},
		{
			Name:   "acls/a topic is made by asking for who may create it",
			Source: "KafkaApis.handleTopicMetadataRequest",
			Needs:  Needs{ACLs: true, AutoCreate: true},
			Run:    madeByAskingOfWhoMay,
		},
	}
}

// as is a client of the listener with SASL.
func (s *SASL) as(t T, c Credentials, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	return newClient(t, Cluster{Options: s.optionsOf(c)}, append(opts, kgo.DisableIdempotentWrite())...)
}

// optionsOf are those of somebody who comes in by it.
func (s *SASL) optionsOf(c Credentials) []kgo.Opt {
	return append(slices.Clone(s.Options), kgo.SASL(saslplain.Auth{User: c.Name, Pass: c.Password}.AsMechanism()))
}

// anyBroker asks whoever is asked first, so that a refusal is not tried again.
func anyBroker[R kmsg.Response](t T, cl *kgo.Client, req kmsg.Request) R {
	t.Helper()
	resp, err := cl.SeedBrokers()[0].Request(within(t), req)
	noError(t, err)
	typed, ok := resp.(R)
	if !ok {
		t.Errorf("answer is a %T, want a %T", resp, typed)
		t.FailNow()
	}
	return typed
}

func deniesByDefault(t T, c Cluster) {
	t.Helper()
	root := c.SASL.as(t, c.SASL.Admin)
	topic := newTopic(t, root, 1)
	group, txn := name("group"), name("txn")
	cl := c.SASL.as(t, c.SASL.User)

	meta := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &topic
	meta.Topics = append(meta.Topics, mt)
	code(t, "Metadata", anyBroker[*kmsg.MetadataResponse](t, cl, meta).Topics[0].ErrorCode, kerr.TopicAuthorizationFailed)
	meta = kmsg.NewPtrMetadataRequest()
	equal(t, "topics listed", len(anyBroker[*kmsg.MetadataResponse](t, cl, meta).Topics), 0)

	produce := kmsg.NewPtrProduceRequest()
	produce.Acks, produce.TimeoutMillis = -1, 1000
	pt := kmsg.NewProduceRequestTopic()
	pt.Topic = topic
	pp := kmsg.NewProduceRequestTopicPartition()
	pp.Records = batch("v")
	pt.Partitions = append(pt.Partitions, pp)
	produce.Topics = append(produce.Topics, pt)
	code(t, "Produce", anyBroker[*kmsg.ProduceResponse](t, c.SASL.as(t, c.SASL.User, version(kmsg.Produce, 12)), produce).Topics[0].Partitions[0].ErrorCode, kerr.TopicAuthorizationFailed)

	fetch := kmsg.NewPtrFetchRequest()
	fetch.SessionEpoch, fetch.MaxBytes = -1, 1<<20
	ft := kmsg.NewFetchRequestTopic()
	ft.Topic = topic
	fp := kmsg.NewFetchRequestTopicPartition()
	fp.PartitionMaxBytes = 1 << 20
	ft.Partitions = append(ft.Partitions, fp)
	fetch.Topics = append(fetch.Topics, ft)
	code(t, "Fetch", anyBroker[*kmsg.FetchResponse](t, c.SASL.as(t, c.SASL.User, version(kmsg.Fetch, 12)), fetch).Topics[0].Partitions[0].ErrorCode, kerr.TopicAuthorizationFailed)

	list := kmsg.NewPtrListOffsetsRequest()
	lt := kmsg.NewListOffsetsRequestTopic()
	lt.Topic = topic
	lt.Partitions = append(lt.Partitions, kmsg.NewListOffsetsRequestTopicPartition())
	list.Topics = append(list.Topics, lt)
	code(t, "ListOffsets", anyBroker[*kmsg.ListOffsetsResponse](t, cl, list).Topics[0].Partitions[0].ErrorCode, kerr.TopicAuthorizationFailed)

	create := kmsg.NewPtrCreateTopicsRequest()
	ct := kmsg.NewCreateTopicsRequestTopic()
	ct.Topic, ct.NumPartitions, ct.ReplicationFactor = name("topic"), 1, 1
	create.Topics, create.TimeoutMillis = append(create.Topics, ct), 1000
	code(t, "CreateTopics", ask[*kmsg.CreateTopicsResponse](t, cl, create).Topics[0].ErrorCode, kerr.TopicAuthorizationFailed)

	del := kmsg.NewPtrDeleteTopicsRequest()
	dt := kmsg.NewDeleteTopicsRequestTopic()
	dt.Topic = &topic
	del.Topics, del.TopicNames, del.TimeoutMillis = append(del.Topics, dt), []string{topic}, 1000
	code(t, "DeleteTopics", ask[*kmsg.DeleteTopicsResponse](t, cl, del).Topics[0].ErrorCode, kerr.TopicAuthorizationFailed)

	parts := kmsg.NewPtrCreatePartitionsRequest()
	cp := kmsg.NewCreatePartitionsRequestTopic()
	cp.Topic, cp.Count = topic, 3
	parts.Topics, parts.TimeoutMillis = append(parts.Topics, cp), 1000
	code(t, "CreatePartitions", ask[*kmsg.CreatePartitionsResponse](t, cl, parts).Topics[0].ErrorCode, kerr.TopicAuthorizationFailed)

	conf := kmsg.NewPtrDescribeConfigsRequest()
	cr := kmsg.NewDescribeConfigsRequestResource()
	cr.ResourceType, cr.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	conf.Resources = append(conf.Resources, cr)
	cr.ResourceType, cr.ResourceName = kmsg.ConfigResourceTypeBroker, ""
	conf.Resources = append(conf.Resources, cr)
	described := anyBroker[*kmsg.DescribeConfigsResponse](t, cl, conf).Resources
	for _, r := range described {
		want := kerr.TopicAuthorizationFailed
		if r.ResourceType == kmsg.ConfigResourceTypeBroker {
			want = kerr.ClusterAuthorizationFailed
		}
		code(t, "DescribeConfigs of "+r.ResourceType.String(), r.ErrorCode, want)
	}

	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKeys = []string{group}
	code(t, "FindCoordinator", anyBroker[*kmsg.FindCoordinatorResponse](t, cl, find).Coordinators[0].ErrorCode, kerr.GroupAuthorizationFailed)
	find = kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorType, find.CoordinatorKeys = 1, []string{txn}
	code(t, "FindCoordinator of a transaction", anyBroker[*kmsg.FindCoordinatorResponse](t, cl, find).Coordinators[0].ErrorCode, kerr.TransactionalIDAuthorizationFailed)

	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = group, "consumer", 10_000, 10_000
	jp := kmsg.NewJoinGroupRequestProtocol()
	jp.Name = "range"
	join.Protocols = append(join.Protocols, jp)
	code(t, "JoinGroup", anyBroker[*kmsg.JoinGroupResponse](t, cl, join).ErrorCode, kerr.GroupAuthorizationFailed)

	offsets := kmsg.NewPtrOffsetFetchRequest()
	og := kmsg.NewOffsetFetchRequestGroup()
	og.Group = group
	offsets.Groups = append(offsets.Groups, og)
	code(t, "OffsetFetch", anyBroker[*kmsg.OffsetFetchResponse](t, c.SASL.as(t, c.SASL.User, version(kmsg.OffsetFetch, 9)), offsets).Groups[0].ErrorCode, kerr.GroupAuthorizationFailed)

	groups := kmsg.NewPtrDescribeGroupsRequest()
	groups.Groups = []string{group}
	code(t, "DescribeGroups", anyBroker[*kmsg.DescribeGroupsResponse](t, cl, groups).Groups[0].ErrorCode, kerr.GroupAuthorizationFailed)

	streams := kmsg.NewPtrStreamsGroupDescribeRequest()
	streams.Groups = []string{group}
	code(t, "StreamsGroupDescribe", anyBroker[*kmsg.StreamsGroupDescribeResponse](t, cl, streams).Groups[0].ErrorCode, kerr.GroupAuthorizationFailed)

	deleted := kmsg.NewPtrDeleteGroupsRequest()
	deleted.Groups = []string{group}
	code(t, "DeleteGroups", anyBroker[*kmsg.DeleteGroupsResponse](t, cl, deleted).Groups[0].ErrorCode, kerr.GroupAuthorizationFailed)

	init := kmsg.NewPtrInitProducerIDRequest()
	init.ProducerID, init.ProducerEpoch = -1, -1
	code(t, "InitProducerId", anyBroker[*kmsg.InitProducerIDResponse](t, cl, init).ErrorCode, kerr.ClusterAuthorizationFailed)
	init.TransactionalID, init.TransactionTimeoutMillis = &txn, 1000
	code(t, "InitProducerId of a transaction", anyBroker[*kmsg.InitProducerIDResponse](t, cl, init).ErrorCode, kerr.TransactionalIDAuthorizationFailed)

	acls := kmsg.NewPtrDescribeACLsRequest()
	acls.ResourceType, acls.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	acls.Operation, acls.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	code(t, "DescribeAcls", anyBroker[*kmsg.DescribeACLsResponse](t, cl, acls).ErrorCode, kerr.ClusterAuthorizationFailed)
	code(t, "CreateAcls", anyBroker[*kmsg.CreateACLsResponse](t, cl, aclFor(c.SASL.User, topic, kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow, false)).Results[0].ErrorCode, kerr.ClusterAuthorizationFailed)
}

func aclFor(u Credentials, resource string, op kmsg.ACLOperation, permission kmsg.ACLPermissionType, prefix bool) *kmsg.CreateACLsRequest {
	req := kmsg.NewPtrCreateACLsRequest()
	a := kmsg.NewCreateACLsRequestCreation()
	a.Principal, a.Host, a.Operation, a.PermissionType = "User:"+u.Name, "*", op, permission
	a.ResourceType, a.ResourceName, a.ResourcePatternType = kmsg.ACLResourceTypeTopic, resource, kmsg.ACLResourcePatternTypeLiteral
	if prefix {
		a.ResourcePatternType = kmsg.ACLResourcePatternTypePrefixed
	}
	req.Creations = append(req.Creations, a)
	return req
}

func allows(t T, c Cluster) {
	t.Helper()
	root := c.SASL.as(t, c.SASL.Admin)
	topic := newTopic(t, root, 1)
	cl := c.SASL.as(t, c.SASL.User)
	can := func(topic string) (*kerr.Error, *kerr.Error) {
		t.Helper()
		req := kmsg.NewPtrMetadataRequest()
		mt := kmsg.NewMetadataRequestTopic()
		mt.Topic = &topic
		req.Topics = append(req.Topics, mt)
		described := anyBroker[*kmsg.MetadataResponse](t, cl, req).Topics[0].ErrorCode
		list := kmsg.NewPtrListOffsetsRequest()
		lt := kmsg.NewListOffsetsRequestTopic()
		lt.Topic = topic
		lt.Partitions = append(lt.Partitions, kmsg.NewListOffsetsRequestTopicPartition())
		list.Topics = append(list.Topics, lt)
		listed := anyBroker[*kmsg.ListOffsetsResponse](t, cl, list).Topics[0].Partitions[0].ErrorCode
		return kerr.TypedErrorForCode(described), kerr.TypedErrorForCode(listed)
	}
	denied := kerr.TopicAuthorizationFailed
	for _, step := range []struct {
		what       string
		resource   string
		op         kmsg.ACLOperation
		permission kmsg.ACLPermissionType
		prefix     bool
		want       *kerr.Error
	}{
		{"another operation", topic, kmsg.ACLOperationDescribeConfigs, kmsg.ACLPermissionTypeAllow, false, denied},
		{"another topic", topic + "-2", kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow, false, denied},
		{"writing is describing", topic[:len(topic)-2], kmsg.ACLOperationWrite, kmsg.ACLPermissionTypeAllow, true, nil},
		{"a denial goes first", topic, kmsg.ACLOperationDescribe, kmsg.ACLPermissionTypeDeny, false, denied},
	} {
		forgetACLs(t, root, kmsg.ACLResourceTypeTopic, step.resource)
		code(t, "CreateAcls", ask[*kmsg.CreateACLsResponse](t, root, aclFor(c.SASL.User, step.resource, step.op, step.permission, step.prefix)).Results[0].ErrorCode, nil)
		eventually(t, step.what, func() bool {
			described, listed := can(topic)
			return described == step.want && listed == step.want
		})
	}
}

// forgetACLs deletes the ACLs of a resource with the test.
func forgetACLs(t T, root *kgo.Client, kind kmsg.ACLResourceType, resource string) {
	t.Helper()
	req := kmsg.NewPtrDeleteACLsRequest()
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourceName, f.ResourcePatternType = kind, &resource, kmsg.ACLResourcePatternTypeAny
	f.Operation, f.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	req.Filters = append(req.Filters, f)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		_, _ = req.RequestWith(ctx, root) // the cluster may be gone already
	})
}

// configsOfOthers changes and describes configurations of all kinds, without the
// right to do so, with the right to one kind, and again without.
func configsOfOthers(t T, c Cluster) {
	root := c.SASL.as(t, c.SASL.Admin)
	cl := c.SASL.as(t, c.SASL.User)
	topic, group, metrics := newTopic(t, root, 1), name("group"), name("metrics")
	resources := []struct {
		kind          resourceType
		name          string
		config        configChange
		denied        *kerr.Error
		resource      kmsg.ACLResourceType
		resourceNamed string
	}{
		{topicResource, topic, set("retention.ms", "1000"), kerr.TopicAuthorizationFailed, kmsg.ACLResourceTypeTopic, topic},
		{groupResource, group, set("consumer.session.timeout.ms", "50000"), kerr.GroupAuthorizationFailed, kmsg.ACLResourceTypeGroup, group},
		{metricsResource, metrics, set("interval.ms", "1000"), kerr.ClusterAuthorizationFailed, kmsg.ACLResourceTypeCluster, "kafka-cluster"},
		{brokerResource, "", set("log.retention.ms", "100000"), kerr.ClusterAuthorizationFailed, kmsg.ACLResourceTypeCluster, "kafka-cluster"},
	}
	check := func(step string, may func(resource kmsg.ACLResourceType) bool) {
		t.Helper()
		for _, r := range resources {
			want := r.denied
			if may(r.resource) {
				want = nil
			}
			what := step + ": " + r.kind.String()
			incremental := kmsg.NewPtrIncrementalAlterConfigsRequest()
			incremental.ValidateOnly = want == nil // what may be changed stays as it is
			incremental.Resources = append(incremental.Resources, alterResource(r.kind, r.name, r.config))
			code(t, what+" altered", anyBroker[*kmsg.IncrementalAlterConfigsResponse](t, cl, incremental).Resources[0].ErrorCode, want)

			replace := kmsg.NewPtrAlterConfigsRequest()
			rr := kmsg.NewAlterConfigsRequestResource()
			rr.ResourceType, rr.ResourceName = r.kind, r.name
			rc := kmsg.NewAlterConfigsRequestResourceConfig()
			rc.Name, rc.Value = r.config.name, r.config.value
			rr.Configs = append(rr.Configs, rc)
			replace.Resources = append(replace.Resources, rr)
			for _, validate := range []bool{true, want == nil} {
				if r.kind == brokerResource && want == nil {
					break // all brokers cannot be without what they have
				}
				replace.ValidateOnly = validate
				code(t, what+" replaced", anyBroker[*kmsg.AlterConfigsResponse](t, cl, replace).Resources[0].ErrorCode, want)
			}

			describe := kmsg.NewPtrDescribeConfigsRequest()
			dr := kmsg.NewDescribeConfigsRequestResource()
			dr.ResourceType, dr.ResourceName = r.kind, r.name
			describe.Resources = append(describe.Resources, dr)
			described := anyBroker[*kmsg.DescribeConfigsResponse](t, cl, describe).Resources[0]
			code(t, what+" described", described.ErrorCode, want)
			if want != nil {
				equal(t, what+" described to who may not", len(described.Configs), 0)
			}
		}
	}
	nothing := func(kmsg.ACLResourceType) bool { return false }
	check("nothing is allowed", nothing)
	for _, r := range resources[:len(resources)-1] { // the last two are of the same resource
		for _, step := range []struct {
			what       string
			op         kmsg.ACLOperation
			permission kmsg.ACLPermissionType
		}{{"allowed", kmsg.ACLOperationAlterConfigs, kmsg.ACLPermissionTypeAllow}, {"denied after all", kmsg.ACLOperationAll, kmsg.ACLPermissionTypeDeny}} {
			req := aclFor(c.SASL.User, r.resourceNamed, step.op, step.permission, false)
			req.Creations[0].ResourceType = r.resource
			forgetACLs(t, root, r.resource, r.resourceNamed)
			code(t, "CreateAcls", ask[*kmsg.CreateACLsResponse](t, root, req).Results[0].ErrorCode, nil)
			may := func(resource kmsg.ACLResourceType) bool {
				return step.permission == kmsg.ACLPermissionTypeAllow && resource == r.resource
			}
			eventually(t, "the ACL is known", func() bool {
				incremental := kmsg.NewPtrIncrementalAlterConfigsRequest()
				incremental.ValidateOnly = true
				incremental.Resources = append(incremental.Resources, alterResource(r.kind, r.name, r.config))
				return (anyBroker[*kmsg.IncrementalAlterConfigsResponse](t, cl, incremental).Resources[0].ErrorCode == 0) == may(r.resource)
			})
			if may(r.resource) {
				check(r.kind.String()+" "+step.what, may)
			}
		}
	}
	for _, r := range resources {
		if r.kind == groupResource || r.kind == metricsResource {
			d := describeConfigs(t, root, someBroker(t, root), r.kind, r.name)
			for _, c := range d.Configs {
				if c.Name == r.config.name && text(c.Value) == text(r.config.value) {
					t.Errorf("%s %s was changed by who may not", r.kind, c.Name)
				}
			}
		}
	}
}

// madeByAskingOfWhoMay asks for topics that there are not, as somebody who may see
// them and, in the end, create them.
func madeByAskingOfWhoMay(t T, c Cluster) {
	root := c.SASL.as(t, c.SASL.Admin)
	for _, v := range versions(1, 12) {
		cl := c.SASL.as(t, c.SASL.User, version(kmsg.Metadata, v))
		ask := func(topic string, create bool) int16 {
			t.Helper()
			req := kmsg.NewPtrMetadataRequest()
			req.AllowAutoTopicCreation = create
			mt := kmsg.NewMetadataRequestTopic()
			mt.Topic = &topic
			req.Topics = append(req.Topics, mt)
			topics := anyBroker[*kmsg.MetadataResponse](t, cl, req).Topics
			equal(t, "topics", len(topics), 1)
			return topics[0].ErrorCode
		}
		what := "v" + number(int32(v)) + ": "
		topic := name("topic")
		deleteLater(t, root, topic)
		createACL(t, root, aclFor(c.SASL.User, topic, kmsg.ACLOperationDescribe, kmsg.ACLPermissionTypeAllow, false))
		if v >= 4 { // before, topics are always made
			eventually(t, what+"the topic may be seen", func() bool { return ask(topic, false) == kerr.UnknownTopicOrPartition.Code })
		}
		for range 2 {
			code(t, what+"who may not create it", ask(topic, true), kerr.TopicAuthorizationFailed)
		}
		createACL(t, root, aclFor(c.SASL.User, topic, kmsg.ACLOperationCreate, kmsg.ACLPermissionTypeAllow, false))
		eventually(t, what+"the topic is made", func() bool { return ask(topic, true) == 0 })
	}
}
