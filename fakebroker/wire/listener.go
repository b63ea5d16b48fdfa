package wire

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"example.com/kafkatest/fakebroker/internal/pipe"
)

// Listener is a broker's listener: connections that it accepts are followed by
// a [Session]. It can be taken down and up again without the broker noticing.
// It is safe for concurrent use.
type Listener struct {
	cfg   Config
	doors []Door
	addrs []net.Addr // of the doors
	conns chan net.Conn
	done  chan struct{}

	mu       sync.Mutex
	closed   bool
	public   *public // nil while down
	sessions map[*Session]struct{}
}

// Accept waits for the next connection. It fails with net.ErrClosed once the
// listener is closed; while it is down it waits.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Addr is the address that clients dial, of the first door.
func (l *Listener) Addr() net.Addr { return l.addrs[0] }

// Addrs are the addresses of all doors, in their order.
func (l *Listener) Addrs() []net.Addr { return slices.Clone(l.addrs) }

// Close closes the listener and its connections, and waits for its goroutines.
// It may be called more than once.
func (l *Listener) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	if first {
		close(l.done)
	}
	l.Down()
	return nil
}

// Up lets clients connect. It does nothing when they can already.
func (l *Listener) Up() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	if l.public != nil {
		return nil
	}
	p, err := l.open()
	if err != nil {
		return err
	}
	l.public = p
	if l.addrs == nil { // coming back up, they are the same
		l.addrs = p.addrs()
	}
	for i := range p.lns {
		go l.accept(p, i)
	}
	return nil
}

// Down refuses new connections and cuts those there are, whose number it
// returns. Connections by [Listener.Dial] stay.
func (l *Listener) Down() int {
	l.mu.Lock()
	p := l.public
	l.public = nil
	l.mu.Unlock()
	if p == nil {
		return 0
	}
	close(p.stop)
	p.close()
	for range p.lns {
		<-p.gone
	}
	return l.Cut(func(net.Addr, string) bool { return true })
}

// Cut cuts the connections there are that match, by the client's address and by
// the client id of its latest request, and returns their number. Connections by
// [Listener.Dial] stay.
func (l *Listener) Cut(match func(remote net.Addr, clientID string) bool) int {
	l.mu.Lock()
	var cut []*Session
	for s := range l.sessions {
		if match(s.cfg.Remote, s.ClientID()) {
			cut = append(cut, s)
		}
	}
	l.mu.Unlock()
	for _, s := range cut {
		_ = s.Close() // the client is to find it closed, that is all
	}
	return len(cut)
}

// accept takes connections by a door until the listener goes down.
func (l *Listener) accept(p *public, door int) {
	defer func() { p.gone <- struct{}{} }()
	for {
		c, err := p.lns[door].Accept()
		if err != nil {
			if !l.pause(p, door, err) {
				return
			}
			continue
		}
		conn := l.follow(c, door)
		select {
		case l.conns <- conn:
		case <-p.stop:
			_ = conn.Close() // refused: the listener went down meanwhile
			return
		}
	}
}

// pause reports whether to accept again after an error. Running out of file
// descriptors passes, so it is waited out rather than ending the broker.
func (l *Listener) pause(p *public, door int, err error) bool {
	select {
	case <-p.stop:
		return false
	default:
	}
	l.cfg.Logger.Warn("cannot accept a connection; trying again", "node", l.cfg.Node, "addr", p.lns[door].Addr(), "err", err)
	t := time.NewTimer(10 * time.Millisecond)
	defer t.Stop()
	select {
	case <-p.stop:
		return false
	case <-t.C:
		return true
	}
}

// followed is a client's connection with its session in between.
type followed struct {
	net.Conn
	session *Session
}

func (f followed) Read(p []byte) (int, error)  { return f.session.Read(p) }
func (f followed) Write(p []byte) (int, error) { return f.session.Write(p) }
func (f followed) Close() error                { return f.session.HangUp() }

// SetLinger is that of the client's connection, over TCP: see [net.TCPConn].
func (f followed) SetLinger(seconds int) error {
	if c, ok := f.Conn.(interface{ SetLinger(int) error }); ok {
		return c.SetLinger(seconds)
	}
	return errors.ErrUnsupported
}

func (l *Listener) follow(c net.Conn, door int) net.Conn {
	cfg := l.cfg
	cfg.Remote, cfg.Listener, cfg.Login, cfg.SASL = c.RemoteAddr(), door, l.doors[door].Login, l.doors[door].SASL
	s := NewSession(c, cfg)
	s.done = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.sessions, s)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions[s] = struct{}{}
	return followed{c, s}
}

// private is a connection of the broker's own, in somebody's name.
type private struct {
	net.Conn
	remote net.Addr
}

func (p private) RemoteAddr() net.Addr { return p.remote }

// Dial connects to the broker behind the listener past its rules, also while
// the listener is down. The broker sees remote as the other side's address; nil
// means the listener's own. The connection goes by other rules; nil means none.
func (l *Listener) Dial(ctx context.Context, remote net.Addr, rules *Rules) (net.Conn, error) {
	if remote == nil {
		remote = l.addrs[0]
	}
	server, client := pipe.New()
	accepted := private{server, remote}
	if rules != nil {
		cfg := l.cfg
		cfg.Rules, cfg.Remote = rules, remote
		accepted.Conn = followed{server, NewSession(server, cfg)}
	}
	var err error
	select {
	case l.conns <- accepted:
		return client, nil
	case <-l.done:
		err = net.ErrClosed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = server.Close() // neither side was used
	_ = client.Close()
	return nil, err
}
