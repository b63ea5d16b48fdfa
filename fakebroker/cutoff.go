package fakebroker

import (
	"fmt"
	"net"

	"example.com/kafkatest/fakebroker/wire"
)

// CutOff cuts clients off from brokers, as a broken network does: their
// connections are cut, and new ones at their first request, until the fault is
// cleared. Others are not disturbed. Hits counts the connections.
//
// Of the scope, ClientID and Remote say which clients, and Brokers from which
// brokers; Nth and Count count connections. APIs, Topic, Partitions and Group
// mean nothing to a connection and are not looked at. A connection is a client's
// from its first request on, and those that are idle are cut too.
func (tr *traffic) CutOff(s Scope) *Fault {
	s.APIs, s.Topic, s.Partitions, s.Group = nil, "", nil, ""
	f := tr.newFault(fmt.Sprintf("cut off %s", s), s.Count)
	f.clear = tr.rules.Add(wire.Rule{
		Name:  f.name,
		Wants: tr.wants(s),
		Request: func(x *wire.Exchange) {
			if tr.inScope(x, s, false) && f.strike(s) {
				x.Cut()
				tr.struckRequest(f, x)
			}
		},
	})
	f.begin()
	for node, ln := range tr.behind.doors() {
		id := tr.behind.id(int32(node))
		if !s.hasBroker(id) {
			continue
		}
		var cut []FaultEvent // told when the listener can be asked again
		ln.Cut(func(remote net.Addr, clientID string) bool {
			if !s.hasClient(clientID) || !s.hasRemote(remote) || !f.strike(s) {
				return false
			}
			e := FaultEvent{Phase: FaultStruck, API: -1, ClientID: clientID, Broker: id}
			if remote != nil {
				e.Remote = remote.String()
			}
			cut = append(cut, e)
			return true
		})
		for _, e := range cut {
			f.tell(e)
		}
	}
	return f
}
