package kafka_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/integration/kafka"
)

// A cluster that runs is one that has what is asked for, here a fake one.
func TestStart_onAClusterThatRuns(t *testing.T) {
	b := fakebroker.Config{Network: fakebroker.TCP, Brokers: 2, AutoCreateTopics: true}.Run(t)
	t.Setenv("KAFKATEST_REAL", "")
	t.Setenv("KAFKA_BROKERS", strings.Join(b.Addrs(), ","))
	for name, c := range map[string]struct {
		config kafka.Config
		want   string // of the error
	}{
		"as it is":       {},
		"its nodes":      {config: kafka.Config{Nodes: 2}},
		"more nodes":     {config: kafka.Config{Nodes: 3}, want: "has 2 brokers, and this needs 3"},
		"its property":   {config: kafka.Config{Properties: map[string]string{"auto.create.topics.enable": "true"}}},
		"other property": {config: kafka.Config{Properties: map[string]string{"auto.create.topics.enable": "false"}}, want: "has auto.create.topics.enable=true, and this needs false"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := kafka.Start(t.Context(), c.config)
			if c.want != "" {
				if !errors.Is(err, kafka.ErrSource) || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("error is %v, want %q", err, c.want)
				}
				return
			}
			noError(t, err)
			noError(t, k.Close())
			noError(t, client(t, kgo.SeedBrokers(k.Addrs()...)).Ping(within(t))) // it stays
		})
	}
}
