package adapter_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// A process is killed at each step of a hop, and another takes its place: the
// record is never lost, and is there twice, with the same ID, only when its next
// home had it before the kill and the group did not know.

// killing is a hop that is interrupted. p1 prepares it, p2 is killed, and p3 goes
// on.
type killing struct {
	home   string
	before int // records that it has when all begins
	// prepare publishes the record that is to hop.
	prepare func(t *testing.T, h *harness.Harness)
	// subscribe has a process join the group, and adds to runs what is handled.
	subscribe func(t *testing.T, a *adapter.Adapter, runs *list[string])
	id        string
	// once is what is handled when the hop happens once, and after a kill before
	// it; twice when it happens twice.
	once, twice []string
}

func killings() map[string]killing {
	publishes := func(_ *testing.T, h *harness.Harness) { h.Publish(event{"t", "k", "v"}) }
	consumes := func(s adapter.Subscription, result func(attempt int) adapter.Result) func(*testing.T, *adapter.Adapter, *list[string]) {
		return func(t *testing.T, a *adapter.Adapter, runs *list[string]) {
			s.Handler = adapter.HandlerFunc(func(_ context.Context, m *adapter.Message) adapter.Result {
				runs.add(fmt.Sprint(m.ID(), " ", m.Attempt))
				return result(m.Attempt)
			})
			subscribe(t, a, s)
		}
	}
	rejects := func(int) adapter.Result { return adapter.Reject(errDown) }
	retries := func(attempt int) adapter.Result {
		if attempt == 1 {
			return adapter.Retry(errDown)
		}
		return adapter.Commit()
	}
	hops := tiered(nil, time.Minute)
	hops.Retry.InPlace = 1
	return map[string]killing{
		"dead letter": {
			home: "t.g.dlt", id: "t/0/0", prepare: publishes, subscribe: consumes(subscription(nil), rejects),
			once: []string{"t/0/0/g 1", "t/0/0/g 1"}, twice: []string{"t/0/0/g 1", "t/0/0/g 1"},
		},
		"retry topic": {
			home: "t.g.retry.1m", id: "t/0/0", prepare: publishes, subscribe: consumes(hops, retries),
			once:  []string{"t/0/0/g 1", "t/0/0/g 1", "t/0/0/g 2"},
			twice: []string{"t/0/0/g 1", "t/0/0/g 1", "t/0/0/g 2", "t/0/0/g 2"},
		},
		"dead letter again, after a redrive": {
			home: "t.g.dlt", before: 1, id: "t/0/0",
			prepare: func(t *testing.T, h *harness.Harness) {
				give(t, h, "k")
				redriveAll(t, h.Adapter(), everything)
			},
			subscribe: consumes(redrivable(nil), rejects),
			once:      []string{"t/0/0/g 1", "t/0/0/g 1"}, twice: []string{"t/0/0/g 1", "t/0/0/g 1"},
		},
		"dead letter of a batch": {
			home: "t.g.dlt", id: "t/0/0", prepare: publishes,
			subscribe: func(t *testing.T, a *adapter.Adapter, runs *list[string]) {
				_, err := a.SubscribeBatch(t.Context(), batches(func(_ context.Context, b *adapter.Batch) error {
					runs.add(fmt.Sprint(b.Messages[0].ID(), " ", b.Messages[0].Attempt))
					b.RejectAt(0, errDown)
					return nil
				}))
				require.NoError(t, err)
			},
			once: []string{"t/0/0/g 1", "t/0/0/g 1"}, twice: []string{"t/0/0/g 1", "t/0/0/g 1"},
		},
	}
}

// victim scopes a fault to the requests of the process that is killed.
func victim(api kmsg.Key, topic string) fakebroker.Scope {
	return fakebroker.Scope{APIs: []kmsg.Key{api}, Topic: topic, ClientID: "p2"}
}

// run kills the process when a step is reached, and has another go on. copies is how
// often the record is in its home then. step prepares the step, and tells whether
// it is reached; release is called when the process is dead.
func (k killing) run(t *testing.T, cfg harness.Config, copies int, step func(h *harness.Harness) (reached func() bool, release func())) {
	needsTag(t)
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		k.prepare(t, h)
		second := h.NewAdapter()
		reached, release := step(h)
		var runs list[string]
		k.subscribe(t, second, &runs)
		until(t, "the step is reached", func() bool { return reached() })
		kill(h, "p2", second)
		release()
		k.subscribe(t, h.NewAdapter(), &runs)
		h.Settle()
		want := k.once
		if copies > 1 {
			want = k.twice
		}
		assert.ElementsMatch(t, want, runs.all())
		there := h.Topic(k.home).Records()
		require.Len(t, there, k.before+copies)
		for _, r := range there {
			assert.Equal(t, k.id, r.Header(adapter.HeaderID))
		}
	})
}

// struck is a step that is reached when a fault has struck.
func struck(f *fakebroker.Fault) (reached func() bool, release func()) {
	return func() bool { return f.Hits() > 0 }, func() {}
}

func TestKill_beforeAHopIsPublished(t *testing.T) {
	for name, k := range killings() {
		t.Run(name, func(t *testing.T) {
			k.run(t, processes(), 1, func(h *harness.Harness) (func() bool, func()) {
				return struck(h.Broker().DropBefore(victim(kmsg.Produce, k.home)))
			})
		})
	}
}

func TestKill_whenTheAcknowledgementOfAHopIsLost(t *testing.T) {
	for name, k := range killings() {
		t.Run(name, func(t *testing.T) {
			k.run(t, processes(), 2, func(h *harness.Harness) (func() bool, func()) {
				return struck(h.Broker().DropAfter(victim(kmsg.Produce, k.home)))
			})
		})
	}
}

func TestKill_afterAHopIsPublishedAndBeforeItIsMarked(t *testing.T) {
	for name, k := range killings() {
		t.Run(name, func(t *testing.T) {
			var acknowledged, dead chan struct{}
			cfg := processes()
			name := cfg.Adapter
			cfg.Adapter = func(c *adapter.Config) {
				name(c)
				if c.ClientID != "p2" {
					return
				}
				stop := func(*adapter.Message, error, adapter.Origin) {
					close(acknowledged)
					<-dead
				}
				c.Trace = &adapter.Trace{Hopped: stop, DeadLettered: stop}
			}
			k.run(t, cfg, 2, func(*harness.Harness) (func() bool, func()) {
				acknowledged, dead = make(chan struct{}), make(chan struct{})
				return func() bool {
					select {
					case <-acknowledged:
						return true
					default:
						return false
					}
				}, func() { close(dead) }
			})
		})
	}
}

func TestKill_afterAHopIsMarkedAndBeforeItIsCommitted(t *testing.T) {
	for name, k := range killings() {
		t.Run(name, func(t *testing.T) {
			k.run(t, processes(), 2, func(h *harness.Harness) (func() bool, func()) {
				return struck(h.Broker().DropBefore(victim(kmsg.OffsetCommit, "")))
			})
		})
	}
}

// What Redrive has done is what the redrive topic has: there is nothing to mark and
// nothing to commit, and no step at which a kill would make two of one.
func TestKill_atEachStepOfARedriveTakesNothingBackTwice(t *testing.T) {
	for name, drop := range map[string]func(*fakebroker.Broker, fakebroker.Scope) *fakebroker.Fault{
		"before it is published":           (*fakebroker.Broker).DropBefore,
		"when the acknowledgement is lost": (*fakebroker.Broker).DropAfter,
	} {
		t.Run(name, func(t *testing.T) {
			needsTag(t)
			processes().Run(t, func(t *testing.T, h *harness.Harness) {
				h.AllowPending() // nobody consumes what is redriven
				give(t, h, "a", "b", "c")
				require.NoError(t, h.Adapter().EnsureTopicsOf(t.Context(), "g", "t", nil, true))
				second := h.NewAdapter()
				f := drop(h.Broker(), victim(kmsg.Produce, "t.g.redrive"))
				ended := make(chan error)
				go func() {
					_, err := second.Redrive(context.Background(), everything)
					ended <- err
				}()
				until(t, "the step is reached", func() bool { return f.Hits() > 0 })
				kill(h, "p2", second)
				require.Error(t, <-ended)
				third := h.NewAdapter()
				redriveAll(t, third, everything)
				assert.Equal(t, adapter.RedriveTally{Seen: 3, Matched: 3, Already: 3}, redriveAll(t, third, everything))
				assert.Equal(t, []string{"", "", ""}, values(h.Topic("t.g.redrive").Records()))
				ids := map[string]bool{}
				for _, r := range h.Topic("t.g.redrive").Records() {
					ids[r.Header(adapter.HeaderID)] = true
				}
				assert.Len(t, ids, 3)
			})
		})
	}
}

// A redriven record that was handled is handled again when the process died before
// the commit, as any other.
func TestKill_beforeTheCommitOfARedrivenRecordDeliversItAgain(t *testing.T) {
	needsTag(t)
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		give(t, h, "k")
		redriveAll(t, h.Adapter(), everything)
		second := h.NewAdapter()
		f := h.Broker().DropBefore(victim(kmsg.OffsetCommit, ""))
		var ids list[string]
		s := redrivable(func(_ context.Context, m *adapter.Message) adapter.Result {
			ids.add(m.ID())
			return adapter.Commit()
		})
		subscribe(t, second, s)
		until(t, "it is to be committed", func() bool { return f.Hits() > 0 })
		kill(h, "p2", second)
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		assert.Equal(t, []string{"t/0/0/g", "t/0/0/g"}, ids.all())
	})
}
