package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func everyoneBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "acls/what no ACL is about is allowed",
			Source: "allow.everyone.if.no.acl.found; StandardAuthorizerData.findAclRule",
			Needs:  Needs{AllowEveryone: true},
			Run:    allowedWithoutACL,
		},
		{
			Name:   "acls/who is asked for ACLs tells of clients' own",
			Source: "allow.everyone.if.no.acl.found; DescribeAcls, DeleteAcls",
			Needs:  Needs{AllowEveryone: true},
			Run:    tellsOfClientsACLs,
		},
	}
}

// mayRead reports what reading a topic and the list of all topics say to a client.
func mayRead(t T, cl *kgo.Client, topic string) (*kerr.Error, bool) {
	t.Helper()
	list := kmsg.NewPtrListOffsetsRequest()
	lt := kmsg.NewListOffsetsRequestTopic()
	lt.Topic = topic
	lt.Partitions = append(lt.Partitions, kmsg.NewListOffsetsRequestTopicPartition())
	list.Topics = append(list.Topics, lt)
	got := kerr.TypedErrorForCode(anyBroker[*kmsg.ListOffsetsResponse](t, cl, list).Topics[0].Partitions[0].ErrorCode)
	all := kmsg.NewPtrMetadataRequest()
	for _, mt := range anyBroker[*kmsg.MetadataResponse](t, cl, all).Topics {
		if text(mt.Topic) == topic {
			return got, true
		}
	}
	return got, false
}

// createACL makes an ACL about a topic, which is deleted with the test.
func createACL(t T, root *kgo.Client, req *kmsg.CreateACLsRequest) {
	t.Helper()
	c := req.Creations[0]
	forgetACLs(t, root, c.ResourceType, c.ResourceName)
	code(t, "CreateAcls", ask[*kmsg.CreateACLsResponse](t, root, req).Results[0].ErrorCode, nil)
}

func aclFilter(kind kmsg.ACLResourceType, resource string) *kmsg.DeleteACLsRequest {
	req := kmsg.NewPtrDeleteACLsRequest()
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourceName, f.ResourcePatternType = kind, &resource, kmsg.ACLResourcePatternTypeAny
	f.Operation, f.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	req.Filters = append(req.Filters, f)
	return req
}

func allowedWithoutACL(t T, c Cluster) {
	root, cl := c.SASL.as(t, c.SASL.Admin), c.SASL.as(t, c.SASL.User)
	topic := newTopic(t, cl, 1)
	noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: topic, Value: []byte("v")}).FirstErr())
	group, txn := name("group"), name("txn")
	join := joinOf(group, "", topic)
	code(t, "JoinGroup", askIn[*kmsg.JoinGroupResponse](t, Cluster{Options: c.SASL.optionsOf(c.SASL.User)}, 3, join).ErrorCode, nil)
	init := kmsg.NewPtrInitProducerIDRequest()
	init.ProducerID, init.ProducerEpoch = -1, -1
	code(t, "InitProducerId", ask[*kmsg.InitProducerIDResponse](t, cl, init).ErrorCode, nil)
	init.TransactionalID, init.TransactionTimeoutMillis = &txn, 10_000
	code(t, "InitProducerId of a transaction", ask[*kmsg.InitProducerIDResponse](t, cl, init).ErrorCode, nil)
	conf := kmsg.NewPtrDescribeConfigsRequest()
	cr := kmsg.NewDescribeConfigsRequestResource()
	cr.ResourceType = kmsg.ConfigResourceTypeBroker
	conf.Resources = append(conf.Resources, cr)
	code(t, "DescribeConfigs", anyBroker[*kmsg.DescribeConfigsResponse](t, cl, conf).Resources[0].ErrorCode, nil)

	somebody, denied := Credentials{Name: "somebody"}, kerr.TopicAuthorizationFailed
	other := topic[:len(topic)-1] + "_" // nobody makes it
	for _, step := range []struct {
		what, resource string
		op             kmsg.ACLOperation
		permission     kmsg.ACLPermissionType
		prefix         bool
		who            Credentials
		want           *kerr.Error
	}{
		{"an ACL about another topic", other, kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow, false, somebody, nil},
		{"somebody else is allowed", topic, kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow, false, somebody, denied},
		{"somebody else is denied", topic, kmsg.ACLOperationRead, kmsg.ACLPermissionTypeDeny, false, somebody, denied},
		{"by a prefix", topic[:len(topic)-2], kmsg.ACLOperationAlter, kmsg.ACLPermissionTypeAllow, true, somebody, denied},
		{"about all topics", "*", kmsg.ACLOperationCreate, kmsg.ACLPermissionTypeAllow, false, somebody, denied},
		{"the user is allowed too", topic, kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow, false, c.SASL.User, nil},
		{"everybody is allowed", topic, kmsg.ACLOperationAll, kmsg.ACLPermissionTypeAllow, false, Credentials{Name: "*"}, nil},
	} {
		createACL(t, root, aclFor(step.who, step.resource, step.op, step.permission, step.prefix))
		eventually(t, step.what, func() bool {
			got, listed := mayRead(t, cl, topic)
			return got == step.want && listed == (step.want == nil)
		})
		code(t, "DeleteAcls", ask[*kmsg.DeleteACLsResponse](t, root, aclFilter(kmsg.ACLResourceTypeTopic, step.resource)).Results[0].ErrorCode, nil)
		eventually(t, "allowed again after: "+step.what, func() bool {
			got, listed := mayRead(t, cl, topic)
			return got == nil && listed
		})
	}
}

func tellsOfClientsACLs(t T, c Cluster) {
	root := c.SASL.as(t, c.SASL.Admin)
	topic := newTopic(t, root, 1)
	described := func() (all []kmsg.DescribeACLsResponseResourceACL) {
		t.Helper()
		req := kmsg.NewPtrDescribeACLsRequest()
		req.ResourceType, req.ResourceName, req.ResourcePatternType = kmsg.ACLResourceTypeTopic, &topic, kmsg.ACLResourcePatternTypeMatch
		req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		for _, r := range anyBroker[*kmsg.DescribeACLsResponse](t, root, req).Resources {
			all = append(all, r.ACLs...)
		}
		return all
	}
	got, _ := mayRead(t, c.SASL.as(t, c.SASL.User), topic)
	equal(t, "reading", got, nil)
	equal(t, "ACLs before", len(described()), 0)
	deleted := ask[*kmsg.DeleteACLsResponse](t, root, aclFilter(kmsg.ACLResourceTypeTopic, topic)).Results[0]
	code(t, "DeleteAcls", deleted.ErrorCode, nil)
	equal(t, "deleted without any", len(deleted.MatchingACLs), 0)
	everybody := aclFor(Credentials{Name: "*"}, topic, kmsg.ACLOperationAll, kmsg.ACLPermissionTypeAllow, false)
	createACL(t, root, everybody)
	eventually(t, "the ACL is told", func() bool { return len(described()) == 1 })
	equal(t, "deleted", len(ask[*kmsg.DeleteACLsResponse](t, root, aclFilter(kmsg.ACLResourceTypeTopic, topic)).Results[0].MatchingACLs), 1)
	eventually(t, "no ACL is told", func() bool { return len(described()) == 0 })
}
