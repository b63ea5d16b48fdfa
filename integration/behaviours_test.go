// Package integration holds the fake broker to a real Apache Kafka.
package integration

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/brokertest"
	"example.com/kafkatest/integration/kafka"
)

var (
	admin = kafka.User{Name: "admin", Password: "admin-secret", Super: true}
	alice = kafka.User{Name: "alice", Password: "alice-secret"}
)

// opener gives behaviours the clusters that they need.
type opener func(t *testing.T, needs brokertest.Needs) brokertest.Cluster

// TestBehaviours holds a real Apache Kafka to what the fake broker is held to. With
// the jars it is the fake broker's turn, too, and PARITY.md says what came of each:
// they alone are of the release that it is about, and can be given what every
// behaviour needs. It is opted into: see package kafka.
func TestBehaviours(t *testing.T) {
	source := kafka.SkipUnlessWanted(t)
	if source != kafka.FromJars {
		brokertest.Test(t, apache(t))
		return
	}
	brokers := []struct {
		name string
		open opener
	}{
		{"fake in memory", fake(fakebroker.InMemory)},
		{"fake over TCP", fake(fakebroker.TCP)},
		{"Apache Kafka " + kafka.Version(), apache(t)},
	}
	p := &parity{}
	t.Cleanup(func() { p.compare(t) }) // when all have been held to them
	for _, b := range brokers {
		p.brokers = append(p.brokers, b.name)
		t.Run(b.name, func(t *testing.T) {
			t.Parallel() // they wait for sessions and transactions to end
			brokertest.Test(t, func(t *testing.T, needs brokertest.Needs) brokertest.Cluster {
				t.Cleanup(func() { p.note(t, b.name) })
				return b.open(t, needs)
			})
		})
	}
}

// apache is Kafkas from the source that is chosen. Behaviours that need the same kind
// of cluster share one, which is started for the first of them and ends with the
// test. Behaviours that need what the source has not are skipped.
func apache(all *testing.T) opener {
	if kafka.SkipUnlessWanted(all) == kafka.FromExisting {
		removeLeftovers(all, kafka.Run(all, kafka.Config{}).ClientOptions()...)
	}
	clusters := make(map[kind]*kafka.Kafka)
	return func(t *testing.T, needs brokertest.Needs) brokertest.Cluster {
		k := kind{nodes: 1, listeners: needs.SASL || needs.TLS || needs.ACLs || needs.AllowEveryone, acls: needs.ACLs, autoCreate: needs.AutoCreate, shortSessions: needs.ShortSessions, allowEveryone: needs.AllowEveryone}
		if needs.Brokers > 1 {
			k.nodes = max(3, needs.Brokers)
		}
		if clusters[k] == nil {
			started, err := kafka.Start(all.Context(), k.config())
			if errors.Is(err, kafka.ErrSource) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			all.Cleanup(func() {
				if logs := started.Logs(); all.Failed() && logs != "" {
					all.Log("Kafka logged:\n" + logs)
				}
				if err := started.Close(); err != nil {
					all.Error(err)
				}
			})
			clusters[k] = started
		}
		skipOtherReleases(t, clusters[k])
		return cluster(clusters[k])
	}
}

// skipOtherReleases skips what is true of the release whose jars there are only.
func skipOtherReleases(t *testing.T, k *kafka.Kafka) {
	t.Helper()
	have, err := k.Release(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(kafka.Version(), have+".") {
		t.Skipf("this is true of Apache Kafka %s, and the brokers are of %s", kafka.Version(), have)
	}
}

// fake starts a fake broker for each behaviour.
func fake(network fakebroker.Network) opener {
	return func(t *testing.T, needs brokertest.Needs) brokertest.Cluster {
		logins := needs.SASL || needs.ACLs || needs.AllowEveryone
		c := fakebroker.Config{Network: network, Brokers: needs.Brokers, AutoCreateTopics: needs.AutoCreate, AllowEveryone: needs.AllowEveryone}
		if logins {
			for _, m := range []string{fakebroker.Plain, fakebroker.ScramSHA256, fakebroker.ScramSHA512} {
				c.SASL = append(c.SASL, fakebroker.User{Mechanism: m, Name: admin.Name, Password: admin.Password})
			}
			c.SASL = append(c.SASL, fakebroker.User{Mechanism: fakebroker.Plain, Name: alice.Name, Password: alice.Password})
		}
		if needs.TLS || needs.ACLs || needs.AllowEveryone {
			c.Listeners = []fakebroker.Listener{{}, {SASL: logins}, {TLS: true}}
		}
		if needs.ACLs || needs.AllowEveryone {
			c.Superusers = []string{admin.Name, "ANONYMOUS"}
		}
		if needs.ShortSessions {
			c.BrokerConfig = shortSessions
		}
		b := c.Run(t)
		as := brokertest.Cluster{Options: b.ClientOptions()}
		for i, l := range b.Listeners() {
			switch {
			case l.SASL:
				as.SASL = sasl(kgo.SeedBrokers(l.Advertise...), kgo.Dialer(b.Dialer()))
			case l.TLS:
				as.TLS = b.ListenerOptions(i)
			}
		}
		return as
	}
}

// shortSessions are the settings of brokers whose members' sessions last a second,
// and the locks of records of share groups.
var shortSessions = map[string]string{
	"group.consumer.session.timeout.ms": "1000", "group.consumer.heartbeat.interval.ms": "100",
	"group.min.session.timeout.ms":        "1000",
	"group.share.record.lock.duration.ms": "1000", "group.share.min.record.lock.duration.ms": "1000",
}

func sasl(opts ...kgo.Opt) *brokertest.SASL {
	return &brokertest.SASL{
		Options: opts,
		Admin:   brokertest.Credentials{Name: admin.Name, Password: admin.Password},
		User:    brokertest.Credentials{Name: alice.Name, Password: alice.Password},
	}
}

// kind is what tells clusters apart.
type kind struct {
	nodes      int
	listeners  bool // with SASL, TLS and ACLs
	acls       bool // where what no ACL allows is denied
	autoCreate bool // of topics that are asked for

	shortSessions bool // of group members
	allowEveryone bool // what no ACL is about
}

func (k kind) config() kafka.Config {
	c := kafka.Config{Nodes: k.nodes, Properties: make(map[string]string)}
	if k.listeners {
		c.Users, c.TLS, c.ACLs = []kafka.User{admin, alice}, true, true
	}
	if k.acls {
		c.Properties["allow.everyone.if.no.acl.found"] = "false" // Kafka's default
	}
	if k.allowEveryone {
		c.Properties["allow.everyone.if.no.acl.found"] = "true"
	}
	if k.autoCreate {
		c.Properties["auto.create.topics.enable"] = "true"
	}
	if k.shortSessions {
		maps.Copy(c.Properties, shortSessions)
		c.Properties["group.consumer.min.session.timeout.ms"] = "1000"
		c.Properties["group.consumer.min.heartbeat.interval.ms"] = "100"
	}
	return c
}

func cluster(k *kafka.Kafka) brokertest.Cluster {
	c := brokertest.Cluster{Options: k.ClientOptions()}
	if addrs := k.SASLAddrs(); addrs != nil {
		c.SASL = sasl(kgo.SeedBrokers(addrs...))
	}
	if addrs := k.TLSAddrs(); addrs != nil {
		c.TLS = []kgo.Opt{kgo.SeedBrokers(addrs...), kgo.DialTLSConfig(k.TLSConfig())}
	}
	return c
}
