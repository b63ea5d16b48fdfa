package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// hopping is a subscription whose records go to a retry topic, and to the
// dead-letter topic after that, each once for who reads committed records.
func hopping(handle adapter.HandlerFunc) adapter.Subscription {
	s := subscription(handle)
	s.Order, s.ExactlyOnceHops = adapter.Unordered, true
	s.Retry = adapter.RetryPolicy{Attempts: 2, InPlace: 1, Tiers: []time.Duration{time.Minute}}
	return s
}

// readCommitted is how often each value is on a topic for those who read committed.
func readCommitted(t *testing.T, h *harness.Harness, topic string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for r, err := range h.Broker().Scan(topic, fakebroker.Selection{ReadCommitted: true}) {
		require.NoError(t, err)
		seen[string(r.Value)]++
	}
	return seen
}

// once checks that each record went to the retry topic and to the dead-letter topic
// once.
func once(t *testing.T, h *harness.Harness, recs []harness.Record) {
	t.Helper()
	want := map[string]int{}
	for _, r := range recs {
		want[string(r.Value)] = 1
		f := h.Fate(r)
		assert.Equal(t, harness.DeadLettered, f.Kind, f)
		assert.Equal(t, 1, f.Hops, f)
		assert.Equal(t, 2, f.Attempts, f)
	}
	assert.Equal(t, want, readCommitted(t, h, "t.g.retry.1m"), "on the retry topic")
	assert.Equal(t, want, readCommitted(t, h, "t.g.dlt"), "on the dead-letter topic")
}

func fails(context.Context, *adapter.Message) adapter.Result { return adapter.Retry(errDown) }

func TestExactlyOnceHops_aHopAndItsCommitAreOneTransaction(t *testing.T) {
	for _, order := range []adapter.Order{adapter.ByKey, adapter.ByPartition, adapter.Unordered} {
		t.Run(order.String(), func(t *testing.T) {
			harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
				s := hopping(fails)
				if s.Order = order; order != adapter.Unordered {
					s.Retry.Tiers = nil
				}
				h.Subscribe(s)
				recs := h.PublishAll(numbered(50)...)
				h.Settle()
				if order == adapter.Unordered {
					once(t, h, recs)
				}
				assert.Len(t, readCommitted(t, h, "t.g.dlt"), 50)
				for _, r := range recs {
					assert.Equal(t, harness.DeadLettered, h.Fate(r).Kind)
				}
				ids := h.Broker().Transactions()
				require.Len(t, ids, 1)
				assert.Regexp(t, `^g\.hops\.member\.[0-9a-f]{18}$`, ids[0].ID)
			})
		})
	}
}

func TestExactlyOnceHops_ofABatch(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := batches(func(_ context.Context, b *adapter.Batch) error {
			b.RejectAt(b.FirstOffset(), errDown)
			return nil
		})
		s.ExactlyOnceHops = true
		h.SubscribeBatch(s)
		rec := h.Publish(event{"t", "k", "v"})
		h.Settle()
		assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
		assert.Equal(t, map[string]int{"v": 1}, readCommitted(t, h, "t.g.dlt"))
		assert.Len(t, h.Broker().Transactions(), 1)
	})
}

func api(keys ...kmsg.Key) fakebroker.Scope { return fakebroker.Scope{APIs: keys} }

// Whatever fails of a transaction, it is made again until it is done, or found to
// be done.
func TestExactlyOnceHops_afterAFailureAHopIsThereOnce(t *testing.T) {
	needsTag(t)
	refuse := func(err *kerr.Error, key kmsg.Key) func(*fakebroker.Broker, int) *fakebroker.Fault {
		return func(b *fakebroker.Broker, n int) *fakebroker.Fault {
			s := api(key)
			s.Count = n
			return b.Refuse(err, s)
		}
	}
	drop := func(how func(*fakebroker.Broker, fakebroker.Scope) *fakebroker.Fault, key kmsg.Key) func(*fakebroker.Broker, int) *fakebroker.Fault {
		return func(b *fakebroker.Broker, n int) *fakebroker.Fault {
			s := api(key)
			s.Count = n
			return how(b, s)
		}
	}
	before, after := (*fakebroker.Broker).DropBefore, (*fakebroker.Broker).DropAfter
	for name, fault := range map[string]func(*fakebroker.Broker, int) *fakebroker.Fault{
		"EndTxn refused as fenced":               refuse(kerr.ProducerFenced, kmsg.EndTxn),
		"EndTxn refused with an old epoch":       refuse(kerr.InvalidProducerEpoch, kmsg.EndTxn),
		"EndTxn refused as abortable":            refuse(kerr.TransactionAbortable, kmsg.EndTxn),
		"EndTxn refused while one goes on":       refuse(kerr.ConcurrentTransactions, kmsg.EndTxn),
		"EndTxn refused by a new coordinator":    refuse(kerr.NotCoordinator, kmsg.EndTxn),
		"EndTxn dropped before":                  drop(before, kmsg.EndTxn),
		"EndTxn dropped after":                   drop(after, kmsg.EndTxn),
		"the commit refused by its generation":   refuse(kerr.IllegalGeneration, kmsg.TxnOffsetCommit),
		"the commit refused for its member":      refuse(kerr.UnknownMemberID, kmsg.TxnOffsetCommit),
		"the commit refused as too long":         refuse(kerr.OffsetMetadataTooLarge, kmsg.TxnOffsetCommit),
		"the commit refused by a loading broker": refuse(kerr.CoordinatorLoadInProgress, kmsg.TxnOffsetCommit),
		"the commit dropped before":              drop(before, kmsg.TxnOffsetCommit),
		"the commit dropped after":               drop(after, kmsg.TxnOffsetCommit),
		"InitProducerID dropped after":           drop(after, kmsg.InitProducerID),
		"InitProducerID refused":                 refuse(kerr.ConcurrentTransactions, kmsg.InitProducerID),
		"Produce refused with an old epoch": func(b *fakebroker.Broker, n int) *fakebroker.Fault {
			s := produceTo("t.g.retry.1m")
			s.Count = n
			return b.Refuse(kerr.InvalidProducerEpoch, s)
		},
		"Produce dropped after": func(b *fakebroker.Broker, n int) *fakebroker.Fault {
			s := produceTo("t.g.retry.1m")
			s.Count = n
			return b.DropAfter(s)
		},
	} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				harness.Run(t, func(t *testing.T, h *harness.Harness) {
					h.Subscribe(hopping(fails))
					h.Settle()
					f := fault(h.Broker(), n)
					recs := h.PublishAll(numbered(5)...)
					h.Settle()
					assert.NotZero(t, f.Hits())
					once(t, h, recs)
				})
			})
		}
	}
}

func TestExactlyOnceHops_theCoordinatorsMove(t *testing.T) {
	needsTag(t)
	harness.Config{Broker: fakebroker.Config{Brokers: 3}, Partitions: 3}.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(hopping(fails))
		var recs []harness.Record
		for i := range 6 {
			recs = append(recs, h.Publish(event{"t", fmt.Sprint(i), fmt.Sprint(i)}))
			for _, tx := range h.Broker().Transactions() {
				h.Broker().MoveTransactionCoordinator(tx.ID, int32(i%3))
			}
			h.Broker().MoveCoordinator("g", int32((i+1)%3))
			time.Sleep(20 * time.Millisecond)
		}
		h.Settle()
		once(t, h, recs)
	})
}

// What one process leaves open is no hop, and its record is delivered again.
func TestExactlyOnceHops_aKillBetweenPublishAndCommit(t *testing.T) {
	needsTag(t)
	for _, instance := range []string{"", "static"} {
		for name, key := range map[string]kmsg.Key{
			"before the commit of offsets":                kmsg.TxnOffsetCommit,
			"between that and the end of the transaction": kmsg.EndTxn,
		} {
			t.Run(name+instance, func(t *testing.T) {
				processes().Run(t, func(t *testing.T, h *harness.Harness) {
					s := hopping(fails)
					s.InstanceID = instance
					h.CreateTopics("t")
					h.Adapter()
					second := h.NewAdapter() // p2
					subscribe(t, second, s)
					h.Settle()
					scope := api(key)
					scope.ClientID = "p2"
					f := h.Broker().DropBefore(scope)
					recs := h.PublishAll(event{"t", "k", "v"})
					until(t, "it is about to commit", func() bool { return f.Hits() > 0 })
					kill(h, "p2", second)
					assert.NotEmpty(t, h.Topic("t.g.retry.1m").Records(), "the hop is there, for who reads uncommitted records")
					start := time.Now()
					subscribe(t, h.NewAdapter(), s)
					h.Settle()
					once(t, h, recs)
					assert.Less(t, time.Since(start), 10*time.Minute, "the session ends after 5 minutes")
				})
			})
		}
	}
}

// A kill after the brokers acted, and before their answer came: the hop stands, and
// its record is not delivered again.
func TestExactlyOnceHops_aKillAfterTheCommit(t *testing.T) {
	needsTag(t)
	for name, tc := range map[string]struct {
		result  adapter.Result
		handled []string
		retry   map[string]int
	}{
		"of a retry":       {adapter.Retry(errDown), []string{"t", "t.g.retry.1m"}, map[string]int{"v": 1}},
		"of a dead letter": {adapter.Reject(errDown), []string{"t"}, map[string]int{}},
	} {
		t.Run(name, func(t *testing.T) {
			processes().Run(t, func(t *testing.T, h *harness.Harness) {
				var handled list[string]
				s := hopping(func(_ context.Context, m *adapter.Message) adapter.Result {
					handled.add(m.Topic)
					return tc.result
				})
				h.CreateTopics("t")
				h.Adapter()
				second := h.NewAdapter() // p2
				subscribe(t, second, s)
				h.Settle()
				scope := api(kmsg.EndTxn)
				scope.ClientID = "p2"
				f := h.Broker().DropAfter(scope)
				rec := h.Publish(event{"t", "k", "v"})
				until(t, "committed", func() bool { return f.Hits() > 0 })
				kill(h, "p2", second)
				subscribe(t, h.NewAdapter(), s)
				h.Settle()
				assert.Equal(t, tc.handled, handled.all())
				assert.Equal(t, tc.retry, readCommitted(t, h, "t.g.retry.1m"))
				assert.Equal(t, map[string]int{"v": 1}, readCommitted(t, h, "t.g.dlt"))
				fate := h.Fate(rec)
				assert.Equal(t, harness.DeadLettered, fate.Kind, fate)
				assert.Equal(t, len(tc.retry), fate.Hops, fate)
				assert.Equal(t, "t.g.dlt", fate.Final.Topic)
				assert.Equal(t, "v", string(fate.Final.Value))
			})
		})
	}
}

// A member that was expelled, and has not heard of it, has its transaction refused.
func TestExactlyOnceHops_aZombieIsFencedOff(t *testing.T) {
	needsTag(t)
	for _, mode := range []adapter.Mode{adapter.Classic, adapter.ServerSide} {
		t.Run(mode.String(), func(t *testing.T) {
			processes().Run(t, func(t *testing.T, h *harness.Harness) {
				entered := make(chan struct{}, 1)
				release := make(chan struct{})
				s := hopping(func(context.Context, *adapter.Message) adapter.Result {
					entered <- struct{}{}
					<-release
					return adapter.Retry(errDown)
				})
				s.Mode = mode
				h.CreateTopics("t")
				h.Adapter()
				zombie := subscribe(t, h.NewAdapter(), s) // p2
				h.Settle()
				recs := h.PublishAll(event{"t", "k", "v"})
				<-entered
				deaf := h.Broker().Delay(time.Hour, fakebroker.Scope{ClientID: "p2", APIs: []kmsg.Key{kmsg.Heartbeat, kmsg.ConsumerGroupHeartbeat}})
				s.Handler = adapter.HandlerFunc(fails)
				subscribe(t, h.NewAdapter(), s)
				h.Broker().ExpireSession(fakebroker.Scope{ClientID: "p2"})
				until(t, "another has hopped", func() bool { return len(h.Topic("t.g.retry.1m").Records()) == 1 })
				require.Len(t, zombie.Status().Partitions, 2, "it does not know")
				close(release)
				until(t, "it has published", func() bool { return len(h.Topic("t.g.retry.1m").Records()) == 2 })
				time.Sleep(time.Second)
				deaf.Clear()
				h.Settle()
				once(t, h, recs)
			})
		})
	}
}

// A rebalance waits for a transaction that is under way.
func TestExactlyOnceHops_aRebalanceWhileATransactionIsOpen(t *testing.T) {
	needsTag(t)
	harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		subscribe(t, h.NewAdapter(), hopping(fails))
		h.Settle()
		scope := api(kmsg.EndTxn)
		scope.Count = 1
		slow := h.Broker().Delay(5*time.Second, scope)
		recs := h.PublishAll(at(0, "a"), at(1, "b"))
		until(t, "it is open", func() bool { return slow.Hits() > 0 })
		subscribe(t, h.NewAdapter(), hopping(fails))
		h.Settle()
		once(t, h, recs)
		for _, r := range recs {
			assert.Equal(t, 2, h.Fate(r).Deliveries)
		}
	})
}

// The commits of others come through, too, whether or not a transaction was
// answered.
func TestExactlyOnceHops_noCommitUndoesATransactionInDoubt(t *testing.T) {
	needsTag(t)
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[string]
		s := hopping(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(fmt.Sprint(m.Topic, " ", string(m.Value)))
			if string(m.Value) == "bad" && m.Topic == "t" {
				return adapter.Retry(errDown)
			}
			return adapter.Commit()
		})
		h.CreateTopics("t")
		h.Adapter()
		second := h.NewAdapter() // p2
		subscribe(t, second, s)
		h.Settle()
		lost := h.Broker().DropAfter(fakebroker.Scope{ClientID: "p2", APIs: []kmsg.Key{kmsg.EndTxn}})
		silent := h.Broker().DropBefore(fakebroker.Scope{ClientID: "p2", APIs: []kmsg.Key{kmsg.InitProducerID}, Nth: 2})
		h.PublishAll(event{"t", "a", "bad"})
		until(t, "in doubt", func() bool { return lost.Hits() > 0 && silent.Hits() > 0 })
		h.PublishAll(event{"t", "b", "good"})
		until(t, "handled", func() bool { return slices.Contains(handled.all(), "t good") })
		time.Sleep(10 * time.Second) // a commit is due
		kill(h, "p2", second)
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		all := handled.all()
		assert.Equal(t, "t bad", all[0])
		assert.NotContains(t, all[1:], "t bad", "its hop was committed")
		assert.Equal(t, map[string]int{"bad": 1}, readCommitted(t, h, "t.g.retry.1m"))
	})
}

// Doubt about a partition is none about the others.
func TestExactlyOnceHops_whileOneIsInDoubtOtherPartitionsAreCommitted(t *testing.T) {
	needsTag(t)
	c := processes()
	c.Partitions = 2
	c.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		h.Adapter()
		subscribe(t, h.NewAdapter(), hopping(func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Partition == 0 {
				return adapter.Retry(errDown)
			}
			return adapter.Commit()
		}))
		h.Settle()
		lost := h.Broker().DropBefore(fakebroker.Scope{ClientID: "p2", APIs: []kmsg.Key{kmsg.EndTxn}})
		silent := h.Broker().DropBefore(fakebroker.Scope{ClientID: "p2", APIs: []kmsg.Key{kmsg.InitProducerID}, Nth: 2})
		h.PublishAll(at(0, "in doubt"))
		until(t, "in doubt", func() bool { return lost.Hits() > 0 && silent.Hits() > 0 })
		for n := range int64(5) {
			h.PublishAll(at(1, "good"))
			time.Sleep(time.Minute)
			assert.Equal(t, n+1, committed(h, 1))
			assert.LessOrEqual(t, committed(h, 0), int64(0))
		}
		lost.Clear()
		silent.Clear()
		h.Settle()
		assert.EqualValues(t, 1, committed(h, 0))
		assert.Equal(t, map[string]int{"in doubt": 1}, readCommitted(t, h, "t.g.dlt"))
	})
}

func TestExactlyOnceHops_aTransactionInDoubtIsNotMadeAgain(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(hopping(fails))
		h.Settle()
		lost := h.Broker().DropAfter(api(kmsg.EndTxn))
		recs := h.PublishAll(numbered(5)...)
		until(t, "in doubt", func() bool { return lost.Hits() > 0 })
		time.Sleep(5 * time.Minute)
		lost.Clear()
		h.Settle()
		once(t, h, recs)
		assert.Len(t, h.Topic("t.g.retry.1m").Records(), 5, "no transaction was made again")
	})
}

// That another has moved one record of a transaction in doubt, whose partition came to
// it, says nothing of the others.
func TestExactlyOnceHops_whatOthersHaveMovedDoesNotEndTheDoubt(t *testing.T) {
	needsTag(t)
	c := processes()
	c.Partitions = 2
	c.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		h.Adapter()
		subscribe(t, h.NewAdapter(), hopping(fails)) // p2
		h.Settle()
		of := func(key kmsg.Key) fakebroker.Scope {
			return fakebroker.Scope{ClientID: "p2", APIs: []kmsg.Key{key}}
		}
		first, later, next := of(kmsg.InitProducerID), of(kmsg.InitProducerID), of(kmsg.EndTxn)
		first.Count, later.Nth, next.Nth = 1, 2, 2
		slow := h.Broker().Delay(3*time.Second, first) // the others gather meanwhile
		silent := h.Broker().DropBefore(later)
		lost := h.Broker().DropBefore(next)
		recs := h.PublishAll(at(0, "first"))
		until(t, "its transaction is to begin", func() bool { return slow.Hits() > 0 })
		recs = append(recs, h.PublishAll(at(0, "a"), at(1, "b"))...)
		until(t, "in doubt", func() bool { return lost.Hits() > 0 && silent.Hits() > 0 })
		subscribe(t, h.NewAdapter(), hopping(fails))
		until(t, "another has moved one", func() bool { return len(readCommitted(t, h, "t.g.retry.1m")) == 2 })
		lost.Clear()
		silent.Clear()
		h.Settle()
		once(t, h, recs)
	})
}

// A commit whose metadata is cut short does not say that a record behind others is
// settled, and nobody could tell from it that a transaction was committed.
func TestExactlyOnceHops_ofARecordThatTheMetadataHasNoPlaceFor(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		release := make(chan struct{})
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			switch {
			case m.Offset == 39:
				<-release
				return adapter.Reject(errDown)
			case m.Offset%2 == 0 && m.Attempt == 1:
				return adapter.RetryAfter(errDown, time.Hour)
			}
			return adapter.Commit()
		})
		s.ExactlyOnceHops = true
		h.Subscribe(s)
		h.Settle()
		scope := api(kmsg.TxnOffsetCommit)
		scope.Count = 4
		short := h.Broker().Refuse(kerr.OffsetMetadataTooLarge, scope)
		lost := h.Broker().DropAfter(api(kmsg.EndTxn))
		h.PublishAll(numbered(40)...)
		time.Sleep(time.Minute)
		close(release)
		time.Sleep(5 * time.Minute)
		assert.NotZero(t, short.Hits())
		lost.Clear()
		h.Settle()
		assert.Equal(t, map[string]int{"39": 1}, readCommitted(t, h, "t.g.dlt"))
	})
}

// A partition of the retry topic that takes no records keeps those that go there, and
// for long nobody else.
func TestExactlyOnceHops_toAPartitionThatIsStuck(t *testing.T) {
	needsTag(t)
	harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		h.Subscribe(hopping(fails))
		h.Settle()
		s := produceTo("t.g.retry.1m")
		s.Partitions = []int32{0}
		stuck := h.Broker().Refuse(kerr.NotLeaderForPartition, s)
		var recs []harness.Record
		for i := range 40 {
			recs = append(recs, h.PublishAll(at(0, fmt.Sprint("a", i)), at(1, fmt.Sprint("b", i)))...)
			time.Sleep(10 * time.Second)
			if moved := len(readCommitted(t, h, "t.g.retry.1m")); i > 4 {
				require.GreaterOrEqual(t, moved, i, "those that go to the other partition")
			}
		}
		stuck.Clear()
		h.Settle()
		once(t, h, recs)
	})
}

// One record that cannot go keeps no other.
func TestExactlyOnceHops_ofOneThatIsTooLarge(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(hopping(fails))
		h.Settle()
		f := h.Broker().Refuse(kerr.MessageTooLarge, fakebroker.Scope{
			APIs: []kmsg.Key{kmsg.Produce}, Topic: "t.g.retry.1m", Partitions: []int32{0}, Count: 4,
		})
		recs := h.PublishAll(numbered(5)...)
		h.Settle()
		assert.NotZero(t, f.Hits())
		for _, r := range recs {
			assert.Equal(t, harness.DeadLettered, h.Fate(r).Kind)
		}
		for v, n := range readCommitted(t, h, "t.g.dlt") {
			assert.Equal(t, 1, n, v)
		}
	})
}

func TestExactlyOnceHops_withoutPermissionIsBlocked(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Publish(event{"other", "k", "v"}) // which asks for a producer id of its own
		c := h.Subscribe(hopping(fails))
		h.Settle()
		f := h.Broker().Refuse(kerr.TransactionalIDAuthorizationFailed, api(kmsg.InitProducerID))
		recs := h.PublishAll(event{"t", "k", "v"})
		until(t, "blocked", func() bool { return c.Status().Partitions[0].Blocked != nil })
		require.ErrorIs(t, c.Status().Partitions[0].Blocked, kerr.TransactionalIDAuthorizationFailed)
		f.Clear()
		until(t, "it goes on", func() bool { return c.Status().Partitions[0].Blocked == nil })
		h.Settle()
		once(t, h, recs)
	})
}

// What a transaction that was aborted has left on a retry topic is no record of the
// group's.
func TestExactlyOnceHops_whatWasAbortedIsNotConsumed(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[string]
		s := hopping(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(m.Topic)
			return adapter.Retry(errDown)
		})
		h.Subscribe(s)
		h.Settle()
		scope := api(kmsg.TxnOffsetCommit)
		scope.Count = 2
		h.Broker().Refuse(kerr.IllegalGeneration, scope)
		h.PublishAll(event{"t", "k", "v"})
		h.Settle()
		assert.Len(t, h.Topic("t.g.retry.1m").Records(), 3)
		assert.Equal(t, []string{"t", "t.g.retry.1m"}, handled.all())
	})
}

func TestExactlyOnceHops_isRefusedWhereThereIsNothingToMove(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		s := subscription(fails)
		s.ExactlyOnceHops = true
		s.OnReject = func(context.Context, *adapter.Message, error) error { return nil }
		_, err := h.Adapter().Subscribe(t.Context(), s)
		var bad *adapter.ConfigError
		require.True(t, errors.As(err, &bad))
		assert.Equal(t, "Subscription.ExactlyOnceHops", bad.Field)
		s.Order, s.Retry.Tiers = adapter.Unordered, []time.Duration{time.Minute}
		h.Subscribe(s)
	})
}

func TestExactlyOnceHops_isRefusedToAClientThatMakesNoTransactions(t *testing.T) {
	for name, tc := range map[string]struct {
		opts []kgo.Opt
		says string
	}{
		"it is not idempotent":            {[]kgo.Opt{kgo.DisableIdempotentWrite()}, "idempotent"},
		"it knows old versions only":      {[]kgo.Opt{kgo.MaxVersions(kversion.V2_4_0())}, "TxnOffsetCommit"},
		"it knows as much as is released": {[]kgo.Opt{kgo.MaxVersions(kversion.Stable())}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			harness.Config{Adapter: func(c *adapter.Config) { c.ClientOptions = tc.opts }}.Run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t")
				_, err := h.Adapter().Subscribe(t.Context(), hopping(fails))
				if tc.says == "" {
					require.NoError(t, err)
					recs := h.PublishAll(numbered(3)...)
					h.Settle()
					once(t, h, recs)
					return
				}
				var bad *adapter.ConfigError
				require.ErrorAs(t, err, &bad)
				assert.Equal(t, "Config.ClientOptions", bad.Field)
				assert.Contains(t, bad.Problem, tc.says)
			})
		})
	}
}
