package fakebroker_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker/brokertest"
)

// A broker that answers for another one answers as any does.
func TestBehaviours_whileABrokerIsDown(t *testing.T) {
	for _, behaviour := range brokertest.Behaviours() {
		area, _, _ := strings.Cut(behaviour.Name, "/")
		if n := behaviour.Needs; (area != "groups" && area != "share" && area != "transactions") || n.SASL || n.ACLs || n.TLS {
			continue // about no coordinator, or not by the first listener
		}
		t.Run(behaviour.Name, func(t *testing.T) {
			t.Parallel()
			c := config(behaviour.Needs)
			c.Brokers = max(behaviour.Needs.Brokers, 1) + 1
			b := c.Run(t)
			b.TakeDown(b.NodeIDs()[0])
			up := cluster(b)
			up.Options = append(up.Options, kgo.SeedBrokers(b.Addrs()[1:]...))
			behaviour.Run(t, up)
		})
	}
}
