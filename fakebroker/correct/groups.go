package correct

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func groups(Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:   "OffsetFetch knows no offsets of an unknown group",
				Wants:  wire.Keys(kmsg.OffsetFetch),
				Answer: answered(unknownGroupOffsets),
			},
			Restores:  "OffsetFetch: a group that does not exist has no offsets, which is -1 for each partition and no error",
			Upstream:  "09_offset_fetch.go answers GROUP_ID_NOT_FOUND, and null metadata",
			Behaviour: "groups/offsets of an unknown group are -1 without an error",
		},
	}
}

func unknownGroupOffsets(_ *wire.Exchange, req *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse) (changed bool) {
	none := kerr.GroupIDNotFound.Code
	if resp.ErrorCode == none {
		resp.ErrorCode, changed = 0, true
	}
	_ = req
	return changed
}
