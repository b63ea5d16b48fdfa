package harness

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
)

// Config is what a test may set. The zero value works.
type Config struct {
	// Broker is the cluster. Its Network is the harness's to choose: in
	// memory for virtual time, TCP for real time.
	Broker fakebroker.Config
	// Kafka is the cluster of RunOnKafka.
	Kafka Kafka
	// Partitions is how many partitions a topic gets that Publish or
	// Subscribe creates. Zero means 1: records are then handled in the order
	// in which they were published.
	Partitions int32
	// Adapter changes the configuration of every adapter that the harness
	// makes. Trace, Brokers and the dialer are the harness's own.
	Adapter func(*adapter.Config)
	// Limit is how long Settle waits at most, by the test's clock. Zero means
	// 24 hours of virtual time, and 30 seconds of real time. Where virtual
	// time runs away, Settle gives up after 30 seconds of real time.
	Limit time.Duration
	// ClientDefaults leaves the clients their own timings. Without it they
	// are heard from rarely in virtual time, where each heartbeat and each
	// poll costs more than the hours between them; -v prints how rarely.
	ClientDefaults bool
	// MaxFates is how many records are remembered in full, the latest, beyond
	// those that were handled at the first attempt: they cost a byte each. Of
	// older ones it is kept how they ended. Zero means 100,000.
	MaxFates int
	// MaxEvents is how many events the timeline keeps: the first half and the
	// last. Zero means 20,000, and a negative number none.
	MaxEvents int
	// WithoutFates has nobody follow records, for tests of throughput: there
	// are no fates, no verdict at the end, and no records in the timeline.
	WithoutFates bool
}

// Run runs a test in virtual time, in a bubble of testing/synctest: the test's
// clock starts at midnight UTC of 2000-01-01, and moves only when everything
// waits. The body must use the t it is given, and not the outer one. What it
// opens (clients, databases, goroutines) must be closed when it returns, and
// nothing may wait for real I/O.
//
// Run fails the test when a record was lost, or is pending and the body did
// not call AllowPending.
func Run(t *testing.T, fn func(t *testing.T, h *Harness)) {
	t.Helper()
	Config{}.Run(t, fn)
}

// RunRealTime is Run on the wall clock and over TCP, for what cannot live in a
// bubble: other processes, other languages, drivers that need real sockets.
func RunRealTime(t *testing.T, fn func(t *testing.T, h *Harness)) {
	t.Helper()
	Config{}.RunRealTime(t, fn)
}

// Run is Run with these settings.
func (c Config) Run(t *testing.T, fn func(t *testing.T, h *Harness)) {
	t.Helper()
	if c.Limit == 0 {
		c.Limit = 24 * time.Hour
	}
	c.Broker.Network = fakebroker.InMemory
	if !c.ClientDefaults {
		own := c.Broker.BrokerConfig
		c.Broker.BrokerConfig = maps.Clone(virtualBroker)
		maps.Copy(c.Broker.BrokerConfig, own)
		c.Broker.FirstFetchWait = cmp.Or(c.Broker.FirstFetchWait, virtualFirstFetch)
	}
	c.Broker.MaxSessionTimeout = max(c.Broker.MaxSessionTimeout, virtualTimings.session)
	refuseInBubble(t, "Run")
	_ = t.Context().Done() // or the first to ask for it would make it the bubble's, and its end would end the process
	g, at := newGuard(t, c.Limit), calledAt()
	defer g.clock.stop()
	left := g.leftIn(func() {
		synctest.Test(t, func(t *testing.T) {
			t.Cleanup(func() { time.Sleep(leakGrace) }) // after those of the body
			c.run(t, at, clock{virtual: true, idle: synctest.Wait, wall: g.clock.elapsed, guard: g, timings: virtualTimings, patience: 24 * time.Hour, lastStep: time.Minute}, c.startBroker, fn)
		})
	})
	if left != "" {
		t.Fatal("harness: " + left)
	}
}

// RunRealTime is RunRealTime with these settings.
func (c Config) RunRealTime(t *testing.T, fn func(t *testing.T, h *Harness)) {
	t.Helper()
	c.Broker.Network = fakebroker.TCP
	c.realTime(t, "RunRealTime", c.startBroker, fn)
}

// realTime runs a test on the wall clock.
func (c Config) realTime(t *testing.T, method string, open func(*Harness) (cluster, error), fn func(t *testing.T, h *Harness)) {
	t.Helper()
	if c.Limit == 0 {
		c.Limit = 30 * time.Second
	}
	refuseInBubble(t, method)
	checkLeaks(t)
	start := time.Now()
	wall := func() time.Duration { return time.Since(start) }
	c.run(t, calledAt(), clock{idle: func() {}, wall: wall, timings: realTimings, patience: 10 * time.Second, lastStep: 200 * time.Millisecond}, open, fn)
}

// startBroker starts the fake broker, and has it tell the watch.
func (c Config) startBroker(h *Harness) (cluster, error) {
	b, err := fakebroker.Start(c.Broker)
	if err != nil {
		return nil, fmt.Errorf("start the broker: %w", err)
	}
	if c.WithoutFates {
		b.Observe(fakebroker.Observer{Joined: h.watch.joined})
	} else {
		b.Observe(h.watch.observer())
	}
	h.fake, h.faults = b, b
	return b, nil
}

// clock is what differs between virtual and real time.
type clock struct {
	virtual  bool
	idle     func()               // waits until nothing runs that could; in real time it does not wait
	wall     func() time.Duration // of real time, since the start
	guard    *guard               // nil in real time
	timings  timings              // of every client
	patience time.Duration        // how long handlers have to end when the test has
	lastStep time.Duration        // between two looks, at most, when nothing happens
}

// run runs a test that was called at some line.
func (c Config) run(t *testing.T, at string, clock clock, open func(*Harness) (cluster, error), fn func(t *testing.T, h *Harness)) {
	t.Helper()
	c.Partitions = cmp.Or(c.Partitions, 1)
	c.MaxFates = cmp.Or(c.MaxFates, 100_000)
	c.MaxEvents = cmp.Or(c.MaxEvents, 20_000)
	h := &Harness{t: &failing{T: t, at: at}, cfg: c, clock: clock, watch: newWatch(time.Now(), clock.virtual, c.MaxFates, c.MaxEvents), log: newTestLog(t), linkOf: map[*adapter.Adapter]*link{}}
	var err error
	if h.broker, err = open(h); err != nil {
		h.t.Fatalf("harness: %v", err)
	}
	if c.ClientDefaults {
		h.clock.timings = timings{}
	} else if testing.Verbose() {
		broker := ""
		if clock.virtual {
			broker = "; every broker has " + virtualSettings(c.Broker.BrokerConfig)
		}
		h.t.Logf("harness: every client has %s%s (Config.ClientDefaults leaves them their own)", clock.timings, broker)
	}
	if clock.guard != nil {
		clock.guard.enter(h)
	}
	defer h.finish(at)
	h.t.of("")
	h.body(fn)
}

// body runs the test's body.
func (h *Harness) body(fn func(t *testing.T, h *Harness)) {
	h.t.Helper()
	defer h.explainMisuse()
	fn(h.t.T, h)
	h.returned = true
}

// finish gives the verdict on what the test left behind, and closes what the
// harness opened.
func (h *Harness) finish(at string) {
	h.t.of(at)
	if !h.t.Failed() {
		h.verdict()
	}
	page := h.startReport()
	h.watch.mark(evEnded)
	h.mu.Lock()
	members, closers := h.members, h.closers
	h.mu.Unlock()
	for _, m := range members {
		if !m.over {
			m.Stop()
		}
	}
	for _, c := range closers {
		c()
	}
	h.burials.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), h.clock.patience)
	defer cancel()
	h.mu.Lock()
	adapters := h.adapters
	h.mu.Unlock()
	var wg sync.WaitGroup
	for _, a := range adapters {
		if a.State() == adapter.Closed {
			continue // by the test, which has seen how it went
		}
		wg.Go(func() {
			if err := a.Close(ctx); err != nil {
				h.t.Errorf("harness: %v", err)
			}
		})
	}
	wg.Wait()
	if err := h.broker.Close(); err != nil {
		h.t.Errorf("harness: close the cluster: %v", err)
	}
	h.log.close()
	if h.t.Failed() {
		if timeline := h.Timeline(); timeline != "" {
			h.t.Logf("harness: what happened:\n%s", timeline)
		}
	}
	h.writeReport(page, h.outcome())
}
