// Package wire follows the Kafka protocol between clients and a broker, one
// request and one answer at a time, and lets rules look at them, hold them
// back, cut them off or change them. It is for whoever builds a broker to test
// against: faults, observers and corrections are all rules.
//
// A [Rule] says from a request's [Header] whether it wants the [Exchange]; only
// then is a body kept or decoded. What no rule wants passes through uncopied.
//
//	rules := new(wire.Rules)
//	remove := rules.Add(wire.Rule{
//		Name:   "slow commits",
//		Keys:   wire.Keys(kmsg.OffsetCommit),
//		Answer: func(x *wire.Exchange) { x.Delay(3 * time.Second) },
//	})
//	defer remove()
//	open := func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:9092") }
//	ln, err := wire.Listen(open, wire.Config{Rules: rules})
//
// A request whose body cannot be what its API and version say, by package shape, ends
// its connection, as one does that has no header: a broker, and whoever decodes a
// body here, believes the numbers in it.
//
// The [Listener] is a net.Listener, so a broker written in Go accepts from it
// and never knows. A [Session] is the same for a single connection: a broker's
// side reads requests from it and writes answers to it, and two io.Copy calls
// make it a proxy in front of a broker elsewhere.
//
// A broker can have several addresses, in plain text and with TLS: see [Door].
//
// The package starts no goroutine but one per open door, which Close waits for,
// and holds no lock while it sleeps or writes, so it can live in a
// testing/synctest bubble.
package wire
