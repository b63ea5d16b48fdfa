package shape_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire/shape"
)

// BenchmarkCheck is what a request costs, of a MiB of records and of many fields.
func BenchmarkCheck(b *testing.B) {
	produce := kmsg.NewPtrProduceRequest()
	produce.Version = 13
	topic := kmsg.NewProduceRequestTopic()
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = make([]byte, 1<<20)
	topic.Partitions = append(topic.Partitions, part)
	produce.Topics = append(produce.Topics, topic)

	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version = 13
	asked := kmsg.NewFetchRequestTopic()
	for range 100 {
		asked.Partitions = append(asked.Partitions, kmsg.NewFetchRequestTopicPartition())
	}
	fetch.Topics = append(fetch.Topics, asked)

	for name, req := range map[string]kmsg.Request{"produce=1MiB": produce, "fetch=100partitions": fetch} {
		body := req.AppendTo([]byte{0})
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := shape.Check(kmsg.Key(req.Key()), req.GetVersion(), body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
