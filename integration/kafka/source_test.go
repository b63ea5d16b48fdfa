package kafka_test

import (
	"strings"
	"testing"

	"example.com/kafkatest/integration/kafka"
)

func TestChosen(t *testing.T) {
	for name, c := range map[string]struct {
		real, brokers string
		want          kafka.Source
		err           string
	}{
		"nothing":        {},
		"jars":           {real: "jars", want: kafka.FromJars},
		"jars for short": {real: "1", want: kafka.FromJars},
		"container":      {real: "container", want: kafka.FromContainer},
		"existing":       {brokers: "127.0.0.1:9092", want: kafka.FromExisting},
		"mistyped":       {real: "docker", err: "KAFKATEST_REAL=docker: use jars or container, or KAFKA_BROKERS=HOST:PORT"},
		"both":           {real: "jars", brokers: "127.0.0.1:9092", err: "set one of them only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KAFKATEST_REAL", c.real)
			t.Setenv("KAFKA_BROKERS", c.brokers)
			got, err := kafka.Chosen()
			if got != c.want {
				t.Errorf("chosen is %q, want %q", got, c.want)
			}
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error is %v, want %q", err, c.err)
			}
		})
	}
}

func TestImage(t *testing.T) {
	t.Setenv("KAFKATEST_IMAGE", "")
	if got, want := kafka.Image(), "apache/kafka:"+kafka.Version(); got != want {
		t.Errorf("image is %s, want %s", got, want)
	}
	t.Setenv("KAFKATEST_IMAGE", "kafka:local")
	if got := kafka.Image(); got != "kafka:local" {
		t.Errorf("image is %s, want the environment's", got)
	}
}
