package harness_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// answers is a subscription of group g to t whose handler returns these results,
// one after another, and the last again and again.
func answers(results ...adapter.Result) adapter.Subscription {
	return adapter.Subscription{
		Topics: []string{"t"}, Group: "g", Redrive: true, Order: adapter.ByPartition,
		Handler: adapter.HandlerFunc(func(context.Context, *adapter.Message) adapter.Result {
			r := results[0]
			if len(results) > 1 {
				results = results[1:]
			}
			return r
		}),
	}
}

var down = adapter.Reject(errors.New("down"))

// redrive takes all dead letters of group g back, by way of an adapter, and says
// how many they were.
func redrive(t *testing.T, a *adapter.Adapter) int {
	t.Helper()
	tally, err := a.Redrive(t.Context(), adapter.RedriveSpec{Topic: "t", Group: "g", Apply: true, MaxRedrives: 9})
	require.NoError(t, err)
	return tally.Redriven
}

// stranger is an adapter that the harness did not make, as another process has.
func stranger(t *testing.T, h *harness.Harness) *adapter.Adapter {
	t.Helper()
	a, err := adapter.New(adapter.Config{ClientID: "stranger", ClientOptions: h.Broker().ClientOptions()})
	require.NoError(t, err)
	return a
}

func TestFate_ofARedrivenRecordIsWhatItsNextRunCameTo(t *testing.T) {
	for _, by := range []struct {
		name, line string
		adapter    func(t *testing.T, h *harness.Harness) *adapter.Adapter
	}{
		{"the same adapter", "", func(_ *testing.T, h *harness.Harness) *adapter.Adapter { return h.Adapter() }},
		{"another adapter", " by adapter 2", func(_ *testing.T, h *harness.Harness) *adapter.Adapter { return h.NewAdapter() }},
		{"another process", ` by client "stranger"`, stranger},
	} {
		t.Run(by.name, func(t *testing.T) {
			onBothClocks(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
				h.Subscribe(answers(down, adapter.Commit()))
				rec := h.Publish(text{"t", "k", "v"})
				h.Settle()
				assert.Equal(t, "t[0]@0 in group g: dead-lettered to t.g.dlt[0]@0 after 1 attempt, last error: down", h.Fate(rec).String())

				a := by.adapter(t, h)
				assert.Equal(t, 1, redrive(t, a))
				h.Settle()
				f := h.Fate(rec)
				assert.Equal(t, "t[0]@0 in group g: committed after 1 attempt (2 deliveries in all) and 1 redrive", f.String())
				assert.NoError(t, f.Err)
				assert.Equal(t, [4]int{1, 2, 0, 1}, [4]int{f.Attempts, f.Deliveries, f.Hops, f.Redrives})
				assert.Equal(t, "t.g.redrive[0]@0", f.Final.String())
				assertInOrder(t, h.Timeline(),
					"  t[0]@0 dead-lettered by g to t.g.dlt[0]@0: down\n",
					"  t[0]@0 redriven as t.g.redrive[0]@0"+by.line+"\n")
				assert.Equal(t, 1, strings.Count(h.Timeline(), "redriven"))
				require.NoError(t, a.Close(t.Context()))
			})
		})
	}
}

func TestFate_ofARecordThatFailsAgainAndIsRedrivenAgain(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := answers(down, adapter.Reject(errors.New("still down")), adapter.Commit())
		h.Subscribe(s)
		rec := h.Publish(text{"t", "k", "v"})
		h.Settle()
		require.Equal(t, 1, redrive(t, h.Adapter()))
		h.Settle()
		f := h.Fate(rec)
		assert.Equal(t, "t[0]@0 in group g: dead-lettered to t.g.dlt[0]@1 after 1 attempt (2 deliveries in all) and 1 redrive, last error: still down", f.String())
		assert.Equal(t, "still down", f.Final.Header(adapter.HeaderError))

		require.Equal(t, 1, redrive(t, h.Adapter()), "the second letter only")
		h.Settle()
		assert.Equal(t, "t[0]@0 in group g: committed after 1 attempt (3 deliveries in all) and 2 redrives", h.Fate(rec).String())
		again := h.Topic("t.g.redrive").Records()
		assert.Equal(t, "t.g.redrive[0]@0, redriven from t[0]@0, in group g: committed after 1 attempt (2 deliveries in all) and 1 redrive", h.Group("g").Fate(again[0]).String())
	})
}

func TestFate_ofARedrivenRecordFollowsItsHopsToo(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		minute, hour := adapter.RetryAfter(errors.New("busy"), time.Minute), adapter.RetryAfter(errors.New("busy"), time.Hour)
		s := answers(minute, down, minute, hour, adapter.Commit())
		s.Order, s.Retry.Tiers = adapter.Unordered, []time.Duration{time.Minute, time.Hour}
		h.Subscribe(s)
		rec := h.Publish(text{"t", "k", "v"})
		h.Settle()
		require.Equal(t, "t[0]@0 in group g: dead-lettered to t.g.dlt[0]@0 after 2 attempts and 1 hop, last error: down", h.Fate(rec).String())

		require.Equal(t, 1, redrive(t, h.Adapter()))
		h.Settle()
		want := "committed after 3 attempts (5 deliveries in all) and 3 hops and 1 redrive"
		assert.Equal(t, "t[0]@0 in group g: "+want, h.Fate(rec).String())

		hop := h.Topic("t.g.retry.1m").Records()[0]
		assert.Equal(t, "t.g.retry.1m[0]@0 in group g: committed after 3 attempts (4 deliveries in all) and 2 hops and 1 redrive", h.Group("g").Fate(hop).String())
	})
}

func TestFate_ofARedrivenRecordIsPendingWhileItWaits(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		c := h.Subscribe(answers(down))
		rec := h.Publish(text{"t", "k", "v"})
		h.Settle()
		require.NoError(t, c.Close(t.Context()))
		require.Equal(t, 1, redrive(t, h.NewAdapter()))
		h.Settle() // nobody is there to wait for
		f := h.Fate(rec)
		assert.Equal(t, "t[0]@0 in group g: pending as t.g.redrive[0]@0 after 1 attempt and 1 redrive, last error: down", f.String())
		assert.Equal(t, 1, f.Redrives)

		h.Subscribe(answers(adapter.Retry(errors.New("busy")), adapter.Commit()))
		h.Settle()
		assert.Equal(t, "t[0]@0 in group g: committed after 2 attempts (3 deliveries in all) and 1 redrive", h.Fate(rec).String())
	})
}

func TestFate_ofARedrivenRecordThatNobodyConsumes(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.AllowPending()
		s := answers(down)
		s.Redrive = false
		h.Subscribe(s)
		rec := h.Publish(text{"t", "k", "v"})
		h.Settle()
		require.Equal(t, 1, redrive(t, h.Adapter()))
		h.Settle() // nothing more happens
		assert.Equal(t, "t[0]@0 in group g: pending as t.g.redrive[0]@0 after 1 attempt and 1 redrive, last error: down", h.Fate(rec).String())
	})
}

func TestFate_ofARedrivenRecordThatWasDeleted(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		c := h.Subscribe(answers(down))
		rec := h.Publish(text{"t", "k", "v"})
		h.Settle()
		require.NoError(t, c.Close(t.Context()))
		require.Equal(t, 1, redrive(t, h.Adapter()))
		assertKind(t, harness.Pending, h.Fate(rec))

		cl, err := kgo.NewClient(h.ClientOptions("operator")...)
		require.NoError(t, err)
		defer cl.Close()
		all := kadm.Offsets{}
		all.Add(kadm.Offset{Topic: "t.g.redrive", At: 1})
		_, err = kadm.NewClient(cl).DeleteRecords(t.Context(), all)
		require.NoError(t, err)
		assertKind(t, harness.Expired, h.Fate(rec))
	})
}

func TestSettle_waitsForRedrivenRecords(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := answers(down, adapter.Retry(errors.New("busy")), adapter.Commit())
		s.Retry.MinBackoff, s.Retry.MaxBackoff = time.Hour, time.Hour
		h.Subscribe(s)
		rec := h.Publish(text{"t", "k", "v"})
		h.Settle()
		require.Equal(t, 1, redrive(t, h.NewAdapter()))
		start := time.Now()
		h.Settle()
		assert.Greater(t, time.Since(start), 20*time.Minute)
		assertKind(t, harness.Committed, h.Fate(rec))
	})
}

func TestFate_ofARedrivenRecordWhoseDetailsAreForgotten(t *testing.T) {
	harness.Config{MaxFates: 1}.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(answers(down, down, adapter.Commit()))
		recs := h.PublishAll(text{"t", "k", "1"}, text{"t", "k", "2"})
		h.Settle()
		require.True(t, h.Fate(recs[0]).Forgotten)
		require.Equal(t, 2, redrive(t, h.Adapter()))
		h.Settle()
		for _, r := range recs {
			assertKind(t, harness.Committed, h.Fate(r))
		}
		assert.True(t, h.Fate(recs[0]).Forgotten)
	})
}

func TestFate_ofARedrivenRecordOfAShareGroup(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := answers(down, adapter.Commit())
		s.Order, s.Mode = adapter.Unordered, adapter.ShareGroup
		h.Subscribe(s)
		rec := h.Publish(text{"t", "k", "v"})
		h.Settle()
		require.Equal(t, 1, redrive(t, h.Adapter()))
		h.Settle()
		assert.Equal(t, "t[0]@0 in group g: committed after 1 attempt (2 deliveries in all) and 1 redrive", h.Fate(rec).String())
	})
}

// What anybody writes on the redrive topic is no record's redrive unless its
// headers say so.
func TestFate_isNotLedAstrayByOtherRecordsOfTheRedriveTopic(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(answers(down, adapter.Commit()))
		rec := h.Publish(text{"t", "k", "v"})
		h.Settle()
		id := adapter.Header{Key: adapter.HeaderID, Value: []byte("t/0/0")}
		h.Topic("t.g.redrive").Append(
			harness.Record{Value: []byte("no headers")},
			harness.Record{Headers: []adapter.Header{id}},
			harness.Record{Headers: []adapter.Header{id, {Key: adapter.HeaderRedriven, Value: []byte("x")}}},
			harness.Record{Headers: []adapter.Header{{Key: adapter.HeaderID, Value: []byte("t/0/1")}, {Key: adapter.HeaderRedriven, Value: []byte("1")}}},
		)
		h.Settle()
		assertKind(t, harness.DeadLettered, h.Fate(rec))
	})
}

// There nobody sees what a stranger produces: it is found on the topic.
func TestRunOnKafka_fatesFollowRedrives(t *testing.T) {
	existing(t).RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(answers(down, down, adapter.Commit()))
		rec := h.Publish(text{"t", "k", "v"})
		h.Settle()

		require.Equal(t, 1, redrive(t, h.NewAdapter()))
		h.Settle()
		assert.Equal(t, "t[0]@0 in group g: dead-lettered to t.g.dlt[0]@1 after 1 attempt (2 deliveries in all) and 1 redrive, last error: down", h.Fate(rec).String())
		assert.Contains(t, h.Timeline(), "  t[0]@0 redriven as t.g.redrive[0]@0 by adapter 2\n")

		a, err := adapter.New(adapter.Config{ClientOptions: h.ClientOptions("stranger")})
		require.NoError(t, err)
		require.Equal(t, 1, redrive(t, a))
		require.NoError(t, a.Close(t.Context()))
		h.Settle()
		assert.Equal(t, "t[0]@0 in group g: committed after 1 attempt (3 deliveries in all) and 2 redrives", h.Fate(rec).String())
	})
}
