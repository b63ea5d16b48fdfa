package fakebroker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// observeAssignments tells what groups give their members. Heartbeats, of which
// there are many, repeat no assignment that a member has.
func (tr *traffic) observeAssignments() wire.Rule {
	api := wire.Keys(kmsg.SyncGroup, kmsg.ConsumerGroupHeartbeat, kmsg.ShareGroupHeartbeat)
	return wire.Rule{
		Name:  "observe what members are assigned",
		Keys:  api,
		Wants: func(wire.Header) bool { return tr.observers.assignments.Load() },
		Answer: func(x *wire.Exchange) {
			r, err := x.Request()
			if err != nil {
				return
			}
			a, err := x.Response()
			if err != nil {
				return
			}
			what := Assignment{ClientID: x.ClientID, Remote: remote(x), Partitions: map[string][]int32{}}
			switch resp := a.(type) {
			case *kmsg.SyncGroupResponse:
				req := r.(*kmsg.SyncGroupRequest)
				var m kmsg.ConsumerMemberAssignment
				if resp.ErrorCode != 0 || len(resp.MemberAssignment) > 0 && m.ReadFrom(resp.MemberAssignment) != nil {
					return // refused, or no consumers' group
				}
				what.Group, what.MemberID, what.Epoch = req.Group, req.MemberID, req.Generation
				for _, t := range m.Topics {
					what.Partitions[t.Topic] = slices.Clone(t.Partitions)
				}
			case *kmsg.ConsumerGroupHeartbeatResponse:
				if resp.ErrorCode != 0 || resp.Assignment == nil {
					return
				}
				what.Group, what.MemberID, what.Epoch = r.(*kmsg.ConsumerGroupHeartbeatRequest).Group, memberID(resp.MemberID), resp.MemberEpoch
				for _, t := range resp.Assignment.Topics {
					what.Partitions[tr.observedTopic("", t.TopicID)] = slices.Clone(t.Partitions)
				}
			case *kmsg.ShareGroupHeartbeatResponse:
				if resp.ErrorCode != 0 || resp.Assignment == nil {
					return
				}
				what.Group, what.MemberID, what.Epoch = r.(*kmsg.ShareGroupHeartbeatRequest).GroupID, memberID(resp.MemberID), resp.MemberEpoch
				for _, t := range resp.Assignment.TopicPartitions {
					what.Partitions[tr.observedTopic("", t.TopicID)] = slices.Clone(t.Partitions)
				}
			}
			tell(&tr.observers, func(o *Observer) func(Assignment) { return o.Assigned }, what)
		},
	}
}

func memberID(id *string) string {
	if id == nil {
		return ""
	}
	return *id
}
