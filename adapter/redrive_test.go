package adapter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// redrivable is a subscription of group g that takes back dead letters.
func redrivable(handle adapter.HandlerFunc) adapter.Subscription {
	s := subscription(handle)
	s.Redrive = true
	return s
}

var everything = adapter.RedriveSpec{Topic: "t", Group: "g", Apply: true}

// give makes dead letters of group g: a value each, that says key, or key and
// error.
func give(t *testing.T, h *harness.Harness, letters ...string) {
	t.Helper()
	c := h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
		return adapter.Reject(errors.New(string(m.Value)))
	}))
	for _, l := range letters {
		key, text, _ := strings.Cut(l, ":")
		h.Publish(placed{event{"t", key, text}, 0, []adapter.Header{{Key: "mine", Value: []byte(key)}}})
		h.Settle() // one after another, whatever their keys
	}
	require.NoError(t, c.Close(t.Context()))
}

func redriveAll(t *testing.T, a *adapter.Adapter, s adapter.RedriveSpec) adapter.RedriveTally {
	t.Helper()
	tally, err := a.Redrive(t.Context(), s)
	require.NoError(t, err)
	assert.Equal(t, tally.Seen, tally.Unknown+tally.Filtered+tally.Matched, "%+v", tally)
	assert.Equal(t, tally.Matched, tally.Redriven+tally.Already+tally.Capped+tally.TooLarge+tally.Would, "%+v", tally)
	return tally
}

func TestRedrive_givesTheHandlerAnotherChance(t *testing.T) {
	harness.Config{Partitions: 3}.Run(t, func(t *testing.T, h *harness.Harness) {
		broken := true
		var handled list[*adapter.Message]
		s := redrivable(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(m)
			if broken {
				return adapter.Retry(errors.New("no database"))
			}
			return adapter.Commit()
		})
		s.Retry.Attempts = 3
		c := h.Subscribe(s)
		rec := h.Publish(placed{event{"t", "k", []byte{0, 255}}, 2, []adapter.Header{{Key: "traceparent", Value: []byte("00-1")}, {Key: "retry-redriven", Value: []byte("77")}}})
		h.Settle()
		require.Len(t, h.Topic("t.g.dlt").Records(), 1)
		broken = false
		time.Sleep(48 * time.Hour)
		assert.Equal(t, adapter.RedriveTally{Seen: 1, Matched: 1, Redriven: 1}, redriveAll(t, h.Adapter(), everything))
		h.Settle()

		all := handled.all()
		require.Len(t, all, 4)
		again := all[3]
		assert.Equal(t, []any{"t.g.redrive", int32(2), "k", []byte{0, 255}}, []any{again.Topic, again.Partition, string(again.Key), again.Value})
		assert.Equal(t, 1, again.Attempt, "attempts are counted anew")
		assert.Zero(t, again.FirstFailed)
		assert.Equal(t, all[0].ID(), again.ID())
		assert.True(t, again.Timestamp.Equal(rec.Timestamp))
		assert.Equal(t, []adapter.Header{{Key: "traceparent", Value: []byte("00-1")}}, again.Headers)
		assert.Len(t, h.Topic("t.g.dlt").Records(), 1, "it stays there")
		assert.Equal(t, "1", h.Topic("t.g.redrive").Records()[0].Header(adapter.HeaderRedriven))
		assert.Equal(t, []string{"t", "t.g.redrive"}, c.Status().Topics)
	})
}

func TestRedrive_goesToItsGroupOnly(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[string]
		for _, group := range []string{"g", "other"} {
			s := redrivable(func(_ context.Context, m *adapter.Message) adapter.Result {
				handled.add(m.Group)
				if m.Topic == "t" {
					return adapter.Reject(errors.New("bad"))
				}
				return adapter.Commit()
			})
			s.Group = group
			h.Subscribe(s)
		}
		// What headers say does not decide where it goes.
		h.Publish(placed{event{"t", "k", "v"}, 0, []adapter.Header{{Key: "retry-id", Value: []byte("u/0/0")}, {Key: "retry-group", Value: []byte("other")}}})
		h.Settle()
		redriveAll(t, h.Adapter(), everything)
		h.Settle()
		got := handled.all()
		require.Len(t, got, 3)
		assert.Equal(t, "g", got[2])
		assert.Empty(t, h.Topic("t.other.redrive").Records())
	})
}

func TestRedrive_isADryRunUnlessItIsApplied(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending() // nobody consumes what is redriven
		give(t, h, "a:one", "b:two")
		dry := everything
		dry.Apply = false
		var told []string
		dry.Each = func(l *adapter.DeadLetter, o adapter.RedriveOutcome) {
			told = append(told, fmt.Sprint(o, " ", l.Partition, " ", l.Offset, " ", string(l.Key), " ", l.Error, " ", l.Attempts, " ", l.Origin))
			assert.Equal(t, []adapter.Header{{Key: "mine", Value: l.Key}}, l.Headers)
		}
		for range 2 {
			told = nil
			assert.Equal(t, adapter.RedriveTally{Seen: 2, Matched: 2, Would: 2}, redriveAll(t, h.Adapter(), dry))
			assert.Equal(t, []string{"would redrive 0 0 a one 1 t/0/0", "would redrive 0 1 b two 1 t/0/1"}, told)
			assert.Empty(t, topicOf(h, "t.g.redrive").Name, "nothing is made")
		}
		redriveAll(t, h.Adapter(), everything)
		assert.Equal(t, adapter.RedriveTally{Seen: 2, Matched: 2, Already: 2}, redriveAll(t, h.Adapter(), dry))
	})
}

func TestRedrive_takesWhatTheFiltersLetThrough(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		give(t, h, "a:database is locked", "b:no such file")
		time.Sleep(time.Hour)
		give(t, h, "a:no such file", ":database is locked")
		c := h.Subscribe(subscription(rejects(errors.New("no such file"))))
		h.Publish(at(1, "elsewhere"))
		h.Settle()
		require.NoError(t, c.Close(t.Context()))
		for name, f := range map[string]struct {
			want   string // partitions and offsets
			filter func(*adapter.RedriveSpec)
		}{
			"none":       {"0/0 0/1 0/2 0/3 1/0", func(*adapter.RedriveSpec) {}},
			"error":      {"0/0 0/3", func(s *adapter.RedriveSpec) { s.ErrorContains = "locked" }},
			"key":        {"0/0 0/2", func(s *adapter.RedriveSpec) { s.Key = []byte("a") }},
			"empty key":  {"", func(s *adapter.RedriveSpec) { s.Key = []byte{} }},
			"old":        {"0/0 0/1", func(s *adapter.RedriveSpec) { s.MinAge = 30 * time.Minute }},
			"new":        {"0/2 0/3 1/0", func(s *adapter.RedriveSpec) { s.MaxAge = 30 * time.Minute }},
			"partition":  {"1/0", func(s *adapter.RedriveSpec) { s.Partitions = []int32{1} }},
			"from":       {"0/2 0/3", func(s *adapter.RedriveSpec) { s.FromOffset = 2 }},
			"until":      {"0/0 0/1 1/0", func(s *adapter.RedriveSpec) { s.UntilOffset = 2 }},
			"range":      {"0/1", func(s *adapter.RedriveSpec) { s.FromOffset, s.UntilOffset = 1, 2 }},
			"far range":  {"", func(s *adapter.RedriveSpec) { s.FromOffset, s.UntilOffset = 100, 200 }},
			"match":      {"0/3", func(s *adapter.RedriveSpec) { s.Match = func(l *adapter.DeadLetter) bool { return l.Key == nil } }},
			"limit":      {"0/0 0/1", func(s *adapter.RedriveSpec) { s.Limit = 2 }},
			"all of two": {"0/0", func(s *adapter.RedriveSpec) { s.Key, s.ErrorContains = []byte("a"), "locked" }},
		} {
			s := adapter.RedriveSpec{Topic: "t", Group: "g"}
			f.filter(&s)
			var got []string
			s.Each = func(l *adapter.DeadLetter, _ adapter.RedriveOutcome) {
				got = append(got, fmt.Sprintf("%d/%d", l.Partition, l.Offset))
			}
			tally := redriveAll(t, h.Adapter(), s)
			assert.Equal(t, f.want, strings.Join(got, " "), name)
			assert.Equal(t, len(got), tally.Would, name)
		}
	})
}

func TestRedrive_goesOnWhereItWasInterrupted(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending() // nobody consumes what is redriven
		give(t, h, "a", "b", "c", "d", "e")
		ctx, cancel := context.WithCancel(t.Context())
		s := everything
		s.Match = func(l *adapter.DeadLetter) bool {
			if l.Offset == 2 {
				cancel()
			}
			return true
		}
		first, err := h.Adapter().Redrive(ctx, s)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 3, first.Redriven, "what was under way counts")
		assert.Len(t, h.Topic("t.g.redrive").Records(), 3)
		s.Match = nil
		assert.Equal(t, adapter.RedriveTally{Seen: 5, Matched: 5, Already: 3, Redriven: 2}, redriveAll(t, h.NewAdapter(), s))
		assert.Equal(t, adapter.RedriveTally{Seen: 5, Matched: 5, Already: 5}, redriveAll(t, h.Adapter(), s))
		var keys []string
		for _, r := range h.Topic("t.g.redrive").Records() {
			keys = append(keys, string(r.Key))
		}
		assert.Equal(t, []string{"a", "b", "c", "d", "e"}, keys)
	})
}

// The answer to a produce is lost, and so is the process: the record is there.
func TestRedrive_afterACrashKnowsWhatTheBrokerHas(t *testing.T) {
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending() // nobody consumes what is redriven
		give(t, h, "a", "b", "c")
		require.NoError(t, h.Adapter().EnsureTopicsOf(t.Context(), "g", "t", nil, true))
		h.Broker().DropAfter(fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, Topic: "t.g.redrive", ClientID: "p2"})
		second := h.NewAdapter()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := second.Redrive(ctx, everything)
		require.Error(t, err)
		kill(h, "p2", second)
		have := len(h.Topic("t.g.redrive").Records())
		require.NotZero(t, have)
		assert.Equal(t, adapter.RedriveTally{Seen: 3, Matched: 3, Already: have, Redriven: 3 - have}, redriveAll(t, h.Adapter(), everything))
		assert.Len(t, h.Topic("t.g.redrive").Records(), 3)
	})
}

func TestRedrive_ofWhatFailsAgainIsCapped(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		runs := 0
		h.Subscribe(redrivable(func(context.Context, *adapter.Message) adapter.Result {
			runs++
			return adapter.Reject(errors.New("still bad"))
		}))
		h.Publish(event{"t", "k", "v"})
		h.Settle()
		assert.Equal(t, adapter.RedriveTally{Seen: 1, Matched: 1, Redriven: 1}, redriveAll(t, h.Adapter(), everything))
		h.Settle()
		assert.Equal(t, adapter.RedriveTally{Seen: 2, Matched: 2, Already: 1, Capped: 1}, redriveAll(t, h.Adapter(), everything))
		thrice := everything
		thrice.MaxRedrives = 3
		for n := 2; n <= 3; n++ {
			assert.Equal(t, adapter.RedriveTally{Seen: n, Matched: n, Already: n - 1, Redriven: 1}, redriveAll(t, h.Adapter(), thrice))
			h.Settle()
		}
		assert.Equal(t, adapter.RedriveTally{Seen: 4, Matched: 4, Already: 3, Capped: 1}, redriveAll(t, h.Adapter(), thrice))
		assert.Equal(t, 4, runs)
		letters := h.Topic("t.g.dlt").Records()
		assert.Equal(t, "3", letters[3].Header(adapter.HeaderRedriven))
		for _, l := range letters {
			assert.Equal(t, "t/0/0", l.Header(adapter.HeaderID))
		}
	})
}

// A crash between publishing a dead letter and marking it makes two of one.
func TestRedrive_takesADeadLetterThatIsThereTwiceOnce(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		require.NoError(t, h.Adapter().EnsureTopicsOf(t.Context(), "g", "t", nil, true))
		m := &adapter.Message{Topic: "t", Group: "g", Attempt: 1, Timestamp: time.Now(), Origin: adapter.Origin{Topic: "t"}}
		for range 2 {
			require.NoError(t, h.Adapter().MoveToDeadLetters("t", m, errors.New("bad")).Publish(t.Context()))
		}
		assert.Equal(t, adapter.RedriveTally{Seen: 2, Matched: 2, Redriven: 1, Already: 1}, redriveAll(t, h.Adapter(), everything))
	})
}

func TestRedrive_leavesAloneWhatItCannotBelieve(t *testing.T) {
	var log strings.Builder
	cfg := harness.Config{Adapter: func(c *adapter.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending() // nobody consumes what is redriven
		give(t, h, "a")
		h.Topic("t.g.dlt").Append(
			harness.Record{Value: []byte("without headers")},
			harness.Record{Value: []byte("forged"), Headers: []adapter.Header{{Key: "retry-id", Value: []byte("u/0/0")}, {Key: "retry-group", Value: []byte("g")}}},
		)
		assert.Equal(t, adapter.RedriveTally{Seen: 3, Unknown: 2, Matched: 1, Redriven: 1}, redriveAll(t, h.Adapter(), everything))
	})
	assert.Contains(t, log.String(), "headers are not believed")
}

func TestRedrive_consumedRecordsWithForgedHeadersCountAsFirstPublishedThere(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var got list[*adapter.Message]
		h.Subscribe(redrivable(func(_ context.Context, m *adapter.Message) adapter.Result {
			got.add(m)
			return adapter.Reject(errors.New("bad"))
		}))
		h.Topic("t.g.redrive").Append(harness.Record{Value: []byte("v"), Headers: []adapter.Header{{Key: "retry-attempt", Value: []byte("500")}}})
		h.Settle()
		require.Len(t, got.all(), 1)
		assert.Equal(t, "t.g.redrive/0/0/g", got.all()[0].ID())
		assert.Equal(t, 1, got.all()[0].Attempt)
		assert.Len(t, got.all()[0].Headers, 1, "they are kept")
		letters := h.Topic("t.g.dlt").Records()
		require.Len(t, letters, 1)
		assert.Equal(t, "t.g.redrive/0/0", letters[0].Header(adapter.HeaderID))
		// From there on the record has a history, and may be taken back like
		// any other.
		assert.Equal(t, adapter.RedriveTally{Seen: 1, Matched: 1, Redriven: 1}, redriveAll(t, h.Adapter(), everything))
		h.Settle()
		assert.Equal(t, "t.g.redrive/0/0/g", got.all()[1].ID())
	})
}

// Only records of retry topics wait for a time, and they wait for no other of their
// key. Somebody else may write what he likes to a redrive topic.
func TestRedrive_ofRecordsThatSayWhenTheyAreDueDoesNotWait(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var got list[string]
		h.Subscribe(redrivable(func(_ context.Context, m *adapter.Message) adapter.Result {
			got.add(fmt.Sprint(string(m.Value), " ", m.Attempt))
			if string(m.Value) == "a" && m.Attempt == 1 {
				return adapter.RetryAfter(errDown, time.Minute)
			}
			return adapter.Commit()
		}))
		h.Settle()
		now := strconv.FormatInt(time.Now().UnixMilli(), 10)
		later := strconv.FormatInt(time.Now().Add(5*time.Second).UnixMilli(), 10)
		forged := []adapter.Header{
			{Key: adapter.HeaderGroup, Value: []byte("g")}, {Key: adapter.HeaderID, Value: []byte("t/0/0")},
			{Key: adapter.HeaderAttempt, Value: []byte("0")}, {Key: adapter.HeaderTimestamp, Value: []byte(now)},
			{Key: adapter.HeaderNotBefore, Value: []byte(later)},
		}
		h.Topic("t.g.redrive").Append(
			harness.Record{Key: []byte("k"), Value: []byte("a")},
			harness.Record{Key: []byte("k"), Value: []byte("b"), Headers: forged},
		)
		h.Settle()
		assert.Equal(t, []string{"a 1", "a 2", "b 1"}, got.all())
	})
}

func TestRedrive_dropsTheSpringHeadersThatTheAdapterWrote(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending() // nobody consumes what is redriven
		s := subscription(rejects(errors.New("bad")))
		s.SpringHeaders = true
		c := h.Subscribe(s)
		h.Publish(placed{event{"t", "", ""}, 0, []adapter.Header{{Key: "kafka_dlt-mine", Value: nil}}})
		h.Settle()
		require.NoError(t, c.Close(t.Context()))
		redriveAll(t, h.Adapter(), everything)
		for _, header := range h.Topic("t.g.redrive").Records()[0].Headers {
			assert.True(t, strings.HasPrefix(header.Key, "retry-") || header.Key == "kafka_dlt-mine", header.Key)
		}
	})
}

func TestRedrive_isNotSkippedByAGroupThatStartsWithTheLatest(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		give(t, h, "a")
		redriveAll(t, h.Adapter(), everything)
		handled := 0
		s := redrivable(func(context.Context, *adapter.Message) adapter.Result { handled++; return adapter.Commit() })
		s.StartFrom = adapter.FromLatest
		h.Subscribe(s)
		h.Settle()
		assert.Equal(t, 1, handled)
	})
}

func TestRedrive_batchesAreTakenBackToo(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		give(t, h, "a", "b")
		var got []string
		s := batches(func(_ context.Context, b *adapter.Batch) error {
			for _, m := range b.Messages {
				got = append(got, m.ID())
			}
			return nil
		})
		s.Redrive = true
		h.SubscribeBatch(s)
		redriveAll(t, h.Adapter(), everything)
		h.Settle()
		assert.Equal(t, []string{"t/0/0/g", "t/0/1/g"}, got)
	})
}

func TestRedrive_triesAgainWhileThatCanHelp(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending() // nobody consumes what is redriven
		give(t, h, "a", "b")
		f := h.Broker().Refuse(kerr.NotEnoughReplicas, produceTo("t.g.redrive"))
		done := make(chan adapter.RedriveTally)
		go func() { done <- redriveAll(t, h.Adapter(), everything) }()
		time.Sleep(10 * time.Minute)
		assert.NotZero(t, f.Hits())
		f.Clear()
		assert.Equal(t, 2, (<-done).Redriven)
		assert.Len(t, h.Topic("t.g.redrive").Records(), 2)
	})
}

func TestRedrive_stopsWhereItIsRefusedForGood(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		give(t, h, "a", "b")
		f := h.Broker().Refuse(kerr.TopicAuthorizationFailed, produceTo("t.g.redrive"))
		tally, err := h.Adapter().Redrive(t.Context(), everything)
		require.ErrorIs(t, err, kerr.TopicAuthorizationFailed)
		assert.Contains(t, err.Error(), "t.g.dlt/0/0")
		assert.Zero(t, tally.Redriven)
		f.Clear()
		h.Broker().Refuse(kerr.TopicAuthorizationFailed, fakebroker.Scope{APIs: []kmsg.Key{kmsg.Fetch}, Topic: "t.g.dlt"})
		_, err = h.Adapter().Redrive(t.Context(), everything)
		var refused *adapter.RefusedError
		require.ErrorAs(t, err, &refused)
		assert.Contains(t, err.Error(), "t.g.dlt")
	})
}

func TestRedrive_ofWhatIsTooLargeIsCountedAndTheRestGoesOn(t *testing.T) {
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.ClientOptions = []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())}
	}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending()
		c := h.Subscribe(redrivable(rejects(errors.New("bad"))))
		h.PublishAll(event{"t", "", bytes.Repeat([]byte{'v'}, 20_000)}, event{"t", "", "small"})
		h.Settle()
		require.NoError(t, c.Close(t.Context()))
		limit(t, h, "t.g.redrive", "10000")
		h.Broker().Refuse(kerr.TopicAuthorizationFailed, fakebroker.Scope{APIs: []kmsg.Key{kmsg.DescribeConfigs}})
		s := everything
		s.Each = func(l *adapter.DeadLetter, o adapter.RedriveOutcome) {
			assert.Equal(t, len(l.Value) > 10_000, o == adapter.RedriveTooLarge)
		}
		assert.Equal(t, adapter.RedriveTally{Seen: 2, Matched: 2, Redriven: 1, TooLarge: 1}, redriveAll(t, h.Adapter(), s))
	})
}

func TestRedrive_readsPastTransactionsAndWhatWasDeleted(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending() // nobody consumes what is redriven
		give(t, h, "a", "b", "c")
		h.Topic("t.g.dlt").AppendAborted(harness.Record{Value: []byte("never was")})
		cl, err := kgo.NewClient(h.ClientOptions("operator")...)
		require.NoError(t, err)
		defer cl.Close()
		var offsets kadm.Offsets
		offsets.AddOffset("t.g.dlt", 0, 2, -1)
		_, err = kadm.NewClient(cl).DeleteRecords(t.Context(), offsets)
		require.NoError(t, err)
		assert.Equal(t, adapter.RedriveTally{Seen: 1, Matched: 1, Redriven: 1}, redriveAll(t, h.Adapter(), everything))
	})
}

func TestRedrive_endsAlsoWhenTheRestIsDeletedMeanwhile(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		give(t, h, "a", "b", "c")
		slow := h.Broker().Refuse(kerr.NotLeaderForPartition, fakebroker.Scope{APIs: []kmsg.Key{kmsg.Fetch}, Topic: "t.g.dlt"})
		done := make(chan adapter.RedriveTally)
		go func() { done <- redriveAll(t, h.Adapter(), everything) }()
		time.Sleep(time.Minute)
		cl, err := kgo.NewClient(h.ClientOptions("operator")...)
		require.NoError(t, err)
		defer cl.Close()
		var offsets kadm.Offsets
		offsets.AddOffset("t.g.dlt", 0, 3, -1)
		_, err = kadm.NewClient(cl).DeleteRecords(t.Context(), offsets)
		require.NoError(t, err)
		assert.Zero(t, (<-done).Seen)
		slow.Clear()
	})
}

func TestRedrive_needsItsTopics(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		for _, apply := range []bool{false, true} {
			s := everything
			s.Apply = apply
			_, err := h.Adapter().Redrive(t.Context(), s)
			var unknown *adapter.UnknownTopicError
			require.ErrorAs(t, err, &unknown)
			assert.Equal(t, "t.g.dlt", unknown.Topic)
		}
		assert.Empty(t, topicOf(h, "t.g.redrive").Name)
		give(t, h, "a")
		s := everything
		s.NoTopicCreation = true
		_, err := h.Adapter().Redrive(t.Context(), s)
		var missing *adapter.MissingTopicsError
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, "t.g.redrive", missing.Topics[0].Name)
		s = everything
		s.Partitions = []int32{0, 7}
		_, err = h.Adapter().Redrive(t.Context(), s)
		var bad *adapter.ConfigError
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, "RedriveSpec.Partitions", bad.Field)
	})
}

func TestRedrive_refusesWhatCannotWork(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		for _, c := range []struct {
			field  string
			change func(*adapter.RedriveSpec)
		}{
			{"Topic", func(s *adapter.RedriveSpec) { s.Topic = "" }},
			{"Topic", func(s *adapter.RedriveSpec) { s.Topic = "a b" }},
			{"Group", func(s *adapter.RedriveSpec) { s.Group = "" }},
			{"Partitions", func(s *adapter.RedriveSpec) { s.Partitions = []int32{0, -1} }},
			{"FromOffset", func(s *adapter.RedriveSpec) { s.FromOffset = -1 }},
			{"UntilOffset", func(s *adapter.RedriveSpec) { s.UntilOffset = -1 }},
			{"UntilOffset", func(s *adapter.RedriveSpec) { s.FromOffset, s.UntilOffset = 5, 5 }},
			{"MinAge", func(s *adapter.RedriveSpec) { s.MinAge = -1 }},
			{"MaxAge", func(s *adapter.RedriveSpec) { s.MaxAge = -1 }},
			{"MaxAge", func(s *adapter.RedriveSpec) { s.MinAge, s.MaxAge = 2, 1 }},
			{"Limit", func(s *adapter.RedriveSpec) { s.Limit = -1 }},
			{"MaxRedrives", func(s *adapter.RedriveSpec) { s.MaxRedrives = -1 }},
		} {
			s := everything
			c.change(&s)
			_, err := h.Adapter().Redrive(t.Context(), s)
			var bad *adapter.ConfigError
			require.ErrorAs(t, err, &bad, c.field)
			assert.Equal(t, "RedriveSpec."+c.field, bad.Field)
		}
		s := redrivable(commits)
		s.OnReject = func(context.Context, *adapter.Message, error) error { return nil }
		_, err := h.Adapter().Subscribe(t.Context(), s)
		var bad *adapter.ConfigError
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, "Subscription.Redrive", bad.Field)
		s = redrivable(commits)
		s.Topics = []string{"t", "t.g.redrive"}
		_, err = h.Adapter().Subscribe(t.Context(), s)
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, "Subscription.Topics", bad.Field)
	})
}

func TestRedrive_ofManyRecords(t *testing.T) {
	harness.Config{Partitions: 4}.Run(t, func(t *testing.T, h *harness.Harness) {
		const n = 3000
		failing := true
		h.Subscribe(redrivable(func(_ context.Context, m *adapter.Message) adapter.Result {
			if failing {
				return adapter.Reject(errors.New("bad"))
			}
			return adapter.Commit()
		}))
		h.PublishAll(numbered(n)...)
		h.Settle()
		failing = false
		assert.Equal(t, adapter.RedriveTally{Seen: n, Matched: n, Redriven: n}, redriveAll(t, h.Adapter(), everything))
		h.Settle()
		for p := range int32(4) {
			assert.Equal(t,
				values(h.Topic("t.g.dlt").Records(harness.InPartition(p))),
				values(h.Topic("t.g.redrive").Records(harness.InPartition(p))))
		}
	})
}
