package integration

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
	"example.com/kafkatest/integration/kafka"
)

// What the harness says of a Kafka that is there already, its own tests say: on a
// fake one, and here on a real one.
func TestHarness_onAKafkaThatIsThere(t *testing.T) {
	runOnKafka(t, "./harness")
}

// runOnKafka runs those tests of a package of the module above that are for a Kafka
// that is there: on as many nodes as the source has, and three of the jars.
func runOnKafka(t *testing.T, pkg string) {
	t.Helper()
	var c kafka.Config
	if kafka.SkipUnlessWanted(t) == kafka.FromJars {
		c.Nodes = 3
	}
	k := kafka.Run(t, c)
	// They wait more than they work, so that many can run at once.
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count", "1", "-v", "-timeout", "9m", "-parallel", "8", "-tags", "synctests", "-run", "^TestRunOnKafka_", pkg)
	cmd.Dir = ".." // the module whose tests they are
	cmd.Env = append(os.Environ(), "KAFKA_BROKERS="+strings.Join(k.Addrs(), ","))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestRunOnKafka_") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestHarness_onAKafkaWithTLSAndUsers(t *testing.T) {
	k := kafka.Run(t, kafka.Config{TLS: true, Users: []kafka.User{{Name: "alice", Password: "alice-secret"}}})
	c := harness.Config{Kafka: harness.Kafka{
		Brokers: k.SASLTLSAddrs(), TLS: k.TLSConfig(),
		Options: []kgo.Opt{kgo.SASL(scram.Auth{User: "alice", Pass: "alice-secret"}.AsSha512Mechanism())},
	}}
	c.RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(adapter.Subscription{Topics: []string{"orders"}, Group: "billing", Handler: adapter.HandlerFunc(
			func(context.Context, *adapter.Message) adapter.Result { return adapter.Commit() },
		)})
		rec := h.Publish(greeting{"hello"})
		h.Settle()
		if f := h.Fate(rec); f.Kind != harness.Committed {
			t.Error(f)
		}
	})
}

// What the adapter does when something happens, and what holds for its groups whatever
// happens, its own tests say, too.
func TestAdapter_onAKafkaThatIsThere(t *testing.T) {
	runOnKafka(t, "./adapter")
}
