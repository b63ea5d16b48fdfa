package fakebroker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// ClientOptions are the options that a franz-go client needs to connect to the
// first listener: see [Broker.ListenerOptions].
func (b *Broker) ClientOptions() []kgo.Opt { return b.ListenerOptions(0) }

// ListenerOptions are the options that a franz-go client needs to connect to a
// listener, by its place in [Broker.Listeners]: the addresses, a dialer that
// reaches them from this process, TLS that trusts the certificates of
// Config.TLS, and the first user of Config.SASL. A server that asks for client
// certificates is shown one if its own was made at start, and needs a dialer of
// one's own if not. The slice is new at each call.
func (b *Broker) ListenerOptions(listener int) []kgo.Opt {
	l := b.cfg.Listeners[listener]
	addrs := make([]string, len(b.told[listener]))
	for i, a := range b.told[listener] {
		addrs[i] = a.String()
	}
	opts := []kgo.Opt{kgo.SeedBrokers(addrs...)}
	if b.network != nil || l.TLS || len(l.Advertise) > 0 {
		opts = append(opts, kgo.Dialer(b.dialer(listener)))
	}
	if b.network != nil {
		opts = append(opts, kgo.WithDecompressor(newDecompressor()))
	}
	if b.network != nil && b.cfg.AsVersion == "" {
		// A client that begins with versions that brokers do not have asks
		// twice on each connection.
		opts = append(opts, kgo.MaxVersions(kafkaVersions()))
	}
	if l.SASL {
		opts = append(opts, kgo.SASL(b.cfg.SASL[0].mechanism()))
	}
	return opts
}

// Dial connects to the first listener's address of a broker, whatever carries its
// connections, TLS included: the dialer of ClientOptions, for clients of other
// libraries. It is safe for concurrent use. A client that makes many connections
// has a [Broker.Dialer] of its own.
func (b *Broker) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return b.dialer(0)(ctx, network, addr)
}

// Dialer is Dial for one client: in memory, whether that lives in the brokers' bubble
// is looked up for its first connection only.
func (b *Broker) Dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	return b.dialer(0)
}

func (u User) mechanism() sasl.Mechanism {
	auth := scram.Auth{User: u.Name, Pass: u.Password}
	switch u.Mechanism {
	case ScramSHA256:
		return auth.AsSha256Mechanism()
	case ScramSHA512:
		return auth.AsSha512Mechanism()
	}
	return plain.Auth{User: u.Name, Pass: u.Password}.AsMechanism()
}

type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

func (b *Broker) dialer(listener int) dialer {
	dial := new(net.Dialer).DialContext
	if b.network != nil {
		dial = b.dialerInMemory()
	}
	l := b.cfg.Listeners[listener]
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := dial(ctx, network, b.dialable(listener, addr))
		if err != nil || !l.TLS {
			return raw, err
		}
		conn := tls.Client(raw, b.clientTLS(addr))
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = raw.Close() // of no use without TLS
			return nil, err
		}
		return conn, nil
	}
}

// dialerInMemory fails as TCP does where nobody listens: clients try again on a
// refused connection, and give up on an error that they do not know.
func (b *Broker) dialerInMemory() dialer {
	at := new(bubbleOf)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := b.network.dial(ctx, addr, at)
		if err != nil && ctx.Err() == nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s in memory: %w", addr, err)}
		}
		return conn, err
	}
}

// clientTLS trusts the server's own certificates, under a name they are for.
func (b *Broker) clientTLS(addr string) *tls.Config {
	host, _, _ := net.SplitHostPort(addr) // an address of ours
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool(), ServerName: host}
	if b.made != nil {
		c.Certificates = []tls.Certificate{b.made.client}
	}
	for _, chain := range b.cfg.TLS.Certificates {
		for i, der := range chain.Certificate {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				continue // the handshake will say so
			}
			c.RootCAs.AddCert(cert)
			if i == 0 && cert.VerifyHostname(host) != nil && len(cert.DNSNames) > 0 {
				c.ServerName = cert.DNSNames[0]
			}
		}
	}
	return c
}
