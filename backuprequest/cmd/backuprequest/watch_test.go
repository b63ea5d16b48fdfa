package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

func TestWatcher_aTopicThatItsLeaderDoesNotKnowYet(t *testing.T) {
	b := fakebroker.Run(t, "orders")
	options := append(b.ClientOptions(), kgo.RequestRetries(0))
	asked := fakebroker.Scope{APIs: []kmsg.Key{kmsg.ListOffsets}, Topic: "orders", Count: 3}
	fault := b.Refuse(kerr.UnknownTopicOrPartition, asked)
	w, err := newWatcher(t.Context(), options, "orders")
	require.NoError(t, err)
	w.client.Close()
	assert.Equal(t, 3, fault.Hits())

	asked.Count = 0
	b.Refuse(kerr.TopicAuthorizationFailed, asked)
	_, err = newWatcher(t.Context(), options, "orders")
	require.ErrorIs(t, err, kerr.TopicAuthorizationFailed, "that will not get better")
}
