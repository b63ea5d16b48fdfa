package fakebroker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

// What a topic demanded must not cost those that come after it.
func TestDeletedTopic_isNotRemembered(t *testing.T) {
	const topic = "picky"
	demands := map[string]string{"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime", "message.timestamp.before.max.ms": "1000"}
	create := func(t *testing.T, b *fakebroker.Broker) {
		t.Helper()
		noError(t, b.CreateTopic(fakebroker.Topic{Name: topic, Configs: demands}))
	}
	deletion := func(version int16, byID bool) func(*testing.T, *fakebroker.Broker) {
		return func(t *testing.T, b *fakebroker.Broker) {
			var id [16]byte
			cl := client(t, b, atMost(kmsg.DeleteTopics, version))
			if byID {
				req := kmsg.NewPtrMetadataRequest()
				resp, err := req.RequestWith(within(t), cl)
				noError(t, err)
				id = resp.Topics[0].TopicID
			}
			req := kmsg.NewPtrDeleteTopicsRequest()
			req.TopicNames = []string{topic}
			rt := kmsg.NewDeleteTopicsRequestTopic()
			if rt.TopicID = id; !byID {
				rt.Topic = kmsg.StringPtr(topic)
			}
			req.Topics = append(req.Topics, rt)
			resp, err := req.RequestWith(within(t), cl)
			noError(t, err)
			equal(t, "error code", resp.Topics[0].ErrorCode, int16(0))
		}
	}
	for name, remove := range map[string]func(*testing.T, *fakebroker.Broker){
		"v5": deletion(5, false), "v6": deletion(6, false), "v6 by id": deletion(6, true),
		"directly": func(t *testing.T, b *fakebroker.Broker) { noError(t, b.DeleteTopic(topic)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := fakebroker.Config{Brokers: 2}.Run(t)
			atRest := b.Remembered()
			create(t, b)
			if got := b.Remembered(); got == atRest {
				t.Fatalf("nothing is remembered of a topic that is there: %+v", got)
			}
			remove(t, b)
			equal(t, "remembered", b.Remembered(), atRest)
		})
	}
	t.Run("made anew behind the back", func(t *testing.T) {
		b := fakebroker.Run(t)
		atRest := b.Remembered()
		create(t, b)
		noError(t, b.DeleteBehindTheBack(topic))
		noError(t, b.CreateTopic(fakebroker.Topic{Name: topic}))
		equal(t, "remembered", b.Remembered(), atRest)
	})
}
