package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// sharing is a subscription of share group g.
func sharing(handle adapter.HandlerFunc) adapter.Subscription {
	s := subscription(handle)
	s.Mode, s.Order = adapter.ShareGroup, adapter.Unordered
	return s
}

// locks has records locked for a time.
func locks(d time.Duration) harness.Config {
	ms := fmt.Sprint(d.Milliseconds())
	return harness.Config{Broker: fakebroker.Config{BrokerConfig: map[string]string{"group.share.record.lock.duration.ms": ms}}}
}

func TestShareGroup_resultsMeanTheSame(t *testing.T) {
	harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(sharing(func(_ context.Context, m *adapter.Message) adapter.Result {
			switch string(m.Value) {
			case "retry":
				if m.Attempt < 3 {
					return adapter.Retry(errDown)
				}
			case "reject":
				return adapter.Reject(errDown)
			case "panic":
				if m.Attempt == 1 {
					panic("oh")
				}
			}
			return adapter.Commit()
		}))
		var recs []harness.Record
		for _, v := range []string{"", "retry", "reject", "panic"} {
			recs = append(recs, h.Publish(event{"t", v, v}))
		}
		h.Settle()
		g, _ := h.Broker().Group("g")
		assert.Equal(t, "share", g.Type)
		for i, want := range []struct {
			kind     harness.Kind
			attempts int
		}{{harness.Committed, 1}, {harness.Committed, 3}, {harness.DeadLettered, 1}, {harness.Committed, 2}} {
			f := h.Fate(recs[i])
			assert.Equal(t, want.kind, f.Kind, f)
			assert.Equal(t, want.attempts, f.Attempts, f)
			assert.Equal(t, want.attempts, f.Deliveries, f)
		}
		assert.Equal(t, map[string]int{"reject": 1}, readCommitted(t, h, "t.g.dlt"))
	})
}

// The group starts at the earliest record, which is not its default.
func TestShareGroup_startsWhereStartFromSays(t *testing.T) {
	for from, want := range map[adapter.StartOffset]int{adapter.FromEarliest: 3, adapter.FromLatest: 0} {
		harness.Run(t, func(t *testing.T, h *harness.Harness) {
			h.PublishAll(numbered(3)...)
			var handled list[string]
			s := sharing(func(_ context.Context, m *adapter.Message) adapter.Result {
				handled.add(string(m.Value))
				return adapter.Commit()
			})
			s.StartFrom = from
			h.Subscribe(s)
			h.Settle()
			assert.Equal(t, want, handled.len())
		})
	}
}

func TestShareGroup_whereItStartsIsVerifiedWhereNothingMayBeSet(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t", "t.g.dlt")
		s := sharing(commits)
		s.OnReject = func(context.Context, *adapter.Message, error) error { return nil }
		s.NoTopicCreation = true
		_, err := h.Adapter().Subscribe(t.Context(), s)
		var bad *adapter.ConfigError
		require.True(t, errors.As(err, &bad), err)
		assert.Equal(t, "Subscription.StartFrom", bad.Field)
		assert.Contains(t, bad.Problem, "share.auto.offset.reset=latest")
		s.StartFrom = adapter.FromLatest
		h.Subscribe(s)
	})
}

// Nothing is fetched before all of what was fetched is acknowledged: the client would
// accept it.
func TestShareGroup_pollsOnlyWhenAllIsAcknowledged(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		release := make(chan struct{})
		var handled list[string]
		s := sharing(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(string(m.Value))
			if string(m.Value) == "0" {
				<-release
			}
			return adapter.Commit()
		})
		s.MaxInFlight = 2
		c := h.Subscribe(s)
		h.Settle()
		recs := h.PublishAll(numbered(10)...)
		time.Sleep(20 * time.Minute)
		assert.ElementsMatch(t, []string{"0", "1"}, handled.all())
		assert.Equal(t, 1, c.Status().Partitions[0].InFlight)
		close(release)
		h.Settle()
		for _, r := range recs {
			assert.Equal(t, harness.Committed, h.Fate(r).Kind)
			assert.Equal(t, 1, h.Fate(r).Deliveries)
		}
	})
}

// The delivery limit archives without a word.
func TestShareGroup_givesUpBeforeTheGroupArchives(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(sharing(fails))
		rec := h.Publish(event{"t", "k", "v"})
		h.Settle()
		f := h.Fate(rec)
		assert.Equal(t, harness.DeadLettered, f.Kind, f)
		assert.Equal(t, 4, f.Attempts, "the fifth delivery would be the last")
		var attempts *adapter.AttemptsError
		require.ErrorAs(t, f.Err, &attempts)
		assert.Equal(t, 4, attempts.Attempts)
	})
}

// olderGroups is a connection to brokers like Apache Kafka 4.2, whose groups have no
// delivery limit of their own: nobody can ask for it by its name.
type olderGroups struct{ net.Conn }

func (c olderGroups) Write(b []byte) (int, error) {
	const name, ofBroker, none = "share.delivery.count.limit", "group.share.delivery.count.limit", "share.delivery.count.LIMIT"
	text := string(b)
	if !strings.Contains(text, ofBroker) {
		text = strings.ReplaceAll(text, name, none)
	}
	return c.Conn.Write([]byte(text))
}

func TestShareGroup_withoutALimitOfItsOwnTheBrokersHolds(t *testing.T) {
	config := map[string]string{"group.share.delivery.count.limit": "3"}
	for name, through := range map[string]func(net.Conn) net.Conn{
		"4.3": func(c net.Conn) net.Conn { return c },
		"4.2": func(c net.Conn) net.Conn { return olderGroups{c} },
	} {
		t.Run(name, func(t *testing.T) {
			harness.Config{Broker: fakebroker.Config{BrokerConfig: config}}.Run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t")
				dial := h.Broker().Dialer()
				a, err := adapter.New(adapter.Config{ClientOptions: append(h.Broker().ClientOptions(), kgo.Dialer(
					func(ctx context.Context, network, addr string) (net.Conn, error) {
						c, err := dial(ctx, network, addr)
						if err != nil {
							return nil, err
						}
						return through(c), nil
					}))})
				require.NoError(t, err)
				defer func() { require.NoError(t, a.Close(t.Context())) }()
				given := make(chan error, 1)
				s := sharing(fails)
				s.OnReject = func(_ context.Context, _ *adapter.Message, cause error) error {
					given <- cause
					return nil
				}
				_, err = a.Subscribe(t.Context(), s)
				require.NoError(t, err)
				require.NoError(t, a.Publish(t.Context(), event{"t", "k", "v"}))
				cause := errors.New("nobody was given it: the group has archived it")
				select {
				case cause = <-given:
				case <-time.After(time.Hour):
				}
				var attempts *adapter.AttemptsError
				require.ErrorAs(t, cause, &attempts)
				assert.Equal(t, 2, attempts.Attempts, "the third delivery would be the last")
			})
		})
	}
}

func TestShareGroup_hopsWhenADelayIsWantedAndBeforeTheLimit(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		start := time.Now()
		s := sharing(func(_ context.Context, m *adapter.Message) adapter.Result {
			assert.Equal(t, "g", m.Group)
			switch {
			case string(m.Value) == "later" && m.Attempt == 1:
				return adapter.RetryAfter(errDown, time.Hour)
			case string(m.Value) == "often" && m.Attempt < 7:
				return adapter.Retry(errDown)
			}
			return adapter.Commit()
		})
		s.Retry.Tiers = []time.Duration{time.Minute, time.Hour}
		s.Retry.InPlace = 100
		h.Subscribe(s)
		later, often := h.Publish(event{"t", "a", "later"}), h.Publish(event{"t", "b", "often"})
		h.Settle()
		assert.GreaterOrEqual(t, time.Since(start), 2*time.Hour)
		f := h.Fate(later)
		assert.Equal(t, harness.Committed, f.Kind, f)
		assert.Equal(t, 1, f.Hops, f)
		assert.Equal(t, 2, f.Attempts, f)
		f = h.Fate(often)
		assert.Equal(t, harness.Committed, f.Kind, f)
		assert.Equal(t, 3, f.Hops, "after the fourth, to a minute; then to an hour, and again")
		assert.Equal(t, 7, f.Attempts, f)
		g, _ := h.Broker().Group(adapter.RetryGroup("g"))
		assert.Equal(t, "classic", g.Type)
	})
}

// A record that ends the process is not archived: it moves on before the last
// delivery.
func TestShareGroup_aRecordThatEndsTheProcessIsGivenUp(t *testing.T) {
	needsTag(t)
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		attempts := make(chan int)
		s := sharing(func(ctx context.Context, m *adapter.Message) adapter.Result {
			attempts <- m.Attempt
			<-ctx.Done()
			return adapter.Commit() // of a process that is no more
		})
		h.CreateTopics("t")
		h.Adapter()
		rec := h.Publish(event{"t", "k", "poison"})
		for i := range 4 {
			a := h.NewAdapter()
			subscribe(t, a, s)
			assert.Equal(t, i+1, <-attempts)
			kill(h, fmt.Sprint("p", i+2), a)
		}
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		f := h.Fate(rec)
		assert.Equal(t, harness.DeadLettered, f.Kind, f)
		require.ErrorIs(t, f.Err, adapter.ErrDeliveryLimit)
	})
}

// A handler may take longer than the lock.
func TestShareGroup_renewsTheLockWhileAHandlerRuns(t *testing.T) {
	needsTag(t)
	cfg := locks(30 * time.Second)
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		var by list[string]
		member := func(name string) adapter.Subscription {
			return sharing(func(context.Context, *adapter.Message) adapter.Result {
				by.add(name)
				time.Sleep(10 * time.Minute)
				return adapter.Commit()
			})
		}
		h.CreateTopics("t")
		subscribe(t, h.NewAdapter(), member("one"))
		subscribe(t, h.NewAdapter(), member("two"))
		rec := h.Publish(event{"t", "k", "v"})
		h.Settle()
		assert.Equal(t, 1, by.len())
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
		assert.Equal(t, 1, h.Fate(rec).Deliveries)
	})
}

func TestShareGroup_aClosedGateStopsPolling(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		gate := &harness.GateSpy{}
		gate.Down(errDown)
		s := sharing(commits)
		s.Gate = gate.Check
		h.PublishAll(numbered(3)...)
		fetched := h.Broker().Delay(0, api(kmsg.ShareFetch))
		c := h.Subscribe(s)
		time.Sleep(30 * time.Minute)
		assert.True(t, c.Status().Joined)
		assert.Zero(t, fetched.Hits(), "it fetches")
		gate.Up()
		h.Settle()
		assert.NotZero(t, fetched.Hits())
	})
}

func TestShareGroup_anUnavailableDependencyUsesNoAttempt(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		gate := &harness.GateSpy{}
		var handled list[int]
		s := sharing(func(_ context.Context, m *adapter.Message) adapter.Result {
			if handled.add(m.Attempt); handled.len() == 1 {
				gate.Down(errDown)
				return adapter.Unavailable(errDown)
			}
			return adapter.Commit()
		})
		s.Gate = gate.Check
		c := h.Subscribe(s)
		rec := h.Publish(event{"t", "k", ""})
		until(t, "it is down", func() bool { return c.Status().Gate != nil })
		require.NoError(t, h.Adapter().Publish(t.Context(), event{"t", "k", ""}))
		time.Sleep(30 * time.Minute)
		assert.Equal(t, 1, handled.len())
		gate.Up()
		h.Settle()
		assert.Equal(t, []int{1, 1, 1}, handled.all())
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

func TestShareGroup_pauseSpendsNoDelivery(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		c := h.Subscribe(sharing(commits))
		h.Publish(event{"t", "k", ""})
		h.Settle()
		c.Pause()
		h.Publish(event{"t", "k", ""}) // which a poll that is under way may bring
		time.Sleep(10 * time.Minute)
		require.NoError(t, h.Adapter().Publish(t.Context(), event{"t", "k", ""}))
		time.Sleep(10 * time.Minute)
		c.Resume()
		h.Settle()
		for i := range int64(3) {
			assert.Equal(t, 1, h.Fate(harness.Record{Topic: "t", Offset: i}).Attempts)
		}
	})
}

// A record whose dead letter is refused is held, and its lock renewed.
func TestShareGroup_holdsWhatCannotGetHome(t *testing.T) {
	needsTag(t)
	cfg := locks(30 * time.Second)
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[int]
		c := h.Subscribe(sharing(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(m.Attempt)
			return adapter.Reject(errDown)
		}))
		refuse := h.Broker().Refuse(kerr.TopicAuthorizationFailed, produceTo("t.g.dlt"))
		rec := h.Publish(event{"t", "k", ""})
		until(t, "blocked", func() bool { ps := c.Status().Partitions; return len(ps) > 0 && ps[0].Blocked != nil })
		time.Sleep(time.Hour)
		refuse.Clear()
		until(t, "it is taken", func() bool { return len(h.Topic("t.g.dlt").Records()) > 0 })
		h.Settle()
		assert.Equal(t, []int{1}, handled.all())
		assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
	})
}

func TestShareGroup_closeDrainsAndReleasesTheRest(t *testing.T) {
	needsTag(t)
	for _, patient := range []bool{true, false} {
		t.Run(fmt.Sprint("patient=", patient), func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				entered := make(chan struct{}, 10)
				h.CreateTopics("t")
				first := subscribe(t, h.NewAdapter(), sharing(func(ctx context.Context, m *adapter.Message) adapter.Result {
					entered <- struct{}{}
					if patient {
						time.Sleep(time.Minute)
						return adapter.Commit()
					}
					<-ctx.Done()
					return adapter.Commit()
				}))
				h.Settle()
				rec := h.Publish(event{"t", "k", ""})
				<-entered
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				err := first.Close(ctx)
				if patient {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, "1 handlers did not end in time")
				}
				second := subscribe(t, h.NewAdapter(), sharing(commits))
				h.Settle()
				f := h.Fate(rec)
				assert.Equal(t, harness.Committed, f.Kind)
				assert.Equal(t, map[bool]int{true: 1, false: 2}[patient], f.Attempts)
				require.NoError(t, second.Close(t.Context()))
			})
		})
	}
}

// Brokers that do not answer are not waited for longer than they may be.
func TestShareGroup_closeWithoutAnAnswer(t *testing.T) {
	needsTag(t)
	for name, change := range map[string]func(*adapter.Subscription){
		"alone":             func(*adapter.Subscription) {},
		"with retry topics": func(s *adapter.Subscription) { s.Retry.Tiers = []time.Duration{time.Minute} },
	} {
		t.Run(name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				r := newRunning()
				s := sharing(r.handle)
				change(&s)
				h.CreateTopics("t")
				c := subscribe(t, h.NewAdapter(), s)
				h.Settle()
				h.Publish(event{"t", "k", ""})
				<-r.entered
				h.Broker().Delay(time.Hour, api(kmsg.ShareAcknowledge, kmsg.ShareFetch, kmsg.OffsetCommit, kmsg.LeaveGroup))
				r.release <- adapter.Commit()
				require.NoError(t, <-r.ended)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				err := c.Close(ctx)
				assert.LessOrEqual(t, time.Since(start), 7*time.Second)
				require.ErrorContains(t, err, "1 acknowledgements have no answer")
				require.ErrorIs(t, err, context.DeadlineExceeded)
				h.AllowPending()
			})
		})
	}
}

// silenced is a connection that loses what is written to it.
type silenced struct {
	net.Conn
	is *atomic.Bool
}

func (c silenced) Write(b []byte) (int, error) {
	if c.is.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// A record is settled when the broker has said so, and not before.
func TestShareGroup_withoutAnAnswerNothingIsSettled(t *testing.T) {
	needsTag(t)
	var settled, fenced list[int]
	var dial func(context.Context, string, string) (net.Conn, error)
	silence := &atomic.Bool{}
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.Trace = &adapter.Trace{
			Settled: func(ms []*adapter.Message) { settled.add(ms[0].Attempt) },
			Fenced:  func(m *adapter.Message) { fenced.add(m.Attempt) },
		}
		c.ClientOptions = append(c.ClientOptions, kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			return silenced{conn, silence}, err
		}))
	}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		dial = h.Broker().Dialer()
		r := newRunning()
		h.CreateTopics("t")
		c := subscribe(t, h.NewAdapter(), sharing(r.handle))
		h.Settle()
		rec := h.Publish(event{"t", "k", ""})
		<-r.entered
		silence.Store(true)
		r.release <- adapter.Commit()
		require.NoError(t, <-r.ended)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorContains(t, c.Close(ctx), "1 acknowledgements have no answer")
		silence.Store(false)
		assert.Zero(t, settled.len(), "the broker has not heard of it")
		assert.Equal(t, []int{1}, fenced.all())
		assert.Equal(t, harness.Pending, h.Fate(rec).Kind, h.Fate(rec))
		r.release <- adapter.Commit()
		subscribe(t, h.NewAdapter(), sharing(r.handle))
		h.Settle()
		assert.Equal(t, []int{2}, settled.all())
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind, h.Fate(rec))
	})
}

// What is accepted too late is delivered again.
func TestShareGroup_anAcceptanceThatIsRefusedIsNoEnd(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[int]
		h.Subscribe(sharing(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(m.Attempt)
			return adapter.Commit()
		}))
		h.Settle()
		s := api(kmsg.ShareAcknowledge)
		s.Count = 1
		f := h.Broker().DropBefore(s)
		rec := h.Publish(event{"t", "k", ""})
		h.Settle()
		assert.NotZero(t, f.Hits())
		assert.Equal(t, []int{1, 2}, handled.all())
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

func TestShareGroup_moreMembersThanPartitions(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var by [3]list[string]
		h.CreateTopics("t")
		for i := range by {
			s := sharing(func(_ context.Context, m *adapter.Message) adapter.Result {
				by[i].add(string(m.Value))
				time.Sleep(time.Second)
				if m.Attempt == 1 && len(m.Value) == 1 {
					return adapter.Retry(errDown)
				}
				return adapter.Commit()
			})
			s.MaxInFlight = 2
			subscribe(t, h.NewAdapter(), s)
		}
		h.Settle()
		recs := h.PublishAll(numbered(60)...)
		h.Settle()
		for i := range by {
			assert.NotZero(t, by[i].len())
		}
		for _, r := range recs {
			f := h.Fate(r)
			assert.Equal(t, harness.Committed, f.Kind, f)
		}
	})
}

func TestShareGroup_redrive(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		mended := false
		s := sharing(func(context.Context, *adapter.Message) adapter.Result {
			if !mended {
				return adapter.Reject(errDown)
			}
			return adapter.Commit()
		})
		s.Redrive = true
		h.Subscribe(s)
		h.Publish(event{"t", "k", "v"})
		h.Settle()
		mended = true
		tally, err := h.Adapter().Redrive(t.Context(), adapter.RedriveSpec{Topic: "t", Group: "g", Apply: true})
		require.NoError(t, err)
		assert.Equal(t, 1, tally.Redriven)
		h.Settle()
		assert.Len(t, h.Topic("t.g.dlt").Records(), 1)
	})
}

func TestShareGroup_whatItCannotHaveIsRefused(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		for field, change := range map[string]func(*adapter.Subscription){
			"Order":           func(s *adapter.Subscription) { s.Order = adapter.ByKey },
			"MaxInFlight":     func(s *adapter.Subscription) { s.MaxInFlight = math.MaxInt32 + 1 },
			"InstanceID":      func(s *adapter.Subscription) { s.InstanceID = "i" },
			"ExactlyOnceHops": func(s *adapter.Subscription) { s.ExactlyOnceHops = true },
			"CountBeforeRun":  func(s *adapter.Subscription) { s.CountBeforeRun = true },
			"MaxHeldRecords":  func(s *adapter.Subscription) { s.MaxHeldRecords = 3 },
			"MaxHeldAge":      func(s *adapter.Subscription) { s.MaxHeldAge = time.Hour },
			"OnHeldLimit": func(s *adapter.Subscription) {
				s.OnHeldLimit, s.Retry.Tiers = adapter.Hop, []time.Duration{time.Minute}
			},
			"Retry.MaxAge": func(s *adapter.Subscription) { s.Retry.MaxAge = time.Hour },
		} {
			s := sharing(commits)
			change(&s)
			_, err := h.Adapter().Subscribe(t.Context(), s)
			var bad *adapter.ConfigError
			require.True(t, errors.As(err, &bad), field)
			assert.Equal(t, "Subscription."+field, bad.Field)
		}
		b := batches(func(context.Context, *adapter.Batch) error { return nil })
		b.Mode = adapter.ShareGroup
		_, err := h.Adapter().SubscribeBatch(t.Context(), b)
		var bad *adapter.ConfigError
		require.True(t, errors.As(err, &bad))
		assert.Equal(t, "Subscription.Mode", bad.Field)
	})
}
