package harness

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/wire"
)

// rules tell the watch what Settle has to know of clients on their way to a
// Kafka that is there already: which member each is, and what it reads. What is
// sent to them is not followed, so there are no fates of theirs.
func (w *watch) rules() []wire.Rule {
	return []wire.Rule{{
		Name: "join",
		Keys: wire.Keys(kmsg.JoinGroup, kmsg.ConsumerGroupHeartbeat, kmsg.ShareGroupHeartbeat),
		Answer: func(x *wire.Exchange) {
			group, member := joins(x)
			if member == "" {
				return
			}
			w.mu.Lock()
			known := w.foreign.members[memberOf{group, member}] != ""
			w.mu.Unlock()
			if !known {
				w.joined(fakebroker.Joined{ClientID: x.ClientID, Remote: x.RemoteAddr().String(), Group: group, MemberID: member})
			}
		},
	}, {
		Name: "read committed",
		Keys: wire.Keys(kmsg.Fetch),
		Request: func(x *wire.Exchange) {
			if req, err := x.Request(); err == nil && req.(*kmsg.FetchRequest).IsolationLevel == 1 {
				w.mu.Lock()
				defer w.mu.Unlock()
				name, _ := w.client(x.RemoteAddr().String(), x.ClientID)
				w.foreign.readCommitted[name] = true
			}
		},
	}, {
		Name: "produce",
		Keys: wire.Keys(kmsg.Produce),
		Request: func(x *wire.Exchange) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if name, c := w.client(x.RemoteAddr().String(), x.ClientID); c.by != told {
				w.produces(name, c)
			}
		},
	}, {
		Name: "transactions",
		Keys: wire.Keys(kmsg.InitProducerID),
		Request: func(x *wire.Exchange) {
			if req, err := x.Request(); err == nil && req.(*kmsg.InitProducerIDRequest).TransactionalID != nil {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.foreign.transactional = true
			}
		},
	}}
}

// joins is the group that a client has joined by a request, and as whom.
func joins(x *wire.Exchange) (group, member string) {
	asked, err := x.Original()
	if err != nil {
		return "", ""
	}
	answer, err := x.Response()
	if err != nil {
		return "", ""
	}
	switch req := asked.(type) {
	case *kmsg.JoinGroupRequest:
		if resp := answer.(*kmsg.JoinGroupResponse); resp.ErrorCode == 0 {
			return req.Group, resp.MemberID
		}
	case *kmsg.ConsumerGroupHeartbeatRequest:
		if resp := answer.(*kmsg.ConsumerGroupHeartbeatResponse); resp.ErrorCode == 0 && req.MemberEpoch >= 0 {
			return req.Group, text(resp.MemberID)
		}
	case *kmsg.ShareGroupHeartbeatRequest:
		if resp := answer.(*kmsg.ShareGroupHeartbeatResponse); resp.ErrorCode == 0 && req.MemberEpoch >= 0 {
			return req.GroupID, text(resp.MemberID)
		}
	}
	return "", ""
}

// transactions reports whether somebody has begun to produce in transactions.
func (w *watch) transactions() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.foreign.transactional
}
