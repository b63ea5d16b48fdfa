package fakebroker_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

func madeAtStart(dir string) fakebroker.Config {
	return fakebroker.Config{
		TLSDir: dir, Topics: []fakebroker.Topic{{Name: "orders"}},
		Listeners: []fakebroker.Listener{{TLS: true}},
	}
}

func TestTLSDir_hasWhatClientsTrust(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "tls")
	var first []byte
	for range 2 {
		b := madeAtStart(dir).Run(t)
		for name, mode := range map[string]os.FileMode{
			"ca.pem": 0o644, "ca-key.pem": 0o600, "broker.pem": 0o644, "broker-key.pem": 0o600, "client.pem": 0o644, "client-key.pem": 0o600,
		} {
			info, err := os.Stat(filepath.Join(dir, name))
			noError(t, err)
			equal(t, name, info.Mode().Perm(), mode)
		}
		text, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
		noError(t, err)
		equal(t, "CA", string(text), string(b.CA()))
		if first == nil {
			first = text
		}
		equal(t, "the same after a restart", string(text), string(first))
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(first)
		for _, host := range []string{"127.0.0.1", "localhost"} {
			_, port, _ := net.SplitHostPort(b.Addrs()[0])
			c, err := tls.Dial("tcp", net.JoinHostPort(host, port), &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool})
			noError(t, err)
			noError(t, c.Close())
		}
		produce(t, client(t, b), "orders", 0, 1)
		entries, err := os.ReadDir(dir)
		noError(t, err)
		equal(t, "files", len(entries), 6)
		noError(t, b.Close())
	}
}

func TestTLSDir_saysWhatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	noError(t, madeAtStart(dir).Run(t).Close())
	other := t.TempDir()
	noError(t, madeAtStart(other).Run(t).Close())
	noError(t, os.Rename(filepath.Join(other, "ca-key.pem"), filepath.Join(dir, "ca-key.pem")))
	file := filepath.Join(other, "ca.pem")
	for where, says := range map[string]string{dir: "delete it to have one made", filepath.Join(file, "below"): "not a directory"} {
		_, err := fakebroker.Start(madeAtStart(where))
		isError(t, err, fakebroker.ErrConfig)
		if !strings.Contains(err.Error(), says) {
			t.Fatalf("got %v, want %s", err, says)
		}
	}
}

// Who shows a certificate is its subject, as Kafka has it (User:CN=...).
func TestTLS_clientCertificatesSayWhoAClientIs(t *testing.T) {
	for name, c := range map[string]struct {
		auth    tls.ClientAuthType
		without bool // connects without a certificate
	}{
		"required": {tls.RequireAndVerifyClientCert, false},
		"optional": {tls.VerifyClientCertIfGiven, true},
	} {
		t.Run(name, func(t *testing.T) {
			conf := madeAtStart(t.TempDir())
			conf.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: c.auth}
			conf.ACLs = []fakebroker.ACL{acl(t, "User:CN=client:allow:write:topic:orders"), acl(t, "ANONYMOUS:allow:describe:cluster")}
			onBoth(t, conf, func(t *testing.T, b *fakebroker.Broker) {
				produce(t, client(t, b), "orders", 0, 1)

				pool := x509.NewCertPool()
				pool.AppendCertsFromPEM(b.CA())
				bare, err := kgo.NewClient(append(b.ClientOptions(), kgo.RequestRetries(0), withoutCertificate(t, b, pool))...)
				noError(t, err)
				defer bare.Close()
				equal(t, "connects without one", bare.Ping(within(t)) == nil, c.without)
				if c.without {
					if bare.ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr() == nil {
						t.Fatal("somebody without a certificate may write")
					}
				}
			})
		})
	}
}

// withoutCertificate is the dialer of ClientOptions without its certificate.
func withoutCertificate(t *testing.T, b *fakebroker.Broker, pool *x509.CertPool) kgo.Opt {
	t.Helper()
	raw := b.PlainDialer()
	return kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := raw(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: "localhost"})
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return nil, err
		}
		return conn, nil
	})
}
