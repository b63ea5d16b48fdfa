package correct

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// findingCoordinators is about answers that look for a coordinator of any kind.
func findingCoordinators(Cluster) []Correction {
	return []Correction{{
		Rule: wire.Rule{
			Name:   "FindCoordinator names no node with an error, and has a message",
			Keys:   wire.Keys(kmsg.FindCoordinator),
			Answer: answered(completeCoordinators),
		},
		Restores:  "FindCoordinatorResponse, KafkaApis.handleFindCoordinatorRequest: Node.noNode with an error; messages are those of the error before v4, and from then on empty unless the key type is not known",
		Upstream:  "10_find_coordinator.go has no message, and node 0",
		Behaviour: "cluster/a coordinator that is not found is no node",
	}}
}

// completeCoordinators puts in what kfake leaves out: what it answers with an error
// is of node 0, a broker that there is.
func completeCoordinators(_ *wire.Exchange, req *kmsg.FindCoordinatorRequest, resp *kmsg.FindCoordinatorResponse) bool {
	const (
		withMessages = 1 // the first version with messages
		withKeys     = 4 // the first version with several keys (KIP-699)

		shares = 2 // the last key type that there is
	)
	complete := func(code int16, node *int32, host *string, port *int32) {
		if code != 0 {
			*node, *host, *port = -1, "", -1
		}
	}
	if resp.Version < withKeys {
		complete(resp.ErrorCode, &resp.NodeID, &resp.Host, &resp.Port)
		if resp.ErrorMessage == nil && resp.Version >= withMessages {
			resp.ErrorMessage = kmsg.StringPtr(errorMessage(resp.ErrorCode))
		}
		return true
	}
	for i := range resp.Coordinators {
		k := &resp.Coordinators[i]
		complete(k.ErrorCode, &k.NodeID, &k.Host, &k.Port)
		if k.ErrorMessage != nil {
			continue
		}
		k.ErrorMessage = new(string)
		if req.CoordinatorType < 0 || req.CoordinatorType > shares {
			*k.ErrorMessage = errorMessage(k.ErrorCode)
		}
	}
	return true
}

// errorMessage is the text that Kafka has for an error code (Errors.message).
func errorMessage(code int16) string {
	switch err := kerr.TypedErrorForCode(code); err {
	case nil:
		return "NONE"
	case kerr.GroupAuthorizationFailed:
		return "Group authorization failed."
	case kerr.TransactionalIDAuthorizationFailed:
		return "Transactional Id authorization failed."
	default:
		return err.Description
	}
}
