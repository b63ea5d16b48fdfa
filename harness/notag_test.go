//go:build !synctests

package harness_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// needsTag skips a test in which a client's lock is held while virtual time
// should pass.
func needsTag(t *testing.T) {
	t.Helper()
	t.Skip("latency in virtual time needs locks that it can see: run with -tags synctests")
}

func TestTraps_withoutTheTag(t *testing.T) {
	sayWhatIsWrong(t, []failure{{
		"a client's lock held across a wait",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			h.CreateTopics("t")
			h.Broker().Delay(5*time.Second, fakebroker.Scope{APIs: []kmsg.Key{kmsg.InitProducerID}, Count: 1})
			cl := plain(t, h, "producer")
			go func() { _ = cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}) }()
			h.Advance(time.Second)
			_, _, _ = cl.ProducerID(t.Context())
		}),
		[]string{"the bubble is frozen", "run the tests with -tags synctests"},
	}})
}
