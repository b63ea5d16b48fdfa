package fakebroker

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"example.com/kafkatest/fakebroker/wire"
)

// Listener is a way in to the brokers: an address of each, and what clients must
// bring. A client is told the addresses of the listener that it came in by, as
// Kafka's listeners do it (KIP-103).
type Listener struct {
	// Listen has one HOST:PORT for each broker, TCP only; port 0 takes a free
	// one, and a host by name is told to clients by that name. 0.0.0.0 and [::]
	// listen on every interface and need Advertise. Empty means 127.0.0.1:0 for
	// each broker.
	Listen []string

	// Advertise is what clients are told in place of Listen, as HOST or as
	// HOST:PORT: one for each broker, or one for all. Without a port it is the
	// one that is listened on. Empty means the addresses that are listened on.
	Advertise []string

	// TLS has clients speak TLS, with the certificate of Config.TLS, or with one
	// made at start.
	TLS bool

	// SASL makes clients authenticate as one of Config.SASL. Those who come in
	// by other listeners are User:ANONYMOUS, or the subject of the certificate
	// that they show.
	SASL bool
}

// Protocol is Kafka's name for what clients must bring (security.protocol).
func (l Listener) Protocol() string {
	name := "PLAINTEXT"
	if l.TLS {
		name = "SSL"
	}
	if l.SASL {
		return "SASL_" + name
	}
	return name
}

// Listeners are the listeners that are open, in the order of the config, with
// the addresses that they have: no port is 0, and Advertise has what clients are
// told of each broker.
func (b *Broker) Listeners() []Listener {
	out := make([]Listener, len(b.cfg.Listeners))
	for i, l := range b.cfg.Listeners {
		l.Listen, l.Advertise = nil, nil
		for node, ln := range b.listeners {
			l.Listen = append(l.Listen, b.cfg.Listeners[i].bound(node, ln.Addrs()[i]).String())
			l.Advertise = append(l.Advertise, b.told[i][node].String())
		}
		out[i] = l
	}
	return out
}

// doors are the listeners that clients connect to, of each broker.
func (b *Broker) doors() []*wire.Listener { return b.listeners }

// hostport is an address as the protocol has it.
type hostport struct {
	host string
	port int32
}

func (a hostport) String() string { return net.JoinHostPort(a.host, strconv.Itoa(int(a.port))) }

func parseHostport(s string) hostport {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return hostport{host: strings.Trim(s, "[]")}
	}
	n, _ := strconv.ParseInt(port, 10, 32) // checked before
	return hostport{host, int32(n)}
}

// listen opens the listeners of each broker, before anything else is started.
func (b *Broker) listen() error {
	if b.cfg.Network == InMemory {
		b.network = new(memory)
	}
	for node := range b.cfg.Brokers {
		doors := make([]wire.Door, len(b.cfg.Listeners))
		var failed string
		for i, l := range b.cfg.Listeners {
			open := b.opener(l.Listen[node], l.TLS)
			doors[i] = wire.Door{Login: b.login(l), SASL: l.SASL, Open: func() (net.Listener, error) {
				ln, err := open()
				if err != nil {
					failed = l.Listen[node]
				}
				return ln, err
			}}
		}
		ln, err := wire.ListenAt(doors, wire.Config{Node: int32(node), Rules: b.rules, Lends: true, Logger: b.cfg.Logger})
		if errors.Is(err, syscall.EMFILE) {
			return badConfig("Listen", "cannot listen on %s; raise the limit of open files (ulimit -n): %w", failed, err)
		}
		if err != nil {
			return &ConfigError{Field: "Listen", Err: fmt.Errorf("cannot listen on %s; choose another address: %w", failed, err)}
		}
		b.listeners = append(b.listeners, ln)
	}
	for i, l := range b.cfg.Listeners {
		told := make([]hostport, b.cfg.Brokers)
		for node, ln := range b.listeners {
			told[node] = l.told(node, l.bound(node, ln.Addrs()[i]))
		}
		b.told = append(b.told, told)
	}
	return nil
}

// bound is the address of a broker's listener: the host by the name that it was
// asked for, as Kafka's listeners have it, with the port that it got.
func (l Listener) bound(node int, addr net.Addr) hostport {
	a, asked := parseHostport(addr.String()), parseHostport(l.Listen[node])
	if !asked.unspecified() {
		a.host = asked.host
	}
	return a
}

// told is what clients are told of a broker that listens on an address.
func (l Listener) told(node int, bound hostport) hostport {
	switch len(l.Advertise) {
	case 0:
		return bound
	case 1:
		node = 0
	}
	a := parseHostport(l.Advertise[node])
	a.port = cmp.Or(a.port, bound.port)
	return a
}

// opener is how a door of a broker is opened, the first time and when it comes
// back from being down. TLS ends below wire, which reads plain text.
func (b *Broker) opener(addr string, secure bool) func() (net.Listener, error) {
	open := func() (net.Listener, error) { return b.network.listen(addr) }
	if b.network == nil {
		p := &port{addr: addr}
		b.ports = append(b.ports, p)
		open = p.listen
	}
	if !secure {
		return open
	}
	return func() (net.Listener, error) {
		ln, err := open()
		if err != nil {
			return nil, err
		}
		return tls.NewListener(ln, b.cfg.TLS), nil
	}
}

// named is a listener under the address that clients are told. kfake asks for it
// with every answer that names a broker.
type named struct {
	net.Listener
	addr string
}

// Addr is the advertised address.
func (n named) Addr() net.Addr { return n }

// Network is that of the listener.
func (n named) Network() string { return n.Listener.Addr().Network() }

// String is the address.
func (n named) String() string { return n.addr }

// withListeners checks the listeners and fills in what is left out.
func (c Config) withListeners() (Config, error) {
	if len(c.Listeners) == 0 {
		c.Listeners = []Listener{{Listen: c.Listen, Advertise: c.Advertise, TLS: c.TLS != nil, SASL: len(c.SASL) > 0}}
	} else if len(c.Listen) > 0 || len(c.Advertise) > 0 {
		return c, badConfig("Listeners", "Listen and Advertise are for one listener; leave out either them or Listeners")
	}
	c.Listeners = slices.Clone(c.Listeners)
	seen := make(map[string]bool)
	for i, l := range c.Listeners {
		if err := l.checkListen(c.Brokers); err != nil {
			return c, &ConfigError{Field: "Listen", Err: err}
		}
		if err := l.checkAdvertise(c.Brokers); err != nil {
			return c, &ConfigError{Field: "Advertise", Err: err}
		}
		if c.Network == InMemory && len(l.Listen)+len(l.Advertise) > 0 {
			return c, badConfig("Listen", "an in-memory network has no addresses to choose; leave it out or use TCP")
		}
		if l.SASL && len(c.SASL) == 0 {
			return c, badConfig("SASL", "a listener asks clients to authenticate, and there is no user; add one")
		}
		for _, addr := range l.Listen {
			if seen[addr] && parseHostport(addr).port != 0 {
				return c, badConfig("Listen", "%s twice; give each broker and listener an address of its own", addr)
			}
			seen[addr] = true
		}
		for node := len(l.Listen); node < c.Brokers; node++ {
			addr := "127.0.0.1:0"
			if c.Network == InMemory {
				addr = "localhost:" + strconv.Itoa(firstPort+i*maxBrokers+node)
			}
			l.Listen = append(l.Listen[:len(l.Listen):len(l.Listen)], addr)
		}
		c.Listeners[i] = l
	}
	if len(c.SASL) > 0 && !slices.ContainsFunc(c.Listeners, func(l Listener) bool { return l.SASL }) {
		return c, badConfig("SASL", "there are users, and no listener that asks clients to authenticate; set SASL of one")
	}
	return c, nil
}

func (l Listener) checkListen(brokers int) error {
	if len(l.Listen) > 0 && len(l.Listen) != brokers {
		return fmt.Errorf("%d addresses for %d brokers; give each listener one for each broker", len(l.Listen), brokers)
	}
	for _, addr := range l.Listen {
		if err := checkAddress(addr); err != nil {
			return err
		}
		if parseHostport(addr).unspecified() && len(l.Advertise) == 0 {
			return fmt.Errorf("%q cannot be advertised to clients; name an address that they can dial, such as 127.0.0.1:%d, or say what to advertise", addr, parseHostport(addr).port)
		}
	}
	return nil
}

func (l Listener) checkAdvertise(brokers int) error {
	if n := len(l.Advertise); n > 1 && n != brokers {
		return fmt.Errorf("%d advertised addresses for %d brokers; give one for each broker, or one for all", n, brokers)
	}
	if len(l.Advertise) == 1 && brokers > 1 && parseHostport(l.Advertise[0]).port != 0 {
		return fmt.Errorf("%d brokers cannot all be %s; advertise a host without a port, or one address for each", brokers, l.Advertise[0])
	}
	seen := make(map[string]bool)
	for _, addr := range l.Advertise {
		if seen[addr] && parseHostport(addr).port != 0 {
			return fmt.Errorf("%s is advertised of two brokers; advertise a host without a port, or one address for each", addr)
		}
		seen[addr] = true
		if _, _, err := net.SplitHostPort(addr); err == nil {
			if err := checkAddress(addr); err != nil {
				return err
			}
		}
		if a := parseHostport(addr); a.unspecified() || strings.ContainsAny(a.host, " /:") && net.ParseIP(a.host) == nil {
			return fmt.Errorf("%q cannot be advertised to clients; name a HOST or HOST:PORT that they can dial", addr)
		}
	}
	return nil
}

func (a hostport) unspecified() bool {
	ip, err := netip.ParseAddr(a.host)
	return a.host == "" || err == nil && ip.IsUnspecified()
}

// dialable is where this process reaches a listener that others know by another
// address.
func (b *Broker) dialable(listener int, addr string) string {
	at := parseHostport(addr)
	for node, told := range b.told[listener] {
		if told != at {
			continue
		}
		bound := parseHostport(b.listeners[node].Addrs()[listener].String())
		if bound.unspecified() {
			bound.host = "localhost"
		}
		return bound.String()
	}
	return addr
}
