package adapter_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strconv"
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

var tiers = []time.Duration{10 * time.Second, time.Hour}

// topicOf is a topic as the broker has it.
func topicOf(h *harness.Harness, name string) fakebroker.Topic {
	for _, t := range h.Broker().Topics() {
		if t.Name == name {
			return t
		}
	}
	return fakebroker.Topic{}
}

// limit changes the max.message.bytes of a topic.
func limit(t *testing.T, h *harness.Harness, topic, bytes string) {
	t.Helper()
	configure(t, h, topic, "max.message.bytes", bytes)
}

func TestOwnTopics_areMadeAsTheyHaveToBe(t *testing.T) {
	three.Run(t, func(t *testing.T, h *harness.Harness) {
		source := adapter.TopicSpec{Name: "t", Partitions: 4, Replication: 2, Configs: map[string]string{
			"max.message.bytes": "2000000", "retention.ms": "864000000", "cleanup.policy": "compact",
		}}
		require.NoError(t, h.Adapter().EnsureTopics(t.Context(), source))
		require.NoError(t, h.Adapter().EnsureTopicsOf(t.Context(), "g", "t", tiers, true))
		for name, want := range map[string]map[string]string{
			"t.g.dlt":       {"retention.ms": "-1"},
			"t.g.redrive":   {"retention.ms": "-1"},
			"t.g.retry.10s": {"retention.ms": "864010000", "message.timestamp.type": "LogAppendTime"},
			"t.g.retry.1h":  {"retention.ms": "867600000", "message.timestamp.type": "LogAppendTime"},
		} {
			made := topicOf(h, name)
			assert.EqualValues(t, 4, made.Partitions, name)
			limit, err := strconv.Atoi(made.Configs["max.message.bytes"])
			require.NoError(t, err)
			assert.Greater(t, limit, 2000000, "room for headers")
			maps.Copy(want, map[string]string{
				"cleanup.policy": "delete", "retention.bytes": "-1", "max.message.bytes": made.Configs["max.message.bytes"],
			})
			assert.Equal(t, want, made.Configs, name)
			require.NoError(t, h.Adapter().EnsureTopics(t.Context(), adapter.TopicSpec{Name: name, Replication: 2}), "as safe as its source")
		}
		require.NoError(t, h.Adapter().EnsureTopicsOf(t.Context(), "g", "t", tiers, true), "it fits what it made")
		require.NoError(t, h.Adapter().EnsureTopicsOf(t.Context(), "g", "t", tiers, false), "and needs to make nothing more")
	})
}

func TestOwnTopics_ofASourceThatKeepsRecordsForALittleWhileKeepThemForAWeek(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		require.NoError(t, h.Broker().CreateTopic(fakebroker.Topic{Name: "t", Configs: map[string]string{"retention.ms": "1000"}}))
		require.NoError(t, h.Adapter().EnsureTopicsOf(t.Context(), "g", "t", tiers, true))
		assert.Equal(t, "604810000", topicOf(h, "t.g.retry.10s").Configs["retention.ms"])
		require.NoError(t, h.Broker().CreateTopic(fakebroker.Topic{Name: "u", Configs: map[string]string{"retention.ms": "-1"}}))
		require.NoError(t, h.Adapter().EnsureTopicsOf(t.Context(), "g", "u", tiers, true))
		assert.Equal(t, "-1", topicOf(h, "u.g.retry.10s").Configs["retention.ms"], "for ever, as its source")
	})
}

func TestOwnTopics_thatCannotServeAreRefused(t *testing.T) {
	for _, c := range []struct {
		topic, field, have string
		partitions         int32
		others             map[string]string // of the dead-letter topic
	}{
		{topic: "t.g.dlt", field: "partitions", have: "2", partitions: 2},
		{topic: "t.g.dlt", field: "cleanup.policy", have: "compact"},
		{topic: "t.g.retry.1h", field: "cleanup.policy", have: "compact,delete"},
		{topic: "t.g.redrive", field: "max.message.bytes", have: "1048588"},
		{topic: "t.g.retry.1h", field: "retention.ms", have: "3600000"},
		{topic: "t.g.retry.10s", field: "message.timestamp.type", have: "CreateTime"},
		{topic: "t.g.redrive", field: "retention.ms", have: "604800000", others: map[string]string{"retention.ms": "-1"}},
		{topic: "t.g.redrive", field: "retention.ms", have: "1000", others: map[string]string{"retention.ms": "1001"}},
	} {
		t.Run(c.topic+" "+c.field, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t:3")
				made := fakebroker.Topic{Name: c.topic, Partitions: 3, Configs: map[string]string{
					"max.message.bytes": "2000000", "message.timestamp.type": "LogAppendTime", "retention.ms": "-1",
				}}
				if c.partitions > 0 {
					made.Partitions = c.partitions
				} else {
					made.Configs[c.field] = c.have
				}
				require.NoError(t, h.Broker().CreateTopic(made))
				if c.others != nil {
					c.others["max.message.bytes"] = "2000000"
					require.NoError(t, h.Broker().CreateTopic(fakebroker.Topic{Name: "t.g.dlt", Partitions: 3, Configs: c.others}))
				}
				err := h.Adapter().EnsureTopicsOf(t.Context(), "g", "t", tiers, true)
				var mismatch *adapter.TopicMismatchError
				require.ErrorAs(t, err, &mismatch)
				require.ErrorIs(t, err, adapter.ErrTopicMismatch)
				assert.Equal(t, []string{c.topic, c.field, c.have}, []string{mismatch.Topic, mismatch.Field, mismatch.Have})
				assert.NotEmpty(t, mismatch.Want)
				var bad *adapter.ConfigError
				tooLong := c.have == "3600000" // a delay than its topic keeps records
				if require.Equal(t, tooLong, errors.As(err, &bad)); tooLong {
					assert.Equal(t, "Subscription.Retry.Tiers", bad.Field)
					assert.Contains(t, err.Error(), "retention.ms")
				}
				assert.False(t, adapter.Retryable(err))
			})
		})
	}
}

func TestOwnTopics_takeAFewRequestsForManyTopics(t *testing.T) {
	var asked requests
	cfg := harness.Config{Adapter: func(c *adapter.Config) { c.ClientOptions = append(c.ClientOptions, kgo.WithHooks(&asked)) }}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		s := subscription(commits)
		s.Topics = nil
		for i := range 50 {
			s.Topics = append(s.Topics, "t"+strconv.Itoa(i))
		}
		h.CreateTopics(s.Topics...)
		require.NoError(t, h.Adapter().Ready(t.Context()))
		asked.reset()
		first := subscribe(t, h.Adapter(), s)
		assert.EqualValues(t, []int32{1, 1}, []int32{asked.creates.Load(), asked.configs.Load()})
		require.NoError(t, first.Close(t.Context()))
		asked.reset()
		second := subscribe(t, h.Adapter(), s)
		assert.EqualValues(t, []int32{0, 1}, []int32{asked.creates.Load(), asked.configs.Load()})
		require.NoError(t, second.Close(t.Context()))
	})
}

// requests counts what a client asks.
type requests struct{ creates, configs, produces atomic.Int32 }

func (r *requests) reset() { r.creates.Store(0); r.configs.Store(0) }

func (r *requests) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	switch kmsg.Key(key) {
	case kmsg.CreateTopics:
		r.creates.Add(1)
	case kmsg.DescribeConfigs:
		r.configs.Add(1)
	case kmsg.Produce:
		r.produces.Add(1)
	}
}

func TestNoTopicCreation_saysWhatIsMissing(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:3")
		s := subscription(commits)
		s.NoTopicCreation = true
		_, err := h.Adapter().Subscribe(t.Context(), s)
		var missing *adapter.MissingTopicsError
		require.ErrorAs(t, err, &missing)
		require.ErrorIs(t, err, adapter.ErrUnknownTopic)
		assert.True(t, adapter.Retryable(err), "somebody may create them")
		require.Len(t, missing.Topics, 1)
		assert.EqualError(t, err, `topics are missing and may not be created here: create "t.g.dlt" with 3 partitions or more`+
			", cleanup.policy=delete, max.message.bytes=1052684, retention.bytes=-1, retention.ms=-1")
		assert.Empty(t, topicOf(h, "t.g.dlt").Name)
		require.NoError(t, h.Adapter().EnsureTopics(t.Context(), missing.Topics...))
		h.Subscribe(s)
		rec := h.Publish(event{"t", "", ""})
		h.Settle()
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

func TestNoTopicCreation_verifiesWhatThereIs(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:3", "t.g.dlt:2")
		s := batches(func(context.Context, *adapter.Batch) error { return nil })
		s.NoTopicCreation = true
		_, err := h.Adapter().SubscribeBatch(t.Context(), s)
		require.ErrorIs(t, err, adapter.ErrTopicMismatch)
	})
}

func TestOwnTopics_thatTheBrokerForbidsToCreateAreNamed(t *testing.T) {
	for _, refusal := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.PolicyViolation} {
		t.Run(refusal.Message, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t")
				h.Broker().Refuse(refusal, fakebroker.Scope{APIs: []kmsg.Key{kmsg.CreateTopics}})
				_, err := h.Adapter().Subscribe(t.Context(), subscription(commits))
				var missing *adapter.MissingTopicsError
				require.ErrorAs(t, err, &missing)
				require.ErrorIs(t, err, refusal)
				assert.Equal(t, "t.g.dlt", missing.Topics[0].Name)
			})
		})
	}
}

func TestOwnTopics_otherRefusalsAreToldAsTheyAre(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		h.Broker().Refuse(kerr.InvalidReplicationFactor, fakebroker.Scope{APIs: []kmsg.Key{kmsg.CreateTopics}})
		_, err := h.Adapter().Subscribe(t.Context(), subscription(commits))
		require.ErrorIs(t, err, kerr.InvalidReplicationFactor)
		require.ErrorIs(t, err, adapter.ErrRefused)
		assert.Contains(t, err.Error(), "t.g.dlt")
	})
}

func TestOwnTopics_whatSomebodyElseMadeMeanwhileIsVerified(t *testing.T) {
	for name, policy := range map[string]string{"fits": "delete", "does not": "compact"} {
		t.Run(name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t:3")
				require.NoError(t, h.Adapter().Ready(t.Context()))
				// The first look does not see the topic that is there.
				h.Broker().ForgetTopic(fakebroker.Scope{Topic: "t.g.dlt", Count: 1})
				require.NoError(t, h.Broker().CreateTopic(fakebroker.Topic{Name: "t.g.dlt", Partitions: 3, Configs: map[string]string{
					"max.message.bytes": "2000000", "cleanup.policy": policy,
				}}))
				_, err := h.Adapter().Subscribe(t.Context(), subscription(commits))
				if policy == "delete" {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, adapter.ErrTopicMismatch)
				}
			})
		})
	}
}

func TestOwnTopics_whoseConfigurationCannotBeReadAreUsedWithAWarning(t *testing.T) {
	var log strings.Builder
	cfg := harness.Config{Adapter: func(c *adapter.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		h.Broker().Refuse(kerr.TopicAuthorizationFailed, fakebroker.Scope{APIs: []kmsg.Key{kmsg.DescribeConfigs}})
		first := h.Subscribe(subscription(rejects(errors.New("bad"))))
		require.NoError(t, first.Close(t.Context()))
		h.Subscribe(subscription(rejects(errors.New("bad"))))
		rec := h.Publish(event{"t", "", ""})
		h.Settle()
		assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
	})
	assert.Contains(t, log.String(), "cannot read the configuration of a topic")
	assert.Contains(t, log.String(), "cannot verify a topic")
}

func TestOwnTopics_thatCannotWorkAreRefusedWithTheFieldsName(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		for _, c := range []struct {
			source string
			tiers  []time.Duration
			field  string
		}{
			{"t", []time.Duration{0}, "Subscription.Retry.Tiers"},
			{"t", []time.Duration{-time.Second}, "Subscription.Retry.Tiers"},
			{"t", []time.Duration{time.Microsecond}, "Subscription.Retry.Tiers"},
			{"t", []time.Duration{time.Second + 1}, "Subscription.Retry.Tiers"},
			{"t", []time.Duration{time.Second, time.Minute, time.Second}, "Subscription.Retry.Tiers"},
			{"a b", tiers, "Subscription.Topics"},
			{"..", tiers, "Subscription.Topics"},
			{strings.Repeat("t", 250), tiers, "Subscription.Topics"},
		} {
			err := h.Adapter().EnsureTopicsOf(t.Context(), "g", c.source, c.tiers, true)
			var bad *adapter.ConfigError
			require.ErrorAs(t, err, &bad, c.field)
			assert.Equal(t, c.field, bad.Field)
		}
		s := subscription(commits)
		s.Topics = []string{"t/1"}
		_, err := h.Adapter().Subscribe(t.Context(), s)
		require.ErrorIs(t, err, adapter.ErrConfig)
	})
}
