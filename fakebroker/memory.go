package fakebroker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"example.com/kafkatest/fakebroker/internal/pipe"
)

// memory is a network within this process, for virtual time: its connections are
// pipes, which a bubble of testing/synctest can see. They have addresses, as
// those of TCP have: each connection is told from the others by its client's.
type memory struct {
	mu        sync.Mutex
	listeners map[int]*memoryListener
	clients   map[int]int // open ends of connections by the client's port
	lastPort  int         // of a client
}

// Ports of clients begin above those that brokers use, and begin again there when
// they have all been used.
const (
	firstClientPort = 32768
	lastClientPort  = 65535
)

type memoryListener struct {
	net         *memory
	addr        *memoryAddr
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
	bubble      string // that it was opened in
}

// memoryAddr is a port of the one host that there is. It is asked for its text with
// every request that is observed.
type memoryAddr struct {
	port int
	text string
}

func newMemoryAddr(port int) *memoryAddr {
	return &memoryAddr{port, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
}

// Network is "memory".
func (*memoryAddr) Network() string { return "memory" }

// String is the address as clients dial it.
func (a *memoryAddr) String() string { return a.text }

func parseMemoryPort(address string) (int, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	if host != "localhost" && host != "127.0.0.1" && host != "" {
		return 0, fmt.Errorf("there is no host %s in memory, only localhost", host)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return int(n), err
}

func (m *memory) listen(address string) (net.Listener, error) {
	port, err := parseMemoryPort(address)
	if err != nil {
		return nil, err
	}
	addr := newMemoryAddr(port)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listeners[port] != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, syscall.EADDRINUSE)
	}
	if m.listeners == nil {
		m.listeners = make(map[int]*memoryListener)
	}
	l := &memoryListener{net: m, addr: addr, connections: make(chan net.Conn), closed: make(chan struct{}), bubble: bubble()}
	m.listeners[port] = l
	return l, nil
}

// dial is refused where nobody listens, as with TCP.
func (m *memory) dial(ctx context.Context, address string, dialer *bubbleOf) (net.Conn, error) {
	port, err := parseMemoryPort(address)
	if err != nil {
		return nil, err
	}
	l, client, err := m.begin(port, dialer)
	if err != nil {
		return nil, err
	}
	from := newMemoryAddr(client)
	near, far := pipe.New()
	select {
	case l.connections <- &memoryConn{Conn: far, net: m, local: l.addr, remote: from, client: client}:
		return &memoryConn{Conn: near, net: m, local: from, remote: l.addr, client: client}, nil
	case <-l.closed:
		err = syscall.ECONNREFUSED
	case <-ctx.Done():
		err = ctx.Err()
	}
	_, _ = near.Close(), far.Close() // a pipe's Close does not fail
	m.free(client)
	m.free(client)
	return nil, err
}

// begin finds who listens on an address, and a port for who dials it, which both
// ends of the connection hold until they are closed.
func (m *memory) begin(port int, dialer *bubbleOf) (l *memoryListener, client int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l = m.listeners[port]; l == nil {
		return nil, 0, syscall.ECONNREFUSED
	}
	if l.bubble != dialer.get() {
		return nil, 0, errOtherBubble // a pipe between them would end the process
	}
	for range lastClientPort - firstClientPort + 1 {
		if m.lastPort++; m.lastPort < firstClientPort || m.lastPort > lastClientPort {
			m.lastPort = firstClientPort
		}
		if m.clients[m.lastPort] > 0 || m.listeners[m.lastPort] != nil {
			continue
		}
		if m.clients == nil {
			m.clients = make(map[int]int)
		}
		m.clients[m.lastPort] = 2
		return l, m.lastPort, nil
	}
	return nil, 0, syscall.EADDRNOTAVAIL
}

// free is called when an end of a connection is closed.
func (m *memory) free(client int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.clients[client]--; m.clients[client] <= 0 {
		delete(m.clients, client)
	}
}

var errOtherBubble = errors.New("fakebroker: a broker in memory and its clients have to live in the same bubble of testing/synctest, or all outside: start the broker where its clients are made")

// bubble is the number of the bubble of testing/synctest that the caller is in,
// empty outside: it is in the header of a goroutine's stack. A goroutine of the
// caller's is in the same bubble, and its stack costs little to write down.
func bubble() string {
	number := make(chan string)
	go func() {
		var b [128]byte
		_, after, _ := bytes.Cut(b[:runtime.Stack(b[:], false)], []byte(", synctest bubble "))
		number <- string(after[:max(0, bytes.IndexFunc(after, func(r rune) bool { return r < '0' || r > '9' }))])
	}()
	return <-number
}

// bubbleOf is the bubble of a client, found out when it is first asked for.
type bubbleOf struct {
	once   sync.Once
	number string
}

func (o *bubbleOf) get() string {
	o.once.Do(func() { o.number = bubble() })
	return o.number
}

// Accept waits for the next connection.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.connections:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close refuses connections from now on. Those that there are stay.
func (l *memoryListener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		delete(l.net.listeners, l.addr.port)
		close(l.closed)
	})
	return nil
}

// Addr is where the listener is.
func (l *memoryListener) Addr() net.Addr { return l.addr }

// memoryConn is one end of a pipe, with addresses.
type memoryConn struct {
	net.Conn
	net           *memory
	local, remote *memoryAddr
	client        int // the port of the one that dialed
	once          sync.Once
}

// Close ends the connection, and may be called more than once.
func (c *memoryConn) Close() error {
	c.once.Do(func() { c.net.free(c.client) })
	return c.Conn.Close()
}

func (c *memoryConn) LocalAddr() net.Addr  { return c.local }
func (c *memoryConn) RemoteAddr() net.Addr { return c.remote }
