package adapter_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// event is an event with everything in its place.
type event struct {
	topic, key string
	data       any
}

func (e event) TopicName() string  { return e.topic }
func (e event) MessageKey() string { return e.key }
func (e event) MessageData() any   { return e.data }

// placed is an event that names its partition and has headers.
type placed struct {
	event
	partition int32
	headers   []adapter.Header
}

func (e placed) MessagePartition() int32          { return e.partition }
func (e placed) MessageHeaders() []adapter.Header { return e.headers }

func at(partition int32, value string) placed {
	return placed{event: event{topic: "t", key: "k", data: value}, partition: partition}
}

// numbered are events for topic t, each with a key of its own.
func numbered(n int) []adapter.Event {
	var es []adapter.Event
	for i := range n {
		es = append(es, event{"t", fmt.Sprint("k", i), fmt.Sprint(i)})
	}
	return es
}

// needsTag skips a test whose bubble would freeze: one that makes a client wait
// in virtual time while it holds a mutex. A rebalance does, too, when there is
// something to commit while a member waits for the others to join.
func needsTag(t *testing.T) {
	t.Helper()
	if !synctests {
		t.Skip("latency in virtual time needs locks that it can see: run with -tags synctests")
	}
}

// processes gives each adapter a client id of its own, in the order in which
// they are made: p1, p2 and so on. Faults can then be for one of them.
func processes() harness.Config {
	n := 0
	return harness.Config{Adapter: func(c *adapter.Config) {
		n++
		c.ClientID = fmt.Sprint("p", n)
	}}
}

// subscription is one of topic t by group g.
func subscription(handle adapter.HandlerFunc) adapter.Subscription {
	return adapter.Subscription{Topics: []string{"t"}, Group: "g", Handler: handle}
}

func batches(handle adapter.BatchHandlerFunc) adapter.BatchSubscription {
	return adapter.BatchSubscription{Topics: []string{"t"}, Group: "g", Handler: handle}
}

// subscribe has another process join the group.
func subscribe(t *testing.T, a *adapter.Adapter, s adapter.Subscription) *adapter.Consumer {
	t.Helper()
	c, err := a.Subscribe(t.Context(), s)
	require.NoError(t, err)
	return c
}

func commits(context.Context, *adapter.Message) adapter.Result { return adapter.Commit() }

// list is a list that handlers write and tests read.
type list[T any] struct {
	mu sync.Mutex
	of []T
}

func (l *list[T]) add(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of = append(l.of, v)
}

func (l *list[T]) all() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.of)
}

func (l *list[T]) len() int { return len(l.all()) }

// until moves the clock until something holds.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for range 20_000 {
		if cond() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("never happened: %s", what)
}

// committed is the offset that group g has committed in topic t, -1 for none.
func committed(h *harness.Harness, partition int32) int64 {
	g, _ := h.Broker().Group("g")
	for _, o := range g.Offsets {
		if o.Topic == "t" && o.Partition == partition {
			return o.Committed
		}
	}
	return -1
}

// cut makes a process's network fail, until the fault is cleared.
func cut(h *harness.Harness, process string) *fakebroker.Fault {
	return h.Broker().DropBefore(fakebroker.Scope{ClientID: process})
}

// kill ends a process as SIGKILL does: nothing more comes from it.
func kill(h *harness.Harness, process string, a *adapter.Adapter) {
	cut(h, process)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = a.Close(ctx) // it cannot do what it should
}

// commitsOfG scopes a fault to the commits of group g.
func commitsOfG() fakebroker.Scope {
	return fakebroker.Scope{APIs: []kmsg.Key{kmsg.OffsetCommit}, Group: "g"}
}

func values(rs []harness.Record) []string {
	var vs []string
	for _, r := range rs {
		vs = append(vs, string(r.Value))
	}
	return vs
}

func produceTo(topic string) fakebroker.Scope {
	return fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, Topic: topic}
}

// passingFaults are failures of a request that trying again can help.
var passingFaults = map[string]func(*fakebroker.Broker, fakebroker.Scope) *fakebroker.Fault{
	"refused": func(b *fakebroker.Broker, s fakebroker.Scope) *fakebroker.Fault {
		return b.Refuse(kerr.NotEnoughReplicas, s)
	},
	"dropped before": (*fakebroker.Broker).DropBefore,
	"dropped after":  (*fakebroker.Broker).DropAfter,
}

// exit ends the goroutine, as testing's FailNow does.
func exit() { runtime.Goexit() }
