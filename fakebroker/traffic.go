package fakebroker

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Faults are what can go wrong between clients and brokers, wherever the brokers are: a
// [Broker] and a [Proxy] have them alike, and say more of each.
type Faults interface {
	Refuse(err *kerr.Error, s Scope) *Fault
	Delay(d time.Duration, s Scope) *Fault
	DropBefore(s Scope) *Fault
	DropAfter(s Scope) *Fault
	CutOff(s Scope) *Fault
	ForgetTopic(s Scope) *Fault
}

var (
	_ Faults = (*Broker)(nil)
	_ Faults = (*Proxy)(nil)
)

// traffic is what passes between clients and brokers, where it is observed and
// broken. Who the brokers are does not matter to it: they are numbered, and each has
// the listener of its number.
type traffic struct {
	rules     *wire.Rules
	observers observers
	behind    brokers
}

// brokers are those behind the traffic.
type brokers interface {
	// doors are their listeners, by number.
	doors() []*wire.Listener

	// id is the node id that clients know a broker by, -1 when there is none.
	id(number int32) int32

	// topicByID is a topic's name, empty when it is not known.
	topicByID(id [16]byte) string

	// refuse answers what is in the scope, and of a kind, with an error in the brokers'
	// place, and counts the fault's strikes.
	refuse(f *Fault, err *kerr.Error, s Scope, of func(kmsg.Request) bool) (remove func())
}

// wants is the part of the scope that a header answers.
func (tr *traffic) wants(s Scope) func(wire.Header) bool {
	api := wire.Keys(s.APIs...)
	s.Brokers = slices.Clone(s.Brokers)
	return func(h wire.Header) bool {
		return api.Has(h.Key) && s.hasClient(h.ClientID) && (len(s.Brokers) == 0 || s.hasBroker(tr.behind.id(h.Node)))
	}
}
