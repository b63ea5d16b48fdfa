package adapter_test

import (
	"sync"
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

var three = harness.Config{Broker: fakebroker.Config{Brokers: 3}}

func TestEnsureTopics_createsWhatIsMissing(t *testing.T) {
	three.Run(t, func(t *testing.T, h *harness.Harness) {
		spec := adapter.TopicSpec{Name: "a", Partitions: 5, Replication: 3, Configs: map[string]string{"retention.ms": "1000", "cleanup.policy": "compact"}}
		require.NoError(t, h.Adapter().EnsureTopics(t.Context(), spec, adapter.TopicSpec{Name: "b"}))
		partitions, err := h.Broker().Partitions("a")
		require.NoError(t, err)
		assert.Len(t, partitions, 5)
		for _, topic := range h.Broker().Topics() {
			if topic.Name == "a" {
				assert.Equal(t, "1000", topic.Configs["retention.ms"])
				assert.Equal(t, "compact", topic.Configs["cleanup.policy"])
			}
		}
		h.Publish(event{"a", "key", ""})
		h.Publish(event{"b", "", ""})
		require.NoError(t, h.Adapter().EnsureTopics(t.Context(), spec, adapter.TopicSpec{Name: "b"}), "as it is")
		require.NoError(t, h.Adapter().EnsureTopics(t.Context(), adapter.TopicSpec{Name: "a"}), "zero takes what there is")
		require.NoError(t, h.Adapter().EnsureTopics(t.Context()))
	})
}

// A client asks any of the brokers, and is not to hear that there is no such topic.
func TestEnsureTopics_waitsUntilEveryBrokerKnowsATopicThatItMade(t *testing.T) {
	three.Run(t, func(t *testing.T, h *harness.Harness) {
		late := h.Broker().Refuse(kerr.UnknownTopicOrPartition, fakebroker.Scope{Brokers: []int32{2}, APIs: []kmsg.Key{kmsg.Metadata}, Topic: "a"})
		made := make(chan error, 1)
		go func() { made <- h.Adapter().EnsureTopics(t.Context(), adapter.TopicSpec{Name: "a"}) }()
		time.Sleep(5 * time.Second)
		assert.Empty(t, made)
		assert.NotZero(t, late.Hits())
		late.Clear()
		require.NoError(t, <-made)
	})
}

func TestEnsureTopics_aBrokerThatIsDownNeedNotKnow(t *testing.T) {
	three.Run(t, func(t *testing.T, h *harness.Harness) {
		require.NoError(t, h.Adapter().Ready(t.Context()))
		h.Broker().TakeDown(2)
		require.NoError(t, h.Adapter().EnsureTopics(t.Context(), adapter.TopicSpec{Name: "a", Replication: 1}))
	})
}

func TestEnsureTopics_eachMismatchIsTyped(t *testing.T) {
	three.Run(t, func(t *testing.T, h *harness.Harness) {
		base := adapter.TopicSpec{Name: "a", Partitions: 2, Replication: 2, Configs: map[string]string{"retention.ms": "1000"}}
		require.NoError(t, h.Adapter().EnsureTopics(t.Context(), base))
		for _, c := range []struct {
			field, want, have string
			spec              adapter.TopicSpec
		}{
			{"partitions", "3", "2", adapter.TopicSpec{Name: "a", Partitions: 3}},
			{"replication factor", "1", "2", adapter.TopicSpec{Name: "a", Replication: 1}},
			{"retention.ms", "2000", "1000", adapter.TopicSpec{Name: "a", Configs: map[string]string{"retention.ms": "2000"}}},
			{"no.such", "1", "the broker's default", adapter.TopicSpec{Name: "a", Configs: map[string]string{"no.such": "1"}}},
		} {
			err := h.Adapter().EnsureTopics(t.Context(), c.spec)
			var mismatch *adapter.TopicMismatchError
			require.ErrorAs(t, err, &mismatch, c.field)
			assert.Equal(t, &adapter.TopicMismatchError{Topic: "a", Field: c.field, Want: c.want, Have: c.have}, mismatch)
			assert.ErrorIs(t, err, adapter.ErrTopicMismatch)
			assert.False(t, adapter.Retryable(err))
		}
	})
}

func TestEnsureTopics_losingARaceIsNoError(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		// The answer says that somebody was faster, as it does to the loser.
		h.Broker().DropAfter(fakebroker.Scope{APIs: []kmsg.Key{kmsg.CreateTopics}, Count: 1})
		require.NoError(t, h.Adapter().EnsureTopics(t.Context(), adapter.TopicSpec{Name: "a", Partitions: 2}))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				assert.NoError(t, h.Adapter().EnsureTopics(t.Context(), adapter.TopicSpec{Name: "b", Partitions: 2}, adapter.TopicSpec{Name: "c"}))
			})
		}
		wg.Wait()
	})
}

func TestEnsureTopics_errors(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		a := h.Adapter()
		for _, spec := range []adapter.TopicSpec{{}, {Name: "a", Partitions: -1}, {Name: "a", Replication: -1}} {
			assert.ErrorIs(t, a.EnsureTopics(t.Context(), adapter.TopicSpec{Name: "fine"}, spec), adapter.ErrConfig)
		}
		assert.Empty(t, h.Broker().Topics(), "nothing is created unless all can be")
		err := a.EnsureTopics(t.Context(), adapter.TopicSpec{Name: "a", Replication: 5})
		require.ErrorIs(t, err, kerr.InvalidReplicationFactor)
		require.ErrorIs(t, err, adapter.ErrRefused)
		refuse := h.Broker().Refuse(kerr.TopicAuthorizationFailed, fakebroker.Scope{APIs: []kmsg.Key{kmsg.CreateTopics}})
		err = a.EnsureTopics(t.Context(), adapter.TopicSpec{Name: "a"})
		require.ErrorIs(t, err, kerr.TopicAuthorizationFailed)
		assert.False(t, adapter.Retryable(err))
		refuse.Clear()
	})
}
