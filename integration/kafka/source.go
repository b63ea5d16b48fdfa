package kafka

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// Names of the environment's variables.
const (
	envReal    = "KAFKATEST_REAL"  // the source of what is started: see Source
	envBrokers = "KAFKA_BROKERS"   // HOST:PORT of a cluster that runs, more with commas
	envImage   = "KAFKATEST_IMAGE" // of the container: see Image
)

// Source is where a Kafka comes from.
type Source string

// The sources. Only jars give everything that a [Config] can ask for.
const (
	FromJars      Source = "jars"      // processes on loopback: needs Java, and Maven the first time
	FromContainer Source = "container" // by testcontainers: needs a container engine, such as Docker
	FromExisting  Source = "existing"  // a cluster that runs, and is left as it is but for what tests create in it
)

var sources = []Source{FromJars, FromContainer, FromExisting}

// ErrSource is wrapped by the error of a Start that asked a source for what it
// cannot give.
var ErrSource = errors.New("not to be had from this source of Kafka")

// Chosen is the source that the environment chooses, empty when it chooses none:
// KAFKATEST_REAL=jars (or 1), KAFKATEST_REAL=container, or KAFKA_BROKERS=HOST:PORT.
// Anything else, and both at once, is an error.
func Chosen() (Source, error) {
	started, brokers := os.Getenv(envReal), os.Getenv(envBrokers)
	if started != "" && brokers != "" {
		return "", fmt.Errorf("%s=%s starts a Kafka and %s=%s names one that runs: set one of them only", envReal, started, envBrokers, brokers)
	}
	switch {
	case brokers != "":
		return FromExisting, nil
	case started == "1", started == string(FromJars):
		return FromJars, nil
	case started == string(FromContainer):
		return FromContainer, nil
	case started == "":
		return "", nil
	}
	return "", fmt.Errorf("%s=%s: use jars or container, or %s=HOST:PORT for a Kafka that runs", envReal, started, envBrokers)
}

// SkipUnlessWanted skips a test unless the environment chooses a source, which it
// returns, and says how to opt in. A choice that is none fails the test.
func SkipUnlessWanted(tb testing.TB) Source {
	tb.Helper()
	source, err := Chosen()
	if err != nil {
		tb.Fatal(err)
	}
	if source == "" {
		tb.Skip("this needs a real Kafka: opt in with " + envReal + "=jars (needs Java and Maven), " + envReal + "=container (needs Docker), or " + envBrokers + "=HOST:PORT")
	}
	return source
}
