package adapter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// tiered is an unordered subscription with retry topics of these delays.
func tiered(handle adapter.HandlerFunc, tiers ...time.Duration) adapter.Subscription {
	s := subscription(handle)
	s.Order = adapter.Unordered
	s.Retry.Tiers = tiers
	return s
}

func TestHop_throughTheTiersAndTheLastIsUsedAgain(t *testing.T) {
	p := placeOf(t)
	p.test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		minute, hour := p.minute, 60*p.minute
		short, long := adapter.RetryTopic("t", "g", minute), adapter.RetryTopic("t", "g", hour)
		var at list[string]
		var times list[time.Time]
		s := tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
			at.add(fmt.Sprint(m.Attempt, " ", m.Topic))
			times.add(time.Now())
			assert.Equal(t, "t/0/0/g", m.ID())
			assert.Equal(t, "k", string(m.Key))
			if m.Attempt < 6 {
				return adapter.Retry(errDown)
			}
			return adapter.Commit()
		}, minute, hour)
		s.Retry.InPlace = 2
		h.Subscribe(s)
		rec := h.Publish(event{"t", "k", "v"})
		h.Settle()
		assert.Equal(t, []string{"1 t", "2 t", "3 " + short, "4 " + long, "5 " + long, "6 " + long}, at.all())
		for i, want := range []time.Duration{0, minute, hour, hour, hour} {
			waited := times.all()[i+1].Sub(times.all()[i])
			assert.GreaterOrEqual(t, waited, want-time.Millisecond, "a topic's time is in whole milliseconds")
			assert.Less(t, waited, want+p.late)
		}
		f := h.Fate(rec)
		assert.Equal(t, harness.Committed, f.Kind)
		assert.Equal(t, 6, f.Attempts)
		assert.Equal(t, 6, f.Deliveries)
		assert.Equal(t, 4, f.Hops)
		assert.Equal(t, long, f.Final.Topic)
		assert.Contains(t, h.Timeline(), "t[0]@0 moved by g to "+short+"[0]@0: down")
	})
}

func TestHop_holdsUpNothingOnItsWay(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var done list[string]
		h.Subscribe(tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
			if string(m.Key) == "bad" && m.Topic == "t" {
				return adapter.Retry(errDown)
			}
			done.add(string(m.Value))
			return adapter.Commit()
		}, time.Hour))
		h.PublishAll(event{"t", "bad", "0"}, event{"t", "bad", "1"}, event{"t", "good", "2"})
		until(t, "the source is done", func() bool { return committed(h, 0) == 3 })
		assert.Equal(t, []string{"2"}, done.all())
		h.Settle()
		assert.Len(t, done.all(), 3)
	})
}

// Of a tier that all of a partition's records go to, none is early, and none late.
func TestHop_isDueWhenItsTopicSays(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		failed := map[string]time.Time{}
		s := tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt == 1 {
				failed[string(m.Value)] = time.Now()
				return adapter.Retry(errDown)
			}
			assert.InDelta(t, 10*time.Minute, time.Since(failed[string(m.Value)]), float64(time.Second), string(m.Value))
			return adapter.Commit()
		}, 10*time.Minute)
		s.Retry.InPlace, s.MaxInFlight = 1, 1
		h.Subscribe(s)
		for i := range 20 {
			h.Publish(event{"t", "k", fmt.Sprint(i)})
			time.Sleep(time.Minute)
		}
		h.Settle()
	})
}

// The broker's clock was an hour ahead of this one when it took a record, or this one
// has jumped back since.
func TestHop_isLateByAClockThatJumpsBackAndNeverLost(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		// A topic with LogAppendTime would be given this clock's time.
		require.NoError(t, h.Broker().CreateTopic(fakebroker.Topic{Name: "t.g.retry.10m", Configs: map[string]string{
			"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": fmt.Sprint(math.MaxInt64), "max.message.bytes": "2000000",
		}}))
		unread := h.Broker().Refuse(kerr.TopicAuthorizationFailed, fakebroker.Scope{APIs: []kmsg.Key{kmsg.DescribeConfigs}})
		start := time.Now()
		var handled list[string]
		s := tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(fmt.Sprint(string(m.Value), " after ", time.Since(start).Round(time.Second)))
			return adapter.Commit()
		}, 10*time.Minute)
		h.Subscribe(s)
		unread.Clear()
		recs := h.Topic("t.g.retry.10m").Append(
			harness.Record{Value: []byte("ahead"), Timestamp: start.Add(time.Hour)},
			harness.Record{Value: []byte("right"), Timestamp: start})
		h.Settle()
		assert.Equal(t, []string{"ahead after 1h10m0s", "right after 1h10m0s"}, handled.all())
		for _, r := range recs {
			assert.Equal(t, harness.Committed, h.Fate(r).Kind)
		}
	})
}

func TestHop_retryAfterGoesToTheTierThatIsLongEnough(t *testing.T) {
	p := placeOf(t)
	minute := p.minute
	for after, want := range map[time.Duration]struct {
		topics string
		wait   time.Duration
	}{
		minute / 3:   {"t", minute / 3},                                       // in its place
		2 * minute:   {adapter.RetryTopic("t", "g", 10*minute), 10 * minute},  // rounded up
		60 * minute:  {adapter.RetryTopic("t", "g", 60*minute), 60 * minute},  // exactly
		150 * minute: {adapter.RetryTopic("t", "g", 60*minute), 150 * minute}, // by way of the last, twice and a bit
	} {
		t.Run(after.String(), func(t *testing.T) {
			p.test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
				start := time.Now()
				var attempts list[int]
				s := tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
					attempts.add(m.Attempt)
					if m.Attempt == 1 {
						return adapter.RetryAfter(errDown, after)
					}
					if after < 120*minute {
						assert.Equal(t, want.topics, m.Topic)
					}
					assert.GreaterOrEqual(t, time.Since(start), want.wait)
					assert.Less(t, time.Since(start), want.wait+10*minute+p.late)
					return adapter.Commit()
				}, minute, 10*minute, 60*minute)
				s.Retry.MaxBackoff = minute / 2 // what is longer is not waited for in its place
				h.Subscribe(s)
				rec := h.Publish(event{"t", "k", "v"})
				h.Settle()
				assert.Equal(t, []int{1, 2}, attempts.all(), "a record that is not due uses no attempt")
				assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
			})
		})
	}
}

func TestHop_usesUpTheAttemptsAndGoesToTheDeadLetters(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := tiered(func(context.Context, *adapter.Message) adapter.Result { return adapter.Retry(errDown) }, time.Minute)
		s.Retry.Attempts = 5
		h.Subscribe(s)
		rec := h.Publish(event{"t", "k", "v"})
		h.Settle()
		f := h.Fate(rec)
		assert.Equal(t, harness.DeadLettered, f.Kind)
		assert.Equal(t, 5, f.Attempts)
		dead := h.Topic("t.g.dlt").Records()
		require.Len(t, dead, 1)
		assert.Equal(t, "t/0/0", dead[0].Header(adapter.HeaderID))
		assert.Equal(t, "5", dead[0].Header(adapter.HeaderAttempt))
		assert.Equal(t, "v", string(dead[0].Value))
	})
}

func TestHop_isHeldWhilePublishingFails(t *testing.T) {
	for name, fault := range passingFaults {
		t.Run(name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				var handled list[int]
				s := tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
					handled.add(m.Attempt)
					if m.Attempt == 1 {
						return adapter.Retry(errDown)
					}
					return adapter.Commit()
				}, time.Minute)
				s.Retry.InPlace = 1
				c := h.Subscribe(s)
				f := fault(h.Broker(), produceTo("t.g.retry.1m"))
				rec := h.Publish(event{"t", "k", "v"})
				time.Sleep(10 * time.Minute)
				assert.NotZero(t, f.Hits())
				if name == "dropped after" { // it is there, and the adapter does not know
					assert.Equal(t, []int{1, 2}, handled.all())
				} else {
					assert.Equal(t, []int{1}, handled.all(), "the handler is not run again")
				}
				assert.Zero(t, committed(h, 0))
				assert.NoError(t, c.Status().Partitions[0].Blocked)
				f.Clear()
				h.Settle()
				assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
				assert.Empty(t, h.Topic("t.g.dlt").Records(), "a retry never becomes a dead letter by this")
				assert.Len(t, h.Topic("t.g.retry.1m").Records(), 1)
			})
		})
	}
}

func TestHop_refusedForGoodIsBlocked(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt == 1 {
				return adapter.Retry(errDown)
			}
			return adapter.Commit()
		}, time.Minute)
		s.Retry.InPlace = 1
		c := h.Subscribe(s)
		f := h.Broker().Refuse(kerr.TopicAuthorizationFailed, produceTo("t.g.retry.1m"))
		rec := h.Publish(event{"t", "k", "v"})
		time.Sleep(time.Hour)
		var refused *adapter.RefusedError
		require.ErrorAs(t, c.Status().Partitions[0].Blocked, &refused)
		f.Clear()
		time.Sleep(time.Minute)
		h.Settle()
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

func TestHop_tooLargeIsDeadLettered(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := tiered(func(context.Context, *adapter.Message) adapter.Result { return adapter.Retry(errDown) }, time.Minute)
		s.Retry.InPlace = 1
		h.Subscribe(s)
		h.Settle()
		h.Broker().Refuse(kerr.MessageTooLarge, produceTo("t.g.retry.1m"))
		rec := h.Publish(event{"t", "k", bytes.Repeat([]byte{'v'}, 100)})
		h.Settle()
		f := h.Fate(rec)
		assert.Equal(t, harness.DeadLettered, f.Kind)
		require.ErrorIs(t, f.Err, adapter.ErrTooLarge)
		require.ErrorIs(t, f.Err, errDown)
	})
}

// What the headers of a retry topic say is believed only as this group wrote it.
func TestHop_forgedHeadersAreNotBelieved(t *testing.T) {
	p := placeOf(t)
	p.test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		retry := adapter.RetryTopic("t", "g", p.minute)
		var seen list[string]
		h.Subscribe(tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
			forged, _ := m.Header(adapter.HeaderAttempt)
			seen.add(fmt.Sprintf("%s attempt %d, %s", m.ID(), m.Attempt, forged))
			return adapter.Commit()
		}, p.minute))
		h.Publish(placed{event: event{retry, "k", "v"}, headers: []adapter.Header{{Key: adapter.HeaderAttempt, Value: []byte("7")}}})
		h.Publish(placed{event: event{"t", "k", "v"}, headers: []adapter.Header{{Key: adapter.HeaderAttempt, Value: []byte("7")}}})
		h.Settle()
		assert.ElementsMatch(t, []string{retry + "/0/0/g attempt 1, 7", "t/0/0/g attempt 1, 7"}, seen.all())
	})
}

// One line for a partition: whoever writes many such records does not fill the log.
func TestHop_headersOnASourceTopicAreLoggedOnce(t *testing.T) {
	const line = "headers that are named like the adapter's are not believed here"
	for own, want := range map[string]int{"retry-mine": 0, adapter.HeaderGroup: 1} {
		t.Run(own, func(t *testing.T) {
			var log strings.Builder
			cfg := harness.Config{Adapter: func(c *adapter.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }}
			cfg.Run(t, func(t *testing.T, h *harness.Harness) {
				h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
					_, kept := m.Header(own)
					assert.True(t, kept)
					return adapter.Commit()
				}))
				for range 3 {
					h.Publish(placed{event: event{"t", "k", "v"}, headers: []adapter.Header{{Key: "a"}, {Key: own, Value: []byte("g")}}})
				}
				h.Settle()
			})
			assert.Equal(t, want, strings.Count(log.String(), line), log.String())
		})
	}
}

func TestHop_goesOnAfterAKill(t *testing.T) {
	needsTag(t)
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		var attempts list[int]
		s := tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
			if attempts.add(m.Attempt); m.Attempt < 3 {
				return adapter.Retry(errDown)
			}
			return adapter.Commit()
		}, time.Hour)
		s.Retry.InPlace = 1
		h.CreateTopics("t")
		h.Adapter()
		second := h.NewAdapter() // p2
		subscribe(t, second, s)
		rec := h.Publish(event{"t", "k", "v"})
		until(t, "it has moved", func() bool { return committed(h, 0) == 1 })
		kill(h, "p2", second)
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		assert.Equal(t, []int{1, 2, 3}, attempts.all())
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

func TestOnHeldLimit_hopMovesWhatFailsAndItsKeyGoesOn(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var good list[string]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if string(m.Key) == "bad" && m.Topic == "t" && m.Attempt <= 2 {
				return adapter.RetryAfter(errDown, 20*time.Second)
			}
			good.add(string(m.Key))
			return adapter.Commit()
		})
		s.Retry.Tiers, s.OnHeldLimit, s.MaxHeldRecords = []time.Duration{time.Hour}, adapter.Hop, 5
		c := h.Subscribe(s)
		var es []adapter.Event
		for range 50 {
			es = append(es, event{"t", "bad", ""}, event{"t", "good", ""})
		}
		recs := h.PublishAll(es...)
		until(t, "all of the good key are done", func() bool { return good.len() == 50 })
		assert.NoError(t, c.Status().Partitions[0].Full)
		h.Settle()
		assert.Equal(t, 100, good.len())
		assert.Positive(t, h.Fate(recs[0]).Hops)
		for _, r := range recs {
			assert.Equal(t, harness.Committed, h.Fate(r).Kind)
		}
	})
}

func TestSubscribe_refusesTiersThatCannotWork(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		h.CreateTopics("t.g.retry.1m")
		for field, change := range map[string]func(*adapter.Subscription){
			"Subscription.Retry.Tiers: are of no use: records of a ByKey subscription stay in their place, unless OnHeldLimit is Hop": func(s *adapter.Subscription) { s.Order = adapter.ByKey },
			"Subscription.OnHeldLimit: is Hop, which needs Retry.Tiers to hop to":                                                     func(s *adapter.Subscription) { s.OnHeldLimit, s.Retry.Tiers = adapter.Hop, nil },
			"Subscription.OnHeldLimit: is 7: want Block or Hop":                                                                       func(s *adapter.Subscription) { s.OnHeldLimit = 7 },
			"Subscription.Retry.Tiers: are [1h0m0s 1m0s]: name the shortest first":                                                    func(s *adapter.Subscription) { s.Retry.Tiers = []time.Duration{time.Hour, time.Minute} },
			"Subscription.Retry.InPlace: is negative":                                                                                 func(s *adapter.Subscription) { s.Retry.InPlace = -1 },
			"a topic of the subscription":                                                                                             func(s *adapter.Subscription) { s.Topics = append(s.Topics, "t.g.retry.1m") },
		} {
			s := tiered(commits, time.Minute)
			change(&s)
			_, err := h.Adapter().Subscribe(t.Context(), s)
			var config *adapter.ConfigError
			require.ErrorAs(t, err, &config, field)
			assert.True(t, strings.Contains(err.Error(), field), err)
			assert.True(t, errors.Is(err, adapter.ErrConfig))
		}
	})
}

func TestHop_headersAreBelievedOnOwnTopicsOnly(t *testing.T) {
	p := placeOf(t)
	p.test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		retry := adapter.RetryTopic("t", "g", p.minute)
		var seen list[string]
		h.Subscribe(tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
			seen.add(fmt.Sprintf("%s attempt %d of %s", m.Topic, m.Attempt, m.ID()))
			return adapter.Commit()
		}, p.minute))
		trail := []adapter.Header{
			{Key: adapter.HeaderID, Value: []byte("t/7/42")}, {Key: adapter.HeaderAttempt, Value: []byte("3")},
			{Key: adapter.HeaderTimestamp, Value: []byte("2000-01-01T00:00:00Z")}, {Key: adapter.HeaderGroup, Value: []byte("g")},
		}
		h.Publish(placed{event: event{"t", "k", "v"}, headers: trail})
		h.Publish(placed{event: event{retry, "k", "v"}, headers: trail})
		h.Settle()
		assert.ElementsMatch(t, []string{"t attempt 1 of t/0/0/g", retry + " attempt 4 of t/7/42/g"}, seen.all())
	})
}

func TestHop_keepsThePartition(t *testing.T) {
	harness.Config{Partitions: 3}.Run(t, func(t *testing.T, h *harness.Harness) {
		s := tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
			assert.Equal(t, string(m.Value), fmt.Sprint(m.Partition))
			if m.Attempt < 4 {
				return adapter.Retry(errDown)
			}
			return adapter.Reject(errDown)
		}, time.Minute)
		s.Retry.InPlace = 1
		h.Subscribe(s)
		for range 5 {
			h.PublishAll(at(0, "0"), at(1, "1"), at(2, "2"))
		}
		h.Settle()
		for _, topic := range []string{"t.g.retry.1m", "t.g.dlt"} {
			for _, r := range h.Topic(topic).Records() {
				assert.Equal(t, string(r.Value), fmt.Sprint(r.Partition))
			}
		}
	})
}

func TestHop_aPostponedRecordIsNotEarlyAfterARebalance(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		start := time.Now()
		var at list[string]
		s := tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
			at.add(fmt.Sprint(m.Attempt, " ", time.Since(start).Truncate(time.Hour)))
			if m.Attempt == 1 {
				return adapter.RetryAfter(errDown, 10*time.Hour)
			}
			return adapter.Commit()
		}, time.Hour)
		h.CreateTopics("t")
		first := subscribe(t, h.NewAdapter(), s)
		h.Publish(event{"t", "k", "v"})
		until(t, "it has moved", func() bool { return committed(h, 0) == 1 })
		f := h.Broker().Refuse(kerr.NotEnoughReplicas, produceTo("t.g.retry.1h"))
		time.Sleep(61 * time.Minute)
		require.NotZero(t, f.Hits(), "it cannot move on")
		require.NoError(t, first.Close(t.Context()))
		f.Clear()
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		assert.Equal(t, []string{"1 0s", "2 10h0m0s"}, at.all())
	})
}

func TestOnHeldLimit_hopIsNoEarlierThanTheHandlerAsked(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		start := time.Now()
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt == 1 {
				return adapter.RetryAfter(errDown, 50*time.Minute)
			}
			assert.GreaterOrEqual(t, time.Since(start), 50*time.Minute)
			return adapter.Commit()
		})
		s.Retry.Tiers, s.OnHeldLimit, s.MaxHeldRecords = []time.Duration{time.Second, time.Hour}, adapter.Hop, 2
		h.Subscribe(s)
		h.PublishAll(numbered(6)...)
		h.Settle()
	})
}

func TestMaxAge_onARetryTopicLeavesOutNoGateFromBefore(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		gate := &harness.GateSpy{}
		gate.DownUntil(time.Now().Add(4*time.Hour), errDown)
		s := tiered(func(context.Context, *adapter.Message) adapter.Result { return adapter.Retry(errDown) }, 10*time.Minute)
		s.Gate, s.Retry.MaxAge, s.Retry.Attempts = gate.Check, time.Hour, 1000
		h.Subscribe(s)
		h.Publish(event{"t", "k", "before"})
		time.Sleep(5 * time.Hour)
		rec := h.Publish(event{"t", "k", "v"})
		h.Settle()
		assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
		assert.Less(t, h.Fate(rec).Attempts, 12)
	})
}

// closedFrom is a gate that is closed for four hours.
func closedFrom(closes time.Time) func(context.Context) error {
	return func(context.Context) error {
		if d := time.Since(closes); d >= 0 && d < 4*time.Hour {
			return errDown
		}
		return nil
	}
}

func TestMaxAge_leavesOutTheGateBeforeAndAfterAHop(t *testing.T) {
	for name, c := range map[string]struct {
		inPlace      int
		exactlyOnce  bool
		delay, after time.Duration // of the first attempt; when the gate closes
	}{
		"while the record is on the retry topic":     {inPlace: 1, after: time.Second},
		"while it goes on to another, not being due": {inPlace: 1, delay: 10 * time.Minute, after: 5 * time.Minute},
		"before it goes there":                       {inPlace: 2, after: time.Second},
		"before it goes there, with the commit":      {inPlace: 2, after: time.Second, exactlyOnce: true},
	} {
		t.Run(name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				var attempts list[int]
				s := tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
					switch attempts.add(m.Attempt); {
					case m.Attempt == 1 && c.delay > 0:
						return adapter.RetryAfter(errDown, c.delay)
					case m.Attempt < 4:
						return adapter.Retry(errDown)
					}
					return adapter.Commit()
				}, time.Minute)
				s.Gate, s.ExactlyOnceHops = closedFrom(time.Now().Add(c.after)), c.exactlyOnce
				s.Retry.MaxAge, s.Retry.InPlace = time.Hour, c.inPlace
				s.Retry.MinBackoff, s.Retry.MaxBackoff = 10*time.Second, 10*time.Second
				h.Subscribe(s)
				rec := h.Publish(event{"t", "k", "v"})
				time.Sleep(5 * time.Hour)
				h.Settle()
				assert.Equal(t, []int{1, 2, 3, 4}, attempts.all())
				assert.Equal(t, harness.Committed, h.Fate(rec).Kind, h.Fate(rec))
			})
		})
	}
}

// What the next member cannot know of the gate, the record tells it.
func TestMaxAge_leavesOutTheGateOfTheMemberBefore(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := tiered(fails, 10*time.Minute)
		s.Gate, s.Retry.MaxAge, s.Retry.InPlace = closedFrom(time.Now().Add(time.Second)), time.Hour, 2
		s.Retry.MinBackoff, s.Retry.MaxBackoff = 10*time.Second, 10*time.Second
		h.CreateTopics("t")
		first := subscribe(t, h.NewAdapter(), s)
		rec := h.Publish(event{"t", "k", "v"})
		time.Sleep(4*time.Hour + time.Minute)
		require.Equal(t, int64(1), committed(h, 0), "it is on the retry topic")
		require.NoError(t, first.Close(t.Context()))
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		var age *adapter.AgeError
		require.ErrorAs(t, h.Fate(rec).Err, &age)
		assert.Equal(t, 8, age.Attempts, "2, and one every 10 minutes of an hour")
		assert.Less(t, age.Age, 70*time.Minute)
	})
}

func TestCountBeforeRun_onARetryTopicKeepsWhenItFailedFirst(t *testing.T) {
	needsTag(t)
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		start := time.Now()
		attempts := make(chan time.Time)
		s := tiered(func(ctx context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt == 1 {
				return adapter.Retry(errDown)
			}
			attempts <- m.FirstFailed
			if m.Attempt == 2 {
				<-ctx.Done()
			}
			return adapter.Commit()
		}, time.Hour)
		s.CountBeforeRun, s.Retry.InPlace = true, 1
		h.CreateTopics("t")
		h.Adapter()
		first := h.NewAdapter()
		subscribe(t, first, s)
		h.Publish(event{"t", "k", "v"})
		assert.WithinDuration(t, start, <-attempts, time.Minute)
		kill(h, "p2", first)
		subscribe(t, h.NewAdapter(), s)
		assert.WithinDuration(t, start, <-attempts, time.Minute)
		h.Settle()
	})
}
