package fakebroker

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// coordination is where groups and transactions are coordinated, where that is not
// where kfake has them. kfake puts each on a broker by a hash of its name and
// has no way to move one. So inside the process all stay where they are, and on
// the wire brokers answer for each other, or refuse what they no longer have.
type coordination struct {
	any atomic.Bool // something was moved: what every request asks first

	mu    sync.Mutex
	moves []*coordinatorMove // a later one goes before an earlier one
}

// coordinated is what has a coordinator.
type coordinated struct {
	kind int8 // a coordinator type of FindCoordinator
	name string
}

const (
	groups       int8 = 0
	transactions int8 = 1
)

type coordinatorMove struct {
	coordinated
	to    int32
	fault *Fault
}

// MoveCoordinator moves the coordinator of a group (consumer or share) to
// another broker, until the fault is cleared: FindCoordinator names the other,
// which then serves the group, and everybody else refuses with NOT_COORDINATOR.
// The group keeps its members and offsets, as it does in Kafka, where the new
// coordinator reads them from its log. Hits counts the requests that were
// refused because they came to the old coordinator.
//
// A node id that does not exist, and the broker that is the coordinator already,
// make a fault that never strikes. While the broker moved to is down, another one
// stands in for it, see [Broker.TakeDown].
func (b *Broker) MoveCoordinator(group string, to int32) *Fault {
	return b.moveCoordinator(fmt.Sprintf("coordinator of group %s moved to broker %d", group, to), coordinated{groups, group}, to)
}

// MoveTransactionCoordinator is [Broker.MoveCoordinator] for the coordinator of
// a transactional id.
func (b *Broker) MoveTransactionCoordinator(transactionalID string, to int32) *Fault {
	return b.moveCoordinator(fmt.Sprintf("coordinator of transactional id %s moved to broker %d", transactionalID, to), coordinated{transactions, transactionalID}, to)
}

func (b *Broker) moveCoordinator(name string, c coordinated, to int32) *Fault {
	f := b.newFault(name, 0)
	to = b.node(to)
	if !b.exists(to) {
		f.name, f.inert = f.name+", which does not exist", true
		return f
	}
	if _, at := b.place(c); at == to {
		f.name, f.inert = f.name+", where it is already", true
		return f
	}
	m := &coordinatorMove{c, to, f}
	b.coordinators.change(func(l []*coordinatorMove) []*coordinatorMove { return append(l, m) })
	f.clear = func() {
		b.coordinators.change(func(l []*coordinatorMove) []*coordinatorMove {
			return slices.DeleteFunc(l, func(o *coordinatorMove) bool { return o == m })
		})
	}
	return f.begin()
}

// exists reports whether kfake has a broker of that number.
func (b *Broker) exists(node int32) bool { return node >= 0 && int(node) < len(b.listeners) }

func (p *coordination) change(f func([]*coordinatorMove) []*coordinatorMove) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moves = f(p.moves)
	p.any.Store(len(p.moves) > 0)
}

// moved is the latest move of a group or transaction, nil when there is none.
func (p *coordination) moved(c coordinated) *coordinatorMove {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range slices.Backward(p.moves) {
		if m.coordinated == c {
			return m
		}
	}
	return nil
}

// place is where something is coordinated: in kfake, and as clients shall see it.
func (b *Broker) place(c coordinated) (inside, outside int32) {
	err := b.do(func() error {
		inside = b.cluster.CoordinatorFor(c.name)
		return nil
	})
	if err != nil {
		return -1, -1 // closed: nothing is answered any more
	}
	outside = inside
	if m := b.coordinators.moved(c); m != nil {
		outside = m.to
	}
	return inside, b.standIn(outside)
}

// displaced is a rule's Wants for as long as something is not where kfake has it.
func (b *Broker) displaced(keys ...kmsg.Key) func(wire.Header) bool {
	api := wire.Keys(keys...)
	return func(h wire.Header) bool { return (b.outage.any.Load() || b.coordinators.any.Load()) && api.Has(h.Key) }
}

// nameCoordinators has FindCoordinator name those that clients shall ask.
func (b *Broker) nameCoordinators() wire.Rule {
	return wire.Rule{
		Name:  "coordinators are named where they are",
		Wants: b.displaced(kmsg.FindCoordinator),
		Answer: func(x *wire.Exchange) {
			r, err := x.Request()
			if err != nil {
				return
			}
			a, err := x.Response()
			if err != nil {
				return
			}
			req, resp := r.(*kmsg.FindCoordinatorRequest), a.(*kmsg.FindCoordinatorResponse)
			name := func(key string, code int16, node *int32, host *string, port *int32) {
				if code != 0 {
					return
				}
				if _, to := b.place(coordinated{req.CoordinatorType, key}); to >= 0 {
					*node = to
					*host, *port = b.hostport(to)
				}
			}
			name(req.CoordinatorKey, resp.ErrorCode, &resp.NodeID, &resp.Host, &resp.Port)
			for i := range resp.Coordinators {
				c := &resp.Coordinators[i]
				name(c.Key, c.ErrorCode, &c.NodeID, &c.Host, &c.Port)
			}
			x.SetResponse(resp)
		},
	}
}

// coordinate is what is asked of coordinators.
var coordinate = []kmsg.Key{
	kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.OffsetDelete, kmsg.TxnOffsetCommit,
	kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup,
	kmsg.DescribeGroups, kmsg.ListGroups, kmsg.DeleteGroups,
	kmsg.ConsumerGroupHeartbeat, kmsg.ConsumerGroupDescribe,
	kmsg.ShareGroupHeartbeat, kmsg.ShareGroupDescribe,
	kmsg.DescribeShareGroupOffsets, kmsg.AlterShareGroupOffsets, kmsg.DeleteShareGroupOffsets,
	kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn,
	kmsg.DescribeTransactions, kmsg.ListTransactions,
}

// refuseElsewhere has each broker refuse what it does not coordinate as clients
// see it, although kfake has it there.
func (b *Broker) refuseElsewhere() wire.Rule {
	return wire.Rule{
		Name:  "coordinators serve only where they are",
		Wants: b.displaced(coordinate...),
		Request: func(x *wire.Exchange) {
			req, err := x.Request()
			if err != nil {
				return
			}
			parts, several := split(req)
			if several {
				if resp := b.askEach(x, parts); resp != nil {
					x.Reply(resp)
				}
				return
			}
			if c, ok := coordinatedBy(req); ok {
				if inside, outside := b.place(c); inside == x.Node && outside != x.Node {
					if resp := b.refuseMisplaced(x, c, inside, req); resp != nil {
						x.Reply(resp)
					}
				}
			}
		},
	}
}

// serveWhereCoordinated has each broker serve what it coordinates as clients see
// it, although kfake has it elsewhere.
func (b *Broker) serveWhereCoordinated() wire.Rule {
	return wire.Rule{
		Name:  "coordinators serve where they are",
		Wants: b.displaced(coordinate...),
		Answer: func(x *wire.Exchange) {
			req, err := x.Request()
			if err != nil {
				return
			}
			if lists(req) {
				b.listCoordinated(x, req)
				return
			}
			// Some wait for long, as JoinGroup does, so they are asked only in
			// their turn, when nothing is kept from being read.
			if c, ok := coordinatedBy(req); ok {
				if inside, outside := b.place(c); inside != x.Node && outside == x.Node {
					b.forward(x, inside, kerr.NotCoordinator)
				}
			}
		},
	}
}

// refuseMisplaced is the answer of a broker that does not coordinate c: the one
// that kfake's others give, so that it has the shape of its API and version. It
// is nil when there is no other.
func (b *Broker) refuseMisplaced(x *wire.Exchange, c coordinated, inside int32, req kmsg.Request) kmsg.Response {
	other := (inside + 1) % int32(len(b.listeners))
	if other == inside {
		return nil
	}
	resp, err := b.askAs(x.Context(), x, other, req)
	if err != nil {
		return nil
	}
	if m := b.coordinators.moved(c); m != nil {
		m.fault.strike(Scope{})
		b.struckRequest(m.fault, x)
	}
	return resp
}

// askEach answers a request about several groups or transactions part by part.
// Each is asked of whoever has it, or of somebody who refuses it.
func (b *Broker) askEach(x *wire.Exchange, parts []kmsg.Request) kmsg.Response {
	var all kmsg.Response
	for _, req := range parts {
		c, _ := coordinatedBy(req)
		inside, outside := b.place(c)
		var resp kmsg.Response
		if outside == x.Node {
			resp, _ = b.askAs(x.Context(), x, inside, req) // nil when the cluster was closed
		} else {
			resp = b.refuseMisplaced(x, c, inside, req)
		}
		if resp == nil {
			return nil
		}
		if all == nil {
			all = resp
			continue
		}
		to, from := listOf(all), listOf(resp)
		to.Set(reflect.AppendSlice(to, from))
	}
	return all
}

// listCoordinated lists what a broker coordinates, out of what all list.
func (b *Broker) listCoordinated(x *wire.Exchange, req kmsg.Request) {
	mine, err := x.Response()
	if err != nil {
		return
	}
	list := listOf(mine)
	for node := range int32(len(b.listeners)) {
		if node == x.Node {
			continue
		}
		if theirs, err := b.askAs(x.Context(), x, node, req); err == nil {
			list.Set(reflect.AppendSlice(list, listOf(theirs)))
		}
	}
	seen := make(map[string]bool)
	here := func(kind int8, name string) bool {
		_, outside := b.place(coordinated{kind, name})
		first := !seen[name]
		seen[name] = true
		return first && outside == x.Node
	}
	switch r := mine.(type) {
	case *kmsg.ListGroupsResponse:
		r.Groups = slices.DeleteFunc(r.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return !here(groups, g.Group) })
	case *kmsg.ListTransactionsResponse:
		r.TransactionStates = slices.DeleteFunc(r.TransactionStates, func(t kmsg.ListTransactionsResponseTransactionState) bool {
			return !here(transactions, t.TransactionalID)
		})
	}
	x.SetResponse(mine)
}

func lists(req kmsg.Request) bool {
	switch req.(type) {
	case *kmsg.ListGroupsRequest, *kmsg.ListTransactionsRequest:
		return true
	}
	return false
}

// listOf is the field of a message that has its groups or transactions one by
// one; it is invalid where there is no such.
func listOf(message any) reflect.Value {
	v := reflect.ValueOf(message).Elem()
	for _, name := range []string{"Groups", "GroupIDs", "TransactionalIDs", "TransactionStates", "Transactions"} {
		if f := v.FieldByName(name); f.IsValid() && f.Kind() == reflect.Slice {
			return f
		}
	}
	return reflect.Value{}
}

// split parts a request into one for each group or transaction that it names.
// several is false when it can name only one in its version.
func split(req kmsg.Request) (parts []kmsg.Request, several bool) {
	list := listOf(req)
	if !list.IsValid() || list.Len() == 0 {
		return nil, false
	}
	for i := range list.Len() {
		part := reflect.New(reflect.TypeOf(req).Elem())
		part.Elem().Set(reflect.ValueOf(req).Elem())
		one := part.Interface().(kmsg.Request)
		listOf(one).Set(list.Slice3(i, i+1, i+1))
		parts = append(parts, one)
	}
	return parts, true
}

// coordinatedBy is what a request about one group or transaction is about, and
// whether it is such a request. kmsg's names for it differ by API.
func coordinatedBy(req kmsg.Request) (coordinated, bool) {
	v := reflect.ValueOf(req).Elem()
	if list := listOf(req); list.IsValid() && list.Len() == 1 {
		v = list.Index(0)
	}
	if v.Kind() == reflect.String {
		kind := groups
		if _, is := req.(*kmsg.DescribeTransactionsRequest); is {
			kind = transactions
		}
		return coordinated{kind, v.String()}, true
	}
	text := func(field string) string {
		switch f := v.FieldByName(field); {
		case !f.IsValid():
		case f.Kind() == reflect.String:
			return f.String()
		case f.Kind() == reflect.Pointer && !f.IsNil() && f.Elem().Kind() == reflect.String:
			return f.Elem().String()
		}
		return ""
	}
	switch req.(type) {
	case *kmsg.InitProducerIDRequest, *kmsg.AddPartitionsToTxnRequest, *kmsg.AddOffsetsToTxnRequest, *kmsg.EndTxnRequest:
		name := text("TransactionalID")
		return coordinated{transactions, name}, name != ""
	}
	name := cmp.Or(text("Group"), text("GroupID"))
	return coordinated{groups, name}, name != ""
}
