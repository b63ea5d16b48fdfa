// Package harness tests Kafka message handlers the way they run: through the
// real adapter, the real client and real consumer groups, against a Kafka
// cluster in the test's own process. It is for whoever writes a handler.
//
//	func TestGreeter(t *testing.T) {
//		harness.Run(t, func(t *testing.T, h *harness.Harness) {
//			h.Subscribe(adapter.Subscription{
//				Topics:  []string{"greetings"},
//				Group:   "greeter",
//				Handler: greeter,
//			})
//			rec := h.Publish(greeting{"hello"})
//			h.Settle()
//			if f := h.Fate(rec); f.Kind != harness.Committed {
//				t.Fatal(f)
//			}
//		})
//	}
//
// Run lives in virtual time: hours of backoff pass in milliseconds. RunRealTime
// runs the same body on the wall clock and over TCP. Settle returns when
// nothing more can happen, and knows that from the state of the broker and of
// the adapters, never from a pause. Fate tells what became of a record.
//
// Run tests that use it with -tags synctests: franz-go then uses locks that
// virtual time can see.
package harness

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
)

// Config is what a test may set. The zero value works.
type Config struct {
	// Broker is the cluster. Its Network is the harness's to choose: in
	// memory for virtual time, TCP for real time.
	Broker fakebroker.Config
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
	c.Broker.MaxSessionTimeout = max(c.Broker.MaxSessionTimeout, virtualSession)
	wall := startWallClock()
	defer wall.stop()
	defer explainLeaks(t)
	synctest.Test(t, func(t *testing.T) {
		c.run(t, clock{virtual: true, idle: synctest.Wait, wall: wall.elapsed, options: virtualOptions(), patience: 24 * time.Hour}, fn)
	})
}

// RunRealTime is RunRealTime with these settings.
func (c Config) RunRealTime(t *testing.T, fn func(t *testing.T, h *Harness)) {
	t.Helper()
	if c.Limit == 0 {
		c.Limit = 30 * time.Second
	}
	c.Broker.Network = fakebroker.TCP
	checkLeaks(t)
	start := time.Now()
	wall := func() time.Duration { return time.Since(start) }
	c.run(t, clock{idle: func() {}, wall: wall, options: realOptions(), patience: 10 * time.Second}, fn)
}

// clock is what differs between virtual and real time.
type clock struct {
	virtual  bool
	idle     func()               // waits until nothing runs that could; in real time it does not wait
	wall     func() time.Duration // of real time, since the start
	options  []kgo.Opt            // of every client
	patience time.Duration        // how long handlers have to end when the test has
}

// Every request costs time, and in virtual time hours pass between two
// records: heartbeats and polls without an answer are most of what there is.
// So members of a group are heard from rarely.
const virtualSession = 5 * time.Minute

func virtualOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.HeartbeatInterval(90 * time.Second),
		kgo.SessionTimeout(virtualSession),
		kgo.RebalanceTimeout(5 * time.Minute),
		kgo.FetchMaxWait(5 * time.Minute),
		kgo.MetadataMaxAge(time.Hour),
		kgo.ConnIdleTimeout(15 * time.Minute),
		kgo.DisableClientMetrics(),
	}
}

// In real time a rebalance waits for heartbeats, so they come often.
func realOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.DisableClientMetrics(),
	}
}

// Harness is a test's cluster, its adapters, and what they did. Its methods
// are for the test's goroutine, because they fail the test themselves; only
// Adapter and Broker are for handlers, too.
type Harness struct {
	t      *testing.T
	cfg    Config
	clock  clock
	broker *fakebroker.Broker
	watch  *watch
	log    *testLog

	mu           sync.Mutex
	adapters     []*adapter.Adapter
	main         *adapter.Adapter
	allowPending bool
}

func (c Config) run(t *testing.T, clock clock, fn func(t *testing.T, h *Harness)) {
	t.Helper()
	if c.Partitions == 0 {
		c.Partitions = 1
	}
	b, err := fakebroker.Start(c.Broker)
	if err != nil {
		t.Fatalf("harness: start the broker: %v", err)
	}
	h := &Harness{t: t, cfg: c, clock: clock, broker: b, watch: newWatch(time.Now()), log: newTestLog(t)}
	defer h.finish()
	fn(t, h)
}

// finish gives the verdict on what the test left behind, and closes what the
// harness opened.
func (h *Harness) finish() {
	h.t.Helper()
	if !h.t.Failed() {
		h.verdict()
	}
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
		h.t.Errorf("harness: stop the broker: %v", err)
	}
	h.log.close()
	if timeline := h.watch.timeline(); h.t.Failed() && timeline != "" {
		h.t.Logf("harness: what happened:\n%s", timeline)
	}
}

// Broker is the cluster, for its topics, groups and faults.
func (h *Harness) Broker() *fakebroker.Broker { return h.broker }

// Adapter is the adapter that Publish and Subscribe use.
func (h *Harness) Adapter() *adapter.Adapter {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.main == nil {
		h.main = h.newAdapter()
	}
	return h.main
}

// NewAdapter makes one more adapter: another process, as far as Kafka can
// tell. The harness watches it, and closes it when the test ends.
func (h *Harness) NewAdapter() *adapter.Adapter {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.newAdapter()
}

func (h *Harness) newAdapter() *adapter.Adapter {
	h.t.Helper()
	cfg := adapter.Config{Logger: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if h.cfg.Adapter != nil {
		h.cfg.Adapter(&cfg)
	}
	cfg.Trace = h.watch.trace(len(h.adapters)+1, cfg.Trace)
	cfg.ClientOptions = slices.Concat(h.broker.ClientOptions(), h.clock.options, cfg.ClientOptions)
	a, err := adapter.New(cfg)
	if err != nil {
		h.t.Fatalf("harness: %v", err)
	}
	h.adapters = append(h.adapters, a)
	return a
}

// CreateTopics creates topics, each given as NAME or NAME:PARTITIONS.
func (h *Harness) CreateTopics(specs ...string) {
	h.t.Helper()
	for _, s := range specs {
		topic, err := fakebroker.ParseTopic(s)
		if err != nil {
			h.t.Fatalf("harness: %v", err)
		}
		if !strings.Contains(s, ":") {
			topic.Partitions = h.cfg.Partitions
		}
		if err := h.broker.CreateTopic(topic); err != nil {
			h.t.Fatalf("harness: %v", err)
		}
	}
}

// ensureTopic creates a topic unless it is there.
func (h *Harness) ensureTopic(name string) {
	h.t.Helper()
	if _, err := h.broker.Partitions(name); err != nil {
		h.CreateTopics(name)
	}
}

// Subscribe runs a handler, as Adapter.Subscribe does, and creates the topics
// that are missing.
func (h *Harness) Subscribe(s adapter.Subscription) *adapter.Consumer {
	h.t.Helper()
	for _, t := range s.Topics {
		h.ensureTopic(t)
	}
	c, err := h.Adapter().Subscribe(context.Background(), s)
	if err != nil {
		h.t.Fatalf("harness: subscribe group %q: %v", s.Group, err)
	}
	return c
}

// SubscribeBatch runs a batch handler, as Adapter.SubscribeBatch does, and
// creates the topics that are missing.
func (h *Harness) SubscribeBatch(s adapter.BatchSubscription) *adapter.Consumer {
	h.t.Helper()
	for _, t := range s.Topics {
		h.ensureTopic(t)
	}
	c, err := h.Adapter().SubscribeBatch(context.Background(), s)
	if err != nil {
		h.t.Fatalf("harness: subscribe group %q: %v", s.Group, err)
	}
	return c
}

// Publish publishes an event, and returns the record that it became. A topic
// that is missing is created.
func (h *Harness) Publish(e adapter.Event) Record {
	h.t.Helper()
	return h.PublishAll(e)[0]
}

// PublishAll publishes events, and returns the records that they became, in
// the same order. Topics that are missing are created.
func (h *Harness) PublishAll(events ...adapter.Event) []Record {
	h.t.Helper()
	for _, e := range events {
		h.ensureTopic(e.TopicName())
	}
	var got publications
	if err := h.Adapter().Publish(got.in(context.Background()), events...); err != nil {
		h.t.Fatalf("harness: %v", err)
	}
	return got.records
}

// AllowPending says that records may be pending when the test ends.
func (h *Harness) AllowPending() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.allowPending = true
}

// Topic is a topic of the cluster, to look into.
func (h *Harness) Topic(name string) Topic { return Topic{h, name} }

// Topic is a topic to look into.
type Topic struct {
	h    *Harness
	name string
}

// Records are the topic's records, by partition and offset. A topic that does
// not exist fails the test.
func (t Topic) Records() []Record {
	t.h.t.Helper()
	records, err := t.h.broker.Records(t.name)
	if err != nil {
		t.h.t.Fatalf("harness: no topic %q to look into (topics: %s): %v", t.name, t.h.topicNames(), err)
	}
	out := make([]Record, len(records))
	for i, r := range records {
		out[i] = recordFrom(t.name, r)
	}
	return out
}

func recordFrom(topic string, r fakebroker.Record) Record {
	out := Record{
		Topic: topic, Partition: r.Partition, Offset: r.Offset,
		Key: r.Key, Value: r.Value, Timestamp: r.Timestamp,
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, adapter.Header{Key: h.Key, Value: h.Value})
	}
	return out
}

func (h *Harness) topicNames() string {
	var names []string
	for _, t := range h.broker.Topics() {
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Record is a record on a topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte
	Value     []byte
	Headers   []adapter.Header
	Timestamp time.Time
}

// Header is the value of the last header with that key, as text, and empty
// when there is none.
func (r Record) Header(key string) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// String is where the record is.
func (r Record) String() string { return fmt.Sprintf("%s[%d]@%d", r.Topic, r.Partition, r.Offset) }

// maxLog is how much a test logs. A client that cannot reach its broker for
// days of virtual time has a lot to say.
const maxLog = 32 << 10

// testLog passes log lines on to the test, while it runs.
type testLog struct {
	mu     sync.Mutex
	t      *testing.T
	left   int
	closed bool
}

func newTestLog(t *testing.T) *testLog { return &testLog{t: t, left: maxLog} }

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed || l.left <= 0:
		return len(p), nil
	case l.left <= len(p):
		l.left = 0
		l.t.Logf("harness: the log is longer than %d KiB: further lines are dropped", maxLog>>10)
		return len(p), nil
	}
	l.left -= len(p)
	return l.t.Output().Write(p)
}

func (l *testLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
