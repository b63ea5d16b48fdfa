package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Consumer is a member of a consumer group that runs a handler. It is safe for
// concurrent use.
type Consumer struct {
	// Each assigned partition has a lane, which runs the handler. One goroutine
	// polls and hands over to the lanes, one commits what they settle, and the
	// client's own goroutines call assigned, revoked and lost.

	a      *Adapter
	sub    subscription
	topics map[string]ownTopic // what it consumes, by name
	cl     *kgo.Client
	log    *slog.Logger
	member GroupMember
	made   int           // in the order in which the adapter's consumers were made
	ready  chan struct{} // closed when the fields above are set

	ctx    context.Context // ends when the consumer stops polling
	stop   context.CancelFunc
	tasks  sync.WaitGroup
	dirty  chan struct{} // there is something to commit
	commit chan struct{} // has room for one: whoever is in it commits
	gate   *gate         // nil when it is always open
	hops   *transactions // nil without ExactlyOnceHops
	share  *sharing      // nil but in a share group
	// retries consumes the retry and redrive topics of a share group; nil where there
	// are none.
	retries *Consumer
	seed    maphash.Seed // of the keys' hashes

	metadataLimit atomic.Int32

	mu     sync.Mutex
	lanes  map[topicPartition]*lane
	fenced int // handlers that still run for lanes that are fenced
	stuck  int // handlers of those that ignore for long that they are fenced
	paused bool
	joined bool
	closed bool // no lane is made any more

	closing  sync.Once
	patience context.Context // ends when Close has waited for handlers long enough
	hurry    context.CancelCauseFunc
	abandon  context.CancelFunc // ends what the client waits for
	done     chan struct{}
	closeErr error // this and fatal are set before done is closed
	fatal    error
}

type topicPartition struct {
	topic     string
	partition int32
}

func newConsumer(a *Adapter, s subscription) *Consumer {
	c := &Consumer{
		a:      a,
		sub:    s,
		topics: s.ownTopics().consumed(),
		log:    a.cfg.Logger.With("group", s.Group),
		dirty:  make(chan struct{}, 1),
		commit: make(chan struct{}, 1),
		lanes:  map[topicPartition]*lane{},
		done:   make(chan struct{}),
		ready:  make(chan struct{}),
		seed:   maphash.MakeSeed(),
	}
	c.metadataLimit.Store(maxMetadata)
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.patience, c.hurry = context.WithCancelCause(context.Background())
	if s.Mode == ShareGroup {
		c.share = newSharing(c)
	}
	for topic, t := range c.topics {
		if s.Mode == ShareGroup && t.kind != sourceTopic || s.retries && t.kind == sourceTopic {
			delete(c.topics, topic)
		}
	}
	if s.ExactlyOnceHops {
		c.hops = newTransactions(c)
	}
	if s.Gate != nil {
		c.gate = &gate{check: s.Gate, policy: &c.sub.Retry, log: c.log, ctx: c.ctx, onChange: c.gateChanged}
	}
	return c
}

func (c *Consumer) start() error {
	opts, err := c.a.cfg.clientOptions(c.a.conn)
	if err != nil {
		return err
	}
	var ctx context.Context
	ctx, c.abandon = context.WithCancel(context.Background())
	opts = append(append(c.groupOptions(), opts...), kgo.WithContext(ctx))
	if c.share != nil {
		opts = append(opts, c.fetchWait()) // behind the user's
	}
	c.cl, err = kgo.NewClient(opts...)
	if err != nil {
		c.abandon()
		return &ConfigError{Field: "Config.ClientOptions", Problem: err.Error()}
	}
	close(c.ready)
	if c.share != nil {
		c.share.idle, _ = c.cl.OptValue(kgo.ConnIdleTimeout).(time.Duration)
		c.share.idle = cmp.Or(c.share.idle, usualIdle)
		if c.retries != nil {
			c.tasks.Go(c.watchRetries)
		}
		c.tasks.Go(c.share.run)
		return nil
	}
	if c.hops != nil {
		c.hops.gone.Go(c.hops.run)
	}
	c.tasks.Go(c.keepCommitting)
	c.tasks.Go(c.poll) // last: it may fail at once, and what stops the consumer waits for both
	return nil
}

// watchRetries stops the consumer when what consumes its retry topics has.
func (c *Consumer) watchRetries() {
	select {
	case <-c.retries.Done():
		if err := c.retries.Err(); err != nil {
			c.fail(err)
		}
	case <-c.ctx.Done():
	}
}

// Group is the consumer group, as the brokers call it.
func (c *Consumer) Group() string { return c.sub.groupID }

// Done is closed when the consumer has stopped: after Close, or when the group
// refused it for good, which Err tells.
func (c *Consumer) Done() <-chan struct{} { return c.done }

// Err is why the consumer stopped by itself: the group's or the broker's
// refusal, as a RefusedError. It is nil before Done is closed, and after
// Close.
func (c *Consumer) Err() error {
	select {
	case <-c.done:
		return c.fatal
	default:
		return nil
	}
}

// poll hands what is fetched over to the lanes. It never waits for a lane, so
// that a rebalance is held up by running handlers only.
func (c *Consumer) poll() {
	// The client counts a poll that ended, too, as one to be followed by
	// AllowRebalance; without that, leaving the group would never end.
	defer c.cl.AllowRebalance()
	for {
		fetches := c.cl.PollRecords(c.ctx, 10_000)
		if c.ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		fetches.EachError(c.fetchError)
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 {
				return
			}
			c.mu.Lock()
			l := c.lanes[topicPartition{p.Topic, p.Partition}]
			c.mu.Unlock()
			if l != nil {
				l.push(p.Records, p.HighWatermark)
			}
		})
		c.cl.AllowRebalance()
	}
}

// fetchError sorts what the client reports beside records. It retries by
// itself whatever can be retried.
func (c *Consumer) fetchError(topic string, partition int32, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	log := c.log
	if topic != "" {
		log = log.With("topic", topic, "partition", partition)
	}
	var protocol *kerr.Error
	if errors.As(err, &protocol) && isFatal(protocol) {
		c.fail(&RefusedError{Code: protocol.Code, Name: protocol.Message, Err: err, retry: false})
		return
	}
	var loss *kgo.ErrDataLoss
	if errors.As(err, &loss) {
		log.Error("the log was cut below what this group had read", "error", err)
		return
	}
	log.Warn("trouble while consuming", "error", err)
}

// isFatal reports whether a group or topic error will come again however often
// it is asked.
func isFatal(err *kerr.Error) bool {
	for _, fatal := range []*kerr.Error{
		kerr.FencedInstanceID, kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed,
		kerr.ClusterAuthorizationFailed, kerr.SaslAuthenticationFailed, kerr.InvalidGroupID,
		kerr.InconsistentGroupProtocol, kerr.InvalidSessionTimeout, kerr.GroupMaxSizeReached,
		kerr.UnsupportedVersion, kerr.UnsupportedSaslMechanism,
	} {
		if errors.Is(err, fatal) {
			return true
		}
	}
	return false
}

// fail stops the consumer for good. It returns at once, because it is called
// from the goroutine that it stops.
func (c *Consumer) fail(err error) {
	c.closing.Do(func() {
		c.log.Error("the consumer stops", "error", err)
		c.a.tasks.Go(func() {
			limit := time.AfterFunc(c.grace(), func() { c.hurry(context.DeadlineExceeded) })
			defer limit.Stop()
			c.shutDown(err)
		})
	})
}

// assigned makes a lane for each partition.
func (c *Consumer) assigned(m map[string][]int32) {
	c.renew()
	if !c.makeLanes(m) {
		return
	}
	c.log.Debug("partitions assigned", "partitions", m)
	if f := c.a.cfg.Trace.Assigned; f != nil {
		f(c.member, m)
	}
}

// makeLanes reports false when the consumer is closing: then nothing that is
// assigned is worked on.
func (c *Consumer) makeLanes(m map[string][]int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.joined = true
	member, _ := c.cl.GroupMetadata()
	for topic, partitions := range m {
		for _, p := range partitions {
			tp := topicPartition{topic, p}
			l := newLane(c, tp)
			l.member = member
			if c.paused {
				l.reasons[pausedByUser]++
			}
			if !c.gate.isOpen() {
				l.reasons[pausedByGate]++
			}
			c.lanes[tp] = l
			go l.run()
		}
	}
	// The client keeps a partition paused across a revoke; the reasons for
	// that are gone with the lane.
	if c.paused || !c.gate.isOpen() {
		c.cl.PauseFetchPartitions(m)
	} else {
		c.cl.ResumeFetchPartitions(m)
	}
	return true
}

// pinStart decides where a group that starts with the latest record starts in
// the partitions that are new to it, and tells where each one starts.
func (c *Consumer) pinStart(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	latest := kgo.NewOffset().AtEnd().EpochOffset().Offset
	var unpinned []string
	for topic, partitions := range offsets {
		for p, o := range partitions {
			if o.EpochOffset().Offset != latest {
				continue
			}
			if c.topics[topic].kind != sourceTopic {
				partitions[p] = kgo.NewOffset().AtStart() // what is there was put there for this group
				continue
			}
			unpinned = append(unpinned, topic)
			break
		}
	}
	var ends kadm.ListedOffsets
	if len(unpinned) > 0 {
		var err error
		if ends, err = kadm.NewClient(c.cl).ListEndOffsets(ctx, unpinned...); err != nil {
			return nil, fmt.Errorf("find the latest offsets: %w", err)
		}
	}
	for topic, partitions := range offsets {
		for p, o := range partitions {
			start := o.EpochOffset().Offset
			if start == latest {
				end, ok := ends.Lookup(topic, p)
				if !ok {
					end.Err = errNoSuchTopic
				}
				if end.Err != nil {
					return nil, fmt.Errorf("find the latest offset of topic %q partition %d: %w", topic, p, end.Err)
				}
				start = end.Offset
				c.mu.Lock()
				l := c.lanes[topicPartition{topic, p}]
				c.mu.Unlock()
				if l != nil {
					start = l.startAt(start)
				}
				offsets[topic][p] = kgo.NewOffset().At(start)
			}
			if f := c.a.cfg.Trace.Started; f != nil {
				f(c.member, topic, p, max(start, 0)) // the earliest record is asked for by a negative number
			}
		}
	}
	return offsets, nil
}

// revoked gives running handlers the grace to end, fences off those that do
// not, and commits what is settled while that still counts.
func (c *Consumer) revoked(m map[string][]int32) {
	lanes := c.take(m)
	if len(lanes) == 0 {
		return
	}
	grace, cancel := context.WithTimeout(c.patience, c.grace())
	defer cancel()
	c.drain(grace, lanes)
	if c.isClosing() {
		cancel() // whoever closes has no more time than it takes
	}
	// A lane that used up the grace must not cost the others their commit.
	ctx, cancel := outlast(grace, lastWords)
	defer cancel()
	if err := c.commitLanes(ctx, lanes); err != nil {
		c.log.Warn("cannot commit before a rebalance: what was settled since the last commit is delivered again", "error", err)
	}
	c.fence(lanes)
	c.log.Debug("partitions revoked", "partitions", m)
	if f := c.a.cfg.Trace.Revoked; f != nil {
		f(c.member, m, false)
	}
}

// isClosing reports whether no partitions are taken on any more.
func (c *Consumer) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// outlast is a context that ends some time after another one has ended.
func outlast(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, func() {
		defer cancel()
		sleep(longer, by)
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// lost fences everything off at once: the partitions belong to others already.
func (c *Consumer) lost(m map[string][]int32) {
	c.mu.Lock()
	c.joined = false
	c.mu.Unlock()
	lanes := c.take(m)
	if len(lanes) == 0 {
		return
	}
	c.fence(lanes)
	c.log.Warn("partitions lost: handlers that still run are cut off, and their records delivered again", "partitions", m)
	if f := c.a.cfg.Trace.Revoked; f != nil {
		f(c.member, m, true)
	}
}

// take removes the lanes of some partitions.
func (c *Consumer) take(m map[string][]int32) []*lane {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lanes []*lane
	for topic, partitions := range m {
		for _, p := range partitions {
			tp := topicPartition{topic, p}
			if l := c.lanes[tp]; l != nil {
				lanes = append(lanes, l)
				delete(c.lanes, tp)
			}
		}
	}
	return lanes
}

// drain lets the lanes finish what their handlers are at, until ctx ends.
func (c *Consumer) drain(ctx context.Context, lanes []*lane) {
	for _, l := range lanes {
		l.drain()
	}
	for _, l := range lanes {
		select {
		case <-l.done:
		case <-ctx.Done():
			return
		}
	}
}

// fence takes from the lanes the right to settle, and tells for how many a
// handler still runs.
func (c *Consumer) fence(lanes []*lane) (running int) {
	for _, l := range lanes {
		n := l.fence()
		if n == 0 {
			continue
		}
		running += n
		l.log.Warn("handlers outlast their partition: their results will not count, and the records are delivered again", "handlers", n)
		c.mu.Lock()
		c.fenced += n
		c.mu.Unlock()
		go c.awaitFenced(l, n)
	}
	return running
}

// awaitFenced waits for handlers that outlast their partition, whose context has
// been cancelled. Until the last of them has ended they are counted.
func (c *Consumer) awaitFenced(l *lane, handlers int) {
	change := func(stuck int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stuck += stuck
	}
	t := time.NewTimer(patienceWithHandlers)
	defer t.Stop()
	select {
	case <-l.done:
	case <-t.C:
		l.log.Error("a handler ignores that its context was cancelled: its partition was taken away")
		change(handlers)
		<-l.done
		change(-handlers)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fenced -= handlers
}

// gateChanged pauses all partitions while the gate is closed, and has their lanes
// go on when it opens.
func (c *Consumer) gateChanged(closed error) {
	c.mu.Lock()
	for _, l := range c.lanes {
		l.mu.Lock()
		l.setPaused(pausedByGate, closed != nil)
		if closed == nil {
			l.runner.pushed()
		} else {
			l.runner.halted()
		}
		l.mu.Unlock()
	}
	c.mu.Unlock()
	if f := c.a.cfg.Trace.Gate; f != nil {
		f(c.member, closed)
	}
}

// Pause stops the fetching of records, until Resume. Records that were fetched
// already are still handled.
func (c *Consumer) Pause() { c.setPaused(true) }

// Resume ends Pause.
func (c *Consumer) Resume() { c.setPaused(false) }

func (c *Consumer) setPaused(p bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused == p {
		return
	}
	c.paused = p
	if c.share != nil {
		notify(c.share.unpaused)
	}
	if c.retries != nil {
		defer c.retries.setPaused(p)
	}
	for _, l := range c.lanes {
		if p {
			l.pause(pausedByUser)
		} else {
			l.resume(pausedByUser)
		}
	}
}

// Close stops fetching, lets running handlers end, commits what is settled, and
// leaves the group; a static member (Subscription.InstanceID) leaves it only with
// LeaveOnClose. Waits for a next attempt are dropped at once. When ctx ends before
// that, handlers that still run have their contexts cancelled and their results do
// not count; the error says how many. What is not settled stays uncommitted, and is
// delivered to another member. Brokers that do not answer are waited for no longer
// than 5 seconds after the handlers; in Mode ShareGroup the error says of how many
// acknowledgements it is not known whether they took them.
//
// Closing again waits for the first close and returns the same; the first ctx
// to end is the one that counts. A handler that closes its own consumer waits
// for itself.
func (c *Consumer) Close(ctx context.Context) error {
	c.closing.Do(func() { c.a.tasks.Go(func() { c.shutDown(nil) }) })
	select {
	case <-c.done:
	case <-ctx.Done():
		c.hurry(context.Cause(ctx))
		<-c.done
	}
	return c.closeErr
}

// lastWords is how long a consumer waits for the broker to take its last
// commit, and when it closes its leave, too.
const lastWords = 5 * time.Second

func (c *Consumer) shutDown(fatal error) {
	c.stop()
	retries := make(chan error, 1)
	go func() { retries <- c.closeRetries() }()
	c.tasks.Wait()

	// The lanes stay where a rebalance finds them: until this member has left
	// the group, partitions can be taken from it as ever.
	lanes := c.lastLanes()
	c.drain(c.patience, lanes)
	var errs []error
	cutOff := 0
	if c.share != nil {
		cutOff = c.share.stop(c.patience)
	}
	// A commit is worth trying when time is up, too, but not worth waiting
	// for a broker that has gone away.
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	// Leaving is a part of closing the client. Doing it before, and giving up
	// on it, would leave a goroutine of the client's behind.
	abandon := context.AfterFunc(ctx, c.abandon)
	if err := c.commitLanes(ctx, lanes); err != nil {
		errs = append(errs, err)
	}
	if n := c.fence(lanes) + cutOff; n > 0 {
		errs = append(errs, fmt.Errorf("%d handlers did not end in time: their records are delivered again: %w", n, context.Cause(c.patience)))
	}
	c.hops.close(ctx)
	c.gate.stop()
	if c.share != nil {
		if err := c.share.lastWords(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	if err := <-retries; err != nil {
		errs = append(errs, err)
	}
	partitions := c.takeAll()
	member, _ := c.cl.GroupMetadata()
	c.cl.CloseAllowingRebalance()
	if c.sub.InstanceID != "" && member != "" && fatal == nil && (c.sub.LeaveOnClose || c.sub.Mode == ServerSide) {
		if err := c.leaveAsStatic(ctx, member); err != nil {
			errs = append(errs, err)
		}
	}
	if !abandon() && fatal == nil {
		c.log.Warn("cannot leave the group: its other members wait for this one's session to expire")
	}
	c.abandon()
	if f := c.a.cfg.Trace.Revoked; f != nil && len(partitions) > 0 {
		f(c.member, partitions, false)
	}
	if err := errors.Join(errs...); err != nil {
		c.closeErr = fmt.Errorf("close consumer of group %q: %w", c.sub.Group, err)
	}
	c.fatal = fatal
	c.hurry(nil)
	c.a.forget(c, fatal)
	if f := c.a.cfg.Trace.Stopped; f != nil {
		f(c.member, fatal)
	}
	close(c.done)
}

// closeRetries closes what consumes the retry topics, if something does, with the same
// patience.
func (c *Consumer) closeRetries() error {
	if c.retries == nil {
		return nil
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	defer context.AfterFunc(c.patience, func() { cancel(context.Cause(c.patience)) })()
	return c.retries.Close(ctx)
}

// lastLanes are the lanes there are, once no more are made.
func (c *Consumer) lastLanes() []*lane {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return slices.Collect(maps.Values(c.lanes))
}

// takeAll removes all lanes, and tells of which partitions.
func (c *Consumer) takeAll() map[string][]int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string][]int32{}
	for tp := range c.lanes {
		all[tp.topic] = append(all[tp.topic], tp.partition)
	}
	clear(c.lanes)
	return all
}
