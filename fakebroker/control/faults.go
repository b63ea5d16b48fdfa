package control

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control/controlclient"
	"example.com/kafkatest/fakebroker/internal/kafkaname"
	"example.com/kafkatest/fakebroker/internal/nearest"
)

// fault is one that was created here.
type fault struct {
	*fakebroker.Fault
	id      string
	spec    controlclient.FaultSpec
	created time.Time
}

func (f *fault) show() controlclient.Fault {
	return controlclient.Fault{ID: f.id, FaultSpec: f.spec, Hits: f.Hits(), Description: f.String(), Created: f.created}
}

// maxFaults is more than a test has at a time; what is left behind for ever is
// a mistake, and each costs.
const maxFaults = 1000

func (a *api) createFault(r *http.Request) (int, any, error) {
	var s controlclient.FaultSpec
	if err := decode(r, &s); err != nil {
		return 0, nil, err
	}
	strike, err := a.plan(s)
	if err != nil {
		return 0, nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.faults) >= maxFaults {
		return 0, nil, problemf(http.StatusConflict, "", "there are %d faults; clear some", len(a.faults))
	}
	made := strike()
	if made.Inert() {
		made.Clear()
		return 0, nil, a.inert(s)
	}
	a.last++
	f := &fault{made, strconv.Itoa(a.last), s, time.Now().UTC()}
	a.faults = append(a.faults, f)
	return http.StatusCreated, f.show(), nil
}

func (a *api) listFaults(*http.Request) (int, any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := []controlclient.Fault{}
	for _, f := range a.faults {
		out = append(out, f.show())
	}
	return http.StatusOK, struct {
		Faults []controlclient.Fault `json:"faults"`
	}{out}, nil
}

func (a *api) getFault(r *http.Request) (int, any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.find(r)
	if i < 0 {
		return 0, nil, noFault(r)
	}
	return http.StatusOK, a.faults[i].show(), nil
}

func (a *api) clearFault(r *http.Request) (int, any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.find(r)
	if i < 0 {
		return 0, nil, noFault(r)
	}
	f := a.faults[i]
	f.Clear()
	a.faults = slices.Delete(a.faults, i, i+1)
	return http.StatusOK, f.show(), nil
}

func (a *api) clearFaults(*http.Request) (int, any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.faults)
	for _, f := range slices.Backward(a.faults) {
		f.Clear()
	}
	a.faults = nil
	return http.StatusOK, struct {
		Cleared int `json:"cleared"`
	}{n}, nil
}

// find is called with the lock held.
func (a *api) find(r *http.Request) int {
	id := r.PathValue("id")
	return slices.IndexFunc(a.faults, func(f *fault) bool { return f.id == id })
}

func noFault(r *http.Request) error {
	return problemf(http.StatusNotFound, "", "there is no fault %q, or it was cleared", r.PathValue("id"))
}

// plan checks a fault and returns what makes it.
func (a *api) plan(s controlclient.FaultSpec) (func() *fakebroker.Fault, error) {
	scope, err := a.scope(s.Scope)
	if err != nil {
		return nil, err
	}
	b := a.broker
	kinds := map[string]struct {
		fields string // that it has besides fault
		make   func() *fakebroker.Fault
	}{
		controlclient.Refuse: {"error scope", func() *fakebroker.Fault { return b.Refuse(protocolError(s.Error), scope) }},
		controlclient.Delay: {"delay_ms scope", func() *fakebroker.Fault {
			return b.Delay(time.Duration(s.DelayMS)*time.Millisecond, scope)
		}},
		controlclient.DropBefore: {"scope", func() *fakebroker.Fault { return b.DropBefore(scope) }},
		controlclient.DropAfter:  {"scope", func() *fakebroker.Fault { return b.DropAfter(scope) }},
		controlclient.CutOff:     {"scope", func() *fakebroker.Fault { return b.CutOff(scope) }},
		controlclient.TakeDown:   {"broker", func() *fakebroker.Fault { return b.TakeDown(*s.Broker) }},
		controlclient.MoveLeader: {"topic partition broker", func() *fakebroker.Fault { return b.MoveLeader(s.Topic, *s.Partition, *s.Broker) }},
		controlclient.MoveCoordinator: {"group transactional_id broker", func() *fakebroker.Fault {
			if s.TransactionalID != "" {
				return b.MoveTransactionCoordinator(s.TransactionalID, *s.Broker)
			}
			return b.MoveCoordinator(s.Group, *s.Broker)
		}},
		controlclient.ExpireSession: {"scope", func() *fakebroker.Fault { return b.ExpireSession(scope) }},
		controlclient.ForgetTopic:   {"scope", func() *fakebroker.Fault { return b.ForgetTopic(scope) }},
	}
	kind, known := kinds[s.Fault]
	if !known {
		names := slices.Sorted(maps.Keys(kinds))
		return nil, bad("fault", "%q is none of %s%s", s.Fault, strings.Join(names, ", "), nearest.Hint(s.Fault, names, strconv.Quote))
	}
	given := map[string]bool{
		"error": s.Error != "", "delay_ms": s.DelayMS != 0, "broker": s.Broker != nil, "topic": s.Topic != "",
		"partition": s.Partition != nil, "group": s.Group != "", "transactional_id": s.TransactionalID != "", "scope": !s.Scope.IsZero(),
	}
	fields := strings.Fields(kind.fields)
	for _, field := range slices.Sorted(maps.Keys(given)) {
		if given[field] && !slices.Contains(fields, field) {
			return nil, bad(field, "does not go with %s, which has %s", s.Fault, strings.Join(fields, ", "))
		}
	}
	if err := checkReach(s, scope.APIs); err != nil {
		return nil, err
	}
	return kind.make, a.checkFault(s)
}

// inert says why a fault can do nothing.
func (a *api) inert(s controlclient.FaultSpec) error {
	const status = http.StatusConflict // another time it might
	switch s.Fault {
	case controlclient.MoveLeader:
		if a.isDown(*s.Broker) {
			return problemf(status, "broker", "broker %d is down", *s.Broker)
		}
		return problemf(status, "broker", "broker %d leads partition %d of topic %s already", *s.Broker, *s.Partition, s.Topic)
	case controlclient.MoveCoordinator:
		return problemf(status, "broker", "broker %d is the coordinator already", *s.Broker)
	case controlclient.ExpireSession:
		if _, there := a.broker.Group(s.Scope.Group); s.Scope.Group != "" && !there {
			return problemf(status, "scope.group", "there is no group %q", s.Scope.Group)
		}
		return problemf(status, "scope", "no member of a group is in it, and those who join later are left alone")
	case controlclient.ForgetTopic:
		return bad("scope.apis", "none of them is about topics that brokers know")
	}
	return problemf(status, "broker", "this is not possible now")
}

// checkFault checks the values that faults of a kind need.
func (a *api) checkFault(s controlclient.FaultSpec) error {
	switch s.Fault {
	case controlclient.Refuse:
		if protocolError(s.Error) == nil {
			return bad("error", "%q is no error of Kafka's protocol, such as NOT_COORDINATOR", s.Error)
		}
		return nil
	case controlclient.Delay:
		const most = math.MaxInt64 / int64(time.Millisecond)
		if s.DelayMS < 1 || s.DelayMS > most {
			return bad("delay_ms", "%d is not a number of milliseconds from 1 to %d", s.DelayMS, most)
		}
		return nil
	case controlclient.MoveLeader:
		parts, err := a.broker.Partitions(s.Topic)
		if err != nil {
			return inField("topic", err)
		}
		if s.Partition == nil || *s.Partition < 0 || int(*s.Partition) >= len(parts) {
			return bad("partition", "one of the %d partitions of topic %s is needed, from 0", len(parts), s.Topic)
		}
	case controlclient.MoveCoordinator:
		if (s.Group == "") == (s.TransactionalID == "") {
			return bad("group", "either a group or a transactional_id is needed")
		}
	case controlclient.TakeDown:
	default:
		return nil
	}
	if s.Broker == nil {
		return bad("broker", "a node id is needed")
	}
	if err := a.checkNode("broker", *s.Broker); err != nil {
		return err
	}
	if s.Fault == controlclient.TakeDown && a.isDown(*s.Broker) {
		return problemf(http.StatusConflict, "broker", "broker %d is down already", *s.Broker)
	}
	return nil
}

func (a *api) isDown(id int32) bool {
	return slices.ContainsFunc(a.broker.Nodes(), func(n fakebroker.Node) bool { return n.ID == id && !n.Up })
}

func (a *api) checkNode(field string, id int32) error {
	nodes := a.broker.Nodes()
	if !slices.ContainsFunc(nodes, func(n fakebroker.Node) bool { return n.ID == id }) {
		return bad(field, "there is no broker %d among the %d", id, len(nodes))
	}
	return nil
}

func (a *api) scope(s controlclient.Scope) (fakebroker.Scope, error) {
	out := fakebroker.Scope{
		Topic: s.Topic, Partitions: s.Partitions, Group: s.Group, ClientID: s.ClientID, Remote: s.Remote,
		Brokers: s.Brokers, Nth: s.Nth, Count: s.Count,
	}
	for i, name := range s.APIs {
		key, known := kafkaname.API(name)
		if !known {
			return out, bad(fmt.Sprintf("scope.apis[%d]", i), "%q is no API of Kafka's protocol, such as Produce", name)
		}
		out.APIs = append(out.APIs, key)
	}
	if s.Topic != "" {
		if _, err := fakebroker.ParseTopic(s.Topic); err != nil || strings.Contains(s.Topic, ":") {
			return out, bad("scope.topic", "%q cannot be the name of a topic", s.Topic)
		}
	}
	for i, p := range s.Partitions {
		if p < 0 {
			return out, bad(fmt.Sprintf("scope.partitions[%d]", i), "%d is negative", p)
		}
	}
	for i, id := range s.Brokers {
		if err := a.checkNode(fmt.Sprintf("scope.brokers[%d]", i), id); err != nil {
			return out, err
		}
	}
	if s.Remote != "" && !isRemote(s.Remote) {
		return out, bad("scope.remote", "%q is neither an IP address nor one with a port, such as 127.0.0.1:50000", s.Remote)
	}
	if s.Nth < 0 {
		return out, bad("scope.nth", "%d is negative", s.Nth)
	}
	if s.Count < 0 {
		return out, bad("scope.count", "%d is negative; leave it out to strike until the fault is cleared", s.Count)
	}
	return out, nil
}

// protocolError is an error by its name; nil when there is none.
func protocolError(name string) *kerr.Error {
	return kafkaname.Error(cmp.Or(name, kerr.UnknownServerError.Message))
}
