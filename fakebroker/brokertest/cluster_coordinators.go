package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// coordinatorIsNoNode looks for coordinators of all kinds, there being one or not,
// and at the messages beside, which depend on the version.
func coordinatorIsNoNode(t T, c Cluster) {
	const group, transaction, share, unknown = 0, 1, 2, 7
	const refused = "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details."
	const withMessages, withKeys = 1, 4
	key := name("key")
	for _, v := range versions(0, 6) {
		cl := newClient(t, c, version(kmsg.FindCoordinator, v))
		for _, kind := range []int8{group, transaction, share, unknown} {
			if kind > transaction && v < withMessages {
				continue // it cannot be said
			}
			var want *kerr.Error
			message := ""
			if kind > transaction {
				want = kerr.InvalidRequest
			}
			switch {
			case v < withMessages:
				message = "null"
			case v < withKeys && want == nil:
				message = "NONE"
			case v < withKeys || kind == unknown:
				message = refused
			}
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = kind, key, []string{key}
			what := "type " + number(int32(kind)) + " v" + number(int32(v))
			var got kmsg.FindCoordinatorResponseCoordinator
			eventually(t, what, func() bool { // the first one is waited for
				resp := anyBroker[*kmsg.FindCoordinatorResponse](t, cl, req)
				got.ErrorCode, got.ErrorMessage, got.NodeID, got.Host, got.Port = resp.ErrorCode, resp.ErrorMessage, resp.NodeID, resp.Host, resp.Port
				if v >= withKeys {
					got = resp.Coordinators[0]
				}
				return got.ErrorCode != kerr.CoordinatorNotAvailable.Code
			})
			code(t, what, got.ErrorCode, want)
			equal(t, "message, "+what, text(got.ErrorMessage), message)
			if want == nil {
				if got.NodeID < 0 || got.Host == "" || got.Port <= 0 {
					t.Errorf("%s: node %d at %s:%d, want a broker", what, got.NodeID, got.Host, got.Port)
				}
				continue
			}
			equal(t, "node, "+what, got.NodeID, -1)
			equal(t, "host, "+what, got.Host, "")
			equal(t, "port, "+what, got.Port, -1)
		}
	}
}
