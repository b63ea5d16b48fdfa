// Package shipping is a consumer as users of franz-go write it, with a client
// of their own: poll, handle, commit. Its tests show what the harness knows of
// it.
package shipping

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The topic and the group.
const (
	Topic = "orders"
	Group = "shipping"
)

// Consumer ships orders.
type Consumer struct {
	// Options say where the brokers are.
	Options []kgo.Opt
	// Ship ships an order. One that fails is shipped again after Backoff, and so
	// is a commit tried again.
	Ship func(ctx context.Context, order string) error
	// Backoff is the time between two attempts.
	Backoff time.Duration
}

// Run consumes until ctx ends. An order is committed once it is shipped.
func (c *Consumer) Run(ctx context.Context) error {
	cl, err := kgo.NewClient(append(c.Options,
		kgo.ConsumerGroup(Group), kgo.ConsumeTopics(Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll())...)
	if err != nil {
		return err
	}
	defer cl.CloseAllowingRebalance()
	for {
		fetches := cl.PollRecords(ctx, 100)
		if err := fetches.Err0(); err != nil {
			return err
		}
		for _, o := range fetches.Records() {
			if err := c.insist(ctx, func() error { return c.Ship(ctx, string(o.Value)) }); err != nil {
				return err
			}
		}
		if err := c.insist(ctx, func() error { return cl.CommitUncommittedOffsets(ctx) }); err != nil {
			return err
		}
		cl.AllowRebalance()
	}
}

// insist does something again and again until it succeeds or ctx ends.
func (c *Consumer) insist(ctx context.Context, do func() error) error {
	for do() != nil {
		select {
		case <-time.After(c.Backoff):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
