// Package shipping is a consumer as users of sarama write it: a consumer group
// and a handler of its claims. Its tests show what the harness knows of it.
package shipping

import (
	"context"
	"errors"

	"github.com/IBM/sarama"
)

// The topic and the group.
const (
	Topic = "orders"
	Group = "shipping"
)

// Consumer ships orders.
type Consumer struct {
	Brokers []string
	Config  *sarama.Config
	// Ship ships an order. When one fails, its partition is consumed again from
	// there.
	Ship func(ctx context.Context, order string) error
}

// Run consumes until ctx ends. An order is committed once it is shipped.
func (c *Consumer) Run(ctx context.Context) (err error) {
	group, err := sarama.NewConsumerGroup(c.Brokers, Group, c.Config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, group.Close()) }()
	for ctx.Err() == nil { // Consume ends at every rebalance
		if err := group.Consume(ctx, []string{Topic}, handler{c}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// handler is called by sarama, from a goroutine for each partition.
type handler struct{ *Consumer }

// Setup is called when partitions were assigned.
func (handler) Setup(sarama.ConsumerGroupSession) error { return nil }

// Cleanup is called before they are given back.
func (handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim is called for each partition.
func (h handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for m := range claim.Messages() {
		if err := h.Ship(session.Context(), string(m.Value)); err != nil {
			return err // ends the session; the next begins where this one is marked
		}
		session.MarkMessage(m, "")
	}
	return nil
}
