package fakebroker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// ClientOptions are the options that a franz-go client needs to connect: the
// addresses, the network's dialer, TLS that trusts the certificates of
// Config.TLS, and the first user of Config.SASL. A server that asks for client
// certificates needs a dialer of one's own. The slice is new at each call.
func (b *Broker) ClientOptions() []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(b.Addrs()...)}
	if b.network != nil || b.cfg.TLS != nil {
		opts = append(opts, kgo.Dialer(b.dialer()))
	}
	if len(b.cfg.SASL) > 0 {
		opts = append(opts, kgo.SASL(b.cfg.SASL[0].mechanism()))
	}
	return opts
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

func (b *Broker) dialer() dialer {
	dial := new(net.Dialer).DialContext
	if b.network != nil {
		dial = b.dialInMemory
	}
	if b.cfg.TLS == nil {
		return dial
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(raw, b.clientTLS(addr))
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = raw.Close() // of no use without TLS
			return nil, err
		}
		return conn, nil
	}
}

// dialInMemory fails as TCP does where nobody listens: clients try again on a
// refused connection, and give up on an error that they do not know.
func (b *Broker) dialInMemory(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := b.network.DialContext(ctx, network, addr)
	if err != nil && ctx.Err() == nil {
		err = &net.OpError{Op: "dial", Net: b.cfg.Network.String(), Err: fmt.Errorf("%w (%s): %w", syscall.ECONNREFUSED, addr, err)}
	}
	return conn, err
}

// clientTLS trusts the server's own certificates, under a name they are for.
func (b *Broker) clientTLS(addr string) *tls.Config {
	host, _, _ := net.SplitHostPort(addr) // an address of ours
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool(), ServerName: host}
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

// opener is how a broker's listener is opened, the first time and when it comes
// back from being down. TLS ends below wire, which reads plain text.
func (b *Broker) opener(addr string) func() (net.Listener, error) {
	open := func() (net.Listener, error) { return b.network.Listen("tcp", addr) }
	if b.network == nil {
		p := &port{addr: addr}
		b.ports = append(b.ports, p)
		open = p.listen
	}
	if b.cfg.TLS == nil {
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
