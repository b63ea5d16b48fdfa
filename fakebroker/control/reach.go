package control

import (
	"net"
	"net/netip"
	"reflect"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/control/controlclient"
)

// checkReach refuses fields of a scope that a kind of fault does not look at, and
// such that requests of its APIs cannot have: it would never strike.
func checkReach(s controlclient.FaultSpec, apis []kmsg.Key) error {
	given := []struct {
		field string
		is    bool
		names func(subjects) bool
	}{
		{"scope.apis", len(apis) > 0, func(subjects) bool { return true }},
		{"scope.topic", s.Scope.Topic != "", func(n subjects) bool { return n.topic }},
		{"scope.partitions", len(s.Scope.Partitions) > 0, func(n subjects) bool { return n.partition }},
		{"scope.group", s.Scope.Group != "", func(n subjects) bool { return n.group }},
	}
	ignored := map[string][]string{
		controlclient.CutOff:        {"scope.apis", "scope.topic", "scope.partitions", "scope.group"},
		controlclient.ExpireSession: {"scope.apis"},
		controlclient.ForgetTopic:   {"scope.group"},
	}[s.Fault]
	for _, g := range given {
		for _, field := range ignored {
			if g.is && g.field == field {
				return bad(field, "does not go with %s, which does not look at it", s.Fault)
			}
		}
	}
	if len(apis) == 0 || ignored != nil {
		return nil
	}
	for _, g := range given {
		reached := false
		for _, key := range apis {
			reached = reached || g.names(subjectsOf(key))
		}
		if g.is && !reached {
			return bad(g.field, "requests of these apis do not name any, so none is in the scope")
		}
	}
	return nil
}

// subjects is what requests of an API can be about.
type subjects struct{ topic, partition, group bool }

func subjectsOf(key kmsg.Key) (s subjects) {
	if key == kmsg.FindCoordinator {
		s.group = true
	}
	if req := kmsg.RequestForKey(key.Int16()); req != nil {
		s.walk(reflect.TypeOf(req).Elem())
	}
	return s
}

// walk looks for fields by the names that kmsg gives them in every request.
func (s *subjects) walk(t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		switch f.Name {
		case "Topic", "TopicID", "TopicNames", "SubscribedTopicNames":
			s.topic = true
		case "Partition", "Partitions":
			s.partition = true
		case "Group", "GroupID", "Groups":
			s.group = true
		}
		if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
			s.walk(f.Type.Elem())
		}
	}
}

// isRemote reports whether a connection can come from there: the address is
// compared as it is written.
func isRemote(s string) bool {
	host := s
	if h, port, err := net.SplitHostPort(s); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return false
		}
		host = h
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().String() == host
}
