package correct

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// shareSessions has kfake know share sessions, and the records that they have
// acquired, by another member id than the members of groups: it ends with a member
// what it knows by that member's id.
func shareSessions() Correction {
	return Correction{
		Rule: wire.Rule{
			Name:    "a share session outlives its member",
			Keys:    wire.Keys(kmsg.ShareFetch, kmsg.ShareAcknowledge),
			Request: renameSharer,
			Answer:  nameSharer,
		},
		Restores:  "KIP-932: leaders know sessions and acquired records; they end with the session, the connection or the lock, whatever becomes of the member",
		Upstream:  "share_groups.go, dropSessionsForMember and releaseRecordsForMember",
		Behaviour: "share/a session outlives its member",
	}
}

func renameSharer(x *wire.Exchange) {
	req, err := x.Request()
	if err != nil {
		return
	}
	switch req := req.(type) {
	case *kmsg.ShareFetchRequest:
		renamed := *req
		renamed.MemberID = sessionOf(req.MemberID)
		x.SetRequest(&renamed)
	case *kmsg.ShareAcknowledgeRequest:
		renamed := *req
		renamed.MemberID = sessionOf(req.MemberID)
		x.SetRequest(&renamed)
	}
}

// nameSharer has later rules see who has asked.
func nameSharer(x *wire.Exchange) {
	req, err := x.Request()
	if err != nil {
		return
	}
	switch req := req.(type) {
	case *kmsg.ShareFetchRequest:
		req.MemberID = sessionOf(req.MemberID)
	case *kmsg.ShareAcknowledgeRequest:
		req.MemberID = sessionOf(req.MemberID)
	}
}

// sessionOf is the id that stands for a member's session, and the member's id for
// that. It is as long, because lengths are checked, and no client has such a one:
// with another first bit a text is no UTF-8.
func sessionOf(member *string) *string {
	if member == nil || *member == "" {
		return member
	}
	const first = 0x80
	b := []byte(*member)
	b[0] ^= first
	return kmsg.StringPtr(string(b))
}
