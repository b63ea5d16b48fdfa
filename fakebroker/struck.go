package fakebroker

import (
	"reflect"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// FaultPhase is what a fault does.
type FaultPhase string

// The phases of a fault. One that is over at once, as the end of a session is,
// only strikes; one that could do nothing when it was made is not told at all.
const (
	FaultBegan  FaultPhase = "began"
	FaultStruck FaultPhase = "struck"
	FaultEnded  FaultPhase = "ended" // cleared, when it could still strike
)

// FaultEvent is something that happened to a fault.
type FaultEvent struct {
	Fault string // what goes wrong, and for whom: Fault.String without how often
	Phase FaultPhase
	Hits  int // how often it has struck, this time included

	// Of what was struck. A request has all of it, and a member whose session
	// was expired has its group and no API. Connections that are cut while they
	// are idle have no API; those of a broker that goes down are told once, with
	// their number for Hits, if there are any.
	API      kmsg.Key // -1 when none was struck
	ClientID string   // empty when none is known
	Remote   string   // the client's address, HOST:PORT, of this connection; empty when none is known
	Group    string   // of a member whose session was expired
	Broker   int32    // node id; -1 when none is known
}

func (tr *traffic) newFault(name string, count int) *Fault {
	return &Fault{name: name, told: &tr.observers, count: count, clear: func() {}}
}

// begin tells that a fault has begun, and returns it.
func (f *Fault) begin() *Fault {
	f.tell(FaultEvent{Phase: FaultBegan, API: -1, Broker: -1})
	return f
}

func (f *Fault) tell(e FaultEvent) {
	if !f.told.faults.Load() || f.inert {
		return
	}
	e.Fault, e.Hits = f.name, f.Hits()
	tell(f.told, func(o *Observer) func(FaultEvent) { return o.Fault }, e)
}

// struckRequest tells of a request. It is not for the goroutine of the cluster.
func (tr *traffic) struckRequest(f *Fault, x *wire.Exchange) {
	f.tell(FaultEvent{Phase: FaultStruck, API: x.Key, ClientID: x.ClientID, Remote: remote(x), Broker: tr.behind.id(x.Node)})
}

// refusals is how many requests the cluster has refused whose answers nobody has
// seen yet. The cluster, on whose goroutine nobody may wait, knows the request
// and not the client; the answer, on its way, is the client's.
type refusals [128]atomic.Int32 // by API; Kafka has none beyond

// count counts a request that is refused, unless nobody will answer it: with acks=0,
// while nobody is told (see confirmProduced).
func (r *refusals) count(req kmsg.Request) {
	if p, ok := req.(*kmsg.ProduceRequest); !ok || p.Acks != 0 {
		r[req.Key()].Add(1)
	}
}

func (r *refusals) none(h wire.Header) bool { return r[h.Key].Load() <= 0 }

// tellRefusals tells of what the cluster has refused for a fault when the answer
// passes: one of the scope that has the error.
func (b *Broker) tellRefusals(f *Fault, r *refusals, with *kerr.Error, s Scope) (remove func()) {
	wants := b.wants(s)
	return b.rules.Add(wire.Rule{
		Name:       "observe: " + f.name,
		Wants:      func(h wire.Header) bool { return b.observers.faults.Load() && wants(h) },
		AnswerOnly: true,
		Skip:       func(h wire.Header, _ []byte) bool { return r.none(h) },
		Answer: func(x *wire.Exchange) {
			if r.none(x.Header) || !s.hasRemote(x.RemoteAddr()) {
				return
			}
			resp, err := x.Response()
			if err != nil || !refused(reflect.ValueOf(resp), with) {
				return
			}
			r[x.Key].Add(-1)
			b.struckRequest(f, x)
		},
	})
}
