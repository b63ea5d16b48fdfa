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
		sasl := os.Getenv("KAFKA_SASL_BROKERS")
		if needs.Brokers > 1 || needs.TLS || ((needs.SASL || needs.ACLs) && sasl == "") {
			t.Skipf("the broker does not have %+v", needs)
		}
		return brokertest.Cluster{
			Options: []kgo.Opt{kgo.SeedBrokers(strings.Split(addrs, ",")...)},
			SASL: &brokertest.SASL{
				Options: []kgo.Opt{kgo.SeedBrokers(strings.Split(sasl, ",")...)},
				Admin:   brokertest.Credentials{Name: "admin", Password: "admin-secret"},
				User:    brokertest.Credentials{Name: "alice", Password: "alice-secret"},
			},
		}
	})
}
