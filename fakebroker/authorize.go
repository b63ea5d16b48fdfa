package fakebroker

import (
	"net"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Allowed reports whether the user whom an exchange is from may do something, for
// what kfake does not ask about. It goes by the ACLs as Kafka's StandardAuthorizer
// does (KIP-11, KIP-290).
func (b corrected) Allowed(x *wire.Exchange, op kmsg.ACLOperation, kind kmsg.ACLResourceType, name string) bool {
	if !b.cfg.authorizes() {
		return true
	}
	user, known := x.User()
	if !known {
		return false
	}
	if slices.ContainsFunc(b.cfg.Superusers, func(s string) bool { return strings.TrimPrefix(s, userPrefix) == user }) {
		return true
	}
	const version = 3
	req := kmsg.NewPtrDescribeACLsRequest()
	req.Version = version
	req.ResourceType, req.ResourcePatternType = kind, kmsg.ACLResourcePatternTypeAny
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	resp, err := b.Ask(x.Context(), x.Node, req)
	if err != nil {
		return false // the cluster is closed, or the client gone
	}
	host := hostOf(x.RemoteAddr())
	allowed := false
	for _, r := range resp.(*kmsg.DescribeACLsResponse).Resources {
		if !covers(r, name) {
			continue
		}
		for _, a := range r.ACLs {
			if a.Principal != userPrefix+user && a.Principal != userPrefix+"*" || a.Host != host && a.Host != "*" || !includes(a, op) {
				continue
			}
			if a.PermissionType == kmsg.ACLPermissionTypeDeny {
				return false
			}
			allowed = true
		}
	}
	return allowed
}

// covers reports whether the pattern of an ACL matches the name of a resource.
func covers(r kmsg.DescribeACLsResponseResource, name string) bool {
	if r.ResourcePatternType == kmsg.ACLResourcePatternTypePrefixed {
		return strings.HasPrefix(name, r.ResourceName)
	}
	return r.ResourceName == name || r.ResourceName == "*"
}

// includes reports whether an ACL is about an operation. What allows one operation
// can allow another along with it, what denies it does not.
func includes(a kmsg.DescribeACLsResponseResourceACL, op kmsg.ACLOperation) bool {
	switch {
	case a.Operation == op, a.Operation == kmsg.ACLOperationAll:
		return true
	case a.PermissionType != kmsg.ACLPermissionTypeAllow:
		return false
	case op == kmsg.ACLOperationDescribeConfigs:
		return a.Operation == kmsg.ACLOperationAlterConfigs
	case op == kmsg.ACLOperationDescribe:
		return a.Operation == kmsg.ACLOperationRead || a.Operation == kmsg.ACLOperationWrite ||
			a.Operation == kmsg.ACLOperationDelete || a.Operation == kmsg.ACLOperationAlter
	}
	return false
}

// hostOf is an address without its port.
func hostOf(addr net.Addr) string {
	if addr == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return host
}
