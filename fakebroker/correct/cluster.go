package correct

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func clusters(c Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:   "the cluster has seven operations",
				Keys:   wire.Keys(kmsg.Metadata, kmsg.DescribeCluster),
				Answer: amended(sevenOperations),
			},
			Restores:  "KIP-430; AclEntry.supportedOperations: a cluster is not read, written or deleted",
			Upstream:  "acl.go has ten",
			Behaviour: "cluster/authorized operations are those that there are",
		},
		{
			Rule: wire.Rule{
				Name:   "DescribeCluster describes brokers only",
				Keys:   wire.Keys(kmsg.DescribeCluster),
				Answer: answered(describesBrokers),
			},
			Restores:  "KIP-919: a broker is no endpoint to ask about controllers",
			Upstream:  "60_describe_cluster.go describes brokers whatever is asked",
			Behaviour: "cluster/a broker does not describe controllers",
		},
		{
			Rule: wire.Rule{
				Name:  "Metadata v0 without topics is of all topics",
				Keys:  wire.Keys(kmsg.Metadata),
				Wants: func(h wire.Header) bool { return h.Version == 0 },
				Request: asked(func(x *wire.Exchange, req *kmsg.MetadataRequest) {
					if len(req.Topics) == 0 {
						req.Version, req.Topics = 1, nil // where null means all
						x.SetRequest(req)
					}
				}),
			},
			Restores:  "Metadata v0: an empty list means all topics",
			Upstream:  "03_metadata.go answers none",
			Behaviour: "cluster/metadata v0 without topics is of all topics",
		},
		{
			Rule: wire.Rule{
				Name:    "delegation tokens are refused",
				Keys:    wire.Keys(kmsg.CreateDelegationToken, kmsg.RenewDelegationToken, kmsg.ExpireDelegationToken, kmsg.DescribeDelegationToken),
				Request: func(x *wire.Exchange) { refuseTokens(x, c) },
			},
			Restores:  "KIP-48: error 64 to who has not authenticated, 61 where there is no secret key for tokens",
			Upstream:  "there is no 38_create_delegation_token.go",
			Behaviour: "cluster/delegation tokens are refused",
		},
	}
}

// clusterOperations are create, alter, describe, cluster action, describe and
// alter configs, idempotent write, as a bit each.
const clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12

// notAsked is in the place of operations that were not asked for.
const notAsked = -1 << 31

func sevenOperations(_ *wire.Exchange, resp kmsg.Response) (changed bool) {
	mask := func(operations *int32) {
		if *operations != notAsked && *operations&^clusterOperations != 0 {
			*operations &= clusterOperations
			changed = true
		}
	}
	switch r := resp.(type) {
	case *kmsg.MetadataResponse:
		mask(&r.AuthorizedOperations)
	case *kmsg.DescribeClusterResponse:
		mask(&r.ClusterAuthorizedOperations)
	}
	return changed
}

func describesBrokers(_ *wire.Exchange, req *kmsg.DescribeClusterRequest, resp *kmsg.DescribeClusterResponse) bool {
	const brokers, controllers = 1, 2
	endpoint := req.EndpointType
	if endpoint == brokers || req.Version == 0 {
		return false
	}
	*resp = kmsg.NewDescribeClusterResponse()
	resp.Version, resp.EndpointType = req.Version, brokers
	resp.ErrorCode = kerr.UnsupportedEndpointType.Code
	resp.ErrorMessage = kmsg.StringPtr(fmt.Sprintf("Unsupported endpoint type %d", endpoint))
	if endpoint == controllers {
		resp.ErrorCode = kerr.MismatchedEndpointType.Code
		resp.ErrorMessage = kmsg.StringPtr("The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER")
	}
	return true
}

func refuseTokens(x *wire.Exchange, c Cluster) {
	code := kerr.DelegationTokenRequestNotAllowed.Code
	if c.SASL(x.Listener) {
		code = kerr.DelegationTokenAuthDisabled.Code
	}
	switch x.Key {
	case kmsg.CreateDelegationToken:
		resp := kmsg.NewPtrCreateDelegationTokenResponse()
		resp.ErrorCode, resp.PrincipalType = code, "User"
		resp.IssueTimestamp, resp.ExpiryTimestamp, resp.MaxTimestamp = -1, -1, -1
		x.Reply(resp)
	case kmsg.RenewDelegationToken:
		resp := kmsg.NewPtrRenewDelegationTokenResponse()
		resp.ErrorCode, resp.ExpiryTimestamp = code, -1
		x.Reply(resp)
	case kmsg.ExpireDelegationToken:
		resp := kmsg.NewPtrExpireDelegationTokenResponse()
		resp.ErrorCode, resp.ExpiryTimestamp = code, -1
		x.Reply(resp)
	case kmsg.DescribeDelegationToken:
		resp := kmsg.NewPtrDescribeDelegationTokenResponse()
		resp.ErrorCode = code
		x.Reply(resp)
	}
}
