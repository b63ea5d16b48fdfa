package shipping_test

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/rcrowley/go-metrics"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
	shipping "example.com/kafkatest/harness/examples/sarama"
)

// sarama's metrics have a goroutine that never ends, which a test in virtual
// time must not start.
func TestMain(m *testing.M) {
	metrics.UseNilMetrics = true
	os.Exit(m.Run())
}

// order is one as the shop publishes it.
type order string

func (order) TopicName() string    { return shipping.Topic }
func (o order) MessageKey() string { return string(o) }
func (o order) MessageData() any   { return string(o) }

// dialer has sarama dial as the harness says.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

func (d dialer) Dial(network, addr string) (net.Conn, error) {
	return d(context.Background(), network, addr)
}

// log is what was shipped, by member. sarama handles partitions at the same
// time.
type log struct {
	mu   sync.Mutex
	by   map[string][]string
	fail func(member, order string, attempt int) error
}

func (l *log) ship(member, order string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = map[string][]string{}
	}
	l.by[member] = append(l.by[member], order)
	if l.fail == nil {
		return nil
	}
	return l.fail(member, order, len(l.by[member]))
}

// inVirtualTime runs a test on two brokers: one leads, and the other coordinates.
// While sarama waits for an answer it keeps a lock of its own on that broker, and
// virtual time does not pass while a lock is waited for: a commit that has to wait
// for a fetch would wait for ever.
func inVirtualTime(t *testing.T, partitions int32, fn func(t *testing.T, h *harness.Harness)) {
	t.Helper()
	c := harness.Config{Partitions: partitions, Broker: fakebroker.Config{Brokers: 2}}
	c.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics(shipping.Topic)
		nodes := h.Broker().NodeIDs()
		for p := range partitions {
			h.Broker().MoveLeader(shipping.Topic, p, nodes[0])
		}
		h.Broker().MoveCoordinator(shipping.Group, nodes[1])
		fn(t, h)
	})
}

// consumer is an instance that ships to the log.
func consumer(l *log) func(harness.Env) harness.Service {
	return func(e harness.Env) harness.Service {
		cfg := sarama.NewConfig()
		cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
		cfg.Consumer.Offsets.AutoCommit.Interval = 100 * time.Millisecond
		cfg.Consumer.MaxWaitTime = 100 * time.Millisecond // and this long a commit waits
		cfg.Net.Proxy.Enable = true
		cfg.Net.Proxy.Dialer = dialer(e.Dial)
		return &shipping.Consumer{
			Brokers: e.Brokers,
			Config:  cfg,
			Ship:    func(_ context.Context, order string) error { return l.ship(e.Name, order) },
		}
	}
}

func TestConsumer_shipsEveryOrder(t *testing.T) {
	body := func(t *testing.T, h *harness.Harness) {
		var shipped log
		m := h.Start(consumer(&shipped))
		m.WaitAssigned()
		recs := h.PublishAll(order("a"), order("b"), order("c"))
		h.Settle()
		if got := shipped.by[m.Name()]; !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Fatal(got)
		}
		for _, r := range recs {
			if f := h.Fate(r); f.Kind != harness.Committed || f.Deliveries != 1 {
				t.Error(f)
			}
		}
	}
	t.Run("virtual time", func(t *testing.T) { inVirtualTime(t, 1, body) })
	t.Run("real time", func(t *testing.T) {
		harness.RunRealTime(t, func(t *testing.T, h *harness.Harness) {
			h.CreateTopics(shipping.Topic)
			body(t, h)
		})
	})
}

func TestConsumer_shipsAgainWhatFailed(t *testing.T) {
	inVirtualTime(t, 1, func(t *testing.T, h *harness.Harness) {
		shipped := log{fail: func(_, _ string, attempt int) error {
			if attempt == 2 {
				return errors.New("no van")
			}
			return nil
		}}
		m := h.Start(consumer(&shipped))
		a, b := h.Publish(order("a")), h.Publish(order("b"))
		h.Settle()
		if got := shipped.by[m.Name()]; !slices.Equal(got, []string{"a", "b", "b"}) {
			t.Fatal(got)
		}
		if f := h.Fate(a); f.Kind != harness.Committed {
			t.Error(f)
		}
		if f := h.Fate(b); f.Kind != harness.Committed || f.Deliveries != 2 {
			t.Error(f)
		}
	})
}

func TestConsumer_anotherTakesOverFromOneThatIsKilled(t *testing.T) {
	inVirtualTime(t, 2, func(t *testing.T, h *harness.Harness) {
		var shipped log
		first, second := h.Start(consumer(&shipped)), h.Start(consumer(&shipped))
		first.WaitAssigned()
		second.WaitAssigned()
		var orders []order
		for c := 'a'; c <= 'z'; c++ {
			orders = append(orders, order(c))
		}
		for _, o := range orders {
			h.Publish(o)
		}
		h.Settle()
		before := len(shipped.by[first.Name()])
		if before == 0 || before == len(orders) {
			t.Fatal("one member has all partitions", shipped.by)
		}
		first.Kill()
		for _, o := range orders {
			if f := h.Fate(h.Publish(o)); f.Kind != harness.Pending {
				t.Fatal(f)
			}
		}
		h.Settle()
		if n := len(shipped.by[first.Name()]); n != before {
			t.Error("shipped after it was killed:", n-before)
		}
		if n := len(shipped.by[second.Name()]); n != 2*len(orders)-before {
			t.Error(n)
		}
	})
}

func TestConsumer_commitsThoughTheConnectionDroppedMeanwhile(t *testing.T) {
	inVirtualTime(t, 1, func(t *testing.T, h *harness.Harness) {
		var shipped log
		h.Start(consumer(&shipped))
		drop := h.Broker().DropAfter(fakebroker.Scope{APIs: []kmsg.Key{kmsg.OffsetCommit}, Count: 1})
		rec := h.Publish(order("a"))
		h.Settle()
		if f := h.Fate(rec); f.Kind != harness.Committed || drop.Hits() != 1 {
			t.Fatal(f, drop.Hits())
		}
	})
}
