package correct

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func quotas(Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:    "AlterClientQuotas checks entities, keys and values",
				Keys:    wire.Keys(kmsg.AlterClientQuotas),
				Request: asked(siftQuotas),
				Answer:  answered(joinQuotas),
			},
			Restores:  "KIP-546; ClientQuotaControlManager: error 42 with a message, for that entity alone",
			Upstream:  "49_alter_client_quotas.go takes anything",
			Behaviour: "cluster/quotas are checked",
		},
		{
			Rule: wire.Rule{
				Name:    "DescribeClientQuotas checks the filter, and has a list even when nothing is in it",
				Keys:    wire.Keys(kmsg.DescribeClientQuotas),
				Request: asked(refuseFilter),
				Answer: answered(func(_ *wire.Exchange, _ *kmsg.DescribeClientQuotasRequest, resp *kmsg.DescribeClientQuotasResponse) bool {
					if resp.ErrorCode != 0 || resp.Entries != nil {
						return false
					}
					resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
					return true
				}),
			},
			Restores:  "KIP-546; ClientQuotasImage.describe: a null list is that of an error",
			Upstream:  "48_describe_client_quotas.go takes any filter, and answers null",
			Behaviour: "cluster/filters of quotas are checked",
		},
		{
			Rule: wire.Rule{
				Name:   "entities and limits of quotas come in one order",
				Keys:   wire.Keys(kmsg.AlterClientQuotas, kmsg.DescribeClientQuotas),
				Answer: orderQuotas,
			},
			Restores:  "ClientQuotaEntity, ClientQuotaImage: hash maps of the same few strings, so that all answers have them in the same order",
			Upstream:  "49_alter_client_quotas.go has entities as they were asked for, 48_describe_client_quotas.go limits in random order",
			Behaviour: "cluster/quotas have their entities and limits in one order",
		},
	}
}

// orderQuotas sorts what Kafka has in hash maps. The quotas themselves are in an
// order that tells nothing on Kafka; here wider ones come first.
func orderQuotas(x *wire.Exchange) {
	resp, err := x.Response()
	if err != nil {
		return
	}
	types := []string{byClient, byUser, byIP}
	switch r := resp.(type) {
	case *kmsg.AlterClientQuotasResponse:
		for i := range r.Entries {
			slices.SortStableFunc(r.Entries[i].Entity, func(a, b kmsg.AlterClientQuotasResponseEntryEntity) int {
				return slices.Index(types, a.Type) - slices.Index(types, b.Type)
			})
		}
	case *kmsg.DescribeClientQuotasResponse:
		limits := []string{"consumer_byte_rate", "controller_mutation_rate", "request_percentage", "producer_byte_rate", "connection_creation_rate"}
		for i := range r.Entries {
			slices.SortStableFunc(r.Entries[i].Entity, func(a, b kmsg.DescribeClientQuotasResponseEntryEntity) int {
				return slices.Index(types, a.Type) - slices.Index(types, b.Type)
			})
			slices.SortFunc(r.Entries[i].Values, func(a, b kmsg.DescribeClientQuotasResponseEntryValue) int {
				return slices.Index(limits, a.Key) - slices.Index(limits, b.Key)
			})
		}
		slices.SortFunc(r.Entries, func(a, b kmsg.DescribeClientQuotasResponseEntry) int {
			return cmp.Or(len(a.Entity)-len(b.Entity), slices.CompareFunc(a.Entity, b.Entity, func(a, b kmsg.DescribeClientQuotasResponseEntryEntity) int {
				return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(nameOf(a), nameOf(b)))
			}))
		})
	}
	x.SetResponse(resp)
}

// nameOf is empty, which is no name, for the default of all.
func nameOf(e kmsg.DescribeClientQuotasResponseEntryEntity) string {
	if e.Name == nil {
		return ""
	}
	return *e.Name
}

const (
	byUser   = "user"
	byClient = "client-id"
	byIP     = "ip"
)

// alteredQuotas is the key of all entries of a request, which answers repeat.
type alteredQuotas struct{}

func siftQuotas(x *wire.Exchange, req *kmsg.AlterClientQuotasRequest) {
	all := req.Entries
	if good := sift(x, all, wrongQuota); len(good) < len(all) {
		x.Keep(alteredQuotas{}, all)
		req.Entries = good
		x.SetRequest(req)
	}
}

func joinQuotas(x *wire.Exchange, _ *kmsg.AlterClientQuotasRequest, resp *kmsg.AlterClientQuotasResponse) (changed bool) {
	all, _ := x.Kept(alteredQuotas{}).([]kmsg.AlterClientQuotasRequestEntry)
	resp.Entries, changed = join(x, resp.Entries, func(at int, message string) kmsg.AlterClientQuotasResponseEntry {
		e := kmsg.NewAlterClientQuotasResponseEntry()
		e.ErrorCode, e.ErrorMessage = kerr.InvalidRequest.Code, &message
		for _, of := range all[at].Entity {
			entity := kmsg.NewAlterClientQuotasResponseEntryEntity()
			entity.Type, entity.Name = of.Type, of.Name
			e.Entity = append(e.Entity, entity)
		}
		return e
	})
	return changed
}

func wrongQuota(e kmsg.AlterClientQuotasRequestEntry) string {
	if len(e.Entity) == 0 {
		return "Invalid empty client quota entity"
	}
	var ip, others bool
	for _, of := range e.Entity {
		switch of.Type {
		case byIP:
			ip = true
		case byUser, byClient:
			others = true
		default:
			return "Unhandled client quota entity type: " + of.Type
		}
		if of.Name != nil && *of.Name == "" {
			return fmt.Sprintf("Empty %s not supported", of.Type)
		}
	}
	if ip && others {
		return "Invalid quota entity combination, IP entity should" + "not be combined with User or ClientId" // as Kafka spells it
	}
	for _, op := range e.Ops {
		if op.Remove {
			continue
		}
		if message := wrongLimit(op, ip); message != "" {
			return message
		}
	}
	if name := e.Entity[0].Name; ip && name != nil && !maybeHost(*name) {
		return *name + " is not a valid IP or resolvable host."
	}
	return ""
}

func wrongLimit(op kmsg.AlterClientQuotasRequestEntryOp, ip bool) string {
	keys := []string{"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"}
	if ip {
		keys = []string{"connection_creation_rate"}
	}
	switch {
	case !slices.Contains(keys, op.Key):
		return "Invalid configuration key " + op.Key
	case op.Value <= 0:
		return fmt.Sprintf("Quota %s must be greater than 0", op.Key)
	}
	fractions := op.Key == "request_percentage" || op.Key == "controller_mutation_rate"
	if !fractions && op.Value != math.Trunc(op.Value) {
		return op.Key + " cannot be a fractional value."
	}
	return ""
}

// maybeHost reports whether a name could be looked up, which is not done here.
func maybeHost(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return !slices.ContainsFunc([]rune(name), func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		digit := r >= '0' && r <= '9'
		return !letter && !digit && r != '-' && r != '.'
	})
}

func refuseFilter(x *wire.Exchange, req *kmsg.DescribeClientQuotasRequest) {
	code, message := wrongFilter(req.Components)
	if code == nil {
		return
	}
	resp := kmsg.NewPtrDescribeClientQuotasResponse()
	resp.ErrorCode, resp.ErrorMessage = code.Code, &message
	x.Reply(resp)
}

func wrongFilter(components []kmsg.DescribeClientQuotasRequestComponent) (*kerr.Error, string) {
	const exact, theDefault, whichever = 0, 1, 2
	seen := make(map[string]bool)
	for _, c := range components {
		switch {
		case c.EntityType == "":
			return kerr.InvalidRequest, "Invalid empty entity type."
		case seen[c.EntityType]:
			return kerr.InvalidRequest, fmt.Sprintf("Entity type %s cannot appear more than once in the filter.", c.EntityType)
		case c.EntityType != byUser && c.EntityType != byClient && c.EntityType != byIP:
			return kerr.UnsupportedVersion, "Unsupported entity type " + c.EntityType
		}
		seen[c.EntityType] = true
		switch c.MatchType {
		case exact:
			if c.Match == nil {
				return kerr.InvalidRequest, "Request specified MATCH_TYPE_EXACT, but set match string to null."
			}
		case theDefault:
			if c.Match != nil {
				return kerr.InvalidRequest, "Request specified MATCH_TYPE_DEFAULT, but also specified a match string."
			}
		case whichever:
		default:
			return kerr.InvalidRequest, fmt.Sprintf("Unknown match type %d", c.MatchType)
		}
	}
	if seen[byIP] && len(seen) > 1 {
		return kerr.InvalidRequest, "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component."
	}
	return nil, ""
}
