// Package shipping is a consumer as users of kafka-go write it: a Reader in a
// group that fetches and commits. Its tests show what the harness knows of it.
package shipping

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"
)

// The topic and the group.
const (
	Topic = "orders"
	Group = "shipping"
)

// Consumer ships orders.
type Consumer struct {
	Brokers []string
	// Dialer reaches them; nil is kafka-go's own.
	Dialer *kafka.Dialer
	// Ship ships an order. One that fails is shipped again after Backoff.
	Ship func(ctx context.Context, order string) error
	// Backoff is the time between two attempts.
	Backoff time.Duration
}

// Run consumes until ctx ends. An order is committed once it is shipped.
func (c *Consumer) Run(ctx context.Context) (err error) {
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: c.Brokers, Dialer: c.Dialer,
		GroupID: Group, Topic: Topic, StartOffset: kafka.FirstOffset,
		MaxWait: 500 * time.Millisecond, // as long as Close takes
	})
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		m, err := r.FetchMessage(ctx)
		if err != nil {
			return err
		}
		for c.Ship(ctx, string(m.Value)) != nil {
			select {
			case <-time.After(c.Backoff):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := r.CommitMessages(ctx, m); err != nil {
			return err
		}
	}
}
