package adapter_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// The client looks at a batch before it compresses it, the broker after.
func TestDeadLetter_takesWhatWasCompressedOnItsTopic(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		cl, err := kgo.NewClient(append(h.Broker().ClientOptions(), kgo.ProducerBatchMaxBytes(8<<20), kgo.ProducerLinger(0))...)
		require.NoError(t, err)
		defer cl.Close()
		value := bytes.Repeat([]byte("x"), 3<<20)
		require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: value}).FirstErr())
		subscribe(t, h.Adapter(), subscription(func(context.Context, *adapter.Message) adapter.Result {
			return adapter.Reject(errors.New("no good"))
		}))
		h.Settle()
		letters := h.Topic(adapter.DeadLetterTopic("t", "g")).Records()
		require.Len(t, letters, 1)
		assert.True(t, bytes.Equal(value, letters[0].Value), "the value is unchanged")
	})
}
