package fakebroker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"example.com/kafkatest/fakebroker"
)

func TestStart_saysWhatIsWrongAndLeavesNothingRunning(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	defer func() { noError(t, taken.Close()) }()
	type config = fakebroker.Config
	cases := map[string]struct {
		config config
		field  string
		says   string
	}{
		"no port":         {config{Listen: []string{"localhost"}}, "Listen", "not HOST:PORT"},
		"port range":      {config{Listen: []string{"127.0.0.1:65536"}}, "Listen", "not between 0 and 65535"},
		"wildcard":        {config{Listen: []string{"0.0.0.0:9092"}}, "Listen", "cannot be advertised"},
		"empty host":      {config{Listen: []string{":9092"}}, "Listen", "cannot be advertised"},
		"taken port":      {config{Listen: []string{"127.0.0.1:0", taken.Addr().String()}}, "Listen", "choose another address"},
		"addresses":       {config{Brokers: 3, Listen: []string{"127.0.0.1:0"}}, "Brokers", "leave one of the two out"},
		"negative":        {config{Brokers: -1}, "Brokers", "use 1 to"},
		"in memory":       {config{Network: fakebroker.InMemory, Listen: []string{"127.0.0.1:0"}}, "Listen", "no addresses"},
		"network":         {config{Network: 7}, "Network", "use TCP or InMemory"},
		"topic name":      {config{Topics: []fakebroker.Topic{{Name: "a b"}}}, "Topics", "use letters"},
		"topic twice":     {config{Topics: []fakebroker.Topic{{Name: "a"}, {Name: "a"}}}, "Topics", "name it once"},
		"topics collide":  {config{Topics: []fakebroker.Topic{{Name: "a.b"}, {Name: "a_b"}}}, "Topics", "collides"},
		"mechanism":       {config{SASL: []fakebroker.User{{Mechanism: "GSSAPI", Name: "u"}}}, "SASL", "not supported"},
		"no user":         {config{SASL: []fakebroker.User{{Mechanism: fakebroker.Plain}}}, "SASL", "choose another"},
		"no certificate":  {config{TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, "TLS", "no certificate"},
		"session timeout": {config{MaxSessionTimeout: -1}, "MaxSessionTimeout", "negative"},
		"first fetch":     {config{FirstFetchWait: time.Microsecond}, "FirstFetchWait", "whole milliseconds"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := goroutines()
			b, err := fakebroker.Start(c.config)
			if err == nil {
				noError(t, b.Close())
				t.Fatal("started")
			}
			isError(t, err, fakebroker.ErrConfig)
			var bad *fakebroker.ConfigError
			if !errors.As(err, &bad) || bad.Field != c.field || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %q, want %s and %q", err, c.field, c.says)
			}
			noneLeft(t, before)
		})
	}
}

func TestStart_listensWhereItIsTold(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "localhost"} {
		b := fakebroker.Config{Listen: []string{host + ":0", host + ":0"}, Topics: orders(4).Topics}.Run(t)
		equal(t, "addresses", len(b.Addrs()), 2)
		for _, a := range b.Addrs() {
			c, err := net.Dial("tcp", a)
			noError(t, err)
			noError(t, c.Close())
		}
		produce(t, client(t, b), "orders", 0, 8)
		noError(t, b.Close())
		again := fakebroker.Config{Listen: b.Addrs()}.Run(t) // the ports are free again
		equal(t, "addresses", again.Addrs(), b.Addrs())
	}
}

func TestClientOptions_connectWithTLSAndSASL(t *testing.T) {
	certificate := selfSigned(t)
	users := map[string][]fakebroker.User{
		"no users":             nil,
		fakebroker.Plain:       {{Mechanism: fakebroker.Plain, Name: "u", Password: "p"}},
		fakebroker.ScramSHA256: {{Mechanism: fakebroker.ScramSHA256, Name: "u", Password: "p"}},
		fakebroker.ScramSHA512: {{Mechanism: fakebroker.ScramSHA512, Name: "u", Password: "p"}},
	}
	for name, sasl := range users {
		for _, secure := range []bool{false, true} {
			c := orders(2)
			c.Brokers, c.SASL = 2, sasl
			title := name
			if secure {
				c.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
				title += " with TLS"
			}
			t.Run(title, func(t *testing.T) {
				onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
					produce(t, client(t, b), "orders", 0, 4)
					equal(t, "records", len(values(t, b, "orders")), 4)
					f := b.DropAfter(fakebroker.Scope{APIs: produces, Count: 1})
					produce(t, client(t, b), "orders", 4, 2)
					equal(t, "hits", f.Hits(), 1)
					b.TakeDown(0)
					produce(t, client(t, b), "orders", 6, 2)
					equal(t, "records", len(values(t, b, "orders")), 8)
				})
			})
		}
	}
}

func TestSASL_wrongPasswordIsRefused(t *testing.T) {
	c := orders(1)
	c.SASL = []fakebroker.User{{Mechanism: fakebroker.Plain, Name: "u", Password: "p"}}
	b := c.Run(t)
	for _, password := range []string{"wrong", "", "p"} {
		cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addrs()...), kgo.RequestRetries(0),
			kgo.SASL(plain.Auth{User: "u", Pass: password}.AsMechanism()))
		noError(t, err)
		equal(t, "connected", cl.Ping(within(t)) == nil, password == "p")
		cl.Close()
	}
}

func TestDataDir_keepsTopicsRecordsAndGroups(t *testing.T) {
	c := orders(1)
	c.DataDir = t.TempDir()
	for i, password := range []string{"first", "second"} {
		c.SASL = []fakebroker.User{{Mechanism: fakebroker.ScramSHA256, Name: "u", Password: password}}
		b := c.Run(t)
		cl := client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit())
		produce(t, cl, "orders", i, 1)
		consume(t, cl, 1)
		noError(t, cl.CommitUncommittedOffsets(within(t)))
		cl.CloseAllowingRebalance()
		g, _ := b.Group("g")
		equal(t, "committed", g.Offsets[0].Committed, int64(i+1))
		equal(t, "records", len(values(t, b, "orders")), i+1)
		noError(t, b.Close())
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), // a bubble's clock starts in 2000
		NotAfter:  time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	noError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
