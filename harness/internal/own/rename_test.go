package own

import (
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// elsewhere are fields that are names, patterns of names or both, and have their
// own cases in put and take.
var elsewhere = []string{
	"CoordinatorKey", "CoordinatorKeys", "FindCoordinatorResponseCoordinator.Key",
	"ListConfigResourcesResponseConfigResource.Name", "ResourceName",
	"Groups", "SubscribedTopicRegex", "TransactionalIDPattern",
}

// other are fields that hold text which is no name of a topic, a group or a
// transactional id.
var other = []string{
	"AcknowledgeErrorMessage", "Assignor", "AssignorName", "ClientHost", "ClientID", "ClientSoftwareName",
	"ClientSoftwareVersion", "ClusterID", "ConfigNames", "Dir", "Documentation", "EntityType", "ErrorMessage",
	"Feature", "GroupState", "GroupType", "Host", "InstanceID", "Key", "LeaderID", "ListenerName", "Match", "Mechanism",
	"MemberID", "Metadata", "Name", "OwnerPrincipalName", "OwnerPrincipalType", "Principal", "PrincipalName",
	"PrincipalType", "ProcessID", "Protocol", "ProtocolType", "Rack", "RackID", "Reason", "RequestedMetrics",
	"ServerAssignor", "State", "StateFilters", "StatesFilter", "StatusDetail", "Stores", "SubtopologyID", "Successors",
	"SupportedMechanisms", "TokenID", "TokenRequesterPrincipalName", "TokenRequesterPrincipalType", "TransactionState",
	"Type", "TypesFilter", "UnknownStateFilters", "User", "Value",
	"SourceTopicRegex", // of Kafka Streams alone
}

// What a newer protocol says in words is a name, or it is not: somebody has to
// decide.
func TestWalk_everyFieldIsKnown(t *testing.T) {
	var unknown []string
	for key := range int16(kmsg.MaxKey + 1) {
		for _, m := range []any{kmsg.RequestForKey(key), kmsg.ResponseForKey(key)} {
			texts(reflect.TypeOf(m), func(in reflect.Type, f reflect.StructField) {
				name := in.Name() + "." + f.Name
				if !fields[f.Name] && !slices.Contains(elsewhere, f.Name) && !slices.Contains(elsewhere, name) && !slices.Contains(other, f.Name) {
					unknown = append(unknown, name)
				}
			})
		}
	}
	slices.Sort(unknown)
	assert.Empty(t, slices.Compact(unknown))
}

// texts finds the fields of a message that hold text.
func texts(t reflect.Type, found func(in reflect.Type, f reflect.StructField)) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		texts(t.Elem(), found)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			switch f.Type {
			case reflect.TypeFor[string](), reflect.TypeFor[*string](), reflect.TypeFor[[]string]():
				found(t, f)
			default:
				texts(f.Type, found)
			}
		}
	}
}
