package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrDeliveryLimit is the cause with which a record of a share group is given up, or
// goes to a retry topic, without an attempt: the group has delivered it as often as
// it may, and would archive it where this attempt did not end.
var ErrDeliveryLimit = errors.New("the share group has delivered it as often as it may (share.delivery.count.limit)")

const (
	// usualDeliveries is Kafka's default of how often a share group delivers a
	// record, for where neither group nor broker tells.
	usualDeliveries = 5
	// usualIdle is after how long the client closes a connection that nothing passes
	// on. The records that came by it are then released.
	usualIdle = 20 * time.Second
)

// sharing is what runs the handler of a consumer in a share group (KIP-932). It takes
// records in rounds: the client accepts at a poll what it has not heard of since the
// one before, so there is no poll before each record of the last one has been accepted
// or released. It fetches nothing ahead either, for what waits in a buffer spends its
// lock, and what is dropped there a delivery.
//
// Nothing waits longer in a share group than the backoff of an attempt: what is to
// wait, and what the group would archive, goes to a retry topic or is given up.
type sharing struct {
	c     *Consumer
	limit int // how often the group delivers a record
	idle  time.Duration

	mu    sync.Mutex
	lanes map[topicPartition]*lane
	round []*shared
	lost  map[topicPartition]error // whose acknowledgements were refused, or had no answer, of this round

	unpaused chan struct{} // Resume was called
	over     chan struct{} // closed when no record is worked on any more
}

// shared is a record that is locked for this member.
type shared struct {
	l          *lane
	r          *kgo.Record
	m          *Message
	deliveries int // this one included

	// sharing.mu guards what follows.
	running bool
	due     time.Time // when it is released, or tried to bring home again; zero while it does not wait
	blocked error
	ended   kgo.AckStatus // zero while it is locked
}

func newSharing(c *Consumer) *sharing {
	return &sharing{
		c: c, limit: c.sub.deliveries,
		lanes: map[topicPartition]*lane{}, lost: map[topicPartition]error{},
		unpaused: make(chan struct{}, 1), over: make(chan struct{}),
	}
}

// shareOptions are the options of the client of a share group, beside those of every
// client.
func (c *Consumer) shareOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.ShareGroup(c.sub.groupID),
		kgo.ConsumeTopics(sortedKeys(c.topics)...),
		kgo.ShareMaxRecords(int32(c.sub.MaxInFlight)),
		kgo.ShareMaxRecordsStrict(), // and nothing ahead of a poll
		kgo.ShareAckCallback(func(_ *kgo.Client, results kgo.ShareAckResults) { c.share.acknowledged(results) }),
		kgo.WithHooks(c.share),
	}
}

// fetchWait is how long a fetch of a share group waits for records: as long as the
// user's clients do, Kafka's default where they have the client's, and never for so
// long that a shutdown is over before. The client may send a fetch as a poll returns,
// before it knows that nobody polls, and acknowledgements wait behind that.
func (c *Consumer) fetchWait() kgo.Opt {
	const usual, unset = 500 * time.Millisecond, 5 * time.Second
	wait, _ := c.a.cl.OptValue(kgo.FetchMaxWait).(time.Duration)
	if wait == unset {
		wait = usual
	}
	return kgo.FetchMaxWait(min(wait, lastWords*4/5))
}

// OnBrokerRead is how it is known that the group has taken this member in.
func (s *sharing) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == int16(kmsg.ShareGroupHeartbeat) && err == nil {
		s.setJoined(true)
	}
}

// OnGroupManageError says that the group may have expelled it.
func (s *sharing) OnGroupManageError(error) { s.setJoined(false) }

func (s *sharing) setJoined(joined bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.joined = joined
}

// run takes rounds until the consumer stops.
func (s *sharing) run() {
	c := s.c
	for c.ctx.Err() == nil {
		if !s.mayPoll() || !c.gate.pass(c.ctx.Done()) {
			break
		}
		fetches := c.cl.PollFetches(c.ctx)
		if fetches.IsClientClosed() {
			break
		}
		fetches.EachError(c.fetchError)
		if !s.take(fetches) {
			return
		}
	}
	close(s.over)
}

// mayPoll waits until the consumer is not paused, and reports false when it stops.
func (s *sharing) mayPoll() bool {
	for {
		s.c.mu.Lock()
		paused := s.c.paused
		s.c.mu.Unlock()
		if !paused {
			return true
		}
		select {
		case <-s.unpaused:
		case <-s.c.ctx.Done():
			return false
		}
	}
}

// take works on what a poll has brought, and returns when all of it is acknowledged, or
// acknowledging it is left to the consumer's shutdown. It reports false when that does
// not wait for handlers any longer.
func (s *sharing) take(fetches kgo.Fetches) bool {
	var round []*shared
	locked := time.Duration(0)
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		l := s.lane(topicPartition{p.Topic, p.Partition})
		for _, r := range p.Records {
			m := &Message{}
			l.message(m, r, 0)
			x := &shared{l: l, r: r, m: m, deliveries: max(1, int(r.DeliveryCount()))}
			m.Attempt += x.deliveries - 1
			round = append(round, x)
			if left := time.Until(r.AcquisitionDeadline()); locked == 0 || left < locked {
				locked = left
			}
		}
	})
	if len(round) == 0 {
		return true
	}
	s.mu.Lock()
	s.round = round
	clear(s.lost)
	s.mu.Unlock()
	ended := make(chan struct{})
	var workers sync.WaitGroup
	for _, x := range round {
		workers.Go(func() { s.work(x) })
	}
	go func() {
		workers.Wait()
		close(ended)
	}()
	renew := time.NewTicker(max(time.Millisecond, min(locked, s.idle)/3))
	defer renew.Stop()
	for {
		select {
		case <-ended:
			s.await()
			return true
		case <-renew.C:
			s.renew()
		case <-s.c.patience.Done():
			return false
		}
	}
}

// lane is what the records of a partition have in common. Nothing runs in it.
func (s *sharing) lane(tp topicPartition) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lanes[tp] == nil {
		s.lanes[tp] = newLane(s.c, tp)
	}
	return s.lanes[tp]
}

// renew has the brokers keep the locks of the records that are worked on (KIP-1222).
func (s *sharing) renew() {
	s.mu.Lock()
	var records []*kgo.Record
	for _, x := range s.round {
		if x.ended == 0 {
			records = append(records, x.r)
		}
	}
	s.mu.Unlock()
	if len(records) == 0 {
		return
	}
	s.c.cl.MarkAcks(kgo.AckRenew, records...)
	ctx, cancel := context.WithTimeout(s.c.patience, lastWords)
	defer cancel()
	_ = s.c.cl.FlushAcks(ctx) // what became of it, acknowledged hears
}

// acknowledged hears what became of acknowledgements.
func (s *sharing) acknowledged(results kgo.ShareAckResults) {
	for _, r := range results {
		if r.Err == nil {
			continue
		}
		s.c.log.Warn("an acknowledgement was refused, or has no answer: records are delivered again", "topic", r.Topic, "partition", r.Partition, "error", r.Err)
		s.mu.Lock()
		s.lost[topicPartition{r.Topic, r.Partition}] = r.Err
		s.mu.Unlock()
	}
}

// end acknowledges a record, once.
func (s *sharing) end(x *shared, as kgo.AckStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.end(as)
}

// end is sharing.end; the caller holds its mutex.
func (x *shared) end(as kgo.AckStatus) {
	if x.ended == 0 {
		x.ended, x.due, x.blocked = as, time.Time{}, nil
		x.r.Ack(as)
	}
}

// await settles the round. Where the consumer stops before that, its shutdown does.
func (s *sharing) await() {
	for s.c.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(s.c.ctx, commitTimeout)
		err := s.c.cl.FlushAcks(ctx)
		cancel()
		if err == nil {
			_, _ = s.settle(nil)
			return
		}
		if s.c.ctx.Err() == nil {
			s.c.log.Warn("acknowledgements have no answer yet, and nothing is fetched before they have", "waited", commitTimeout)
		}
	}
}

// lastWords settles what is left of the round when the consumer closes.
func (s *sharing) lastWords(ctx context.Context) error {
	s.cancel()
	if n, err := s.settle(s.c.cl.FlushAcks(ctx)); n > 0 {
		return fmt.Errorf("%d acknowledgements have no answer: their records may be delivered again: %w", n, cmp.Or(ctx.Err(), err))
	}
	return nil
}

// settle tells what the acknowledgements of the round came to. flushed says why some of
// them have no answer; nil that all have, or their connections were lost. Which ones
// the client does not tell, so that counts for all that were not refused. It returns how
// many have none, and why.
func (s *sharing) settle(flushed error) (unanswered int, why error) {
	s.mu.Lock()
	round, lost := s.round, s.lost
	s.round, s.lost = nil, map[topicPartition]error{}
	s.mu.Unlock()
	trace := s.c.a.cfg.Trace
	for _, x := range round {
		err := cmp.Or(lost[x.l.tp], flushed) // of it, or of another one of its partition
		if err != nil && !errors.As(err, new(*kerr.Error)) {
			unanswered, why = unanswered+1, err
		}
		switch {
		case x.ended != kgo.AckAccept:
		case err == nil:
			if trace.Settled != nil {
				trace.Settled([]*Message{x.m})
			}
		case trace.Fenced != nil:
			trace.Fenced(x.m)
		}
	}
	return unanswered, why
}

// work takes a record from its delivery to its acknowledgement.
func (s *sharing) work(x *shared) {
	c := s.c
	if x.deliveries >= s.limit {
		s.move(x, ErrDeliveryLimit, 0)
		return
	}
	for {
		if !c.gate.pass(c.ctx.Done()) || c.ctx.Err() != nil {
			s.end(x, kgo.AckRelease)
			return
		}
		s.set(func() { x.running = true })
		result := s.attempt(x)
		s.set(func() { x.running = false })
		switch result.Type() {
		case ResultCommit:
			s.end(x, kgo.AckAccept)
			return
		case ResultReject:
			s.giveUp(x, result.Err())
			return
		}
		if result.Unavailable() && c.gate.isClosedNow(c.ctx.Done()) {
			x.l.log.Debug("a record waits for the gate", "offset", x.m.Offset, "attempt", x.m.Attempt, "error", result.Err())
			continue
		}
		s.again(x, result)
		return
	}
}

func (s *sharing) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// attempt runs the handler once, on a goroutine of its own, which it may end.
func (s *sharing) attempt(x *shared) Result {
	outcome := make(chan Result, 1)
	go func() {
		a := attempt{m: x.m}
		result := Retry(ErrHandlerExited)
		defer func() {
			if p := recover(); p != nil {
				x.l.log.Error("the handler panicked", "offset", x.m.Offset, "panic", p, "stack", string(debug.Stack()))
				result = Retry(fmt.Errorf("%w: %v", ErrHandlerPanicked, p))
			}
			outcome <- x.l.ended(&a, result)
		}()
		result = x.l.attempt(&a)
	}()
	return <-outcome
}

// again has a record delivered again, or moves it on.
func (s *sharing) again(x *shared, result Result) {
	policy := &s.c.sub.Retry
	m := *x.m // the handler may have kept it
	s.set(func() { x.m = &m })
	if m.FirstFailed.IsZero() {
		s.c.gate.failedFirst(&m, time.Now())
	}
	if m.Attempt >= policy.Attempts {
		s.giveUp(x, &AttemptsError{Attempts: m.Attempt, Err: result.Err()})
		return
	}
	// The next delivery may be one that ends with the process, and there must be
	// another after it.
	isLast := x.deliveries+1 >= s.limit
	wants := result.Delay() > 0 || m.Attempt >= policy.InPlace
	if isLast || wants && len(policy.Tiers) > 0 {
		s.move(x, result.Err(), result.Delay())
		return
	}
	wait := min(cmp.Or(result.Delay(), policy.backoff(m.Attempt)), policy.MaxBackoff)
	x.l.log.Warn("a record is to be delivered again", "offset", m.Offset, "attempt", m.Attempt, "of", policy.Attempts, "in", wait, "error", result.Err())
	s.wait(x, wait)
	s.end(x, kgo.AckRelease)
}

// wait holds a record for a time, or until the consumer stops.
func (s *sharing) wait(x *shared, d time.Duration) bool {
	due := time.Now().Add(d)
	s.set(func() { x.due = due })
	if f := s.c.a.cfg.Trace.Waiting; f != nil {
		f(x.m, due)
	}
	ok := sleep(s.c.ctx, d)
	s.set(func() { x.due = time.Time{} })
	return ok
}

// move sends a record to a retry topic, where there are some; else it is given up.
func (s *sharing) move(x *shared, cause error, delay time.Duration) {
	if len(s.c.sub.Retry.Tiers) == 0 {
		switch {
		case errors.Is(cause, ErrDeliveryLimit):
			m := *x.m
			m.Attempt-- // there is none
			s.set(func() { x.m = &m })
			s.giveUp(x, cause)
		default:
			s.giveUp(x, &AttemptsError{Attempts: x.m.Attempt, Err: cause})
		}
		return
	}
	m := *x.m
	s.set(func() { x.m = &m })
	if errors.Is(cause, ErrDeliveryLimit) {
		m.Attempt--
	}
	x.l.log.Warn("a record goes to a retry topic", "offset", m.Offset, "attempt", m.Attempt, "of", s.c.sub.Retry.Attempts, "error", cause)
	tier, notBefore := x.l.tier(delay)
	fits := s.bring(x, &home{retry: true, take: x.l.moving(&m, func() *move { return x.l.moveToRetry(&m, cause, tier, notBefore) })})
	if !fits {
		s.giveUp(x, fmt.Errorf("too large for its retry topic, after: %w", cause))
	}
}

// giveUp sends a record where those go that are not tried again.
func (s *sharing) giveUp(x *shared, cause error) {
	x.l.log.Error("rejecting a record", "offset", x.m.Offset, "attempt", x.m.Attempt, "error", cause)
	s.bring(x, x.l.rejected(x.m, cause))
}

// bring gives a record to its home, and accepts it once that has it. It tries until
// that is done, or the consumer stops: then the record is released. It reports false
// for a record that is too large for a retry topic.
func (s *sharing) bring(x *shared, h *home) bool {
	for failed := 1; ; failed++ {
		s.set(func() { x.running = true })
		err := h.take(x.l.ctx)
		s.set(func() { x.running = false })
		if err == nil {
			s.end(x, kgo.AckAccept)
			return true
		}
		if h.retry && obstacleOf(err) == tooLarge {
			return false
		}
		wait, blocked := h.afterFailure(err, failed, &s.c.sub.Retry)
		s.set(func() { x.blocked = blocked })
		x.l.log.Error("a record was not taken where it goes, and is held", "offset", x.m.Offset, "attempt", x.m.Attempt, "error", err, "next try in", wait)
		if x.l.ctx.Err() != nil || !s.wait(x, wait) {
			s.end(x, kgo.AckRelease)
			return true
		}
	}
}

// stop waits until nothing is worked on, or the consumer has waited long enough for
// that. Handlers that still run have their contexts cancelled, and their records are
// released: it returns how many.
func (s *sharing) stop(ctx context.Context) (running int) {
	select {
	case <-s.over:
		return 0
	case <-ctx.Done():
	}
	var left []*Message
	s.set(func() {
		for _, x := range s.round {
			if x.ended != 0 {
				continue
			}
			left = append(left, x.m)
			if x.running {
				running++
			}
			x.end(kgo.AckRelease) // before the handler can end by its context
		}
	})
	s.cancel()
	if f := s.c.a.cfg.Trace.Fenced; f != nil {
		for _, m := range left {
			f(m)
		}
	}
	return running
}

// cancel ends the contexts of what is left.
func (s *sharing) cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		l.cancel()
	}
}

// status adds what is worked on.
func (s *sharing) status(to *Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	byPartition := map[topicPartition]*PartitionStatus{}
	for _, x := range s.round {
		p := byPartition[x.l.tp]
		if p == nil {
			p = &PartitionStatus{
				Topic: x.l.tp.topic, Partition: x.l.tp.partition,
				Position: -1, HighWatermark: -1, Settled: -1, Committed: -1,
			}
			byPartition[x.l.tp] = p
		}
		switch {
		case x.ended != 0:
		case !x.due.IsZero():
			p.Held++
			if p.Due.IsZero() || x.due.Before(p.Due) {
				p.Due = x.due
			}
		case x.running:
			p.InFlight++
		case to.Gate != nil:
			p.Queued, p.Stalled = p.Queued+1, p.Stalled+1
		default:
			p.Queued++
		}
		if x.blocked != nil && p.Blocked == nil {
			p.Blocked = x.blocked
		}
	}
	for _, p := range byPartition {
		to.Partitions = append(to.Partitions, *p)
	}
	for _, l := range s.lanes {
		to.Stuck += int(l.stuck.Load())
	}
}

// ensureShareGroup sets where a share group starts, or verifies it, and finds out how
// often it delivers a record.
func (a *Adapter) ensureShareGroup(ctx context.Context, s *subscription) error {
	const reset, limit = "share.auto.offset.reset", deliveryLimit
	want := "earliest"
	if s.StartFrom == FromLatest {
		want = "latest"
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.ConnectTimeout)
	defer cancel()
	for backoff, asked := 10*time.Millisecond, false; ; backoff = min(2*backoff, time.Second) {
		have, err := a.groupConfigs(ctx, s.Group, reset, limit)
		if err != nil {
			return err
		}
		if s.deliveries == 0 {
			if s.deliveries, err = a.deliveries(ctx, have[limit]); err != nil {
				return err
			}
		}
		switch {
		case have[reset] == want:
			return nil
		case s.NoTopicCreation:
			return &ConfigError{Field: "Subscription.StartFrom", Problem: fmt.Sprintf(
				"is %s, and share group %q has %s=%s: alter the group's configuration, or allow that here by leaving NoTopicCreation false", want, s.Group, reset, have[reset])}
		case !asked:
			if err := a.setGroupConfig(ctx, s.Group, reset, want); err != nil {
				return err
			}
			asked = true
		}
		if !sleep(ctx, backoff) {
			return fmt.Errorf("share group %q does not show %s=%s: %w", s.Group, reset, want, &TimeoutError{After: a.cfg.ConnectTimeout, Err: ctx.Err()})
		}
	}
}

// deliveryLimit is the configuration of a share group that limits its deliveries of a
// record, which it has since Apache Kafka 4.3 (KIP-1240). Before, and where the group
// does not set it, the brokers' holds.
const deliveryLimit = "share.delivery.count.limit"

// deliveries is how often a group delivers a record, by the value of its
// deliveryLimit, which is empty where it has none.
func (a *Adapter) deliveries(ctx context.Context, ofGroup string) (int, error) {
	if n, ok := milliseconds(ofGroup); ok {
		return int(n), nil
	}
	brokers, err := a.admin.ListBrokers(ctx)
	if err == nil && len(brokers) == 0 {
		err = kerr.BrokerNotAvailable
	}
	if err != nil {
		return 0, fmt.Errorf("find out how often share groups deliver a record: %w", a.adminError(ctx, err))
	}
	const limit = "group." + deliveryLimit
	have, err := a.resourceConfigs(ctx, kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(brokers[0].NodeID)), limit)
	if err != nil {
		return 0, fmt.Errorf("describe %s of the brokers: %w", limit, err)
	}
	if n, ok := milliseconds(have[limit]); ok {
		return int(n), nil
	}
	return usualDeliveries, nil
}

func (a *Adapter) groupConfigs(ctx context.Context, group string, names ...string) (map[string]string, error) {
	have, err := a.resourceConfigs(ctx, kmsg.ConfigResourceTypeGroupConfig, group, names...)
	if err != nil {
		return nil, fmt.Errorf("describe the configuration of share group %q: %w", group, err)
	}
	return have, nil
}

// resourceConfigs are the values in force for some configurations of a resource.
func (a *Adapter) resourceConfigs(ctx context.Context, of kmsg.ConfigResourceType, name string, keys ...string) (map[string]string, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = of, name, keys
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(ctx, a.cl)
	if err == nil && len(resp.Resources) == 1 {
		err = kerr.ErrorForCode(resp.Resources[0].ErrorCode)
	}
	if err != nil {
		return nil, a.adminError(ctx, err)
	}
	values := map[string]string{}
	for _, res := range resp.Resources {
		for _, c := range res.Configs {
			if c.Value != nil {
				values[c.Name] = *c.Value
			}
		}
	}
	return values, nil
}

func (a *Adapter) setGroupConfig(ctx context.Context, group, name, value string) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Value = name, &value
	r.Configs = append(r.Configs, c)
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(ctx, a.cl)
	if err == nil && len(resp.Resources) == 1 {
		err = kerr.ErrorForCode(resp.Resources[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("set %s=%s for share group %q: %w", name, value, group, a.adminError(ctx, err))
	}
	return nil
}
