package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
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
	// Handler decides about each record. Order says which records it may have at
	// once: by default it is called by several goroutines for each partition.
	Handler Handler
	// Order is what of a partition runs at once, and what waits behind a record
	// that is being retried. The zero value is ByKey.
	Order Order
	// MaxInFlight is how many records of one partition are in the handler at
	// once at most; in Mode ShareGroup, of the member. Zero means 64, or 1 with
	// ByPartition, which has no other.
	MaxInFlight int
	// Retry says how often, and when, a record is tried again. The zero
	// value is a working default.
	Retry RetryPolicy
	// MaxHeldRecords is how many records of one partition may wait for another
	// attempt, or behind one that does. MaxHeldAge is how long one may. At either
	// limit, and when what is known of the held records fills the metadata of a
	// commit (at 130 to 300 records, by how far they lie apart), no other
	// record of the partition is started, and fetching it pauses, until there is
	// room: Consumer.Status says so. Zero means 200, and 24 hours. Mode ShareGroup
	// holds none, and refuses both.
	MaxHeldRecords int
	MaxHeldAge     time.Duration
	// OnHeldLimit is what happens then. The zero value is Block: what is said
	// above. Hop moves records on to retry topics instead; Mode ShareGroup refuses
	// it.
	OnHeldLimit HeldLimit
	// CountBeforeRun commits the number of an attempt before it begins. A record
	// that ends the process is then given up after RetryPolicy.Attempts, too. It
	// costs a commit an attempt. Mode ShareGroup refuses it: it counts deliveries by
	// itself.
	CountBeforeRun bool
	// Gate says whether what the handler depends on is there: nil is yes. It is
	// asked before handlers run, once a second at most. While it returns an
	// error, or does not answer within 10 seconds, no handler runs, fetching
	// pauses, no attempt is used, and it is asked again and again with the
	// backoff of Retry. Its context ends with the consumer. Nil is always open.
	Gate func(ctx context.Context) error
	// OnReject takes a record that is rejected, or whose attempts are used
	// up, with the reason. The record is settled once it returns nil; until
	// then it is called again, with backoff. Nil publishes the record to the
	// group's dead-letter topic: see DeadLetterTopic. It is called by several
	// goroutines at once; a panic counts as an error. Its ctx ends when the
	// partition is taken away.
	OnReject func(ctx context.Context, m *Message, cause error) error
	// StartFrom is where the group starts in partitions that are new to it.
	// The zero value is FromEarliest.
	StartFrom StartOffset
	// Redact takes out of an error's text what must not be kept in a header of
	// a retry or dead-letter topic, such as a customer's data. It is called
	// with all of the text, before it is cut, from several goroutines at a
	// time. When it panics the header says only that. Nil keeps everything.
	// The log has errors as they are.
	Redact func(text string) string
	// SpringHeaders also writes the headers of Spring Kafka's
	// DeadLetterPublishingRecoverer, kafka_dlt-exception-message and others, to
	// dead letters, for tools that read those. A dead letter then loses headers
	// of these names that the record brought.
	SpringHeaders bool
	// Mode is the group's protocol. The zero value is Classic.
	Mode Mode
	// ExactlyOnceHops has a record go to a retry or dead-letter topic in one
	// transaction with the commit that settles it: whatever fails, those who read
	// committed records see it there once. What handlers and OnReject do is at
	// least once as ever. It works with every Order, and with Mode Classic and
	// ServerSide, on brokers of Kafka 2.5 or later (KIP-447); it needs retry topics, or OnReject to be nil, or there is nothing
	// to move.
	//
	// The brokers must let the consumer use transactional ids that begin with
	// "GROUP.hops.". A process that is killed in a transaction keeps those who read
	// the topics, and whoever has its partitions next, waiting until the brokers
	// abort it: 10 seconds longer than Config.PublishTimeout, and up to 10 more. A
	// static member that comes back does so at once.
	//
	// Transactions are made one after another. One that waits for a partition which
	// takes no records keeps the others waiting for Config.PublishTimeout, and from
	// then on for 5 seconds of every 30. Where the brokers take so little metadata with
	// a commit (offset.metadata.max.bytes) that it cannot say that a record is settled,
	// the record waits for those before it.
	ExactlyOnceHops bool
	// InstanceID makes the consumer a static member of the group (KIP-345): one
	// that keeps its partitions when it is closed and comes back with the same id
	// within the session timeout, without a rebalance. No two consumers of a group
	// may have the same. With Mode Classic the one that came first stops with
	// FENCED_INSTANCE_ID, as Consumer.Err tells; with ServerSide the one that came
	// later waits until the first has closed, or its session has expired, as it does
	// after a kill. Empty makes it a dynamic one. Mode ShareGroup cannot have it.
	InstanceID string
	// LeaveOnClose has a static member leave the group when it is closed. It needs
	// an InstanceID; members without one always leave.
	LeaveOnClose bool
	// NoTopicCreation only verifies the topics that the adapter needs for the
	// group. When some are missing the subscription is refused with a
	// MissingTopicsError, which says how to create them.
	NoTopicCreation bool
	// Redrive makes the group take back what Adapter.Redrive puts on its
	// redrive topics, of which it then has one for each of Topics. OnReject
	// must be nil.
	Redrive bool
}

// BatchSubscription is what SubscribeBatch needs to know. Topics, Group and Handler
// are required. A field that Subscription has too means the same here, and a
// ConfigError names it as Subscription's. Batches keep the order of their partition
// and never go to retry topics: of Retry, Tiers is refused, and InPlace and Classify
// do nothing. Mode ShareGroup is refused.
type BatchSubscription struct {
	Topics          []string
	Group           string
	Handler         BatchHandler
	Retry           RetryPolicy
	Gate            func(ctx context.Context) error
	OnReject        func(ctx context.Context, m *Message, cause error) error
	StartFrom       StartOffset
	Redact          func(text string) string
	SpringHeaders   bool
	Mode            Mode
	ExactlyOnceHops bool
	InstanceID      string
	LeaveOnClose    bool
	NoTopicCreation bool
	Redrive         bool
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
	groupID       string // what the brokers call the group
	retries       bool   // of a share group: its retry and redrive topics only
	deliveries    int    // how often a share group delivers a record
}

func (s subscription) headerStyle() headerStyle {
	return headerStyle{redact: s.Redact, spring: s.SpringHeaders}
}

// ownTopics are the topics that the adapter needs for the subscription.
func (s subscription) ownTopics() ownTopicsSpec {
	return ownTopicsSpec{
		group:       s.Group,
		sources:     slices.Compact(slices.Sorted(slices.Values(s.Topics))),
		tiers:       s.Retry.Tiers,
		deadLetters: s.OnReject == nil,
		redrive:     s.Redrive,
		mayCreate:   !s.NoTopicCreation,
	}
}

func (s Subscription) check() error {
	bad := func(field, problem string) error {
		return &ConfigError{Field: "Subscription." + field, Problem: problem}
	}
	const holdsNone = "is not for Mode ShareGroup, which holds no records"
	switch {
	case s.Group == "":
		return bad("Group", "is empty: a consumer group is required, for without one nothing can be committed")
	case len(s.Group) > maxGroupName:
		return bad("Group", fmt.Sprintf("is a name of %d bytes: give one of %d at most", len(s.Group), maxGroupName))
	case len(s.Topics) == 0:
		return bad("Topics", "is empty: name at least one topic")
	case slices.Contains(s.Topics, ""):
		return bad("Topics", "has an empty name")
	case orderNames[s.Order] == "":
		return bad("Order", fmt.Sprintf("is %d: want ByKey, ByPartition or Unordered", s.Order))
	case s.MaxInFlight < 0:
		return bad("MaxInFlight", "is negative: leave it zero for the default of 64")
	case s.MaxInFlight > 1 && s.Order == ByPartition:
		return bad("MaxInFlight", fmt.Sprintf("is %d: ByPartition runs one record at a time", s.MaxInFlight))
	case s.MaxHeldRecords < 0:
		return bad("MaxHeldRecords", "is negative: leave it zero for the default of 200")
	case heldLimitNames[s.OnHeldLimit] == "":
		return bad("OnHeldLimit", fmt.Sprintf("is %d: want Block or Hop", s.OnHeldLimit))
	case s.OnHeldLimit == Hop && len(s.Retry.Tiers) == 0:
		return bad("OnHeldLimit", "is Hop, which needs Retry.Tiers to hop to")
	case len(s.Retry.Tiers) > 0 && s.Order != Unordered && s.OnHeldLimit != Hop:
		return bad("Retry.Tiers", fmt.Sprintf("are of no use: records of a %v subscription stay in their place, unless OnHeldLimit is Hop", s.Order))
	case s.MaxHeldAge < 0:
		return bad("MaxHeldAge", "is negative: leave it zero for the default of 24h")
	case modeNames[s.Mode] == "":
		return bad("Mode", fmt.Sprintf("is %d: want Classic, ServerSide or ShareGroup", s.Mode))
	case s.Mode == ShareGroup && s.Order != Unordered:
		return bad("Order", fmt.Sprintf("is %v, which Mode ShareGroup cannot have: any member gets any record, so choose Unordered", s.Order))
	case s.Mode == ShareGroup && s.MaxInFlight > math.MaxInt32:
		return bad("MaxInFlight", fmt.Sprintf("is %d: the brokers take a number of 32 bits, %d at most, and so many records at once are not of use", s.MaxInFlight, math.MaxInt32))
	case s.Mode == ShareGroup && s.ExactlyOnceHops:
		return bad("ExactlyOnceHops", "is not for Mode ShareGroup: what a share group accepts is no part of a transaction")
	case s.Mode == ShareGroup && s.CountBeforeRun:
		return bad("CountBeforeRun", "is not for Mode ShareGroup, which counts deliveries by itself")
	case s.Mode == ShareGroup && s.Retry.MaxAge != 0:
		return bad("Retry.MaxAge", "is not for Mode ShareGroup, which does not know when a record has failed first")
	case s.Mode == ShareGroup && s.OnHeldLimit != Block:
		return bad("OnHeldLimit", holdsNone)
	case s.Mode == ShareGroup && s.MaxHeldRecords != 0:
		return bad("MaxHeldRecords", holdsNone)
	case s.Mode == ShareGroup && s.MaxHeldAge != 0:
		return bad("MaxHeldAge", holdsNone)
	case s.ExactlyOnceHops && s.OnReject != nil && len(s.Retry.Tiers) == 0:
		return bad("ExactlyOnceHops", "has nothing to move: without Retry.Tiers no record goes to a retry topic, and OnReject takes what would go to the dead-letter topic")
	case s.InstanceID != "" && s.Mode == ShareGroup:
		return bad("InstanceID", fmt.Sprintf("is %q, which Mode %v cannot have: leave it empty, or choose Classic or ServerSide", s.InstanceID, s.Mode))
	case s.LeaveOnClose && s.InstanceID == "":
		return bad("LeaveOnClose", "is for static members: give an InstanceID; others always leave")
	case s.StartFrom != FromEarliest && s.StartFrom != FromLatest:
		return bad("StartFrom", fmt.Sprintf("is %d: want FromEarliest or FromLatest", s.StartFrom))
	}
	if s.Redrive && s.OnReject != nil {
		return bad("Redrive", "needs dead letters to take back: leave OnReject nil")
	}
	return s.Retry.check()
}

func (s Subscription) withDefaults() Subscription {
	s.Topics = slices.Clone(s.Topics)
	s.Retry = s.Retry.withDefaults()
	if s.Order == ByPartition {
		s.MaxInFlight = 1
	}
	s.MaxInFlight = cmp.Or(s.MaxInFlight, 64)
	s.MaxHeldRecords = cmp.Or(s.MaxHeldRecords, 200)
	s.MaxHeldAge = cmp.Or(s.MaxHeldAge, 24*time.Hour)
	return s
}

// Subscribe runs a handler for the records of some topics, as a member of a
// consumer group. ctx bounds the start only. It waits until the adapter is
// connected (Config.ConnectTimeout at most), the topics are found, those that the
// adapter needs are there, and in Mode ShareGroup the group's configuration is as
// wanted. Partitions are assigned after that, in the background; Consumer.Status
// tells.
//
// A Subscription that cannot work is refused with a ConfigError, a topic that
// does not exist with an UnknownTopicError, one that the adapter needs and may
// not create with a MissingTopicsError, one that exists and cannot serve with a
// TopicMismatchError, brokers that do not answer with a NotConnectedError or a
// TimeoutError, and what they do not allow with a RefusedError. An adapter that is
// closed says ErrClosed. It is safe for concurrent use.
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
	if s.Mode == ShareGroup {
		return nil, &ConfigError{Field: "Subscription.Mode", Problem: "is ShareGroup, which has no batches: what a fetch brings is of no order"}
	}
	if len(s.Retry.Tiers) > 0 {
		return nil, &ConfigError{Field: "Subscription.Retry.Tiers", Problem: fmt.Sprintf(
			"are %v, and batches never go to retry topics: leave Tiers out, or Subscribe with a Handler and Order Unordered", s.Retry.Tiers)}
	}
	return a.subscribe(ctx, subscription{
		Subscription: Subscription{
			Topics:          s.Topics,
			Group:           s.Group,
			Order:           ByPartition,
			Retry:           s.Retry,
			Gate:            s.Gate,
			OnReject:        s.OnReject,
			StartFrom:       s.StartFrom,
			Redact:          s.Redact,
			SpringHeaders:   s.SpringHeaders,
			Mode:            s.Mode,
			ExactlyOnceHops: s.ExactlyOnceHops,
			InstanceID:      s.InstanceID,
			LeaveOnClose:    s.LeaveOnClose,
			NoTopicCreation: s.NoTopicCreation,
			Redrive:         s.Redrive,
		},
		batch:         s.Handler,
		noAutoResolve: s.NoAutoResolve,
	})
}

func (a *Adapter) subscribe(ctx context.Context, s subscription) (*Consumer, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	s.Subscription = s.withDefaults()
	if err := s.ownTopics().check(); err != nil {
		return nil, err
	}
	if s.ExactlyOnceHops {
		if err := a.canMakeTransactions(); err != nil {
			return nil, err
		}
	}
	if err := a.conn.await(ctx); err != nil {
		return nil, err
	}
	if err := a.ensureOwnTopics(ctx, s.ownTopics()); err != nil {
		return nil, err
	}
	s.groupID = s.Group
	if s.Mode != ShareGroup {
		c := newConsumer(a, s)
		if err := a.start(c); err != nil {
			return nil, err
		}
		return c, nil
	}
	if err := a.ensureShareGroup(ctx, &s); err != nil {
		return nil, err
	}
	c := newConsumer(a, s)
	if len(s.Retry.Tiers) > 0 || s.Redrive {
		s.Mode, s.groupID, s.retries = Classic, RetryGroup(s.Group), true
		c.retries = newConsumer(a, s)
		if err := a.start(c.retries); err != nil {
			return nil, err
		}
	}
	if err := a.start(c); err != nil {
		if c.retries != nil {
			err = errors.Join(err, c.retries.Close(ctx))
		}
		return nil, err
	}
	return c, nil
}

// groupOptions are the options of a consumer's client, beside those of every
// client.
func (c *Consumer) groupOptions() []kgo.Opt {
	if c.share != nil {
		return c.shareOptions()
	}
	start := kgo.NewOffset().AtStart()
	if c.sub.StartFrom == FromLatest {
		start = kgo.NewOffset().AtEnd()
	}
	isolation := kgo.ReadUncommitted()
	if c.sub.ExactlyOnceHops || c.consumesOwn() {
		isolation = kgo.ReadCommitted() // what a failed transaction left on the group's own topics never was
	}
	return append(c.sub.modeOptions(), []kgo.Opt{
		kgo.FetchIsolationLevel(isolation),
		kgo.ConsumerGroup(c.sub.groupID),
		kgo.ConsumeTopics(sortedKeys(c.topics)...),
		kgo.ConsumeStartOffset(start),
		// Where the log was cut under a consumer, what is left is handled
		// again rather than skipped. The client's default is a minute back.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		// Kafka's own default. A partition that becomes known while a fetch
		// waits is asked for after it, and the client would wait 5 seconds.
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnOffsetsFetched(c.restore),
		kgo.AdjustFetchOffsetsFn(c.pinStart),
		kgo.OnPartitionsAssigned(c.whenReady(c.assigned)),
		kgo.OnPartitionsRevoked(c.whenReady(c.revoked)),
		kgo.OnPartitionsLost(c.whenReady(c.lost)),
	}...)
}

// consumesOwn reports whether topics of the adapter's own are among those consumed.
func (c *Consumer) consumesOwn() bool {
	for _, t := range c.topics {
		if t.kind != sourceTopic {
			return true
		}
	}
	return false
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
func (c *Consumer) grace() time.Duration {
	rebalance, _ := c.cl.OptValue(kgo.RebalanceTimeout).(time.Duration)
	heartbeat, _ := c.cl.OptValue(kgo.HeartbeatInterval).(time.Duration)
	return max(rebalance/10, (rebalance-heartbeat)*3/4)
}
