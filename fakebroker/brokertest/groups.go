package brokertest

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "groups/offsets of an unknown group are -1 without an error",
			Source: "OffsetFetch; GroupMetadataManager, OffsetMetadataManager.fetchOffsets",
			Run:    unknownGroupHasNoOffsets,
		},
	}
}

func unknownGroupHasNoOffsets(t T, c Cluster) {
	for _, v := range []int16{1, 5, 7, 8, 9} {
		cl := newClient(t, c, version(kmsg.OffsetFetch, v))
		topic := newTopic(t, cl, 1)
		req := kmsg.NewPtrOffsetFetchRequest()
		if v < 8 {
			req.Group = name("group")
			rt := kmsg.NewOffsetFetchRequestTopic()
			rt.Topic, rt.Partitions = topic, []int32{0}
			req.Topics = append(req.Topics, rt)
		} else {
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group = name("group")
			rt := kmsg.NewOffsetFetchRequestGroupTopic()
			rt.Topic, rt.Partitions = topic, []int32{0}
			g.Topics = append(g.Topics, rt)
			req.Groups = append(req.Groups, g)
		}
		resp := ask[*kmsg.OffsetFetchResponse](t, cl, req)
		if v < 8 {
			code(t, "group", resp.ErrorCode, nil)
			equal(t, "offset", resp.Topics[0].Partitions[0].Offset, -1)
			equal(t, "metadata", resp.Topics[0].Partitions[0].Metadata, kmsg.StringPtr(""))
			continue
		}
		code(t, "group", resp.Groups[0].ErrorCode, nil)
		p := resp.Groups[0].Topics[0].Partitions[0]
		code(t, "partition", p.ErrorCode, nil)
		equal(t, "offset", p.Offset, -1)
		equal(t, "metadata", p.Metadata, kmsg.StringPtr(""))
	}
}
