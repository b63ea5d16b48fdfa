// Package adapter publishes events to Kafka and runs handlers for the messages
// of its topics, for services that want retry to be somebody else's work.
//
// An Event knows how to put itself on a topic. A Handler gets one Message at a
// time and returns what is to become of it: Commit, Retry, RetryAfter, Unavailable
// or Reject. The adapter does the rest: it tries again with backoff, puts what
// cannot be processed on a dead-letter topic, and commits an offset only when
// everything before it is settled.
//
//	a, err := adapter.New(adapter.Config{Brokers: []string{"localhost:9092"}})
//	if err != nil {
//		return err
//	}
//	defer a.Close(ctx)
//	c, err := a.Subscribe(ctx, adapter.Subscription{
//		Topics: []string{"orders"},
//		Group:  "billing",
//		Handler: adapter.JSON(func(ctx context.Context, o Order, m *adapter.Message) adapter.Result {
//			if err := bill(ctx, o); err != nil {
//				return adapter.Retry(err)
//			}
//			return adapter.Commit()
//		}),
//	})
//
// Delivery is at least once: a handler may see a record again when a crash or
// a rebalance comes between its end and the commit. Message.ID is the same
// each time.
//
// A Mode says how the members of a group share the work: as a classic group, as one
// whose partitions the brokers share (KIP-848), or as a share group (KIP-932), where
// any member gets any record. Results mean the same in each, and a Subscription with
// something that its mode cannot have is refused. With Subscription.ExactlyOnceHops
// the way of a record to a retry or dead-letter topic, and the commit that settles
// it, are one transaction.
package adapter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Adapter is a connection to a Kafka cluster. It is safe for concurrent use.
type Adapter struct {
	cfg    Config
	conn   *connection
	cl     *kgo.Client // publishes and administers
	admin  *kadm.Client
	limits sizeLimits
	room   chan struct{} // a place for each record that the client may buffer

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu        sync.Mutex
	consumers map[*Consumer]struct{}
	made      int              // consumers so far, for their names
	stopped   map[string]error // why the last consumer of a group stopped by itself
	turns     map[groupPartition]chan struct{}
	closing   bool

	flushing atomic.Bool     // nothing more is taken to be published
	patience context.Context // ends when a Close has waited long enough
	hurry    context.CancelCauseFunc
	closed   chan struct{}
	closeErr error // set before closed is closed
}

// New checks the configuration and starts to connect in the background: it
// returns at once, also when no broker can be reached. What is wrong with the
// configuration is a ConfigError that names the field. Close the adapter when
// it is no longer needed.
func New(cfg Config) (*Adapter, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &Adapter{
		cfg:       cfg,
		conn:      newConnection(cfg),
		consumers: map[*Consumer]struct{}{},
		stopped:   map[string]error{},
		turns:     map[groupPartition]chan struct{}{},
		closed:    make(chan struct{}),
	}
	opts, err := cfg.clientOptions(a.conn)
	if err != nil {
		return nil, err
	}
	// The user's options come last, so that they win.
	a.cl, err = kgo.NewClient(append(a.producerOptions(), opts...)...)
	if err != nil {
		return nil, &ConfigError{Field: "Config", Problem: err.Error()}
	}
	if len(cfg.Brokers) == 0 && !hasSeeds(a.cl) {
		a.cl.Close()
		return nil, &ConfigError{Field: "Config.Brokers", Problem: "is empty: name at least one broker, as HOST:PORT"}
	}
	a.conn.cl = a.cl
	a.admin = kadm.NewClient(a.cl)
	buffered, _ := a.cl.OptValue(kgo.MaxBufferedRecords).(int64)
	a.room = make(chan struct{}, max(1, buffered))
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.patience, a.hurry = context.WithCancelCause(context.Background())
	a.tasks.Go(func() { a.conn.keep(a.ctx) })
	return a, nil
}

// producerOptions are the options of a client that publishes.
func (a *Adapter) producerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RecordPartitioner(choosePartition{kgo.UniformBytesPartitioner(64<<10, true, true, nil)}),
		kgo.RecordDeliveryTimeout(a.cfg.PublishTimeout),
		kgo.ProducerBatchMaxBytesFn(a.limits.of),
		kgo.ProducerLinger(0), // whoever publishes waits, so waiting for company only delays
	}
}

// State is what is known of the connection now.
func (a *Adapter) State() State { return a.conn.state.view().State }

// StateChanges is a channel of the states to come. It is closed after Closed.
// A reader that lags behind by more than 16 changes misses the oldest of them.
func (a *Adapter) StateChanges() <-chan StateChange { return a.conn.state.watch() }

// Ready returns nil once the adapter is connected. It returns a
// NotConnectedError when ctx ends before, when the first tries to connect are
// used up, or when the credentials are refused, and ErrClosed when the adapter is closed.
func (a *Adapter) Ready(ctx context.Context) error { return a.conn.ready(ctx) }

// Buffered is how many records wait in this process to be sent or
// acknowledged.
func (a *Adapter) Buffered() int { return int(a.cl.BufferedProduceRecords()) }

// Consumers are the consumers that have not been closed, in no particular order.
func (a *Adapter) Consumers() []*Consumer {
	a.mu.Lock()
	defer a.mu.Unlock()
	cs := make([]*Consumer, 0, len(a.consumers))
	for c := range a.consumers {
		cs = append(cs, c)
	}
	return cs
}

// Close closes the adapter's consumers, as Consumer.Close does, takes no more to
// publish, waits until what was published is acknowledged, and disconnects. When ctx ends before
// that is done, it closes anyway, and the error says what was left: handlers
// that were cut off are delivered again to the next member of their group, and
// records that were not acknowledged may be lost. They are waited for as long as
// whoever publishes waits, so a little longer than Config.PublishTimeout, at most.
//
// Closing again waits for the first close and returns the same; the first ctx
// to end is the one that counts.
func (a *Adapter) Close(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { a.hurry(context.Cause(ctx)) })
	defer stop()
	a.mu.Lock()
	again := a.closing
	a.closing = true
	a.mu.Unlock()
	if !again {
		a.shutDown()
	}
	<-a.closed
	return a.closeErr
}

func (a *Adapter) shutDown() {
	defer close(a.closed)
	var errs []error
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, c := range a.Consumers() {
		wg.Go(func() {
			if err := c.Close(a.patience); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	a.flushing.Store(true) // or those who go on publishing would be waited for
	if err := a.flush(); err != nil {
		errs = append(errs, err)
	}
	a.conn.state.set(Closed, nil, 0, false)
	a.cancel()
	a.tasks.Wait()
	a.cl.Close()
	a.hurry(nil)
	a.closeErr = errors.Join(errs...)
}

// flush waits for what was published. The client itself waits without an end for a
// record that a broker may have, and has not acknowledged.
func (a *Adapter) flush() error {
	limit := a.cfg.publishLimit()
	ctx, cancel := context.WithTimeout(a.patience, limit)
	defer cancel()
	if err := a.cl.Flush(ctx); err == nil || a.Buffered() == 0 {
		return nil
	}
	why := context.Cause(a.patience)
	if why == nil {
		why = &TimeoutError{After: limit, Err: a.conn.state.view().Cause}
	}
	return fmt.Errorf("%d records not acknowledged: %w", a.Buffered(), why)
}

// start starts a consumer, unless the adapter is closing. Close then finds all
// of it or nothing.
func (a *Adapter) start(c *Consumer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closing {
		return ErrClosed
	}
	a.made++
	c.made = a.made
	c.member = GroupMember{Group: c.sub.Group, GroupID: c.sub.groupID, Name: fmt.Sprintf("%s-%d", c.sub.groupID, a.made)}
	if f := a.cfg.Trace.Subscribed; f != nil {
		f(c.member, sortedKeys(c.topics))
	}
	if err := c.start(); err != nil {
		return err
	}
	a.consumers[c] = struct{}{}
	delete(a.stopped, c.sub.groupID)
	return nil
}

// forget is for a consumer that has ended, by itself when there is an error.
func (a *Adapter) forget(c *Consumer, fatal error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.consumers, c)
	if fatal != nil {
		a.stopped[c.sub.groupID] = fatal
	}
}

// groupPartition is a partition as a group sees it.
type groupPartition struct {
	group string
	topicPartition
}

// turn has room for one: whoever is in it runs the handler for the partition.
// A handler that outlasts its assignment keeps the next one waiting, whichever
// consumer of this adapter the partition comes to.
func (a *Adapter) turn(group string, tp topicPartition) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	gp := groupPartition{group, tp}
	if a.turns[gp] == nil {
		a.turns[gp] = make(chan struct{}, 1)
	}
	return a.turns[gp]
}

// sleep waits for d, and reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
