package adapter_test

import (
	"context"
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

func TestSubscribe_refusesWhatCannotWork(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		good := subscription(commits)
		for _, c := range []struct {
			field  string
			change func(*adapter.Subscription)
		}{
			{"Subscription.Group", func(s *adapter.Subscription) { s.Group = "" }},
			{"Subscription.Group", func(s *adapter.Subscription) { s.Group = strings.Repeat("g", 32641) }},
			{"Subscription.Topics", func(s *adapter.Subscription) { s.Topics = nil }},
			{"Subscription.Topics", func(s *adapter.Subscription) { s.Topics = []string{"t", ""} }},
			{"Subscription.Handler", func(s *adapter.Subscription) { s.Handler = nil }},
			{"Subscription.MaxInFlight", func(s *adapter.Subscription) { s.MaxInFlight = -1 }},
			{"Subscription.MaxHeldRecords", func(s *adapter.Subscription) { s.MaxHeldRecords = -1 }},
			{"Subscription.MaxHeldAge", func(s *adapter.Subscription) { s.MaxHeldAge = -1 }},
			{"Subscription.StartFrom", func(s *adapter.Subscription) { s.StartFrom = 7 }},
			{"Subscription.Retry.Attempts", func(s *adapter.Subscription) { s.Retry.Attempts = -1 }},
			{"Subscription.Retry.MinBackoff", func(s *adapter.Subscription) { s.Retry.MinBackoff = -1 }},
			{"Subscription.Retry.MaxBackoff", func(s *adapter.Subscription) { s.Retry.MaxBackoff = -1 }},
			{"Subscription.Retry.InPlace", func(s *adapter.Subscription) { s.Retry.InPlace = -1 }},
			{"Subscription.Retry.MaxAge", func(s *adapter.Subscription) { s.Retry.MaxAge = -1 }},
			{"Subscription.Retry.HandlerTimeout", func(s *adapter.Subscription) { s.Retry.HandlerTimeout = -1 }},
			{"Subscription.Retry.MaxBackoff", func(s *adapter.Subscription) {
				s.Retry.MinBackoff, s.Retry.MaxBackoff = time.Minute, time.Second
			}},
		} {
			s := good
			c.change(&s)
			_, err := h.Adapter().Subscribe(t.Context(), s)
			var bad *adapter.ConfigError
			require.ErrorAs(t, err, &bad, c.field)
			assert.Equal(t, c.field, bad.Field)
		}
		_, err := h.Adapter().SubscribeBatch(t.Context(), adapter.BatchSubscription{Topics: []string{"t"}, Group: "g"})
		var bad *adapter.ConfigError
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, "BatchSubscription.Handler", bad.Field)
		_, err = h.Adapter().SubscribeBatch(t.Context(), adapter.BatchSubscription{Topics: []string{"t"}, Handler: batches(nil).Handler})
		require.ErrorAs(t, err, &bad)
		tiers := batches(func(context.Context, *adapter.Batch) error { return nil })
		tiers.Retry.Tiers = []time.Duration{time.Minute}
		_, err = h.Adapter().SubscribeBatch(t.Context(), tiers)
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, "Subscription.Retry.Tiers", bad.Field)
		assert.Contains(t, bad.Problem, "batches never go to retry topics")
		assert.NotContains(t, bad.Problem, "OnHeldLimit")
	})
}

func TestSubscribe_aGroupsNameMayBeAlmostAsLongAsAString(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := subscription(commits)
		s.Group = strings.Repeat("g", 32640)
		h.Subscribe(s)
		rec := h.Publish(event{"t", "", ""})
		h.Settle()
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

func TestSubscribe_missingTopic(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		s := subscription(commits)
		s.Topics = []string{"t", "nowhere"}
		_, err := h.Adapter().Subscribe(t.Context(), s)
		var unknown *adapter.UnknownTopicError
		require.ErrorAs(t, err, &unknown)
		assert.Equal(t, "nowhere", unknown.Topic)
		assert.Len(t, h.Broker().Topics(), 1, "no dead-letter topic was made")
		assert.Empty(t, h.Adapter().Consumers())
	})
}

func TestSubscribe_theContextBoundsTheStartOnly(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		ctx, cancel := context.WithCancel(t.Context())
		_, err := h.Adapter().Subscribe(ctx, subscription(commits))
		require.NoError(t, err)
		cancel()
		rec := h.Publish(event{"t", "", ""})
		h.Settle()
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

func TestSubscribe_fatalErrorsEndTheConsumer(t *testing.T) {
	for _, c := range []struct {
		err *kerr.Error
		api kmsg.Key
	}{
		{kerr.GroupAuthorizationFailed, kmsg.JoinGroup},
		{kerr.InvalidSessionTimeout, kmsg.JoinGroup},
		{kerr.GroupAuthorizationFailed, kmsg.FindCoordinator},
		{kerr.TopicAuthorizationFailed, kmsg.Fetch},
		{kerr.TopicAuthorizationFailed, kmsg.OffsetFetch},
	} {
		t.Run(c.err.Message+" of "+c.api.Name(), func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t")
				h.Broker().Refuse(c.err, fakebroker.Scope{APIs: []kmsg.Key{c.api}})
				consumer := h.Subscribe(subscription(commits))
				<-consumer.Done()
				var refused *adapter.RefusedError
				require.ErrorAs(t, consumer.Err(), &refused)
				assert.Equal(t, c.err.Code, refused.Code)
				assert.Equal(t, c.err.Message, refused.Name)
				assert.Empty(t, h.Adapter().Consumers())
				require.NoError(t, consumer.Close(t.Context()))
			})
		})
	}
}
