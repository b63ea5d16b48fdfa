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
// runs the same body on the wall clock and over TCP, and RunOnKafka on a Kafka
// that is there already; Faults break something in all three. Settle returns when
// nothing more can happen, and knows that from the state of the broker and of
// the adapters, never from a pause. Fate tells what became of a record, and follows it
// over retry topics and from the dead-letter topic back. A test fails by itself when a
// record was lost, or is still pending at the end.
//
// What is there before a service starts, a test says with [Topic.Create],
// [Topic.Append] and [Group.Commit]. What the service leaves on its topics comes
// back as values by [Values], and is compared with a file by [Harness.Golden].
// [Handle] and [HandleBatch] call a handler without any broker, on what
// [NewMessage] and [NewBatch] make; doubles of ports are made of [Spy] and [Stub].
// The examples, and the tests in example_service_test.go and
// example_spy_test.go, show each at work.
//
// Where HARNESS_REPORT names a folder, each test leaves a page there,
// for any browser: what happened, on a time axis, and all fates.
//
// Run tests that use it with -tags synctests: franz-go then uses locks that
// virtual time can see.
//
// # What a bubble cannot do
//
// A bubble is a world of its own, and whoever forgets it meets one of these.
// The first part is found out at once, and fails the test with what to do:
//
//	left open in the body: client, broker, sql.DB, goroutine   the test fails, and says what was left
//	t.Parallel, t.Run, t.Deadline on the body's t              the test fails, and says what to call instead
//	Run, RunRealTime or synctest.Test in the body              likewise
//	a broker outside, its client inside                        the client cannot dial, and its error says why
//	t.Fatal in a handler                                       the test fails at that line when Settle or Until looks
//
// The second part stops a bubble, or has it run for ever. A guard outside finds
// out within seconds, prints which goroutine waits where, what to do and the
// timeline, and ends the process: other tests of the package that have not ended
// do not run. It goes by what goroutines do, and not by time: a handler that
// computes, a system call and a debugger are let be. Where something outside may
// still wake the bubble, as an answer from the network may, it waits for half a
// minute in which nothing moves.
//
//	a server or a connection on TCP inside                     frozen: real I/O
//	an HTTP connection kept alive to a server outside          frozen: kept alive
//	a channel, WaitGroup or t.Context() from outside           frozen: made outside
//	a sync.Mutex held across a wait                            frozen: a lock
//	a client's lock, without -tags synctests                   frozen: run with the tag
//	the body waits for what never comes                        runs away: what the body waits for
//	Close of a client with BlockRebalanceOnPoll                runs away: call CloseAllowingRebalance
//	a service that does not end when its context does          runs away: the service
//
// A body that waits in one place, by other means than the harness's own, for
// more than twice Config.Limit of virtual time while nothing becomes of any
// record is taken for one that waits for ever.
//
// The third part is Go's to find out, with a fatal error that no one can catch,
// and that names no test. Its stack leads to what was shared:
//
//	a channel of one bubble used in another, or outside        fatal error: send on synctest channel from outside bubble
//	(a package's singleton, most often)                        (or receive on, or close of)
//	a context derived inside from one with an end outside:     fatal error: close of synctest channel from outside bubble,
//	a deadline, or the outer t.Context()                       when the one outside ends; a deadline is 26 years away until then
//	a client closed in a Cleanup of the outer t                likewise, after a line that says what was left in the bubble
package harness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
)

// Harness is a test's cluster, its adapters, and what they did. Its methods
// are for the test's goroutine, because they fail the test themselves; only
// Adapter, Broker and Faults are for handlers, too.
type Harness struct {
	t      *failing
	cfg    Config
	clock  clock
	broker cluster
	fake   *fakebroker.Broker // the same, unless that is a Kafka that is there already
	faults fakebroker.Faults  // between clients and brokers
	watch  *watch
	log    *testLog

	burials sync.WaitGroup // of members that were killed

	mu           sync.Mutex
	adapters     []*adapter.Adapter
	linkOf       map[*adapter.Adapter]*link
	links        []*link // of clients that may be no adapters
	members      []*Member
	closers      []func()
	main         *adapter.Adapter
	allowPending bool

	returned bool // the body has, and has not panicked
}

// Broker is the cluster, for its topics, groups and faults. In RunOnKafka there is
// none of the test's own, and the test fails: what can go wrong there, too, is in
// Faults.
func (h *Harness) Broker() *fakebroker.Broker {
	h.t.Helper()
	if h.fake == nil {
		h.t.Fatalf("harness: Broker was called on a Kafka that is there already, which cannot be looked into, and whose brokers cannot be taken down or moved: that is for Run and RunRealTime; Faults, Topic, Group and ClientOptions work here, too")
	}
	return h.fake
}

// Faults are what can go wrong between clients and brokers, in every kind of run: so a
// test that uses no others runs in virtual time and on a Kafka that is there already.
// They strike clients by the test's own names, the harness's look at the cluster not
// at all, and end with the test. Members lose their connections by Member.Kill and
// Member.PauseNetwork.
func (h *Harness) Faults() fakebroker.Faults { return h.faults }

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
	l := newLink(fmt.Sprintf("adapter %d", len(h.adapters)+1), h.broker.Dialer())
	a, err := h.makeAdapter(l)
	if err != nil {
		h.t.Fatalf("harness: %v", err)
	}
	return a
}

// firstAdapter is the link of the adapter that most tests have only.
const firstAdapter = "adapter 1"

// makeAdapter makes an adapter that uses a link. The caller holds mu.
func (h *Harness) makeAdapter(l *link) (*adapter.Adapter, error) {
	cfg := adapter.Config{Logger: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if l.member {
		cfg.ClientID = l.name
	}
	if h.cfg.Adapter != nil {
		h.cfg.Adapter(&cfg)
	}
	cfg.Trace = h.watch.trace(l, cfg.Trace, h.cfg.WithoutFates)
	cfg.ClientOptions = slices.Concat(h.broker.ClientOptions(), h.clock.timings.options(), []kgo.Opt{kgo.Dialer(l.dial(h.watch, told))}, cfg.ClientOptions)
	a, err := adapter.New(cfg)
	if err != nil {
		return nil, err
	}
	h.adapters = append(h.adapters, a)
	h.linkOf[a] = l
	return a, nil
}

// ClientOptions are the options of a franz-go client that is not an adapter's:
// where the brokers are, timings that suit the test's clock, and what the
// harness needs to know the client by. Settle then waits for the records that it
// has buffered, and for its group; the fates of records in its group come from
// what the broker sees. The name is the one in the timeline. Call it once for
// each client, and close the client before the body returns.
func (h *Harness) ClientOptions(name string) []kgo.Opt {
	l := newLink(name, h.broker.Dialer())
	h.mu.Lock()
	h.links = append(h.links, l)
	h.mu.Unlock()
	return h.optionsOf(l)
}

func (h *Harness) optionsOf(l *link) []kgo.Opt {
	return slices.Concat(h.broker.ClientOptions(), h.clock.timings.options(), []kgo.Opt{kgo.ClientID(l.name)}, l.options(h.watch))
}

// Timeline is what has happened so far, one line an event, with the time since
// the test's start: what is printed when the test fails. Runs of the same thing
// are folded.
func (h *Harness) Timeline() string { return h.watch.text() }

// CreateTopics creates topics, each given as NAME or NAME:PARTITIONS.
func (h *Harness) CreateTopics(specs ...string) {
	h.t.Helper()
	for _, s := range specs {
		if err := h.createTopic(s); err != nil {
			h.t.Fatalf("harness: %v", err)
		}
	}
}

func (h *Harness) createTopic(spec string) error {
	topic, err := fakebroker.ParseTopic(spec)
	if err != nil {
		return err
	}
	if !strings.Contains(spec, ":") {
		topic.Partitions = h.cfg.Partitions
	}
	return h.broker.CreateTopic(topic)
}

// ensureTopic creates a topic unless it is there. One that an adapter has just made
// is not known to all brokers of a cluster at once.
func (h *Harness) ensureTopic(name string) {
	h.t.Helper()
	if _, err := h.broker.Partitions(name); err == nil {
		return
	}
	if err := h.createTopic(name); err != nil && !errors.Is(err, fakebroker.ErrTopicExists) {
		h.t.Fatalf("harness: %v", err)
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
	there := map[string]bool{} // asking for each event would cost as much as publishing it
	for _, e := range events {
		if topic := e.TopicName(); !there[topic] {
			h.ensureTopic(topic)
			there[topic] = true
		}
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
