package wire

import (
	"net"
)

// Door is one of the addresses that a broker listens on. Clients that come in by
// different doors reach the same broker.
type Door struct {
	// Open opens the listener, and is called again each time the broker comes
	// back up; it must then listen on the same address. Frames are read in plain
	// text, so with TLS it returns a TLS listener.
	Open func() (net.Listener, error)

	// Login gives the name and password by which the broker is to know a
	// client that does not authenticate itself. The connection authenticates
	// in the client's name, by SASL PLAIN, before its first request passes: after
	// the TLS handshake, and unseen by rules and client. Nil: nobody does, for
	// clients that authenticate themselves and brokers that do not ask.
	Login func(client net.Conn) (user, password string)

	// SASL says that clients authenticate themselves. Until a rule has said
	// who a client is, by [Exchange.Authenticated], requests other than
	// ApiVersions, SaslHandshake and SaslAuthenticate end the connection, and no
	// rule sees them.
	SASL bool
}

// Listen opens a listener with one door. Open is called again each time it comes
// back up: see [Door].
func Listen(open func() (net.Listener, error), cfg Config) (*Listener, error) {
	return ListenAt([]Door{{Open: open}}, cfg)
}

// ListenAt opens a listener with several doors, at least one. When one of them
// cannot be opened, none is.
func ListenAt(doors []Door, cfg Config) (*Listener, error) {
	l := &Listener{
		cfg: cfg.withDefaults(), doors: doors,
		conns: make(chan net.Conn), done: make(chan struct{}),
		sessions: make(map[*Session]struct{}),
	}
	if err := l.Up(); err != nil {
		return nil, err
	}
	return l, nil
}

// public is what clients connect to, from Up to Down.
type public struct {
	lns  []net.Listener
	stop chan struct{} // closed before the listeners are, so that their errors are expected
	gone chan struct{} // has one element for each listener that nothing accepts from any more
}

// open opens all doors, or none.
func (l *Listener) open() (*public, error) {
	p := &public{stop: make(chan struct{}), gone: make(chan struct{}, len(l.doors))}
	for _, d := range l.doors {
		ln, err := d.Open()
		if err != nil {
			p.close()
			return nil, err
		}
		p.lns = append(p.lns, ln)
	}
	return p, nil
}

func (p *public) close() {
	for _, ln := range p.lns {
		_ = ln.Close() // it is not used again, whatever it says
	}
}

// addrs are the addresses of the doors, in their order.
func (p *public) addrs() []net.Addr {
	out := make([]net.Addr, len(p.lns))
	for i, ln := range p.lns {
		out[i] = ln.Addr()
	}
	return out
}
