package fakebroker

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// everyone lets everybody do everything with resources that no ACL is about, as
// Kafka's StandardAuthorizer does with allow.everyone.if.no.acl.found. kfake
// denies what no ACL allows. So it is given one for each such resource, which
// allows everybody everything, before a request that names the resource gets
// there, and until a client makes an ACL that is about it. Clients do not see them.
type everyone struct {
	mu    sync.Mutex
	known map[resource]bool // those asked about: true has an ACL of ours, false somebody else's
	most  int               // how many are known before those that there are not are forgotten
}

// resource is what ACLs are about.
type resource struct {
	kind kmsg.ACLResourceType
	name string
}

// mostResources is how many resources one request can open, and how many are known
// at least before any are forgotten, so that clients that make up names do not fill
// the memory.
const mostResources = 2_000

// allowEveryone has requests find what they name open to everybody, unless there
// are ACLs about it.
func (b *Broker) allowEveryone() wire.Rule {
	e := &everyone{known: make(map[resource]bool), most: mostResources}
	return wire.Rule{
		Name: "everyone is allowed where there is no ACL",
		Request: func(x *wire.Exchange) {
			if req, err := x.Request(); err == nil {
				e.open(x.Context(), b, b.resourcesOf(req))
			}
		},
		Answer: func(x *wire.Exchange) {
			switch x.Key {
			case kmsg.DescribeACLs, kmsg.CreateACLs, kmsg.DeleteACLs:
			default:
				return
			}
			r, err := x.Request()
			if err != nil {
				return
			}
			a, err := x.Response()
			if err != nil {
				return
			}
			switch resp := a.(type) {
			case *kmsg.DescribeACLsResponse:
				e.hide(resp)
			case *kmsg.CreateACLsResponse:
				e.created(b, r.(*kmsg.CreateACLsRequest), resp)
				return
			case *kmsg.DeleteACLsResponse:
				e.deleted(b, resp)
			}
			x.SetResponse(a)
		},
	}
}

// open makes the ACLs that are missing.
func (e *everyone) open(ctx context.Context, b *Broker, all map[resource]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for r := range all {
		if _, known := e.known[r]; known {
			delete(all, r)
		}
	}
	if len(all) == 0 {
		return
	}
	if len(e.known)+len(all) > e.most {
		e.forget(ctx, b)
		e.most = max(mostResources, 2*len(e.known)) // what is left is there
	}
	theirs, ok := e.others(ctx, b)
	if !ok {
		return // the cluster is closed, or the client gone
	}
	req := kmsg.NewPtrCreateACLsRequest()
	for r := range all {
		e.known[r] = !slices.ContainsFunc(theirs, func(o kmsg.DescribeACLsResponseResource) bool {
			return o.ResourceType == r.kind && covers(o, r.name)
		})
		if e.known[r] {
			req.Creations = append(req.Creations, r.opened())
		}
	}
	if len(req.Creations) > 0 {
		_, _ = b.askACLs(ctx, req) // closed: nobody asks any more
	}
}

// opened is the ACL that allows everybody everything.
func (r resource) opened() kmsg.CreateACLsRequestCreation {
	c := kmsg.NewCreateACLsRequestCreation()
	c.ResourceType, c.ResourceName, c.ResourcePatternType = r.kind, r.name, kmsg.ACLResourcePatternTypeLiteral
	c.Principal, c.Host, c.Operation, c.PermissionType = userPrefix+"*", "*", kmsg.ACLOperationAll, kmsg.ACLPermissionTypeAllow
	return c
}

// isOpened reports whether an ACL is one that opened could be.
func isOpened(pattern kmsg.ACLResourcePatternType, principal, host string, op kmsg.ACLOperation, permission kmsg.ACLPermissionType) bool {
	return pattern == kmsg.ACLResourcePatternTypeLiteral && principal == userPrefix+"*" && host == "*" &&
		op == kmsg.ACLOperationAll && permission == kmsg.ACLPermissionTypeAllow
}

// others are the ACLs that clients have made.
func (e *everyone) others(ctx context.Context, b *Broker) ([]kmsg.DescribeACLsResponseResource, bool) {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	resp, err := b.askACLs(ctx, req)
	if err != nil {
		return nil, false
	}
	all := resp.(*kmsg.DescribeACLsResponse)
	e.hideKnown(all)
	return all.Resources, true
}

func (e *everyone) hide(resp *kmsg.DescribeACLsResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hideKnown(resp)
}

// hideKnown leaves out the ACLs that are not clients'. Where there is one, it is the
// only one about its resource that looks like this.
func (e *everyone) hideKnown(resp *kmsg.DescribeACLsResponse) {
	for i := range resp.Resources {
		r := &resp.Resources[i]
		if !e.known[resource{r.ResourceType, r.ResourceName}] {
			continue
		}
		r.ACLs = slices.DeleteFunc(r.ACLs, func(a kmsg.DescribeACLsResponseResourceACL) bool {
			return isOpened(r.ResourcePatternType, a.Principal, a.Host, a.Operation, a.PermissionType)
		})
	}
	resp.Resources = slices.DeleteFunc(resp.Resources, func(r kmsg.DescribeACLsResponseResource) bool { return len(r.ACLs) == 0 })
}

// created takes back the ACLs about resources that clients now have one about.
func (e *everyone) created(b *Broker, req *kmsg.CreateACLsRequest, resp *kmsg.CreateACLsResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var closed []resource
	again := kmsg.NewPtrCreateACLsRequest() // those that were there already, as ours
	for i, c := range req.Creations {
		if i >= len(resp.Results) || resp.Results[i].ErrorCode != 0 {
			continue
		}
		about := kmsg.DescribeACLsResponseResource{ResourceType: c.ResourceType, ResourceName: c.ResourceName, ResourcePatternType: c.ResourcePatternType}
		for r, ours := range e.known {
			if r.kind == c.ResourceType && covers(about, r.name) && ours {
				closed = append(closed, r)
				e.known[r] = false
			}
		}
		if isOpened(c.ResourcePatternType, c.Principal, c.Host, c.Operation, c.PermissionType) {
			again.Creations = append(again.Creations, c)
		}
	}
	ctx := context.Background() // it is done whole, even if the client goes
	b.takeBack(ctx, closed)
	if len(again.Creations) > 0 {
		_, _ = b.askACLs(ctx, again)
	}
}

// deleted has resources that no ACL may be about any more looked at anew, and does
// not tell of ours that went along.
func (e *everyone) deleted(b *Broker, resp *kmsg.DeleteACLsResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	lost := make(map[resource]bool)
	for i := range resp.Results {
		r := &resp.Results[i]
		r.MatchingACLs = slices.DeleteFunc(r.MatchingACLs, func(a kmsg.DeleteACLsResponseResultMatchingACL) bool {
			at := resource{a.ResourceType, a.ResourceName}
			ours := e.known[at] && isOpened(a.ResourcePatternType, a.Principal, a.Host, a.Operation, a.PermissionType)
			lost[at] = lost[at] || ours
			return ours
		})
	}
	again := kmsg.NewPtrCreateACLsRequest()
	for r, ours := range e.known {
		switch {
		case !ours:
			delete(e.known, r)
		case lost[r]:
			again.Creations = append(again.Creations, r.opened())
		}
	}
	if len(again.Creations) > 0 {
		_, _ = b.askACLs(context.Background(), again)
	}
}

// forget takes the ACLs back that are ours and about nothing that there is.
func (e *everyone) forget(ctx context.Context, b *Broker) {
	there := map[resource]bool{{kmsg.ACLResourceTypeCluster, clusterName}: true}
	for _, t := range b.topicNames() {
		there[resource{kmsg.ACLResourceTypeTopic, t}] = true
	}
	groups, _ := b.groupTypes(b.nodes()...)
	for g := range groups {
		there[resource{kmsg.ACLResourceTypeGroup, g}] = true
	}
	var gone []resource
	for r, ours := range e.known {
		switch {
		case there[r]:
			continue
		case ours:
			gone = append(gone, r)
		}
		delete(e.known, r)
	}
	b.takeBack(ctx, gone)
}

// takeBack deletes ACLs that everyone.open has made.
func (b *Broker) takeBack(ctx context.Context, all []resource) {
	if len(all) == 0 {
		return
	}
	req := kmsg.NewPtrDeleteACLsRequest()
	for _, r := range all {
		o := r.opened()
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourceName, f.ResourcePatternType = o.ResourceType, &o.ResourceName, o.ResourcePatternType
		f.Principal, f.Host, f.Operation, f.PermissionType = &o.Principal, &o.Host, o.Operation, o.PermissionType
		req.Filters = append(req.Filters, f)
	}
	_, _ = b.askACLs(ctx, req)
}

func (b *Broker) askACLs(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	const version, first = 3, 0
	req.SetVersion(version)
	return corrected{b}.Ask(ctx, first, req)
}

// aboutMore are the requests that may be about topics which they do not name.
var aboutMore = wire.Keys(
	kmsg.Metadata, kmsg.DescribeTopicPartitions, kmsg.OffsetFetch, kmsg.ElectLeaders, kmsg.ListPartitionReassignments,
	kmsg.ConsumerGroupHeartbeat, kmsg.ConsumerGroupDescribe, kmsg.DescribeTransactions,
	kmsg.ShareGroupHeartbeat, kmsg.ShareGroupDescribe, kmsg.DescribeShareGroupOffsets, kmsg.DescribeLogDirs,
)

// resourcesOf are those that a request may be about; of those that it names, as many
// as it can open.
func (b *Broker) resourcesOf(req kmsg.Request) map[resource]bool {
	all := make(map[resource]bool)
	b.walkNames(reflect.ValueOf(req).Elem(), func(field, name string) {
		topic, group, transaction := resource{kmsg.ACLResourceTypeTopic, name}, resource{kmsg.ACLResourceTypeGroup, name}, resource{kmsg.ACLResourceTypeTransactionalId, name}
		switch {
		case name == "" || len(all) >= mostResources:
		case strings.HasPrefix(field, "Transactional"):
			all[transaction] = true
		case strings.HasPrefix(field, "Group"):
			all[group] = true
		case strings.HasPrefix(field, "CoordinatorKey"):
			all[group], all[transaction] = true, true
		case field == "ResourceName":
			all[topic], all[group] = true, true
		case strings.Contains(field, "Topic"):
			all[topic] = true
		}
	})
	all[resource{kmsg.ACLResourceTypeCluster, clusterName}] = true
	if aboutMore.Has(kmsg.Key(req.Key())) {
		for _, t := range b.topicNames() {
			all[resource{kmsg.ACLResourceTypeTopic, t}] = true
		}
	}
	return all
}

// walkNames calls found with each text of a message and the field that has it, ids
// of topics among them as their names.
func (b *Broker) walkNames(v reflect.Value, found func(field, text string)) {
	for i := range v.NumField() {
		field := v.Type().Field(i).Name
		each := func(f reflect.Value) {
			switch f.Kind() {
			case reflect.String:
				found(field, f.String())
			case reflect.Struct:
				b.walkNames(f, found)
			case reflect.Array:
				if id, is := f.Interface().([16]byte); is {
					found(field, b.topicByID(id))
				}
			}
		}
		switch f := v.Field(i); f.Kind() {
		case reflect.Pointer:
			if !f.IsNil() {
				each(f.Elem())
			}
		case reflect.Slice:
			if f.Type().Elem().Kind() == reflect.Uint8 {
				continue // records, and the like
			}
			for j := range f.Len() {
				each(f.Index(j))
			}
		default:
			each(f)
		}
	}
}
