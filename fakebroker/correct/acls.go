package correct

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// clusterName is what ACLs call the cluster.
const clusterName = "kafka-cluster"

func acls(Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name: "CreateAcls refuses what is no resource or principal",
				Keys: wire.Keys(kmsg.CreateACLs),
				Request: asked(func(x *wire.Exchange, req *kmsg.CreateACLsRequest) {
					if good := sift(x, req.Creations, wrongACL); len(good) < len(req.Creations) {
						req.Creations = good
						x.SetRequest(req)
					}
				}),
				Answer: answered(func(x *wire.Exchange, _ *kmsg.CreateACLsRequest, resp *kmsg.CreateACLsResponse) (changed bool) {
					resp.Results, changed = join(x, resp.Results, func(_ int, message string) kmsg.CreateACLsResponseResult {
						return kmsg.CreateACLsResponseResult{ErrorCode: kerr.InvalidRequest.Code, ErrorMessage: &message}
					})
					return changed
				}),
			},
			Restores:  "AclApis.handleCreateAcls: error 42 with a message, for that ACL alone",
			Upstream:  "30_create_acls.go creates ACLs without a name, of other clusters, and for principals without a type",
			Behaviour: "cluster/ACLs are checked",
		},
		{
			Rule: wire.Rule{
				Name:    "a request about ACLs that cannot be read ends the connection",
				Keys:    wire.Keys(kmsg.DescribeACLs, kmsg.CreateACLs, kmsg.DeleteACLs),
				Request: asked(cutUnknownACLs),
			},
			Restores:  "the constructors of DescribeAclsRequest, CreateAclsRequest, DeleteAclsRequest: unknown elements cannot be parsed",
			Upstream:  "acl.go answers 42",
			Behaviour: "cluster/ACLs with unknown elements cannot be read",
		},
	}
}

func wrongACL(c kmsg.CreateACLsRequestCreation) string {
	switch {
	case c.ResourceType == kmsg.ACLResourceTypeCluster && c.ResourceName != clusterName:
		return "The only valid name for the CLUSTER resource is " + clusterName
	case c.ResourceName == "":
		return "Invalid empty resource name"
	case !strings.Contains(c.Principal, ":"):
		return fmt.Sprintf("Could not parse principal from `%s` (no colon is present separating the principal type from the principal name)", c.Principal)
	}
	return ""
}

func cutUnknownACLs(x *wire.Exchange, req kmsg.Request) {
	cutIf := func(resource kmsg.ACLResourceType, pattern kmsg.ACLResourcePatternType, op kmsg.ACLOperation, permission kmsg.ACLPermissionType) {
		if resource == 0 || pattern == 0 || op == 0 || permission == 0 {
			x.Cut()
		}
	}
	switch r := req.(type) {
	case *kmsg.DescribeACLsRequest:
		cutIf(r.ResourceType, r.ResourcePatternType, r.Operation, r.PermissionType)
	case *kmsg.CreateACLsRequest:
		for _, c := range r.Creations {
			cutIf(c.ResourceType, c.ResourcePatternType, c.Operation, c.PermissionType)
		}
	case *kmsg.DeleteACLsRequest:
		for _, f := range r.Filters {
			cutIf(f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType)
		}
	}
}
