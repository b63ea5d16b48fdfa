package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
)

// maxTopicsNamed is how many topics an error names.
const maxTopicsNamed = 10

// mustExist is an error for a topic that does not exist. It names those that
// do, where they are few.
func mustExist(ctx context.Context, settings adapter.Config, topic string) error {
	client, err := kgo.NewClient(clientOptions(settings)...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, settings.ConnectTimeout)
	defer cancel()
	topics, err := kadm.NewClient(client).ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("look up topic %q: %w", topic, err)
	}
	if topics.Has(topic) {
		return nil
	}
	names := topics.Names()
	existing := fmt.Sprintf("there are %d others", len(names))
	switch {
	case len(names) == 0:
		existing = "there are none"
	case len(names) <= maxTopicsNamed:
		existing = "there are: " + strings.Join(names, ", ")
	}
	return fmt.Errorf("topic %q does not exist on %s (%s): create it, or let backuprequest run --brokers create the service's topics",
		topic, strings.Join(settings.Brokers, ", "), existing)
}
