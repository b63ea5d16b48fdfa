package fakebroker_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

func TestBroker_asksItselfOnOneConnection(t *testing.T) {
	onBoth(t, fakebroker.Config{SASL: []fakebroker.User{{Mechanism: fakebroker.Plain, Name: "u", Password: "p"}}}, func(t *testing.T, b *fakebroker.Broker) {
		for range 5 {
			b.Transactions()
		}
		equal(t, "connections", b.Askers(), 1)
	})
}

// counted counts the connections of a client, and what it asks first on them.
type counted struct{ connections, versions atomic.Int32 }

func (c *counted) OnBrokerConnect(kgo.BrokerMetadata, time.Duration, net.Conn, error) {
	c.connections.Add(1)
}

func (c *counted) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if kmsg.Key(key) == kmsg.ApiVersions {
		c.versions.Add(1)
	}
}

func TestClientOptions_haveAClientAskForVersionsOnce(t *testing.T) {
	cfg := orders(1)
	cfg.Network = fakebroker.InMemory
	inBubble(t, cfg, func(t *testing.T, b *fakebroker.Broker) {
		var c counted
		cl := client(t, b, kgo.WithHooks(&c))
		produce(t, cl, "orders", 0, 1)
		equal(t, "requests for versions", c.versions.Load(), c.connections.Load())
	})
}
