package control

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control/controlclient"
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
	a.last++
	f := &fault{strike(), strconv.Itoa(a.last), s, time.Now().UTC()}
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
		return nil, bad("fault", "%q is none; see /openapi.json for what there is", s.Fault)
	}
	given := map[string]bool{
		"error": s.Error != "", "delay_ms": s.DelayMS != 0, "broker": s.Broker != nil, "topic": s.Topic != "",
		"partition": s.Partition != nil, "group": s.Group != "", "transactional_id": s.TransactionalID != "", "scope": !s.Scope.IsZero(),
	}
	fields := strings.Fields(kind.fields)
	for field, is := range given {
		if is && !slices.Contains(fields, field) {
			return nil, bad(field, "does not go with %s, which has %s", s.Fault, strings.Join(fields, ", "))
		}
	}
	return kind.make, a.checkFault(s)
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
		if s.DelayMS < 1 || s.DelayMS > math.MaxInt64/int64(time.Millisecond) {
			return bad("delay_ms", "%d is not a number of milliseconds from 1", s.DelayMS)
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
	return a.checkNode("broker", *s.Broker)
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
		key, known := apiKey(name)
		if !known {
			return out, bad(fmt.Sprintf("scope.apis[%d]", i), "%q is no API of Kafka's protocol, such as Produce", name)
		}
		out.APIs = append(out.APIs, key)
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
	if s.Nth < 0 {
		return out, bad("scope.nth", "%d is negative", s.Nth)
	}
	if s.Count < 0 {
		return out, bad("scope.count", "%d is negative; leave it out to strike until the fault is cleared", s.Count)
	}
	return out, nil
}

// apiKey is an API by its name, in any case.
func apiKey(name string) (kmsg.Key, bool) {
	for key := range int16(kmsg.MaxKey + 1) {
		if strings.EqualFold(kmsg.NameForKey(key), name) && name != "Unknown" {
			return kmsg.Key(key), true
		}
	}
	return 0, false
}

// protocolError is an error by its name, in the protocol's present words or in
// those that franz-go has; nil when there is none.
func protocolError(name string) *kerr.Error {
	const first, last = -1, 200 // more than there are
	name = cmp.Or(name, kerr.UnknownServerError.Message)
	if name == "NOT_LEADER_OR_FOLLOWER" {
		return kerr.NotLeaderForPartition
	}
	for code := int16(first); code <= last; code++ {
		if e := kerr.TypedErrorForCode(code); e != nil && e.Code == code && e.Message == name {
			return e
		}
	}
	return nil
}
