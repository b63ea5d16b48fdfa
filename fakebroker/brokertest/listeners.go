package brokertest

import (
	"net"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	saslplain "github.com/twmb/franz-go/pkg/sasl/plain"
)

func listenerBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "listeners/clients are told the addresses of the one that they came in by",
			Source: "KIP-103",
			Needs:  Needs{SASL: true, TLS: true},
			Run:    namesItself,
		},
		{
			Name:   "listeners/a broker without a rack has none",
			Source: "KIP-36; broker.rack has no default",
			Run:    noRack,
		},
	}
}

func namesItself(t T, c Cluster) {
	t.Helper()
	secure := slices.Concat(c.SASL.Options, []kgo.Opt{kgo.SASL(saslplain.Auth{User: c.SASL.Admin.Name, Pass: c.SASL.Admin.Password}.AsMechanism())})
	first := make(map[string]bool) // ports that another listener has named
	for _, opts := range [][]kgo.Opt{c.Options, secure, c.TLS} {
		cl := newClient(t, Cluster{Options: opts})
		seeds := cl.OptValue(kgo.SeedBrokers).([]string)
		named := make(map[string]bool)
		meta, err := kmsg.NewPtrMetadataRequest().RequestWith(within(t), cl)
		noError(t, err)
		for _, b := range meta.Brokers {
			named[portText(b.Port)] = true
		}
		_, port, err := net.SplitHostPort(seeds[0])
		noError(t, err)
		if !named[port] {
			t.Errorf("metadata names the ports %v, and not %s", named, port)
		}
		for p := range named {
			if first[p] {
				t.Errorf("port %s is named by two listeners", p)
			}
			first[p] = true
		}
		for v := int16(0); v <= 2; v++ {
			resp := ask[*kmsg.DescribeClusterResponse](t, newClient(t, Cluster{Options: opts}, version(kmsg.DescribeCluster, v)), kmsg.NewPtrDescribeClusterRequest())
			for _, b := range resp.Brokers {
				if !named[portText(b.Port)] {
					t.Errorf("DescribeCluster v%d names port %d, metadata %v", v, b.Port, named)
				}
			}
		}
		for v := int16(0); v <= 6; v++ {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorKey, req.CoordinatorKeys = name("group"), []string{name("group")}
			cl := newClient(t, Cluster{Options: opts}, version(kmsg.FindCoordinator, v))
			var found []int32
			eventually(t, "a coordinator", func() bool { // its topic may have to be made
				resp := ask[*kmsg.FindCoordinatorResponse](t, cl, req)
				found = []int32{resp.Port}
				if v >= 4 {
					found = nil
					for _, c := range resp.Coordinators {
						found = append(found, c.Port)
					}
				}
				return len(found) > 0 && found[0] > 0
			})
			for _, p := range found {
				if !named[portText(p)] {
					t.Errorf("FindCoordinator v%d names port %d, metadata %v", v, p, named)
				}
			}
		}
	}
}

func portText(p int32) string { return strconv.Itoa(int(p)) }

func noRack(t T, c Cluster) {
	t.Helper()
	for v := int16(1); v <= 13; v++ {
		conn := dial(t, c.Options)
		resp, ok := conn.ask(v, kmsg.NewPtrMetadataRequest()).(*kmsg.MetadataResponse)
		if !ok || len(resp.Brokers) == 0 {
			t.Errorf("Metadata v%d: no answer, or no brokers", v)
			continue
		}
		for _, b := range resp.Brokers {
			if b.Rack != nil {
				t.Errorf("Metadata v%d: broker %d has the rack %q", v, b.NodeID, *b.Rack)
			}
		}
	}
	for v := int16(0); v <= 2; v++ {
		conn := dial(t, c.Options)
		resp, ok := conn.ask(v, kmsg.NewPtrDescribeClusterRequest()).(*kmsg.DescribeClusterResponse)
		if !ok || len(resp.Brokers) == 0 {
			t.Errorf("DescribeCluster v%d: no answer, or no brokers", v)
			continue
		}
		for _, b := range resp.Brokers {
			if b.Rack != nil {
				t.Errorf("DescribeCluster v%d: broker %d has the rack %q", v, b.NodeID, *b.Rack)
			}
		}
	}
}
