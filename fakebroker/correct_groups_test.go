package fakebroker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

// A fault can answer what would be corrected if the broker had answered it, and
// what corrections ask the broker is no client's request.
func TestRefuse_isNotCorrected(t *testing.T) {
	b := orders(1).Run(t)
	cl := client(t, b)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = "g", "consumer", 30_000, 30_000
	join.InstanceID = kmsg.StringPtr("instance") // joins at once
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name = "range"
	join.Protocols = append(join.Protocols, protocol)
	joined, err := join.RequestWith(within(t), cl)
	noError(t, err)
	noError(t, kerr.ErrorForCode(joined.ErrorCode))

	f := b.Refuse(kerr.GroupIDNotFound, fakebroker.Scope{Group: "g"})
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group, beat.MemberID, beat.Generation, beat.InstanceID = "g", joined.MemberID, joined.Generation, join.InstanceID
	resp, err := beat.RequestWith(within(t), cl)
	noError(t, err)
	equal(t, "error", kerr.ErrorForCode(resp.ErrorCode), error(kerr.GroupIDNotFound))
	equal(t, "requests struck", f.Hits(), 1)
}
