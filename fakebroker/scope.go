package fakebroker

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/internal/kafkaname"
)

// Scope says which requests a fault is for: those that match every field that is
// set. The zero value is every request of every client, until the fault is
// cleared.
//
// A request matches a topic, partition or group that it names. Two kinds of
// fetch need to be known about: one in a session (KIP-227) does not repeat the
// partitions of earlier ones, so DropBefore takes it for any topic, while Delay
// and DropAfter look at the topics of its answer too; Refuse knows them all.
// Connections open with ApiVersions and Metadata, which name no group and, most
// of the time, no topic.
type Scope struct {
	APIs       []kmsg.Key // such as kmsg.Produce; empty means all
	Topic      string     // empty means all, and requests without topics
	Partitions []int32    // of Topic, or of any topic; empty means all
	Group      string     // consumer or share group; empty means all, and requests without one
	ClientID   string     // empty means all
	Remote     string     // the client's address, HOST or HOST:PORT; empty means all
	Brokers    []int32    // node ids; empty means all

	// Nth is the first of the matching requests to be struck, counted from the
	// fault's start. Zero and 1 mean the first.
	Nth int

	// Count is how many requests are struck, from Nth on. Zero means all, until
	// the fault is cleared.
	Count int
}

// String names what the scope is limited to.
func (s Scope) String() string {
	var parts []string
	add := func(name string, v any) { parts = append(parts, fmt.Sprintf("%s %v", name, v)) }
	for _, k := range s.APIs {
		parts = append(parts, kafkaname.OfAPI(k))
	}
	if s.Topic != "" {
		add("topic", s.Topic)
	}
	if len(s.Partitions) > 0 {
		add("partitions", s.Partitions)
	}
	if s.Group != "" {
		add("group", s.Group)
	}
	if s.ClientID != "" {
		add("client", s.ClientID)
	}
	if s.Remote != "" {
		add("remote", s.Remote)
	}
	if len(s.Brokers) > 0 {
		add("brokers", s.Brokers)
	}
	if s.Nth > 1 {
		add("from number", s.Nth)
	}
	if s.Count > 0 {
		add("count", s.Count)
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, ", ")
}

func (s Scope) hasClient(id string) bool { return s.ClientID == "" || s.ClientID == id }

func (s Scope) hasBroker(node int32) bool {
	return len(s.Brokers) == 0 || slices.Contains(s.Brokers, node)
}

// hasRemote reports whether a connection comes from the scope's address.
func (s Scope) hasRemote(remote net.Addr) bool {
	if s.Remote == "" {
		return true
	}
	return remote != nil && s.hasAddr(remote.String())
}

func (s Scope) hasAddr(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return addr == s.Remote || err == nil && host == s.Remote
}

func (s Scope) needsBody() bool {
	return s.Topic != "" || len(s.Partitions) > 0 || s.Group != ""
}

// names is what a message is about.
type names struct {
	groups map[string]bool
	topics map[string][]int32 // partitions; nil when it is about the topic as such
}

func (s Scope) matches(n names) bool {
	if s.Group != "" && !n.groups[s.Group] {
		return false
	}
	if s.Topic == "" && len(s.Partitions) == 0 {
		return true
	}
	for topic, parts := range n.topics {
		if s.Topic != "" && s.Topic != topic {
			continue
		}
		if len(s.Partitions) == 0 || slices.ContainsFunc(parts, func(p int32) bool { return slices.Contains(s.Partitions, p) }) {
			return true
		}
	}
	return false
}

// namesIn finds the topics, partitions and groups of a message. kmsg calls them
// the same in every request, so one walk serves all. byID resolves topic ids
// (KIP-516).
func namesIn(byID func([16]byte) string, messages ...any) names {
	n := names{groups: make(map[string]bool), topics: make(map[string][]int32)}
	for _, m := range messages {
		v := reflect.ValueOf(m)
		if f, ok := m.(*kmsg.FindCoordinatorRequest); ok && f.CoordinatorType == 0 {
			n.groups[f.CoordinatorKey] = true
			for _, k := range f.CoordinatorKeys {
				n.groups[k] = true
			}
		}
		n.walk(v.Elem(), "", byID)
	}
	delete(n.groups, "")
	return n
}

func (n names) walk(v reflect.Value, topic string, byID func([16]byte) string) {
	for i := range v.NumField() {
		switch f := v.Type().Field(i); f.Name {
		case "Topic", "TopicID":
			if name := topicName(v.Field(i), byID); name != "" {
				topic = name
				n.topics[topic] = append(n.topics[topic], []int32{}...)
			}
		case "Group", "GroupID":
			if v.Field(i).Kind() == reflect.String {
				n.groups[v.Field(i).String()] = true
			}
		}
	}
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() == reflect.Int32 && v.Type().Field(i).Name == "Partition" {
			n.topics[topic] = append(n.topics[topic], int32(f.Int()))
		}
		if f.Kind() != reflect.Slice {
			continue
		}
		switch list := f.Interface().(type) {
		case []int32:
			if v.Type().Field(i).Name == "Partitions" {
				n.topics[topic] = append(n.topics[topic], list...)
			}
		case []string:
			n.list(v.Type().Field(i).Name, list)
		default:
			for j := range f.Len() {
				if e := f.Index(j); e.Kind() == reflect.Struct {
					n.walk(e, topic, byID)
				}
			}
		}
	}
}

func (n names) list(field string, list []string) {
	for _, s := range list {
		switch field {
		case "Groups":
			n.groups[s] = true
		case "TopicNames", "SubscribedTopicNames":
			n.topics[s] = append(n.topics[s], []int32{}...)
		}
	}
}

func topicName(v reflect.Value, byID func([16]byte) string) string {
	switch t := v.Interface().(type) {
	case string:
		return t
	case *string:
		if t != nil {
			return *t
		}
	case [16]byte:
		if t != ([16]byte{}) {
			return byID(t)
		}
	}
	return ""
}
