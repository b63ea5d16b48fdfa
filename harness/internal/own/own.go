// Package own gives a test names of its own on a Kafka cluster that others use,
// without the test's knowing: on the way to a broker each topic, group and
// transactional id gets a prefix, and on the way back it loses it. Of what the
// cluster has, a client sees what has the prefix. It is for the harness, which
// has all connections of a test go through it.
//
//	names := own.New("kafkatest-3fa1-")
//	conn = names.Conn(conn) // as the client has it
package own

import (
	"errors"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Names are those of one test. They are safe for concurrent use.
type Names struct {
	prefix string
	rules  wire.Rules
	copies sync.WaitGroup // in both directions of each connection

	mu     sync.Mutex
	closed bool
	conns  map[*conn]bool
}

// New makes names that begin with a prefix on the cluster.
func New(prefix string) *Names {
	n := &Names{prefix: prefix, conns: map[*conn]bool{}}
	n.rules.Add(wire.Rule{
		Name:    "names with a prefix",
		Wants:   named,
		Request: n.request,
		Answer:  n.answer,
	})
	return n
}

// named reports whether a request or its answer can have names in it.
func named(h wire.Header) bool {
	switch h.Key {
	case kmsg.ApiVersions, kmsg.SASLHandshake, kmsg.SASLAuthenticate:
		return false
	}
	return true
}

// Prefix is what the names begin with on the cluster.
func (n *Names) Prefix() string { return n.prefix }

// Conn is a connection to a broker as a client has it, which closes it. Its
// addresses are those of the connection. Once the names are closed, so is it.
func (n *Names) Conn(broker net.Conn) net.Conn {
	client, inner := net.Pipe()
	c := &conn{Conn: client, broker: broker}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		_ = c.Close() // whoever uses it finds out
		return c
	}
	n.conns[c] = true
	s := wire.NewSession(inner, wire.Config{Rules: &n.rules})
	end := func() {
		_ = s.Close() // the other side's reason for ending is the client's to hear
		_ = broker.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.conns, c)
	}
	n.copies.Go(func() {
		defer end()
		_, _ = io.Copy(broker, s)
	})
	n.copies.Go(func() {
		defer end()
		_, _ = io.Copy(s, broker)
	})
	return c
}

// Close closes all connections, and returns when nothing of them is left.
func (n *Names) Close() {
	n.mu.Lock()
	n.closed = true
	for c := range n.conns {
		_ = c.Close() // the client hears of it by its next read
	}
	n.mu.Unlock()
	n.copies.Wait()
}

// conn is the client's end.
type conn struct {
	net.Conn // of the pipe

	broker net.Conn
}

// Close is net.Conn's.
func (c *conn) Close() error { return errors.Join(c.Conn.Close(), closed(c.broker)) }

// closed closes a connection that may have been closed from the other side.
func closed(c net.Conn) error {
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// LocalAddr is net.Conn's.
func (c *conn) LocalAddr() net.Addr { return c.broker.LocalAddr() }

// RemoteAddr is net.Conn's.
func (c *conn) RemoteAddr() net.Addr { return c.broker.RemoteAddr() }

func (n *Names) request(x *wire.Exchange) {
	req, err := x.Request()
	if err != nil {
		return // the broker refuses it
	}
	n.put(req)
	x.SetRequest(req)
}

func (n *Names) answer(x *wire.Exchange) {
	resp, err := x.Response()
	if err != nil {
		return // the client refuses it
	}
	n.take(resp)
	x.SetResponse(resp)
}
