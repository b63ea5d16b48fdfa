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
func (b *Broker) CutOff(s Scope) *Fault {
	s.APIs, s.Topic, s.Partitions, s.Group = nil, "", nil, ""
	f := &Fault{name: fmt.Sprintf("cut off %s", s)}
	s = b.inside(s)
	f.clear = b.rules.Add(wire.Rule{
		Name:  f.name,
		Wants: s.wants(),
		Request: func(x *wire.Exchange) {
			if b.inScope(x, s, false) && f.strike(s) {
				x.Cut()
			}
		},
	})
	for node, ln := range b.listeners {
		if !s.hasBroker(int32(node)) {
			continue
		}
		ln.Cut(func(remote net.Addr, clientID string) bool {
			return s.hasClient(clientID) && s.hasRemote(remote) && f.strike(s)
		})
	}
	return f
}
