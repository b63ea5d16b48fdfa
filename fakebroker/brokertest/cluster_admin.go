package brokertest

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func clusterAdminBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "cluster/ACLs are checked",
			Source: "AclApis.handleCreateAcls; AuthorizerUtils, KafkaPrincipal",
			Needs:  Needs{ACLs: true},
			Run:    checksACLs,
		},
		{
			Name:   "cluster/ACLs with unknown elements cannot be read",
			Source: "DescribeAclsRequest, CreateAclsRequest, DeleteAclsRequest",
			Needs:  Needs{ACLs: true},
			Run:    unreadableACLs,
		},
		{
			Name:   "cluster/quotas are checked",
			Source: "KIP-546; ClientQuotaControlManager",
			Run:    checksQuotas,
		},
		{
			Name:   "cluster/filters of quotas are checked",
			Source: "KIP-546; ClientQuotasImage.describe",
			Run:    checksQuotaFilters,
		},
		{
			Name:   "cluster/quotas have their entities and limits in one order",
			Source: "KIP-546; ClientQuotaEntity, ClientQuotaImage",
			Run:    ordersQuotas,
		},
		{
			Name:   "cluster/SCRAM credentials are refused with a reason",
			Source: "KIP-554; ScramControlManager",
			Run:    refusesCredentials,
		},
		{
			Name:   "cluster/SCRAM credentials are described or missed with a reason",
			Source: "KIP-554; ScramImage.describe",
			Run:    describesCredentials,
		},
		{
			Name:   "cluster/SCRAM credentials of all users are described when none is named",
			Source: "KIP-554; ScramImage.describe",
			Run:    describesAllCredentials,
		},
		{
			Name:   "cluster/features are updated all or none",
			Source: "KIP-584, KIP-1022; FeatureControlManager",
			Run:    updatesFeatures,
		},
	}
}

// asAdmin connects as who may do everything.
func asAdmin(t T, c Cluster) *raw {
	t.Helper()
	conn := dial(t, c.SASL.Options)
	conn.ask(1, handshake(plain))
	resp, ok := conn.ask(1, authenticate(plainToken(c.SASL.Admin))).(*kmsg.SASLAuthenticateResponse)
	if !ok || resp.ErrorCode != 0 {
		t.Errorf("%s is not let in: %+v", c.SASL.Admin.Name, resp)
		t.FailNow()
	}
	return conn
}

func checksACLs(t T, c Cluster) {
	who := "User:" + name("user")
	acl := func(kind kmsg.ACLResourceType, resource, principal string) kmsg.CreateACLsRequestCreation {
		a := kmsg.NewCreateACLsRequestCreation()
		a.ResourceType, a.ResourceName, a.ResourcePatternType = kind, resource, kmsg.ACLResourcePatternTypeLiteral
		a.Principal, a.Host, a.Operation, a.PermissionType = principal, "*", kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow
		return a
	}
	const topic, cluster = kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeCluster
	cases := []struct {
		acl     kmsg.CreateACLsRequestCreation
		message string
	}{
		{acl(topic, "", who), "Invalid empty resource name"},
		{acl(topic, name("topic"), who), ""},
		{acl(cluster, "other", who), "The only valid name for the CLUSTER resource is kafka-cluster"},
		{acl(topic, name("topic"), "nobody"), "Could not parse principal from `nobody` (no colon is present separating the principal type from the principal name)"},
		{acl(topic, name("topic"), who), ""},
	}
	conn := asAdmin(t, c)
	del := kmsg.NewPtrDeleteACLsRequest()
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	f.Operation, f.PermissionType, f.Principal = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny, &who
	del.Filters = append(del.Filters, f)
	for v := int16(1); v <= 3; v++ {
		req := kmsg.NewPtrCreateACLsRequest()
		for _, tt := range cases {
			req.Creations = append(req.Creations, tt.acl)
		}
		resp, ok := conn.ask(v, req).(*kmsg.CreateACLsResponse)
		if !ok || len(resp.Results) != len(cases) {
			t.Errorf("v%d: want %d results, have %+v", v, len(cases), resp)
			return
		}
		for i, tt := range cases {
			if r := resp.Results[i]; tt.message != "" {
				code(t, tt.message, r.ErrorCode, kerr.InvalidRequest)
				equal(t, "message", text(r.ErrorMessage), tt.message)
			} else {
				code(t, "right ACL", r.ErrorCode, nil)
			}
		}
		if resp, ok := conn.ask(v, del).(*kmsg.DeleteACLsResponse); ok {
			code(t, "delete", resp.Results[0].ErrorCode, nil)
			equal(t, "created and deleted", len(resp.Results[0].MatchingACLs), 2)
		}
	}
}

func unreadableACLs(t T, c Cluster) {
	all := func() *kmsg.DescribeACLsRequest {
		req := kmsg.NewPtrDescribeACLsRequest()
		req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
		req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		return req
	}
	if resp, ok := asAdmin(t, c).ask(3, all()).(*kmsg.DescribeACLsResponse); ok {
		code(t, "any ACLs", resp.ErrorCode, nil)
	} else {
		t.Errorf("any ACLs: no answer")
	}
	for what, change := range map[string]func(*kmsg.DescribeACLsRequest){
		"resource":   func(r *kmsg.DescribeACLsRequest) { r.ResourceType = 0 },
		"pattern":    func(r *kmsg.DescribeACLsRequest) { r.ResourcePatternType = 0 },
		"operation":  func(r *kmsg.DescribeACLsRequest) { r.Operation = 0 },
		"permission": func(r *kmsg.DescribeACLsRequest) { r.PermissionType = 0 },
	} {
		req := all()
		change(req)
		if resp := asAdmin(t, c).ask(3, req); resp != nil {
			t.Errorf("unknown %s is answered: %+v", what, resp)
		}
	}
}

func checksQuotas(t T, c Cluster) {
	type entity = kmsg.AlterClientQuotasRequestEntryEntity
	of := func(kind, name string) entity { return entity{Type: kind, Name: &name} }
	who := name("user")
	for _, tt := range []struct {
		entities []entity
		key      string
		value    float64
		message  string
	}{
		{[]entity{of("user", who)}, "producer_byte_rate", 1000, ""},
		{[]entity{of("user", who), of("client-id", "app")}, "request_percentage", 1.5, ""},
		{[]entity{{Type: "user"}}, "controller_mutation_rate", 1.5, ""},
		{[]entity{of("ip", "127.0.0.1")}, "connection_creation_rate", 5, ""},
		{nil, "producer_byte_rate", 1, "Invalid empty client quota entity"},
		{[]entity{of("topic", "t")}, "producer_byte_rate", 1, "Unhandled client quota entity type: topic"},
		{[]entity{of("user", "")}, "producer_byte_rate", 1, "Empty user not supported"},
		{[]entity{of("client-id", "")}, "producer_byte_rate", 1, "Empty client-id not supported"},
		{[]entity{of("user", who)}, "rate", 1, "Invalid configuration key rate"},
		{[]entity{of("user", who)}, "connection_creation_rate", 1, "Invalid configuration key connection_creation_rate"},
		{[]entity{of("ip", "127.0.0.1")}, "producer_byte_rate", 1, "Invalid configuration key producer_byte_rate"},
		{[]entity{of("user", who)}, "producer_byte_rate", 0, "Quota producer_byte_rate must be greater than 0"},
		{[]entity{of("user", who)}, "consumer_byte_rate", -1, "Quota consumer_byte_rate must be greater than 0"},
		{[]entity{of("user", who)}, "producer_byte_rate", 1.5, "producer_byte_rate cannot be a fractional value."},
		{[]entity{of("ip", "127.0.0.1")}, "connection_creation_rate", 1.5, "connection_creation_rate cannot be a fractional value."},
		{[]entity{of("ip", "no host")}, "connection_creation_rate", 1, "no host is not a valid IP or resolvable host."},
	} {
		for v := int16(0); v <= 1; v++ {
			req := kmsg.NewPtrAlterClientQuotasRequest()
			req.ValidateOnly = true
			e := kmsg.NewAlterClientQuotasRequestEntry()
			e.Entity = tt.entities
			op := kmsg.NewAlterClientQuotasRequestEntryOp()
			op.Key, op.Value = tt.key, tt.value
			e.Ops = append(e.Ops, op)
			req.Entries = append(req.Entries, e)
			resp, ok := dial(t, c.Options).ask(v, req).(*kmsg.AlterClientQuotasResponse)
			if !ok || len(resp.Entries) != 1 {
				t.Errorf("%s=%v: want an entry, have %+v", tt.key, tt.value, resp)
				continue
			}
			got := resp.Entries[0]
			equal(t, "entities", len(got.Entity), len(tt.entities))
			if tt.message == "" {
				code(t, tt.key, got.ErrorCode, nil)
				continue
			}
			code(t, tt.message, got.ErrorCode, kerr.InvalidRequest)
			equal(t, "message", text(got.ErrorMessage), tt.message)
		}
	}
}

func checksQuotaFilters(t T, c Cluster) {
	type component = kmsg.DescribeClientQuotasRequestComponent
	const exact, theDefault, whichever = 0, 1, 2
	some := "x"
	for _, tt := range []struct {
		components []component
		want       *kerr.Error
		message    string
	}{
		{[]component{{EntityType: "user", MatchType: exact, Match: kmsg.StringPtr(name("user"))}}, nil, ""},
		{[]component{{EntityType: "user", MatchType: exact}}, kerr.InvalidRequest, "Request specified MATCH_TYPE_EXACT, but set match string to null."},
		{[]component{{EntityType: "user", MatchType: theDefault, Match: &some}}, kerr.InvalidRequest, "Request specified MATCH_TYPE_DEFAULT, but also specified a match string."},
		{[]component{{EntityType: "user", MatchType: 9}}, kerr.InvalidRequest, "Unknown match type 9"},
		{[]component{{EntityType: "", MatchType: whichever}}, kerr.InvalidRequest, "Invalid empty entity type."},
		{[]component{{EntityType: "topic", MatchType: whichever}}, kerr.UnsupportedVersion, "Unsupported entity type topic"},
		{[]component{{EntityType: "user", MatchType: whichever}, {EntityType: "user", MatchType: whichever}}, kerr.InvalidRequest, "Entity type user cannot appear more than once in the filter."},
		{[]component{{EntityType: "user", MatchType: whichever}, {EntityType: "ip", MatchType: whichever}}, kerr.InvalidRequest, "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component."},
	} {
		for v := int16(0); v <= 1; v++ {
			req := kmsg.NewPtrDescribeClientQuotasRequest()
			req.Components = tt.components
			resp, ok := dial(t, c.Options).ask(v, req).(*kmsg.DescribeClientQuotasResponse)
			if !ok {
				t.Errorf("%+v: no answer", tt.components)
				continue
			}
			code(t, tt.message, resp.ErrorCode, tt.want)
			equal(t, "a list", resp.Entries != nil, tt.want == nil)
			if tt.want != nil {
				equal(t, "message", text(resp.ErrorMessage), tt.message)
			}
		}
	}
}

func ordersQuotas(t T, c Cluster) {
	conn := dial(t, c.Options)
	user, client := name("user"), name("client")
	alter := func(v int16, remove bool, types ...string) {
		t.Helper()
		req := kmsg.NewPtrAlterClientQuotasRequest()
		entry := kmsg.NewAlterClientQuotasRequestEntry()
		for _, kind := range types {
			e := kmsg.NewAlterClientQuotasRequestEntryEntity()
			e.Type, e.Name = kind, &user
			if kind == "client-id" {
				e.Name = &client
			}
			entry.Entity = append(entry.Entity, e)
		}
		for _, key := range []string{"producer_byte_rate", "request_percentage", "consumer_byte_rate"} {
			entry.Ops = append(entry.Ops, kmsg.AlterClientQuotasRequestEntryOp{Key: key, Value: 1000, Remove: remove})
		}
		req.Entries = append(req.Entries, entry)
		resp, ok := conn.ask(v, req).(*kmsg.AlterClientQuotasResponse)
		if !ok || len(resp.Entries) != 1 {
			t.Errorf("quotas of %v: want an entry, have %+v", types, resp)
			return
		}
		code(t, "quotas", resp.Entries[0].ErrorCode, nil)
		var got []string
		for _, e := range resp.Entries[0].Entity {
			got = append(got, e.Type)
		}
		equal(t, "entities altered", got, []string{"client-id", "user"})
	}
	for v := int16(0); v <= 1; v++ {
		for _, types := range [][]string{{"user", "client-id"}, {"client-id", "user"}} {
			alter(v, false, types...)
			req := kmsg.NewPtrDescribeClientQuotasRequest()
			req.Components = []kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user", Match: &user}}
			var got []string
			eventually(t, "the quotas of "+user, func() bool {
				got = nil
				resp, ok := conn.ask(v, req).(*kmsg.DescribeClientQuotasResponse)
				if !ok || len(resp.Entries) != 1 {
					return false
				}
				for _, e := range resp.Entries[0].Entity {
					got = append(got, e.Type)
				}
				for _, limit := range resp.Entries[0].Values {
					got = append(got, limit.Key)
				}
				return true
			})
			equal(t, "quota", got, []string{"client-id", "user", "consumer_byte_rate", "request_percentage", "producer_byte_rate"})
			alter(v, true, types...)
			eventually(t, "the end of the quotas of "+user, func() bool {
				resp, ok := conn.ask(v, req).(*kmsg.DescribeClientQuotasResponse)
				return ok && len(resp.Entries) == 0
			})
		}
	}
}

func upsertion(user string, mechanism int8, iterations int32) kmsg.AlterUserSCRAMCredentialsRequestUpsertion {
	u := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
	u.Name, u.Mechanism, u.Iterations = user, mechanism, iterations
	u.Salt, u.SaltedPassword = []byte("salt"), []byte(strings.Repeat("p", 32))
	return u
}

func refusesCredentials(t T, c Cluster) {
	type upserts = []kmsg.AlterUserSCRAMCredentialsRequestUpsertion
	user := name("user")
	const sha256 = 1
	conn := dial(t, c.Options)
	alter := func(req *kmsg.AlterUserSCRAMCredentialsRequest, who string, want *kerr.Error, message string) {
		t.Helper()
		resp, ok := conn.ask(0, req).(*kmsg.AlterUserSCRAMCredentialsResponse)
		if !ok || len(resp.Results) != 1 {
			t.Errorf("%s: want a result, have %+v", message, resp)
			return
		}
		equal(t, "user", resp.Results[0].User, who)
		code(t, message, resp.Results[0].ErrorCode, want)
		if want != nil {
			equal(t, "message", text(resp.Results[0].ErrorMessage), message)
		}
	}
	for _, tt := range []struct {
		upserts upserts
		want    *kerr.Error
		message string
	}{
		{upserts{upsertion("", sha256, 4096)}, kerr.UnacceptableCredential, "Username must not be empty"},
		{upserts{upsertion(user, sha256, 4095)}, kerr.UnacceptableCredential, "Too few iterations"},
		{upserts{upsertion(user, sha256, 16385)}, kerr.UnacceptableCredential, "Too many iterations"},
		{upserts{upsertion(user, 0, 4096)}, kerr.UnsupportedSaslMechanism, "Unknown SCRAM mechanism"},
		{upserts{upsertion(user, sha256, 4096), upsertion(user, sha256, 5000)}, kerr.DuplicateResource, "A user credential cannot be altered twice in the same request"},
	} {
		req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
		req.Upsertions = tt.upserts
		alter(req, tt.upserts[0].Name, tt.want, tt.message)
	}
	req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	for m := int8(1); m <= 2; m++ {
		d := kmsg.NewAlterUserSCRAMCredentialsRequestDeletion()
		d.Name, d.Mechanism = user, m
		req.Deletions = append(req.Deletions, d)
	}
	alter(req, user, kerr.ResourceNotFound, "Attempt to delete a user credential that does not exist")
}

func describesCredentials(t T, c Cluster) {
	const sha256, sha512 = 1, 2
	conn := dial(t, c.Options)
	user, none := name("user"), name("user")
	upsert := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	upsert.Upsertions = append(upsert.Upsertions, upsertion(user, sha256, 4096))
	if resp, ok := conn.ask(0, upsert).(*kmsg.AlterUserSCRAMCredentialsResponse); ok {
		code(t, "upsert", resp.Results[0].ErrorCode, nil)
	}
	describe := func(who ...string) []kmsg.DescribeUserSCRAMCredentialsResponseResult {
		t.Helper()
		req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
		for _, w := range who {
			u := kmsg.NewDescribeUserSCRAMCredentialsRequestUser()
			u.Name = w
			req.Users = append(req.Users, u)
		}
		resp, ok := conn.ask(0, req).(*kmsg.DescribeUserSCRAMCredentialsResponse)
		if !ok || len(resp.Results) != 1 {
			t.Errorf("want the result of one user, have %+v", resp)
			t.FailNow()
		}
		return resp.Results
	}
	var got kmsg.DescribeUserSCRAMCredentialsResponseResult
	eventually(t, "the credential of "+user, func() bool { got = describe(user)[0]; return got.ErrorCode == 0 })
	equal(t, "credentials", len(got.CredentialInfos), 1)
	equal(t, "mechanism", got.CredentialInfos[0].Mechanism, int8(sha256))
	equal(t, "iterations", got.CredentialInfos[0].Iterations, int32(4096))

	got = describe(none)[0]
	code(t, "nobody", got.ErrorCode, kerr.ResourceNotFound)
	equal(t, "message", text(got.ErrorMessage), "Attempt to describe a user credential that does not exist: "+none)
	got = describe(user, user)[0]
	code(t, "twice", got.ErrorCode, kerr.DuplicateResource)
	equal(t, "message", text(got.ErrorMessage), "Cannot describe SCRAM credentials for the same user twice in a single request: "+user)

	remove := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	d := kmsg.NewAlterUserSCRAMCredentialsRequestDeletion()
	d.Name, d.Mechanism = user, sha256
	remove.Deletions = append(remove.Deletions, d)
	if resp, ok := conn.ask(0, remove).(*kmsg.AlterUserSCRAMCredentialsResponse); ok {
		code(t, "delete", resp.Results[0].ErrorCode, nil)
	}
}

func describesAllCredentials(t T, c Cluster) {
	const sha256, sha512 = 1, 2
	conn := dial(t, c.Options)
	first, second := name("user"), name("user")
	upsert := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	upsert.Upsertions = append(upsert.Upsertions, upsertion(first, sha256, 4096), upsertion(second, sha512, 4096))
	if resp, ok := conn.ask(0, upsert).(*kmsg.AlterUserSCRAMCredentialsResponse); ok {
		code(t, "upsert", resp.Results[0].ErrorCode, nil)
	}
	for what, who := range map[string][]kmsg.DescribeUserSCRAMCredentialsRequestUser{"null": nil, "empty": {}} {
		req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
		req.Users = who
		var resp *kmsg.DescribeUserSCRAMCredentialsResponse
		eventually(t, "the credentials of all, asked with a list that is "+what, func() bool {
			resp, _ = conn.ask(0, req).(*kmsg.DescribeUserSCRAMCredentialsResponse)
			found := 0
			for _, r := range resp.Results {
				if (r.User == first || r.User == second) && r.ErrorCode == 0 && len(r.CredentialInfos) == 1 {
					found++
				}
			}
			return found == 2
		})
		code(t, what, resp.ErrorCode, nil)
		equal(t, "message", text(resp.ErrorMessage), "")
	}
	remove := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	for user, mechanism := range map[string]int8{first: sha256, second: sha512} {
		d := kmsg.NewAlterUserSCRAMCredentialsRequestDeletion()
		d.Name, d.Mechanism = user, mechanism
		remove.Deletions = append(remove.Deletions, d)
	}
	if resp, ok := conn.ask(0, remove).(*kmsg.AlterUserSCRAMCredentialsResponse); ok {
		code(t, "delete", resp.Results[0].ErrorCode, nil)
	}
}

func updatesFeatures(t T, c Cluster) {
	const upgrade, safeDowngrade, unsafeDowngrade = 1, 2, 3
	const all = "The update failed for all features since the following feature had an error: "
	for _, tt := range []struct {
		feature string
		level   int16
		how     int8
		message string // how it begins, without what names the controller
	}{
		{"transaction.version", 2, upgrade, ""},
		{"transaction.version", 0, safeDowngrade, ""},
		{"eligible.leader.replicas.version", 0, safeDowngrade, ""},
		{"nothing", 1, upgrade, "Invalid update version 1 for feature nothing. Local controller "},
		{"nothing", 0, upgrade, "Invalid update version 0 for feature nothing. Feature nothing not found."},
		{"transaction.version", 99, upgrade, "Invalid update version 99 for feature transaction.version. Local controller "},
		{"metadata.version", 5, unsafeDowngrade, "Invalid update version 5 for feature metadata.version. Local controller "},
		{"transaction.version", -1, upgrade, "Invalid update version -1 for feature transaction.version. A feature version cannot be less than 0."},
		{"transaction.version", 2, 0, "Invalid update version 2 for feature transaction.version. The controller does not support the given upgrade type."},
		{"transaction.version", 0, upgrade, "Invalid update version 0 for feature transaction.version. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."},
		{"metadata.version", 29, safeDowngrade, "Unsupported metadata.version downgrade from 30 to 29. Refusing to perform the requested downgrade because it might delete metadata information."},
		{"metadata.version", 29, unsafeDowngrade, "Unsupported metadata.version downgrade from 30 to 29. Unsafe metadata downgrade is not supported in this version."},
	} {
		for v := int16(1); v <= 2; v++ {
			req := kmsg.NewPtrUpdateFeaturesRequest()
			req.TimeoutMillis, req.ValidateOnly = int32(patience.Milliseconds()), true
			u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
			u.Feature, u.MaxVersionLevel, u.UpgradeType = tt.feature, tt.level, tt.how
			req.FeatureUpdates = append(req.FeatureUpdates, u)
			resp, ok := dial(t, c.Options).ask(v, req).(*kmsg.UpdateFeaturesResponse)
			if !ok {
				t.Errorf("%s to %d: no answer", tt.feature, tt.level)
				continue
			}
			if tt.message == "" {
				code(t, tt.feature, resp.ErrorCode, nil)
				continue
			}
			code(t, tt.message, resp.ErrorCode, kerr.InvalidUpdateVersion)
			equal(t, "results", len(resp.Results), 0)
			if !strings.HasPrefix(text(resp.ErrorMessage), all+tt.message) {
				t.Errorf("message: %s, want %s", text(resp.ErrorMessage), all+tt.message)
			}
		}
	}
}
