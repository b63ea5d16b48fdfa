package harness

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// dialFunc connects to a broker.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// link is the network between one client, or the clients of one process, and
// the brokers. It knows its connections, so that what the broker sees can be
// told by name, and can be cut or stopped.
type link struct {
	name   string
	member bool // of a Member
	dialer dialFunc

	buffered atomic.Int64 // records in producers

	running int  // handlers of its adapters: see watch.mu
	killed  bool // likewise

	mu     sync.Mutex
	dialed bool
	groups map[*kgo.Client]string // of its franz-go clients that are in one
	dead   bool
	conns  map[*linkConn]bool
	gates  map[string]chan struct{} // of stopped brokers, by address; "" is all of them
	ice    chan struct{}            // closed when handlers may run again; nil when they may
}

func newLink(name string, dialer dialFunc) *link {
	return &link{name: name, dialer: dialer, groups: map[*kgo.Client]string{}, conns: map[*linkConn]bool{}, gates: map[string]chan struct{}{}}
}

// options have a franz-go client use the link, and tell of what it has buffered.
func (l *link) options(w *watch) []kgo.Opt {
	return []kgo.Opt{kgo.Dialer(l.dial(w, counted)), kgo.WithHooks(clientHooks{l})}
}

// dial tells the watch which connections are the link's, and how much of their
// client is known.
func (l *link) dial(w *watch, by knowledge) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if err := l.pass(addr, nil, time.Time{}, ctx.Done()); err != nil {
			return nil, err
		}
		raw, err := l.dialer(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &linkConn{Conn: raw, link: l, addr: addr, closed: make(chan struct{})}
		l.mu.Lock()
		l.dialed = true
		dead := l.dead
		l.conns[c] = !dead
		l.mu.Unlock()
		if dead {
			_ = c.Close() // cut meanwhile
			return nil, refused(network, addr)
		}
		w.knows(raw.LocalAddr().String(), connection{l, by})
		return c, nil
	}
}

func refused(network, addr string) error {
	return &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect to "+addr, syscall.ECONNREFUSED)}
}

// cut closes all connections, and refuses new ones from now on.
func (l *link) cut() {
	l.mu.Lock()
	l.dead = true
	conns := l.conns
	l.conns = map[*linkConn]bool{}
	l.mu.Unlock()
	for c := range conns {
		_ = c.Close() // the client is told by its next read
	}
}

func (l *link) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// freeze keeps handlers from beginning, until melt is called.
func (l *link) freeze() (melt func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ice := make(chan struct{})
	l.ice = ice
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.ice == ice {
			l.ice = nil
		}
		close(ice)
	}
}

func (l *link) whileFrozen(ctx context.Context) {
	l.mu.Lock()
	ice := l.ice
	l.mu.Unlock()
	if ice == nil {
		return
	}
	select {
	case <-ice:
	case <-ctx.Done():
	}
}

// stop holds back what passes between the client and the brokers at some
// addresses, none means all, until resume is called.
func (l *link) stop(addrs ...string) (resume func()) {
	if len(addrs) == 0 {
		addrs = []string{""}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	gate := make(chan struct{})
	for _, a := range addrs {
		l.gates[a] = gate
	}
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, a := range addrs {
			if l.gates[a] == gate {
				delete(l.gates, a)
			}
		}
		close(gate)
	})
}

func (l *link) gate(addr string) (gate chan struct{}, dead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.gates[""]; g != nil {
		return g, l.dead
	}
	return l.gates[addr], l.dead
}

// pass waits until what goes to or comes from an address may pass.
func (l *link) pass(addr string, closed <-chan struct{}, deadline time.Time, done <-chan struct{}) error {
	for {
		gate, dead := l.gate(addr)
		if dead {
			return refused("tcp", addr)
		}
		if gate == nil {
			return nil
		}
		var late <-chan time.Time
		if !deadline.IsZero() {
			t := time.NewTimer(time.Until(deadline))
			defer t.Stop()
			late = t.C
		}
		select {
		case <-gate:
		case <-closed:
			return net.ErrClosed
		case <-late:
			return os.ErrDeadlineExceeded
		case <-done:
			return context.Canceled
		}
	}
}

// linkConn is a connection of a link.
type linkConn struct {
	net.Conn
	link   *link
	addr   string
	once   sync.Once
	closed chan struct{}

	readBy, writeBy atomic.Int64 // deadlines, in Unix nanoseconds; zero is none
}

// Read holds back what has come while the link is stopped.
func (c *linkConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		return n, err
	}
	if err := c.link.pass(c.addr, c.closed, deadline(&c.readBy), nil); err != nil {
		return 0, err
	}
	return n, nil
}

// Write sends nothing while the link is stopped.
func (c *linkConn) Write(p []byte) (int, error) {
	if err := c.link.pass(c.addr, c.closed, deadline(&c.writeBy), nil); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close closes the connection.
func (c *linkConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.link.mu.Lock()
		defer c.link.mu.Unlock()
		delete(c.link.conns, c)
	})
	return c.Conn.Close()
}

func deadline(at *atomic.Int64) time.Time {
	if n := at.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

func keepDeadline(at *atomic.Int64, t time.Time) {
	if t.IsZero() {
		at.Store(0)
		return
	}
	at.Store(t.UnixNano())
}

// SetDeadline is net.Conn's.
func (c *linkConn) SetDeadline(t time.Time) error {
	keepDeadline(&c.readBy, t)
	keepDeadline(&c.writeBy, t)
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline is net.Conn's.
func (c *linkConn) SetReadDeadline(t time.Time) error {
	keepDeadline(&c.readBy, t)
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline is net.Conn's.
func (c *linkConn) SetWriteDeadline(t time.Time) error {
	keepDeadline(&c.writeBy, t)
	return c.Conn.SetWriteDeadline(t)
}

// clientHooks tell a link of its franz-go clients.
type clientHooks struct{ l *link }

// OnNewClient is kgo's.
func (h clientHooks) OnNewClient(cl *kgo.Client) {
	if group, _ := cl.OptValue(kgo.ConsumerGroup).(string); group != "" {
		h.l.mu.Lock()
		defer h.l.mu.Unlock()
		h.l.groups[cl] = group
	}
}

// OnClientClosed is kgo's.
func (h clientHooks) OnClientClosed(cl *kgo.Client) {
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	delete(h.l.groups, cl)
}

// OnProduceRecordBuffered is kgo's. It counts the records that producers hold.
func (h clientHooks) OnProduceRecordBuffered(*kgo.Record) { h.l.buffered.Add(1) }

// OnProduceRecordUnbuffered is kgo's.
func (h clientHooks) OnProduceRecordUnbuffered(*kgo.Record, error) { h.l.buffered.Add(-1) }
