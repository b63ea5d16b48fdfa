package own

import (
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// put puts the prefix on all names in a request.
func (n *Names) put(req kmsg.Request) {
	add := func(name string) string {
		if name == "" {
			return "" // and the broker says what is wrong with that
		}
		return n.prefix + name
	}
	switch r := req.(type) {
	case *kmsg.FindCoordinatorRequest:
		r.CoordinatorKey = add(r.CoordinatorKey)
		each(r.CoordinatorKeys, add)
	case *kmsg.JoinGroupRequest:
		for i := range r.Protocols {
			r.Protocols[i].Metadata = subscription(&r.ProtocolType, r.Protocols[i].Metadata, add)
		}
	case *kmsg.SyncGroupRequest:
		for i := range r.GroupAssignment {
			r.GroupAssignment[i].MemberAssignment = assignment(r.ProtocolType, r.GroupAssignment[i].MemberAssignment, add)
		}
	case *kmsg.ConsumerGroupHeartbeatRequest:
		// Kafka matches the whole name.
		if re := r.SubscribedTopicRegex; re != nil && *re != "" {
			r.SubscribedTopicRegex = kmsg.StringPtr(regexp.QuoteMeta(n.prefix) + "(?:" + *re + ")")
		}
	case *kmsg.ListTransactionsRequest:
		if re := r.TransactionalIDPattern; re != nil && *re != "" {
			r.TransactionalIDPattern = kmsg.StringPtr(regexp.QuoteMeta(n.prefix) + "(?:" + *re + ")")
		}
	}
	walk(reflect.ValueOf(req), add)
}

// take takes the prefix from all names in an answer, and leaves out what does not
// have it where an answer lists all that there is.
func (n *Names) take(resp kmsg.Response) {
	own := func(name string) bool { return strings.HasPrefix(name, n.prefix) }
	cut := func(name string) string { return strings.TrimPrefix(name, n.prefix) }
	switch r := resp.(type) {
	case *kmsg.MetadataResponse:
		r.Topics = slices.DeleteFunc(r.Topics, func(t kmsg.MetadataResponseTopic) bool { return t.Topic != nil && !own(*t.Topic) })
	case *kmsg.DescribeTopicPartitionsResponse:
		r.Topics = slices.DeleteFunc(r.Topics, func(t kmsg.DescribeTopicPartitionsResponseTopic) bool {
			return t.Topic != nil && !own(*t.Topic)
		})
	case *kmsg.DescribeLogDirsResponse:
		for i := range r.Dirs {
			r.Dirs[i].Topics = slices.DeleteFunc(r.Dirs[i].Topics, func(t kmsg.DescribeLogDirsResponseDirTopic) bool { return !own(t.Topic) })
		}
	case *kmsg.ListConfigResourcesResponse:
		r.ConfigResources = slices.DeleteFunc(r.ConfigResources, func(c kmsg.ListConfigResourcesResponseConfigResource) bool {
			return prefixed(kmsg.ConfigResourceType(c.Type)) && !own(c.Name)
		})
		for i := range r.ConfigResources {
			if c := &r.ConfigResources[i]; prefixed(kmsg.ConfigResourceType(c.Type)) {
				c.Name = cut(c.Name)
			}
		}
	case *kmsg.ListGroupsResponse:
		r.Groups = slices.DeleteFunc(r.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return !own(g.Group) })
	case *kmsg.ListTransactionsResponse:
		r.TransactionStates = slices.DeleteFunc(r.TransactionStates, func(t kmsg.ListTransactionsResponseTransactionState) bool {
			return !own(t.TransactionalID)
		})
	case *kmsg.FindCoordinatorResponse:
		for i := range r.Coordinators {
			r.Coordinators[i].Key = cut(r.Coordinators[i].Key)
		}
	case *kmsg.JoinGroupResponse:
		for i := range r.Members {
			r.Members[i].ProtocolMetadata = subscription(r.ProtocolType, r.Members[i].ProtocolMetadata, cut)
		}
	case *kmsg.SyncGroupResponse:
		r.MemberAssignment = assignment(r.ProtocolType, r.MemberAssignment, cut)
	case *kmsg.DescribeGroupsResponse:
		for _, g := range r.Groups {
			for i := range g.Members {
				m := &g.Members[i]
				m.ProtocolMetadata = subscription(&g.ProtocolType, m.ProtocolMetadata, cut)
				m.MemberAssignment = assignment(&g.ProtocolType, m.MemberAssignment, cut)
			}
		}
	}
	walk(reflect.ValueOf(resp), cut)
}

// fields are those that are names, in requests and answers alike.
var fields = map[string]bool{
	"Topic": true, "TopicNames": true, "SubscribedTopicNames": true, "SubscribedTopics": true,
	"SourceTopics": true, "RepartitionSinkTopics": true, "SinkTopic": true,
	"Group": true, "GroupID": true, "GroupIDs": true,
	"TransactionID": true, "TransactionalID": true, "TransactionalIDs": true,
}

// walk renames all fields that are names. Groups and topics of some requests are
// lists of names, of others lists of what has one.
func walk(v reflect.Value, to func(string) string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			walk(v.Elem(), to)
		}
	case reflect.Slice:
		if k := v.Type().Elem().Kind(); k == reflect.Struct || k == reflect.Slice {
			for i := range v.Len() {
				walk(v.Index(i), to)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			switch value := v.Field(i).Addr().Interface().(type) {
			case *string:
				if fields[f.Name] {
					*value = to(*value)
				}
			case **string:
				if fields[f.Name] && *value != nil {
					renamed := to(**value)
					*value = &renamed
				}
			case *[]string:
				if fields[f.Name] || f.Name == "Groups" || f.Name == "Topics" {
					each(*value, to)
				}
			case *kmsg.Tags:
			default:
				if f.IsExported() {
					walk(v.Field(i), to)
				}
			}
		}
		resource(v, to)
	}
}

// resource renames what a configuration is of.
func resource(v reflect.Value, to func(string) string) {
	kind, name := v.FieldByName("ResourceType"), v.FieldByName("ResourceName")
	if !kind.IsValid() || !name.IsValid() || name.Kind() != reflect.String {
		return
	}
	if k, ok := kind.Interface().(kmsg.ConfigResourceType); ok && prefixed(k) {
		name.SetString(to(name.String()))
	}
}

// prefixed reports whether what has a configuration is a test's own.
func prefixed(k kmsg.ConfigResourceType) bool {
	return k == kmsg.ConfigResourceTypeTopic || k == kmsg.ConfigResourceTypeGroupConfig
}

func each(names []string, to func(string) string) {
	for i := range names {
		names[i] = to(names[i])
	}
}

// consumer reports whether a group's members are consumers, whose protocol
// brokers read too: when a group turns into one of KIP-848.
func consumer(protocol *string, data []byte) bool {
	return len(data) > 0 && (protocol == nil || *protocol == "consumer")
}

// subscription is what a consumer joins its group with, renamed. What assignors
// put there for each other is theirs.
func subscription(protocol *string, data []byte, to func(string) string) []byte {
	var m kmsg.ConsumerMemberMetadata
	if !consumer(protocol, data) || m.ReadFrom(data) != nil {
		return data
	}
	walk(reflect.ValueOf(&m), to)
	return m.AppendTo(nil)
}

// assignment is what a consumer is assigned, renamed.
func assignment(protocol *string, data []byte, to func(string) string) []byte {
	var a kmsg.ConsumerMemberAssignment
	if !consumer(protocol, data) || a.ReadFrom(data) != nil {
		return data
	}
	walk(reflect.ValueOf(&a), to)
	return a.AppendTo(nil)
}
