package fakebroker

import (
	"net"
	"sync"
)

// port is a TCP address that a broker listens on, again and again. Between two
// times it keeps the port: clients are refused, and no other program can take
// the address that they know the broker by.
type port struct {
	mu   sync.Mutex
	addr string
	kept *reservation // while nobody listens
	over bool         // no more listening: do not keep it
}

// listen opens the listener, on the same address each time.
func (p *port) listen() (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ln net.Listener
	var err error
	if p.kept != nil {
		ln, err = p.kept.listen()
		p.kept = nil
	} else {
		ln, err = net.Listen(family(p.addr), p.addr)
	}
	if err != nil {
		return nil, err
	}
	p.addr = ln.Addr().String()
	return portListener{ln, p}, nil
}

// release lets go of the port, for good.
func (p *port) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.kept != nil {
		p.kept.release()
		p.kept = nil
	}
}

// portListener keeps its port when it is closed.
type portListener struct {
	net.Listener
	port *port
}

// Close stops listening. When the port cannot be kept, as on systems that have
// no way to, it is free until somebody listens again.
func (l portListener) Close() error {
	l.port.mu.Lock()
	defer l.port.mu.Unlock()
	err := l.Listener.Close()
	if addr, ok := l.Addr().(*net.TCPAddr); ok && !l.port.over && l.port.kept == nil {
		l.port.kept = reserve(addr)
	}
	return err
}

// family is the network of an address. Go listens on every interface of both
// families where it is told 0.0.0.0.
func family(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil && net.ParseIP(host).To4() != nil {
		return "tcp4"
	}
	return "tcp"
}
