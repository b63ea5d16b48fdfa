package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// existingLimit bounds how long a cluster that runs may take to answer.
const existingLimit = 15 * time.Second

// findExisting returns the cluster that KAFKA_BROKERS names, when it answers, and
// has the nodes and the properties that config asks for.
func findExisting(ctx context.Context, config Config) (*Kafka, error) {
	brokers := os.Getenv(envBrokers)
	if brokers == "" {
		return nil, fmt.Errorf("%w: Source is %s: set %s to the HOST:PORT of the cluster", ErrConfig, FromExisting, envBrokers)
	}
	k := &Kafka{config: config, seeds: strings.Split(brokers, ",")}
	ctx, cancel := context.WithTimeoutCause(ctx, existingLimit, fmt.Errorf("no answer within %v", existingLimit))
	defer cancel()
	cl, err := kgo.NewClient(append(k.ClientOptions(), kgo.DisableClientMetrics(), kgo.RequestRetries(3))...)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", envBrokers, brokers, err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	meta, err := adm.BrokerMetadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("no Kafka answers at %s, which %s names: %w", brokers, envBrokers, errors.Join(err, context.Cause(ctx)))
	}
	ids := meta.Brokers.NodeIDs()
	if len(ids) < config.Nodes {
		return nil, fmt.Errorf("%w: the cluster at %s has %d brokers, and this needs %d", ErrSource, brokers, len(ids), config.Nodes)
	}
	if len(config.Properties) == 0 {
		return k, nil
	}
	described, err := adm.DescribeBrokerConfigs(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("asking the brokers at %s for their configuration: %w", brokers, err)
	}
	for _, broker := range described {
		have := make(map[string]string)
		for _, c := range broker.Configs {
			have[c.Key] = c.MaybeValue()
		}
		for _, name := range slices.Sorted(maps.Keys(config.Properties)) {
			if want := config.Properties[name]; have[name] != want {
				return nil, fmt.Errorf("%w: broker %s of the cluster at %s has %s=%s, and this needs %s", ErrSource, broker.Name, brokers, name, have[name], want)
			}
		}
	}
	return k, nil
}
