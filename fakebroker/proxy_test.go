package fakebroker_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/brokertest"
)

// What brokers do, they do behind a proxy.
func TestBehaviours_behindAProxy(t *testing.T) {
	inFront := func(t *testing.T, addrs []string) []kgo.Opt {
		t.Helper()
		return fakebroker.ProxyConfig{Brokers: addrs}.Run(t).ClientOptions()
	}
	for _, each := range brokertest.Behaviours() {
		if each.Name == "cluster/APIs have the versions of Kafka's" {
			continue // not of Fetch: see TestProxy_versions
		}
		t.Run(each.Name, func(t *testing.T) {
			b := config(each.Needs).Run(t)
			c := cluster(b)
			c.Options = inFront(t, b.Addrs())
			for _, l := range b.Listeners() {
				if l.SASL {
					c.SASL.Options = inFront(t, l.Advertise)
				}
			}
			each.Run(t, c)
		})
	}
}

// dialled are the addresses that a client connects to.
type dialled struct {
	mu    sync.Mutex
	addrs map[string]bool
}

func (d *dialled) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	if d.addrs == nil {
		d.addrs = map[string]bool{}
	}
	d.addrs[addr] = true
	d.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// onlyTo checks that all were the proxy's.
func (d *dialled) onlyTo(t *testing.T, p *fakebroker.Proxy) {
	t.Helper()
	own := p.Addrs()
	for _, n := range p.Nodes() {
		own = append(own, n.Addr)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for addr := range d.addrs {
		if !slices.Contains(own, addr) {
			t.Errorf("a client connected to %s, past the proxy's %v", addr, own)
		}
	}
}

func TestProxy_clientsConnectToNothingElse(t *testing.T) {
	c := orders(6)
	c.NodeIDs, c.Racks = []int32{11, 12, 13}, []string{"a", "", "c"}
	b := c.Run(t)
	p := fakebroker.ProxyConfig{Brokers: b.Addrs()[:1]}.Run(t)
	var d dialled
	producer := client(t, p, kgo.Dialer(d.dial), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	produce(t, producer, "orders", 0, 12)
	fromStart := kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())
	for name, opts := range map[string][]kgo.Opt{
		"classic": {kgo.ConsumerGroup("classic"), fromStart}, "KIP-848": {kgo.ConsumerGroup("848"), kgo.ServerSideBalancer(), fromStart}, "share": {kgo.ShareGroup("share")},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "share" {
				setEarliest(t, b, "share")
			}
			cl := client(t, p, append(opts, kgo.Dialer(d.dial), kgo.ConsumeTopics("orders"))...)
			consume(t, cl, 12)
			if name != "share" {
				noError(t, cl.CommitUncommittedOffsets(within(t)))
			}
		})
	}
	s, err := kgo.NewGroupTransactSession(append(p.ClientOptions(), kgo.Dialer(d.dial), kgo.TransactionalID("tx"), kgo.DisableClientMetrics(),
		kgo.ConsumerGroup("transacts"), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	noError(t, err)
	defer s.Close()
	for s.PollFetches(within(t)).NumRecords() == 0 {
	}
	noError(t, s.Begin())
	noError(t, s.ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr())
	committed, err := s.End(within(t), kgo.TryCommit)
	noError(t, err)
	equal(t, "committed", committed, true)

	d.onlyTo(t, p)
	var nodes []fakebroker.Node
	for _, n := range p.Nodes() {
		nodes = append(nodes, fakebroker.Node{ID: n.ID, Rack: n.Rack, Up: n.Up})
	}
	equal(t, "nodes", nodes, []fakebroker.Node{{ID: 11, Rack: "a", Up: true}, {ID: 12, Up: true}, {ID: 13, Rack: "c", Up: true}})
	equal(t, "the first node's address", p.Nodes()[0].Addr, p.Addrs()[0])
}

func TestProxy_aBrokerThatIsGone(t *testing.T) {
	b := orders(1).Run(t)
	p := fakebroker.ProxyConfig{Brokers: b.Addrs()}.Run(t)
	cl := client(t, p)
	produce(t, cl, "orders", 0, 1)
	down := b.TakeDown(0)
	conn, err := net.Dial("tcp", p.Addrs()[0])
	if err == nil { // else it was reset at once
		_, err = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
	isError(t, err, syscall.ECONNRESET)

	if err := oneShot(t, p).ProduceSync(within(t), &kgo.Record{Topic: "orders", Value: []byte("1")}).FirstErr(); err == nil {
		t.Error("produced although the broker is gone")
	}
	down.Clear()
	produce(t, cl, "orders", 2, 1)
	equal(t, "records", values(t, b, "orders"), []string{"0", "2"})
}

// Brokers come back elsewhere, and are found by what the cluster says.
func TestProxy_addressesThatChange(t *testing.T) {
	was, now := orders(1).Run(t), orders(1).Run(t) // both have node 0
	p := fakebroker.ProxyConfig{Brokers: slices.Concat(was.Addrs(), now.Addrs())}.Run(t)
	noError(t, client(t, p, kgo.SeedBrokers(p.Addrs()[0])).Ping(within(t)))
	at := p.Nodes()[0].Addr
	equal(t, "the address of a seed", at, p.Addrs()[0])
	cl := client(t, p, kgo.SeedBrokers(at))
	produce(t, cl, "orders", 0, 1)
	noError(t, was.Close())
	noError(t, client(t, p, kgo.SeedBrokers(p.Addrs()[1])).Ping(within(t)))
	equal(t, "the address that clients have", p.Nodes()[0].Addr, at)
	produce(t, client(t, p, kgo.SeedBrokers(at)), "orders", 1, 1)
	equal(t, "records", values(t, now, "orders"), []string{"1"})
}

func TestProxy_toTLSAndUsers(t *testing.T) {
	for name, mechanism := range map[string]fakebroker.User{
		"PLAIN":         {Mechanism: fakebroker.Plain, Name: "alice", Password: "secret"},
		"SCRAM-SHA-512": {Mechanism: fakebroker.ScramSHA512, Name: "alice", Password: "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			c := orders(1)
			c.Brokers, c.SASL = 2, []fakebroker.User{mechanism}
			c.Listeners = []fakebroker.Listener{{TLS: true, SASL: true}}
			b := c.Run(t)
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(b.CA())
			p := fakebroker.ProxyConfig{Brokers: b.Addrs(), TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}.Run(t)
			as := func(password string) kgo.Opt {
				if mechanism.Mechanism == fakebroker.Plain {
					return kgo.SASL(plain.Auth{User: "alice", Pass: password}.AsMechanism())
				}
				return kgo.SASL(scram.Auth{User: "alice", Pass: password}.AsSha512Mechanism())
			}
			cl := client(t, p, as("secret"), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"))
			produce(t, cl, "orders", 0, 3)
			equal(t, "consumed", consume(t, cl, 3), []string{"0", "1", "2"})
			if err := oneShot(t, p, as("wrong")).Ping(within(t)); err == nil {
				t.Error("a wrong password was taken")
			}
		})
	}
	b := madeAtStart("").Run(t)
	p := fakebroker.ProxyConfig{Brokers: b.Addrs(), TLS: &tls.Config{MinVersion: tls.VersionTLS12}}.Run(t)
	if err := oneShot(t, p).Ping(within(t)); err == nil {
		t.Error("a certificate was believed that nobody trusts")
	}
}

// fullConn is a connection to a broker that takes nothing and says nothing.
type fullConn struct {
	net.Conn
	written, closed chan struct{}
}

func (c fullConn) Write([]byte) (int, error) {
	close(c.written)
	<-c.closed
	return 0, net.ErrClosed
}

func (c fullConn) Read([]byte) (int, error) {
	<-c.closed
	return 0, net.ErrClosed
}

func (c fullConn) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

func TestProxy_closeEndsEverything(t *testing.T) {
	leaves := goroutines()
	b := orders(1).Run(t)
	p := fakebroker.ProxyConfig{Brokers: b.Addrs()}.Run(t)
	held := client(t, p, kgo.ClientID("held"))
	produce(t, held, "orders", 0, 1)
	f := p.Delay(time.Hour, fakebroker.Scope{APIs: produces})
	held.Produce(t.Context(), &kgo.Record{Topic: "orders"}, nil)
	polls := client(t, p, kgo.ConsumeTopics("orders"), kgo.FetchMaxWait(time.Hour))
	polls.PollFetches(within(t))
	eventually(t, "the answer is held", func() bool { return f.Hits() > 0 })
	deaf := fullConn{written: make(chan struct{}), closed: make(chan struct{})}
	full := fakebroker.ProxyConfig{Brokers: b.Addrs(), Dial: func(context.Context, string, string) (net.Conn, error) { return deaf, nil }}.Run(t)
	talks, err := net.Dial("tcp", full.Addrs()[0])
	noError(t, err)
	defer func() { _ = talks.Close() }()
	_, err = talks.Write([]byte("\x00\x00\x00\x0d\x7f\x00\x00\x00\x00\x00\x00\x00\x00\x02me\x00"))
	noError(t, err)
	<-deaf.written
	noError(t, full.Close())
	noError(t, p.Close())
	noError(t, p.Close())
	held.Close()
	polls.Close()
	noError(t, b.Close())
	noneLeft(t, leaves)
	if _, err := net.Dial("tcp", p.Addrs()[0]); err == nil {
		t.Error("connected to a proxy that is closed")
	}
}

func TestProxyConfig_saysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		config fakebroker.ProxyConfig
		want   string
	}{
		"nothing":      {fakebroker.ProxyConfig{}, "Brokers: there are none; name the HOST:PORT of at least one broker"},
		"no port":      {fakebroker.ProxyConfig{Brokers: []string{"kafka"}}, `Brokers: "kafka" is not HOST:PORT, such as 127.0.0.1:9092 or [::1]:9092`},
		"the last one": {fakebroker.ProxyConfig{Brokers: []string{"kafka:9092", "kafka:x"}}, `Brokers: "kafka:x": port "x" is not between 0 and 65535`},
	} {
		t.Run(name, func(t *testing.T) {
			leaves := goroutines()
			_, err := fakebroker.StartProxy(c.config)
			isError(t, err, fakebroker.ErrConfig)
			equal(t, "error", err.Error(), c.want)
			noneLeft(t, leaves)
		})
	}
}

// What nobody looks at is not kept, however large.
func TestProxy_passesLargeMessagesUncopied(t *testing.T) {
	const size, most = 32 << 20, 2 << 20
	frame := func(head string) []byte {
		b := append(make([]byte, 4), head...)
		b = append(b, make([]byte, size)...)
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		return b
	}
	fetched := frame("\x00\x00\x00\x01")
	broker := listens(t, func(conn net.Conn) {
		for {
			head := make([]byte, 12)
			if _, err := io.ReadFull(conn, head); err != nil {
				return
			}
			pages := make([]byte, 64<<10)
			in := io.LimitReader(conn, int64(binary.BigEndian.Uint32(head))-8)
			for n, err := 1, error(nil); n > 0 && err == nil; n, err = in.Read(pages) {
			}
			if _, err := conn.Write(fetched); err != nil {
				return
			}
		}
	})
	p := fakebroker.ProxyConfig{Brokers: []string{broker}}.Run(t)
	conn, err := net.Dial("tcp", p.Addrs()[0])
	noError(t, err)
	defer func() { _ = conn.Close() }()
	fetch := kmsg.NewRequestFormatter(kmsg.FormatterClientID("me")).AppendRequest(nil, &kmsg.FetchRequest{Version: 15}, 1)
	produce := kmsg.NewPtrProduceRequest()
	produce.Version, produce.Acks = 9, 1
	topic, part := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	part.Records = make([]byte, size)
	topic.Partitions = append(topic.Partitions, part)
	produce.Topics = append(produce.Topics, topic)
	large := kmsg.NewRequestFormatter(kmsg.FormatterClientID("me")).AppendRequest(nil, produce, 1)
	pages := make([]byte, 64<<10)
	exchange := func(request []byte) {
		_, err := conn.Write(request)
		noError(t, err)
		for left := len(fetched); left > 0; {
			n, err := conn.Read(pages)
			noError(t, err)
			left -= n
		}
	}
	exchange(fetch)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	exchange(fetch)
	exchange(large)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > most {
		t.Errorf("%d bytes were allocated to pass %d", got, 2*size+len(large))
	}
}
