package harness_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

func TestTimeline_hasFaultsInPlace(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		subscribe(h, "g", "t", commit)
		h.Settle()
		f := h.Broker().Refuse(kerr.NotEnoughReplicas, fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}})
		time.AfterFunc(time.Second, f.Clear)
		h.Publish(text{topic: "t"})
		h.Broker().ExpireSession(fakebroker.Scope{Group: "g"})
		h.Settle()
		down := h.Broker().TakeDown(0)
		h.Advance(time.Minute)
		down.Clear()
		h.Settle()
		assertInOrder(t, h.Timeline(),
			"0s  fault began: refuse Produce with NOT_ENOUGH_REPLICAS\n",
			"fault struck: refuse Produce with NOT_ENOUGH_REPLICAS, on Produce of adapter 1\n",
			"1s  fault ended: refuse Produce with NOT_ENOUGH_REPLICAS\n",
			"t[0]@0 published\n",
			"fault struck: expire the session of group g, on the session of adapter 1\n",
			"fault began: broker 0 down\n",
			"fault struck: broker 0 down, on ",
			"fault ended: broker 0 down\n")
	})
}

func TestTimeline_hasAssignmentsOfOtherClients(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		for _, name := range []string{"one", "two"} {
			cl, err := kgo.NewClient(append(h.ClientOptions(name), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.Balancers(kgo.RangeBalancer()))...)
			assert.NoError(t, err)
			defer cl.Close()
			h.Settle()
		}
		assertInOrder(t, h.Timeline(), "one in g assigned t[0 1]\n", "in g assigned t[0]\n")
		assert.Regexp(t, `two in g assigned t\[[01]\]`, h.Timeline())
	})
}
