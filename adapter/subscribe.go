package adapter

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// StartOffset is where a group starts in a partition for which it has not
// committed an offset.
type StartOffset int

const (
	// FromEarliest starts at the oldest record that is still there: a
	// handler's work must not be skipped silently.
	FromEarliest StartOffset = iota
	// FromLatest starts after the newest record there is when the partition
	// is first assigned. That offset is committed, so that a restart before
	// the first record skips nothing.
	FromLatest
)

// Subscription is what Subscribe needs to know. Topics, Group and Handler are
// required.
type Subscription struct {
	// Topics are the topics to consume. They must exist.
	Topics []string
	// Group is the consumer group. Its members share the partitions.
	Group string
	// Handler decides about each record, one at a time for each partition,
	// in the order of offsets. A record that is being retried holds up those
	// behind it in its partition, and no others.
	Handler Handler
	// Retry says how often, and when, a record is tried again. The zero
	// value is a working default.
	Retry RetryPolicy
	// OnReject takes a record that is rejected, or whose attempts are used
	// up, with the reason. The record is settled once it returns nil; until
	// then it is called again, with backoff. Nil publishes the record to the
	// group's dead-letter topic: see DeadLetterTopic.
	OnReject func(ctx context.Context, m *Message, cause error) error
	// StartFrom is where the group starts in partitions that are new to it.
	// The zero value is FromEarliest.
	StartFrom StartOffset
}

// BatchSubscription is what SubscribeBatch needs to know. Its fields are those
// of Subscription, with a BatchHandler.
type BatchSubscription struct {
	Topics    []string
	Group     string
	Handler   BatchHandler
	Retry     RetryPolicy
	OnReject  func(ctx context.Context, m *Message, cause error) error
	StartFrom StartOffset
	// NoAutoResolve settles only what the handler resolved, when it returns
	// nil. The rest is delivered again: at once if the handler resolved
	// something, else after a backoff.
	NoAutoResolve bool
}

// subscription is either of the two, checked.
type subscription struct {
	Subscription
	batch         BatchHandler // nil for a Subscription
	noAutoResolve bool
}

func (s Subscription) check() error {
	bad := func(field, problem string) error {
		return &ConfigError{Field: "Subscription." + field, Problem: problem}
	}
	switch {
	case s.Group == "":
		return bad("Group", "is empty: a consumer group is required, for without one nothing can be committed")
	case len(s.Topics) == 0:
		return bad("Topics", "is empty: name at least one topic")
	case slices.Contains(s.Topics, ""):
		return bad("Topics", "has an empty name")
	case s.StartFrom != FromEarliest && s.StartFrom != FromLatest:
		return bad("StartFrom", fmt.Sprintf("is %d: want FromEarliest or FromLatest", s.StartFrom))
	}
	return s.Retry.check()
}

// Subscribe runs a handler for the records of some topics, as a member of a
// consumer group. ctx bounds the start only: until the topics are found and
// the dead-letter topics are there. Partitions are assigned after that, in the
// background; Consumer.Status tells.
//
// A Subscription that cannot work is refused with a ConfigError, a topic that
// does not exist with an UnknownTopicError, and brokers that do not answer
// with a NotConnectedError.
func (a *Adapter) Subscribe(ctx context.Context, s Subscription) (*Consumer, error) {
	if s.Handler == nil {
		return nil, &ConfigError{Field: "Subscription.Handler", Problem: "is nil"}
	}
	return a.subscribe(ctx, subscription{Subscription: s})
}

// SubscribeBatch is Subscribe for a BatchHandler, which gets what one fetch
// brought from one partition. See Batch for how it settles.
func (a *Adapter) SubscribeBatch(ctx context.Context, s BatchSubscription) (*Consumer, error) {
	if s.Handler == nil {
		return nil, &ConfigError{Field: "BatchSubscription.Handler", Problem: "is nil"}
	}
	return a.subscribe(ctx, subscription{
		Subscription: Subscription{
			Topics:    s.Topics,
			Group:     s.Group,
			Retry:     s.Retry,
			OnReject:  s.OnReject,
			StartFrom: s.StartFrom,
		},
		batch:         s.Handler,
		noAutoResolve: s.NoAutoResolve,
	})
}

func (a *Adapter) subscribe(ctx context.Context, s subscription) (*Consumer, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	s.Topics = slices.Clone(s.Topics)
	s.Retry = s.Retry.withDefaults()
	if err := a.conn.await(ctx); err != nil {
		return nil, err
	}
	topics, err := a.describe(ctx, s.Topics...)
	if err != nil {
		return nil, err
	}
	for _, t := range s.Topics {
		if _, ok := topics[t]; !ok {
			return nil, &UnknownTopicError{Topic: t, Err: errNoSuchTopic}
		}
	}
	// A topic made just now may not show its partitions yet, and its
	// dead-letter topic must have as many.
	if slices.ContainsFunc(s.Topics, func(t string) bool { return topics[t].partitions == 0 }) {
		if topics, err = a.awaitUsable(ctx, s.Topics...); err != nil {
			return nil, err
		}
	}
	if s.OnReject == nil {
		if err := a.ensureDeadLetterTopics(ctx, s.Group, topics); err != nil {
			return nil, err
		}
	}
	c := newConsumer(a, s)
	if err := a.start(c); err != nil {
		return nil, err
	}
	return c, nil
}

// groupOptions are the options of a consumer's client, beside those of every
// client.
func (c *Consumer) groupOptions() []kgo.Opt {
	start := kgo.NewOffset().AtStart()
	if c.sub.StartFrom == FromLatest {
		start = kgo.NewOffset().AtEnd()
	}
	return []kgo.Opt{
		kgo.ConsumerGroup(c.sub.Group),
		kgo.ConsumeTopics(c.sub.Topics...),
		kgo.ConsumeStartOffset(start),
		// Where the log was cut under a consumer, what is left is handled
		// again rather than skipped. The client's default is a minute back.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.DisableAutoCommit(),
		// Kafka's own default. A partition that becomes known while a fetch
		// waits is asked for after it, and the client would wait 5 seconds.
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.BlockRebalanceOnPoll(),
		kgo.AdjustFetchOffsetsFn(c.pinStart),
		kgo.OnPartitionsAssigned(c.whenReady(c.assigned)),
		kgo.OnPartitionsRevoked(c.whenReady(c.revoked)),
		kgo.OnPartitionsLost(c.whenReady(c.lost)),
	}
}

// whenReady makes a callback of the client's wait for start: the client may
// join the group before it is returned to us. OnPartitionsAssigned comes before
// AdjustFetchOffsetsFn.
func (c *Consumer) whenReady(f func(map[string][]int32)) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
		<-c.ready
		f(m)
	}
}

// grace is how long a handler may go on after its partition is asked back:
// long enough for most, and short enough that the group, which waits for the
// rebalance timeout and hears of it one heartbeat late, does not expel this
// member.
func grace(cl *kgo.Client) time.Duration {
	rebalance, _ := cl.OptValue(kgo.RebalanceTimeout).(time.Duration)
	heartbeat, _ := cl.OptValue(kgo.HeartbeatInterval).(time.Duration)
	return max(rebalance/10, (rebalance-heartbeat)*3/4)
}
