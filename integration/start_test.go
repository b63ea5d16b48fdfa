package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
	"example.com/kafkatest/integration/internal/process"
	"example.com/kafkatest/integration/kafka"
)

// BenchmarkFirstCommit is how long it takes from nothing to the first record that
// a consumer group has committed: in a test with the harness, from the start of a
// process that is a broker, and from that of a container. It is opted into: see
// package kafka.
func BenchmarkFirstCommit(b *testing.B) {
	kafka.SkipUnlessWanted(b)
	program := filepath.Join(b.TempDir(), "fakebroker")
	build := exec.CommandContext(b.Context(), "go", "build", "-o", program, "./fakebroker/cmd/fakebroker")
	build.Dir = ".." // whose go.sum it is built by
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	if _, err := kafka.Jars(b.Context()); err != nil { // fetched before the clock starts
		b.Fatal(err)
	}
	b.Run("harness", func(b *testing.B) {
		for b.Loop() {
			everything := func(string, string) (bool, error) { return true, nil }
			if !testing.RunTests(everything, []testing.InternalTest{{Name: b.Name(), F: settleOne}}) {
				b.Fatal("the test failed")
			}
		}
	})
	b.Run("fake", func(b *testing.B) {
		for b.Loop() {
			addr, stop := startProgram(b, program)
			commitOne(b, kgo.SeedBrokers(addr))
			stop()
		}
	})
	b.Run("kafka", func(b *testing.B) {
		for b.Loop() {
			startKafka(b, kafka.FromJars)
		}
	})
	b.Run("container", func(b *testing.B) {
		if err := exec.CommandContext(b.Context(), "docker", "image", "inspect", kafka.Image()).Run(); err != nil {
			b.Skip("docker has no image " + kafka.Image() + ", and pulling one is not measured")
		}
		for b.Loop() {
			startKafka(b, kafka.FromContainer)
		}
	})
}

// startKafka has a group commit a record on a Kafka that is started for it.
func startKafka(b *testing.B, source kafka.Source) {
	b.Helper()
	k, err := kafka.Start(b.Context(), kafka.Config{Source: source})
	if err != nil {
		b.Fatal(err)
	}
	commitOne(b, k.ClientOptions()...)
	b.StopTimer()
	if err := k.Close(); err != nil {
		b.Fatal(err)
	}
	b.StartTimer()
}

// greeting is an event.
type greeting struct{ text string }

func (greeting) TopicName() string  { return "orders" }
func (greeting) MessageKey() string { return "" }
func (g greeting) MessageData() any { return g.text }

// settleOne has the harness know what became of a record.
func settleOne(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(adapter.Subscription{
			Topics: []string{"orders"},
			Group:  "billing",
			Handler: adapter.HandlerFunc(func(context.Context, *adapter.Message) adapter.Result {
				return adapter.Commit()
			}),
		})
		rec := h.Publish(greeting{"hello"})
		h.Settle()
		if f := h.Fate(rec); f.Kind != harness.Committed {
			t.Fatal(f)
		}
	})
}

// startProgram starts the fake broker as a program and waits for its address.
func startProgram(b *testing.B, program string) (addr string, stop func()) {
	b.Helper()
	cmd := exec.Command(program, "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	p, err := process.Start(cmd)
	if err != nil {
		b.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(errors.Join(err, p.Stop(time.Second)))
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "listening on ")), func() {
		b.StopTimer()
		defer b.StartTimer()
		if err := p.Stop(10 * time.Second); err != nil {
			b.Fatal(err)
		}
	}
}

// commitOne has a group consume a record and commit it.
func commitOne(b *testing.B, opts ...kgo.Opt) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	const topic = "orders"
	cl, err := kgo.NewClient(append(opts, kgo.ConsumerGroup("billing"), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		b.Fatal(err)
	}
	defer cl.CloseAllowingRebalance()
	made, err := kadm.NewClient(cl).CreateTopic(ctx, 1, 1, nil, topic)
	if err = errors.Join(err, made.Err); err != nil {
		b.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("hello")}).FirstErr(); err != nil {
		b.Fatal(err)
	}
	fetches := cl.PollFetches(ctx)
	if err := fetches.Err(); err != nil || fetches.NumRecords() != 1 {
		b.Fatal(fmt.Errorf("%d records: %w", fetches.NumRecords(), err))
	}
	if err := cl.CommitUncommittedOffsets(ctx); err != nil {
		b.Fatal(err)
	}
}
