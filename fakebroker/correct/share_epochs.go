package correct

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// ShareEpoch is an epoch of a share group as clients see it, from kfake's, which
// begin with 1.
func ShareEpoch(epoch int32) int32 { return epoch + 1 }

func shareEpochs() Correction {
	return Correction{
		Rule: wire.Rule{
			Name:    "epochs of share groups begin with 2",
			Keys:    wire.Keys(kmsg.ShareGroupHeartbeat, kmsg.ShareGroupDescribe),
			Request: lowerEpoch,
			Answer:  answered(raiseEpochs),
		},
		Restores:  "ShareGroupHeartbeat, ShareGroupDescribe: the first member's epoch is 2",
		Upstream:  "share_groups.go: it is 1",
		Behaviour: "share/epochs begin with 2",
	}
}

func lowerEpoch(x *wire.Exchange) {
	r, err := x.Request()
	if err != nil {
		return
	}
	req, is := r.(*kmsg.ShareGroupHeartbeatRequest)
	if !is || req.MemberEpoch <= 0 {
		return
	}
	lowered := *req
	if lowered.MemberEpoch -= ShareEpoch(0); lowered.MemberEpoch == 0 { // which would join
		lowered.MemberEpoch = math.MaxInt32
	}
	x.SetRequest(&lowered)
}

func raiseEpochs(x *wire.Exchange, r kmsg.Request, a kmsg.Response) (changed bool) {
	raise := func(epoch *int32) {
		if *epoch > 0 {
			*epoch, changed = ShareEpoch(*epoch), true
		}
	}
	switch resp := a.(type) {
	case *kmsg.ShareGroupHeartbeatResponse:
		if asked, err := x.Original(); err == nil { // for later rules
			r.(*kmsg.ShareGroupHeartbeatRequest).MemberEpoch = asked.(*kmsg.ShareGroupHeartbeatRequest).MemberEpoch
		}
		raise(&resp.MemberEpoch)
	case *kmsg.ShareGroupDescribeResponse:
		for i := range resp.Groups {
			g := &resp.Groups[i]
			if g.ErrorCode != 0 {
				continue
			}
			g.GroupEpoch, g.AssignmentEpoch, changed = ShareEpoch(g.GroupEpoch), ShareEpoch(g.AssignmentEpoch), true
			for j := range g.Members {
				raise(&g.Members[j].MemberEpoch)
			}
		}
	}
	return changed
}
