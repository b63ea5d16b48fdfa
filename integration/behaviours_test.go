package integration

import (
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker/brokertest"
)

// TestBehaviours holds a real Apache Kafka to what the fake broker is held to.
func TestBehaviours(t *testing.T) {
	addrs := os.Getenv("KAFKA_BROKERS")
	if addrs == "" {
		t.Skip("no real broker: set KAFKA_BROKERS to HOST:PORT")
	}
	brokertest.Test(t, func(t *testing.T, needs brokertest.Needs) brokertest.Cluster {
		if needs.Brokers > 1 || needs.SASL || needs.TLS || needs.ACLs {
			t.Skipf("a single broker does not have %+v", needs)
		}
		return brokertest.Cluster{Options: []kgo.Opt{kgo.SeedBrokers(strings.Split(addrs, ",")...)}}
	})
}
