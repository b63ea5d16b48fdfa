// Package shipping is a consumer as users of watermill write it: a router with a
// handler, on watermill-kafka. Its tests show what the harness knows of it.
package shipping

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
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
	// Ship ships an order. One that fails is shipped again after Backoff.
	Ship func(ctx context.Context, order string) error
	// Backoff is the time between two attempts.
	Backoff time.Duration
}

// Run consumes until ctx ends. An order is committed once it is shipped.
func (c *Consumer) Run(ctx context.Context) error {
	subscriber, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: c.Brokers, OverwriteSaramaConfig: c.Config,
		ConsumerGroup: Group, Unmarshaler: kafka.DefaultMarshaler{},
		NackResendSleep: c.Backoff,
	}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return errors.Join(err, subscriber.Close())
	}
	router.AddMiddleware(middleware.Recoverer)
	router.AddConsumerHandler("ship", Topic, subscriber, func(m *message.Message) error {
		return c.Ship(m.Context(), string(m.Payload))
	})
	return router.Run(ctx) // and close the subscriber
}
