package fakebroker_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
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
	for where, says := range map[string]string{dir: "delete it to have one made", filepath.Join(file, "below"): "is not a folder"} {
		_, err := fakebroker.Start(madeAtStart(where))
		isError(t, err, fakebroker.ErrConfig)
		if !strings.Contains(err.Error(), says) {
			t.Fatalf("got %v, want %s", err, says)
		}
	}
}

func TestTLSDir_leavesAloneWhatItDidNotMake(t *testing.T) {
	other := t.TempDir()
	noError(t, madeAtStart(other).Run(t).Close())
	foreign := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: selfSigned(t).Certificate[0]}))
	for _, name := range []string{"ca.pem", "ca-key.pem", "broker.pem", "broker-key.pem", "client.pem", "client-key.pem"} {
		for what, text := range map[string]string{"a certificate": foreign, "a text": "mine", "nothing": ""} {
			for _, made := range []bool{false, true} {
				if made && strings.HasSuffix(name, "-key.pem") {
					continue // the certificate beside it says whose it is
				}
				t.Run(fmt.Sprint(name, what, made), func(t *testing.T) {
					dir := t.TempDir()
					if made {
						noError(t, os.CopyFS(filepath.Join(dir, "tls"), os.DirFS(other)))
						dir = filepath.Join(dir, "tls")
					}
					path := filepath.Join(dir, name)
					noError(t, os.WriteFile(path, []byte(text), 0o600))
					_, err := fakebroker.Start(madeAtStart(dir))
					isError(t, err, fakebroker.ErrConfig)
					if !strings.Contains(err.Error(), path+" was not made here") {
						t.Fatal(err)
					}
					left, err := os.ReadFile(path)
					noError(t, err)
					equal(t, "left", string(left), text)
				})
			}
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

// Anybody can make a certificate of any name.
func TestTLS_certificatesThatNobodyVerifiedNameNobody(t *testing.T) {
	for _, auth := range []tls.ClientAuthType{tls.RequestClientCert, tls.RequireAnyClientCert} {
		t.Run(auth.String(), func(t *testing.T) {
			conf := madeAtStart(t.TempDir())
			conf.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: auth}
			noError(t, conf.Run(t).Close()) // where it is not asked who a client is, it may be anybody
			conf.ACLs = []fakebroker.ACL{acl(t, "User:CN=client:allow:write:topic:orders")}
			_, err := fakebroker.Start(conf)
			isError(t, err, fakebroker.ErrConfig)
			if !strings.Contains(err.Error(), "RequireAndVerifyClientCert") {
				t.Fatalf("got %v", err)
			}

			// What is decided for each connection cannot be refused at start.
			dir, elsewhere := t.TempDir(), t.TempDir()
			for _, dir := range []string{dir, elsewhere} {
				noError(t, madeAtStart(dir).Run(t).Close())
			}
			inner := &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: auth, Certificates: []tls.Certificate{keyPair(t, dir, "broker")}}
			conf.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return inner, nil }}
			b := conf.Run(t)
			pool := x509.NewCertPool()
			ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
			noError(t, err)
			pool.AppendCertsFromPEM(ca)
			cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addrs()...), kgo.DialTLSConfig(&tls.Config{
				MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{keyPair(t, elsewhere, "client")},
			}))
			noError(t, err)
			defer cl.Close()
			isError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr(), kerr.TopicAuthorizationFailed)
		})
	}
}

func keyPair(t *testing.T, dir, name string) tls.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem"))
	noError(t, err)
	return c
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
