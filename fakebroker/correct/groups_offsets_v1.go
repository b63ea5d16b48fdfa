package correct

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// oldOffsetErrors has the first versions of OffsetFetch, which have no error of
// their own, say on each partition what is wrong with the group.
func oldOffsetErrors(Cluster) []Correction {
	const first, named = 1, 2 // versions: that Kafka has, and that names an error
	return []Correction{{
		Rule: wire.Rule{
			Name:  "OffsetFetch v1 has errors on partitions",
			Keys:  wire.Keys(kmsg.OffsetFetch),
			Wants: func(h wire.Header) bool { return h.Version == first },
			Request: asked(func(x *wire.Exchange, req *kmsg.OffsetFetchRequest) {
				newer := *req
				newer.Version = named
				x.SetRequest(&newer)
			}),
			Answer: answered(func(_ *wire.Exchange, req *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse) bool {
				if resp.ErrorCode == 0 {
					return false
				}
				resp.Topics = nil
				for _, t := range req.Topics {
					rt := kmsg.NewOffsetFetchResponseTopic()
					rt.Topic = t.Topic
					for _, p := range t.Partitions {
						rp := kmsg.NewOffsetFetchResponseTopicPartition()
						rp.Partition, rp.ErrorCode, rp.Offset, rp.Metadata = p, resp.ErrorCode, -1, kmsg.StringPtr("")
						rt.Partitions = append(rt.Partitions, rp)
					}
					resp.Topics = append(resp.Topics, rt)
				}
				return true
			}),
		},
		Restores:  "OffsetFetch v1: an error of the group is that of each partition, because the answer has no other place for it",
		Upstream:  "09_offset_fetch.go puts it where v1 has nothing, and answers without partitions",
		Behaviour: "groups/who does not coordinate a group refuses its partitions in OffsetFetch v1",
	}}
}
