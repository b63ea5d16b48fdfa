package adapter_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// A retry that its topic refuses, for now or for good, for as long as that lasts,
// never becomes a dead letter by this: the handler has not given it up.
func TestTable_aRetryWhosePublishFailsNeverBecomesADeadLetter(t *testing.T) {
	for _, refusal := range []*kerr.Error{kerr.NotEnoughReplicas, kerr.TopicAuthorizationFailed} {
		t.Run(refusal.Message, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				var attempts list[int]
				s := tiered(func(_ context.Context, m *adapter.Message) adapter.Result {
					if attempts.add(m.Attempt); m.Attempt == 1 {
						return adapter.Retry(errDown)
					}
					return adapter.Commit()
				}, time.Minute)
				s.Retry.InPlace, s.Retry.Attempts, s.Retry.MaxAge = 1, 2, time.Minute
				h.Subscribe(s)
				f := h.Broker().Refuse(refusal, produceTo("t.g.retry.1m"))
				rec := h.Publish(event{"t", "k", "v"})
				time.Sleep(20 * time.Hour)
				assert.Greater(t, f.Hits(), 2)
				assert.Equal(t, []int{1}, attempts.all(), "the handler is not run again")
				f.Clear()
				time.Sleep(time.Minute) // until it is tried again: before that it is blocked
				h.Settle()
				assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
				assert.Empty(t, h.Topic("t.g.dlt").Records())
			})
		})
	}
}

// The record that others wait for leaves, where nothing else fails meanwhile.
func TestTable_atTheHeldLimitTheOneThatMostWaitForHops(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var good list[string]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Topic == "t" && m.Offset == 0 {
				return adapter.RetryAfter(errDown, 20*time.Hour)
			}
			good.add(fmt.Sprint(string(m.Key), " ", m.Topic))
			return adapter.Commit()
		})
		s.Retry.Tiers, s.OnHeldLimit, s.MaxHeldRecords = []time.Duration{time.Second, 20 * time.Hour}, adapter.Hop, 3
		h.Subscribe(s)
		rec := h.Publish(event{"t", "much", ""})
		for range 5 {
			h.Publish(event{"t", "much", ""})
		}
		until(t, "what waited goes on", func() bool { return good.len() >= 5 })
		h.Settle()
		assert.Equal(t, 1, h.Fate(rec).Hops)
		assert.Len(t, h.Topic("t.g.retry.20h").Records(), 1, "one is enough")
	})
}

// A broker that goes away takes nothing along: what was held goes on when it is back.
func TestTable_theBrokerGoesAwayAndComesBack(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var attempts list[int]
		c := h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if attempts.add(m.Attempt); m.Attempt == 1 {
				return adapter.RetryAfter(errDown, 2*time.Hour)
			}
			return adapter.Commit()
		}))
		rec := h.Publish(event{"t", "k", "v"})
		until(t, "it is held", func() bool { return attempts.len() == 1 })
		f := h.Broker().TakeDown(0)
		until(t, "it is known", func() bool { return h.Adapter().State() == adapter.Disconnected })
		require.Error(t, h.Adapter().Ready(contextFor(t, time.Second)))
		time.Sleep(time.Hour)
		f.Clear()
		until(t, "connected again", func() bool { return h.Adapter().State() == adapter.Connected })
		h.Settle()
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
		assert.Equal(t, []int{1, 2}, attempts.all(), "the attempt is known")
		assert.NoError(t, c.Err())
	})
}

func contextFor(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
