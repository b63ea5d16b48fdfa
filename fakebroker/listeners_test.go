package fakebroker_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"example.com/kafkatest/fakebroker"
)

// everyListener is a cluster of two brokers with four ways in.
func everyListener() fakebroker.Config {
	return fakebroker.Config{
		Brokers: 2,
		Topics:  []fakebroker.Topic{{Name: "orders", Partitions: 4}},
		SASL: []fakebroker.User{
			{Mechanism: fakebroker.ScramSHA512, Name: "alice", Password: "a"},
			{Mechanism: fakebroker.Plain, Name: "bob", Password: "b"},
		},
		Listeners: []fakebroker.Listener{{}, {TLS: true}, {SASL: true}, {TLS: true, SASL: true}},
	}
}

// reach is a client that comes in by a listener.
func reach(t *testing.T, b *fakebroker.Broker, listener int, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	return client(t, b, append(b.ListenerOptions(listener), opts...)...)
}

func TestListen_clientsAreToldTheNameThatItWasGiven(t *testing.T) {
	for _, host := range []string{"localhost", "127.0.0.1"} {
		b := fakebroker.Config{Brokers: 2, Listen: []string{host + ":0", host + ":0"}}.Run(t)
		told := b.Addrs()
		for _, a := range told {
			if h, port, err := net.SplitHostPort(a); err != nil || h != host || port == "0" {
				t.Errorf("listening on %s:0 is told as %s", host, a)
			}
		}
		equal(t, "metadata", metadataAddrs(t, client(t, b)), told)
		equal(t, "addresses that are listened on", b.Listeners()[0].Listen, told)
	}
}

func TestListeners_clientsAreToldTheAddressesOfTheirOwn(t *testing.T) {
	onBoth(t, everyListener(), func(t *testing.T, b *fakebroker.Broker) {
		told := make(map[string]bool)
		protocols := []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}
		for i, l := range b.Listeners() {
			equal(t, "protocol", l.Protocol(), protocols[i])
			for _, a := range l.Advertise {
				if told[a] {
					t.Fatalf("%s is advertised twice", a)
				}
				told[a] = true
			}
			cl := reach(t, b, i, kgo.ConsumerGroup(l.Protocol()), kgo.ConsumeTopics("orders"))
			produce(t, cl, "orders", 10*i, 4)
			consume(t, cl, 4*(i+1))
			equal(t, "metadata", metadataAddrs(t, cl), l.Advertise)
			for _, version := range []int16{0, 1, 3, 4, 6} {
				for _, a := range coordinatorAddrs(t, reach(t, b, i, atMost(kmsg.FindCoordinator, version))) {
					if !strings.Contains(strings.Join(l.Advertise, " "), a) {
						t.Fatalf("FindCoordinator v%d names %s, listeners are %v", version, a, l.Advertise)
					}
				}
			}
			resp, err := kmsg.NewPtrDescribeClusterRequest().RequestWith(within(t), cl)
			noError(t, err)
			var addrs []string
			for _, o := range resp.Brokers {
				addrs = append(addrs, hostport(o.Host, o.Port))
			}
			equal(t, "DescribeCluster", addrs, l.Advertise)
		}
	})
}

func hostport(host string, port int32) string {
	return net.JoinHostPort(host, fmt.Sprint(port))
}

func metadataAddrs(t *testing.T, cl *kgo.Client) (addrs []string) {
	t.Helper()
	resp, err := kmsg.NewPtrMetadataRequest().RequestWith(within(t), cl)
	noError(t, err)
	for _, o := range resp.Brokers {
		addrs = append(addrs, hostport(o.Host, o.Port))
	}
	return addrs
}

func coordinatorAddrs(t *testing.T, cl *kgo.Client) (addrs []string) {
	t.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorKeys = "g", []string{"g", "h"}
	resp, err := req.RequestWith(within(t), cl)
	noError(t, err)
	if len(resp.Coordinators) == 0 {
		return []string{hostport(resp.Host, resp.Port)}
	}
	for _, c := range resp.Coordinators {
		addrs = append(addrs, hostport(c.Host, c.Port))
	}
	return addrs
}

// A client that asked the wrong broker is told where to go (KIP-951): by its own
// listener too, and without a rack where there is none.
func TestListeners_whoLeadsNowIsNamedByTheListener(t *testing.T) {
	c := everyListener()
	c.NodeIDs, c.Racks = []int32{7, 3}, []string{"", "b"}
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		for i, l := range b.Listeners() {
			want := map[string]string{"7 " + l.Advertise[0]: "", "3 " + l.Advertise[1]: "b"}
			for name, ask := range map[string]func(*testing.T, *kgo.Client, *kgo.Broker, kadm.TopicDetail) (map[string]string, int32){
				"produce": produceTo, "fetch": fetchFrom,
			} {
				cl := reach(t, b, i)
				meta, err := kadm.NewClient(cl).Metadata(within(t), "orders")
				noError(t, err)
				leader := meta.Topics["orders"].Partitions[0].Leader
				brokers, now := ask(t, cl, cl.Broker(int(10-leader)), meta.Topics["orders"])
				equal(t, name+": leader", now, leader)
				equal(t, name+": brokers", brokers, want)
			}
			// Before answers named brokers, they named the leader.
			cl := reach(t, b, i, atMost(kmsg.Fetch, 12))
			meta, err := kadm.NewClient(cl).Metadata(within(t), "orders")
			noError(t, err)
			leader := meta.Topics["orders"].Partitions[0].Leader
			_, now := fetchFrom(t, cl, cl.Broker(int(10-leader)), meta.Topics["orders"])
			equal(t, "leader", now, leader)
		}
	})
}

func produceTo(t *testing.T, _ *kgo.Client, to *kgo.Broker, topic kadm.TopicDetail) (brokers map[string]string, leader int32) {
	t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Acks = -1
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = topic.Topic, topic.ID
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = []byte("not looked at")
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	a, err := to.Request(within(t), req)
	noError(t, err)
	resp := a.(*kmsg.ProduceResponse)
	brokers = make(map[string]string)
	for _, o := range resp.Brokers {
		brokers[endpoint(o.NodeID, o.Host, o.Port)] = rackOf(o.Rack)
	}
	return brokers, resp.Topics[0].Partitions[0].CurrentLeader.LeaderID
}

func fetchFrom(t *testing.T, _ *kgo.Client, from *kgo.Broker, topic kadm.TopicDetail) (brokers map[string]string, leader int32) {
	t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.SessionEpoch, req.MaxBytes = -1, 1<<20
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic.Topic, topic.ID
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.PartitionMaxBytes = 1 << 20
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	a, err := from.Request(within(t), req)
	noError(t, err)
	resp := a.(*kmsg.FetchResponse)
	brokers = make(map[string]string)
	for _, o := range resp.Brokers {
		brokers[endpoint(o.NodeID, o.Host, o.Port)] = rackOf(o.Rack)
	}
	return brokers, resp.Topics[0].Partitions[0].CurrentLeader.LeaderID
}

func endpoint(id int32, host string, port int32) string {
	return fmt.Sprint(id, " ", hostport(host, port))
}

func rackOf(r *string) string {
	if r == nil {
		return ""
	}
	return *r
}

func TestAdvertise_isWhatClientsAreTold(t *testing.T) {
	c := fakebroker.Config{
		Topics: []fakebroker.Topic{{Name: "orders", Partitions: 2}},
		Listeners: []fakebroker.Listener{
			{Listen: []string{"0.0.0.0:0", "127.0.0.1:0"}, Advertise: []string{"kafka.example"}},
			{Listen: []string{"[::]:0", "127.0.0.1:0"}, Advertise: []string{"one.example:19092", "two.example"}, TLS: true},
		},
	}
	b := c.Run(t)
	ls := b.Listeners()
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }
	equal(t, "told", ls[0].Advertise, []string{"kafka.example:" + port(ls[0].Listen[0]), "kafka.example:" + port(ls[0].Listen[1])})
	equal(t, "told", ls[1].Advertise, []string{"one.example:19092", "two.example:" + port(ls[1].Listen[1])})
	equal(t, "addresses", b.Addrs(), ls[0].Advertise)
	for i, l := range ls {
		cl := reach(t, b, i)
		produce(t, cl, "orders", 0, 4)
		equal(t, "metadata", metadataAddrs(t, cl), l.Advertise)
	}
	// Without the dialer of ListenerOptions the addresses are what they are.
	cl, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:"+port(ls[0].Listen[0])), kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, strings.Replace(addr, "kafka.example", "127.0.0.1", 1))
	}))
	noError(t, err)
	defer cl.Close()
	produce(t, cl, "orders", 0, 4)
}

// Without SASL nobody authenticates, also where others do.
func TestListeners_whoIsWho(t *testing.T) {
	c := everyListener()
	c.Brokers = 1
	c.Superusers = []string{"alice"}
	c.ACLs = []fakebroker.ACL{
		acl(t, "ANONYMOUS:allow:describe:topic:orders"),
		acl(t, "ANONYMOUS:allow:read:topic:orders"),
		acl(t, "User:bob:allow:write:topic:ord*"),
	}
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		for i, l := range b.Listeners() {
			err := reach(t, b, i).ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr()
			if allowed := err == nil; allowed != l.SASL {
				t.Fatalf("%s: %v", l.Protocol(), err)
			}
		}
	})
}

func TestListeners_plainTextOneAnswersSASLAsKafkaDoes(t *testing.T) {
	b := everyListener().Run(t)
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Mechanism = "PLAIN"
	resp, err := rawRequest(t, b, "me", 1, shake)
	noError(t, err)
	equal(t, "error code", resp.(*kmsg.SASLHandshakeResponse).ErrorCode, int16(34)) // ILLEGAL_SASL_STATE
	auth := kmsg.NewPtrSASLAuthenticateRequest()
	auth.SASLAuthBytes = []byte("\x00bob\x00b")
	resp, err = rawRequest(t, b, "me", 2, auth)
	noError(t, err)
	refused := resp.(*kmsg.SASLAuthenticateResponse)
	equal(t, "error code", refused.ErrorCode, int16(34))
	equal(t, "message", refused.ErrorMessage != nil, true)
}

func TestListeners_goDownAndComeBackTogether(t *testing.T) {
	onBoth(t, everyListener(), func(t *testing.T, b *fakebroker.Broker) {
		var clients []*kgo.Client
		for i := range b.Listeners() {
			clients = append(clients, reach(t, b, i))
			noError(t, clients[i].Ping(within(t)))
		}
		f := b.TakeDown(0)
		for i, cl := range clients {
			produce(t, cl, "orders", i, 4)
		}
		f.Clear()
		for i, cl := range clients {
			produce(t, cl, "orders", i, 4)
			eventually(t, "both brokers are back", func() bool { return len(metadataAddrs(t, cl)) == 2 })
		}
	})
}

func TestStart_refusesListenersThatCannotBe(t *testing.T) {
	type listeners = []fakebroker.Listener
	user := []fakebroker.User{{Mechanism: fakebroker.Plain, Name: "u", Password: "p"}}
	for name, c := range map[string]struct {
		config fakebroker.Config
		says   string
	}{
		"listen and listeners":     {fakebroker.Config{Listen: []string{"127.0.0.1:0"}, Listeners: listeners{{}}}, "leave out either"},
		"one has fewer":            {fakebroker.Config{Listeners: listeners{{Listen: []string{"127.0.0.1:0"}}, {Listen: []string{"127.0.0.1:0", "127.0.0.1:0"}}}}, "one for each"},
		"fewer node ids":           {fakebroker.Config{Listen: []string{"127.0.0.1:0", "127.0.0.1:0"}, NodeIDs: []int32{1}}, "one for each"},
		"more racks":               {fakebroker.Config{Brokers: 1, Racks: []string{"a", "b"}}, "leave one of the two out"},
		"node id twice":            {fakebroker.Config{NodeIDs: []int32{1, 1}}, "each broker its own"},
		"negative node id":         {fakebroker.Config{NodeIDs: []int32{-1}}, "each broker its own"},
		"address twice":            {fakebroker.Config{Listeners: listeners{{Listen: []string{"127.0.0.1:1"}}, {Listen: []string{"127.0.0.1:1"}}}}, "twice"},
		"no users":                 {fakebroker.Config{Listeners: listeners{{SASL: true}}}, "there is no user"},
		"nobody asks":              {fakebroker.Config{SASL: user, Listeners: listeners{{}}}, "no listener that asks"},
		"advertise a wildcard":     {fakebroker.Config{Advertise: []string{"0.0.0.0"}}, `Advertise: "0.0.0.0" cannot be advertised`},
		"advertise nonsense":       {fakebroker.Config{Advertise: []string{"a b"}}, `Advertise: "a b" cannot be advertised`},
		"advertise a port for two": {fakebroker.Config{Brokers: 2, Advertise: []string{"a:1"}}, "Advertise: 2 brokers cannot all be"},
		"advertise in memory":      {fakebroker.Config{Network: fakebroker.InMemory, Advertise: []string{"a"}}, "no addresses to choose"},
		"release":                  {fakebroker.Config{AsVersion: "9.9"}, "2.8, 3.0"},
		"ACL":                      {fakebroker.Config{ACLs: []fakebroker.ACL{{Principal: "u"}}}, "no operation"},
		"anonymous user":           {fakebroker.Config{SASL: []fakebroker.User{{Mechanism: fakebroker.Plain, Name: "ANONYMOUS"}}}, "choose another"},
	} {
		t.Run(name, func(t *testing.T) {
			before := goroutines()
			b, err := fakebroker.Start(c.config)
			if err == nil {
				noError(t, b.Close())
				t.Fatal("started")
			}
			isError(t, err, fakebroker.ErrConfig)
			if !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %q, want %q", err, c.says)
			}
			noneLeft(t, before)
		})
	}
}

// atMost has a client ask an API in a version at most.
func atMost(key kmsg.Key, version int16) kgo.Opt {
	v := kversion.Stable()
	v.SetMaxKeyVersion(key.Int16(), version)
	return kgo.MaxVersions(v)
}

func acl(t *testing.T, s string) fakebroker.ACL {
	t.Helper()
	a, err := fakebroker.ParseACL(s)
	noError(t, err)
	return a
}
