package fakebroker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker/wire"
)

// ProxyConfig says which cluster a proxy is in front of.
type ProxyConfig struct {
	// Brokers are the addresses to start from, HOST:PORT, at least one. Others are
	// learned from what the cluster tells clients.
	Brokers []string

	// TLS is what the proxy connects to brokers with; clients speak plain text to the
	// proxy. A certificate in it is shown in the name of all of them. No ServerName
	// means the host of each address. Nil means plain text.
	TLS *tls.Config

	// Dial connects to a broker, before TLS. It must be safe for concurrent use. Nil
	// means TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Logger gets why connections were closed, at debug level, and what clients could
	// not be told. Nil: nothing is logged.
	Logger *slog.Logger
}

// Proxy is a cluster that runs elsewhere, such as Apache Kafka, with what passes
// between it and its clients observed and broken as that of a [Broker] is: by Observe,
// Refuse, Delay, DropBefore, DropAfter, CutOff and ForgetTopic. It listens on loopback,
// on an address for each broker, and where brokers tell addresses it tells its own: so
// clients that start from [Proxy.Addrs] connect to nothing else. All methods are safe
// for concurrent use.
//
// What clients send passes as it is, SASL included, whose mechanisms all work but for
// GSSAPI, which knows brokers by their host. To the brokers, clients come from the
// proxy's host. Clients are offered the versions of the protocol that can be decoded
// here, and Fetch up to v15: a later answer may end in addresses, and would have to be
// held back whole. APIs that are not known here, and later versions that a client
// uses all the same, pass unseen.
//
// A broker that cannot be reached is, for the client, a connection that is reset. What
// no proxy can do is not there: to take a broker down so that others stand in for it,
// to move leaders and coordinators, and to expire sessions.
type Proxy struct {
	traffic

	cfg  ProxyConfig
	work sync.WaitGroup // all goroutines

	ctx  context.Context // ends with the proxy
	stop context.CancelFunc

	topics topicIDs

	mu     sync.Mutex
	closed bool
	fronts []*front // by number
}

// front is where clients reach a broker.
type front struct {
	told hostport // to clients
	ln   *wire.Listener

	// Guarded by the proxy's mu.
	id   int32  // -1 while it is not known
	addr string // of the broker
	rack string
}

// connectTimeout is how long a broker may take to be connected to, Kafka's
// socket.connection.setup.timeout.ms.
const connectTimeout = 10 * time.Second

// Run starts a proxy and stops it when the test ends. What goes wrong fails the test.
func (c ProxyConfig) Run(tb testing.TB) *Proxy {
	tb.Helper()
	p, err := StartProxy(c)
	if err != nil {
		tb.Fatalf("starting a proxy: %v", err)
	}
	tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			tb.Errorf("stopping the proxy: %v", err)
		}
	})
	return p
}

// StartProxy starts a proxy. It asks no broker anything: whether there is one is found
// out by clients. An error is a [ConfigError], or wraps what the network answered; then
// nothing is left running.
func StartProxy(cfg ProxyConfig) (*Proxy, error) {
	if len(cfg.Brokers) == 0 {
		return nil, badConfig("Brokers", "there are none; name the HOST:PORT of at least one broker")
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: connectTimeout}).DialContext
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	p := &Proxy{cfg: cfg}
	p.rules, p.behind = new(wire.Rules), p
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.rules.Add(
		p.offerVersions(),
		p.tellAddresses(),
		p.learnTopics(),
		p.confirmProduced(),
		p.hurryAcknowledged(),
		p.observeActs(),
		p.observeFetches(),
		p.observeAssignments(),
	)
	for _, addr := range cfg.Brokers {
		err := checkAddress(addr)
		if err == nil {
			_, err = p.open(front{id: -1, addr: addr})
		}
		if err != nil {
			_ = p.Close() // the first error is the one to report
			return nil, &ConfigError{Field: "Brokers", Err: err}
		}
	}
	return p, nil
}

// open has clients reach a broker from now on.
func (p *Proxy) open(f front) (*front, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.openLocked(f)
}

func (p *Proxy) openLocked(f front) (*front, error) {
	if p.closed {
		return nil, ErrClosed
	}
	open := func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
	ln, err := wire.Listen(open, wire.Config{Node: int32(len(p.fronts)), Rules: p.rules, Relays: true, MaxFrame: math.MaxInt32, Logger: p.cfg.Logger})
	if err != nil {
		return nil, err
	}
	f.ln, f.told = ln, parseHostport(ln.Addr().String())
	p.fronts = append(p.fronts, &f)
	p.work.Go(func() { p.serve(&f) })
	return &f, nil
}

// Close cuts all connections, and returns when nothing of the proxy is left. It returns
// nil, also when called again.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	fronts := p.fronts
	p.mu.Unlock()
	p.stop()
	for _, f := range fronts {
		_ = f.ln.Close() // closing a listener of ours does not fail
	}
	p.work.Wait()
	return nil
}

// Addrs are the HOST:PORT that clients start from, in the order of the config.
func (p *Proxy) Addrs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	addrs := make([]string, len(p.cfg.Brokers))
	for i := range addrs {
		addrs[i] = p.fronts[i].told.String()
	}
	return addrs
}

// ClientOptions are the options that a franz-go client needs to connect. The slice is
// new at each call.
func (p *Proxy) ClientOptions() []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(p.Addrs()...)} }

// Nodes are the brokers that the cluster has told clients of so far, by node id, with
// the addresses that clients were told in their place.
func (p *Proxy) Nodes() []Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Node
	for _, f := range p.fronts {
		if f.id >= 0 {
			out = append(out, Node{ID: f.id, Addr: f.told.String(), Rack: f.rack, Up: true})
		}
	}
	slices.SortFunc(out, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (p *Proxy) doors() []*wire.Listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]*wire.Listener, len(p.fronts))
	for i, f := range p.fronts {
		out[i] = f.ln
	}
	return out
}

func (p *Proxy) id(number int32) int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fronts[number].id
}

// serve takes connections to a broker until the proxy is closed.
func (p *Proxy) serve(f *front) {
	for {
		client, err := f.ln.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.connect(f, client) })
	}
}

// connect copies what passes between a client and a broker, until one of them hangs up.
func (p *Proxy) connect(f *front, client net.Conn) {
	defer func() { _ = client.Close() }() // whoever hung up first knows
	broker, err := p.dial(f)
	if err != nil {
		p.cfg.Logger.Debug("broker cannot be reached", "err", err)
		if c, ok := client.(interface{ SetLinger(seconds int) error }); ok {
			_ = c.SetLinger(0) // has it reset; closed, if that is not possible
		}
		return
	}
	closeBroker := func() { _ = broker.Close() }
	defer closeBroker()
	defer context.AfterFunc(p.ctx, closeBroker)()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		defer closeBroker()
		_, _ = io.Copy(broker, client)
	}()
	_, _ = io.Copy(client, broker)
	_ = client.Close()
	<-asked
}

// dial connects to a broker where it is now.
func (p *Proxy) dial(f *front) (net.Conn, error) {
	p.mu.Lock()
	addr := f.addr
	p.mu.Unlock()
	conn, err := p.cfg.Dial(p.ctx, "tcp", addr)
	if err != nil || p.cfg.TLS == nil {
		return conn, err
	}
	c := p.cfg.TLS.Clone()
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(addr) // checked before
	}
	secured := tls.Client(conn, c)
	ctx, cancel := context.WithTimeout(p.ctx, connectTimeout)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}
