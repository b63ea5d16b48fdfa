package adapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Consumer is a member of a consumer group that runs a handler. It is safe for
// concurrent use.
//
// Each assigned partition has a lane, a goroutine that runs the handler. One
// goroutine polls and hands over to the lanes, one commits what they settle,
// and the client's own calls assigned, revoked and lost.
type Consumer struct {
	a      *Adapter
	sub    subscription
	cl     *kgo.Client
	log    *slog.Logger
	member GroupMember
	grace  time.Duration
	ready  chan struct{} // closed when the fields above are set

	ctx    context.Context // ends when the consumer stops polling
	stop   context.CancelFunc
	tasks  sync.WaitGroup
	dirty  chan struct{} // there is something to commit
	commit sync.Mutex    // held while committing

	mu     sync.Mutex
	lanes  map[topicPartition]*lane
	fenced map[topicPartition]*lane // fenced off, with a handler that still runs
	paused bool
	joined bool

	closing   sync.Once
	closeErr  error
	done      chan struct{}
	fatal     error // set before done is closed
	fatalOnce sync.Once
}

type topicPartition struct {
	topic     string
	partition int32
}

func newConsumer(a *Adapter, s subscription) *Consumer {
	c := &Consumer{
		a:      a,
		sub:    s,
		log:    a.cfg.Logger.With("group", s.Group),
		dirty:  make(chan struct{}, 1),
		lanes:  map[topicPartition]*lane{},
		fenced: map[topicPartition]*lane{},
		done:   make(chan struct{}),
		ready:  make(chan struct{}),
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

func (c *Consumer) start() error {
	opts, err := c.a.cfg.clientOptions(c.a.conn)
	if err != nil {
		return err
	}
	c.cl, err = kgo.NewClient(append(c.groupOptions(), opts...)...)
	if err != nil {
		return &ConfigError{Field: "Config.ClientOptions", Problem: err.Error()}
	}
	c.grace = grace(c.cl)
	close(c.ready)
	c.tasks.Go(c.poll)
	c.tasks.Go(c.keepCommitting)
	return nil
}

// Group is the consumer group.
func (c *Consumer) Group() string { return c.sub.Group }

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
	c.fatalOnce.Do(func() {
		c.log.Error("the consumer stops", "error", err)
		c.a.tasks.Go(func() {
			ctx, cancel := context.WithTimeout(c.a.ctx, c.grace)
			defer cancel()
			_ = c.close(ctx, err)
		})
	})
}

// assigned makes a lane for each partition. A lane whose partition is still
// being worked on by a fenced handler waits for it: never two at a time for
// one partition in this process.
func (c *Consumer) assigned(m map[string][]int32) {
	c.mu.Lock()
	c.joined = true
	for topic, partitions := range m {
		for _, p := range partitions {
			tp := topicPartition{topic, p}
			l := newLane(c, tp, c.fenced[tp])
			if c.paused {
				l.reasons[pausedByUser]++
			}
			c.lanes[tp] = l
			go l.run()
		}
	}
	paused := c.paused
	c.mu.Unlock()
	// The client keeps a partition paused across a revoke; the reasons for
	// that are gone with the lane.
	if paused {
		c.cl.PauseFetchPartitions(m)
	} else {
		c.cl.ResumeFetchPartitions(m)
	}
	c.log.Debug("partitions assigned", "partitions", m)
	if f := c.a.cfg.Trace.Assigned; f != nil {
		f(c.member, m)
	}
}

// pinStart decides where a group that starts with the latest record starts in
// the partitions that are new to it. For all others it changes nothing.
func (c *Consumer) pinStart(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	if c.sub.StartFrom != FromLatest {
		return offsets, nil
	}
	latest := kgo.NewOffset().AtEnd().EpochOffset().Offset
	var topics []string
	for topic, partitions := range offsets {
		for _, o := range partitions {
			if o.EpochOffset().Offset == latest {
				topics = append(topics, topic)
				break
			}
		}
	}
	if len(topics) == 0 {
		return offsets, nil
	}
	ends, err := kadm.NewClient(c.cl).ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("find the latest offsets: %w", err)
	}
	for _, topic := range topics {
		for p, o := range offsets[topic] {
			if o.EpochOffset().Offset != latest {
				continue
			}
			end, ok := ends.Lookup(topic, p)
			if !ok || end.Err != nil {
				return nil, fmt.Errorf("find the latest offset of topic %q partition %d: %w", topic, p, end.Err)
			}
			offsets[topic][p] = kgo.NewOffset().At(end.Offset)
			c.mu.Lock()
			l := c.lanes[topicPartition{topic, p}]
			c.mu.Unlock()
			if l == nil {
				continue
			}
			l.startAt(end.Offset)
			if f := c.a.cfg.Trace.Started; f != nil {
				f(c.member, topic, p, end.Offset)
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
	ctx, cancel := context.WithTimeout(c.a.ctx, c.grace)
	defer cancel()
	c.drain(ctx, lanes)
	if err := c.commitLanes(ctx, lanes); err != nil {
		c.log.Warn("cannot commit before a rebalance: what was settled since the last commit is delivered again", "error", err)
	}
	c.fence(lanes)
	c.log.Debug("partitions revoked", "partitions", m)
	if f := c.a.cfg.Trace.Revoked; f != nil {
		f(c.member, m, false)
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

// fence takes from the lanes the right to settle. One whose handler still runs
// is remembered, for the partition may come back.
func (c *Consumer) fence(lanes []*lane) {
	for _, l := range lanes {
		l.fence()
		select {
		case <-l.done:
			continue
		default:
		}
		c.log.Warn("a handler outlasts its partition: its result will not count, and the record is delivered again",
			"topic", l.tp.topic, "partition", l.tp.partition)
		c.mu.Lock()
		c.fenced[l.tp] = l
		c.mu.Unlock()
		go func() {
			<-l.done
			c.mu.Lock()
			if c.fenced[l.tp] == l {
				delete(c.fenced, l.tp)
			}
			c.mu.Unlock()
		}()
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
	for _, l := range c.lanes {
		if p {
			l.pause(pausedByUser)
		} else {
			l.resume(pausedByUser)
		}
	}
}

// Close stops fetching, lets running handlers end, commits what is settled,
// and leaves the group. Waits for a next attempt are dropped at once. When ctx
// ends before that, handlers that still run have their contexts cancelled and
// their results do not count; the error says how many. What is not settled
// stays uncommitted, and is delivered to another member. Closing again waits
// for the first close and returns the same.
func (c *Consumer) Close(ctx context.Context) error { return c.close(ctx, nil) }

func (c *Consumer) close(ctx context.Context, fatal error) error {
	c.closing.Do(func() {
		c.stop()
		c.tasks.Wait()

		c.mu.Lock()
		all := map[string][]int32{}
		for tp := range c.lanes {
			all[tp.topic] = append(all[tp.topic], tp.partition)
		}
		c.mu.Unlock()
		lanes := c.take(all)
		c.drain(ctx, lanes)
		var errs []error
		// A commit is worth trying when time is up, too, but not worth
		// waiting for a broker that has gone away.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		if fatal == nil {
			if err := c.commitLanes(last, lanes); err != nil {
				errs = append(errs, err)
			}
		}
		c.fence(lanes)
		running := 0
		for _, l := range lanes {
			select {
			case <-l.done:
			default:
				running++
			}
		}
		if running > 0 {
			errs = append(errs, fmt.Errorf("%d handlers did not end in time: their records are delivered again: %w", running, context.Cause(ctx)))
		}
		if err := c.cl.LeaveGroupContext(last); err != nil && fatal == nil {
			c.log.Warn("cannot leave the group: its other members wait for this one's session to expire", "error", err)
		}
		c.cl.CloseAllowingRebalance()
		if f := c.a.cfg.Trace.Revoked; f != nil && len(all) > 0 {
			f(c.member, all, fatal != nil)
		}
		if err := errors.Join(errs...); err != nil {
			c.closeErr = fmt.Errorf("close consumer of group %q: %w", c.sub.Group, err)
		}
		c.fatal = fatal
		c.a.forget(c)
		close(c.done)
	})
	<-c.done
	return c.closeErr
}

// lastWords is how long a consumer that closes waits for the broker to take
// its last commit and its leave.
const lastWords = 5 * time.Second
