// Package integration holds the fake broker to a real Apache Kafka.
package integration

import (
	"errors"
	"maps"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker/brokertest"
	"example.com/kafkatest/integration/kafka"
)

// TestBehaviours holds a real Apache Kafka to what the fake broker is held to.
// It is opted into: see package kafka.
func TestBehaviours(t *testing.T) {
	kafka.SkipUnlessWanted(t)
	admin := kafka.User{Name: "admin", Password: "admin-secret", Super: true}
	user := kafka.User{Name: "alice", Password: "alice-secret"}
	users := []kafka.User{admin, user}

	// Behaviours that need the same kind of cluster share one, which is started
	// for the first of them.
	clusters := make(map[kind]*kafka.Kafka)
	brokertest.Test(t, func(t2 *testing.T, needs brokertest.Needs) brokertest.Cluster {
		k := kind{nodes: 1, listeners: needs.SASL || needs.TLS || needs.ACLs || needs.AllowEveryone, acls: needs.ACLs, autoCreate: needs.AutoCreate, shortSessions: needs.ShortSessions, allowEveryone: needs.AllowEveryone}
		if needs.Brokers > 1 {
			k.nodes = max(3, needs.Brokers)
		}
		if clusters[k] == nil {
			c := kafka.Config{Nodes: k.nodes}
			if k.listeners {
				c.Users, c.TLS, c.ACLs = users, true, true
			}
			c.Properties = make(map[string]string)
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
				maps.Copy(c.Properties, map[string]string{
					"group.consumer.session.timeout.ms": "1000", "group.consumer.min.session.timeout.ms": "1000",
					"group.consumer.heartbeat.interval.ms": "100", "group.consumer.min.heartbeat.interval.ms": "100",
					"group.min.session.timeout.ms": "1000",
				})
			}
			started, err := kafka.Start(t.Context(), c)
			if errors.Is(err, kafka.ErrExisting) {
				t2.Skip(err)
			}
			if err != nil {
				t2.Fatal(err)
			}
			t.Cleanup(func() {
				if err := started.Close(); err != nil {
					t.Error(err)
				}
			})
			clusters[k] = started
		}
		return cluster(clusters[k], admin, user)
	})
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

func cluster(k *kafka.Kafka, admin, user kafka.User) brokertest.Cluster {
	c := brokertest.Cluster{Options: k.ClientOptions()}
	if addrs := k.SASLAddrs(); addrs != nil {
		c.SASL = &brokertest.SASL{
			Options: []kgo.Opt{kgo.SeedBrokers(addrs...)},
			Admin:   brokertest.Credentials{Name: admin.Name, Password: admin.Password},
			User:    brokertest.Credentials{Name: user.Name, Password: user.Password},
		}
	}
	if addrs := k.TLSAddrs(); addrs != nil {
		c.TLS = []kgo.Opt{kgo.SeedBrokers(addrs...), kgo.DialTLSConfig(k.TLSConfig())}
	}
	return c
}
