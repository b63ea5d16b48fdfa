package fakebroker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ACL allows or denies something, as Kafka's ACLs do (KIP-11, KIP-290).
type ACL struct {
	// Principal is the user, with or without Kafka's "User:" in front; "*" is
	// everybody. Those who do not authenticate are ANONYMOUS.
	Principal string

	// Host is the address that the principal comes from. Empty or "*" means
	// any.
	Host string

	// Deny makes this a denial, which goes before anything that is allowed.
	Deny bool

	// Operation is what is allowed or denied. Reading, writing, deleting and
	// altering include describing where they are allowed.
	Operation kmsg.ACLOperation

	// Resource is the kind of thing: a topic, group, cluster or transactional
	// id.
	Resource kmsg.ACLResourceType

	// Name is the name of the resource; "*" is all of its kind. Of a cluster it
	// may be left out.
	Name string

	// Prefixed makes Name a prefix of names.
	Prefixed bool
}

// anonymous is the name of those who do not authenticate.
const anonymous = "ANONYMOUS"

const (
	userPrefix  = "User:"
	clusterName = "kafka-cluster"
)

// ErrInvalidACL is wrapped by the errors of [ParseACL].
var ErrInvalidACL = errors.New("invalid ACL")

// ParseACL reads PRINCIPAL:allow|deny:OPERATION:RESOURCE:NAME, such as
// alice:allow:read:topic:orders. A NAME that ends in * is a prefix, and * alone
// is every name. Operations and resources have Kafka's names, in any case:
// describe_configs, transactional_id. Of cluster the name may be left out. An
// error wraps [ErrInvalidACL].
func ParseACL(s string) (ACL, error) {
	const fields = 5
	parts := strings.SplitN(strings.TrimPrefix(s, userPrefix), ":", fields)
	bad := func(format string, args ...any) (ACL, error) {
		return ACL{}, fmt.Errorf("%w: %q: %s; use PRINCIPAL:allow|deny:OPERATION:RESOURCE:NAME, such as alice:allow:read:topic:orders", ErrInvalidACL, s, fmt.Sprintf(format, args...))
	}
	if len(parts) == fields-1 && strings.EqualFold(parts[3], "cluster") {
		parts = append(parts, "")
	}
	if len(parts) < fields {
		return bad("%d of %d parts", len(parts), fields)
	}
	a := ACL{Principal: parts[0], Deny: strings.EqualFold(parts[1], "deny"), Name: parts[4]}
	if !a.Deny && !strings.EqualFold(parts[1], "allow") {
		return bad("%q is neither allow nor deny", parts[1])
	}
	var err error
	if a.Operation, err = kmsg.ParseACLOperation(strings.ToUpper(strings.ReplaceAll(parts[2], "-", "_"))); err != nil {
		return bad("there is no operation %q", parts[2])
	}
	if a.Resource, err = kmsg.ParseACLResourceType(strings.ToUpper(strings.ReplaceAll(parts[3], "-", "_"))); err != nil {
		return bad("there is no resource %q", parts[3])
	}
	if name, is := strings.CutSuffix(a.Name, "*"); is && name != "" {
		a.Name, a.Prefixed = name, true
	}
	if err := a.check(); err != nil {
		return ACL{}, fmt.Errorf("%w: %q: %w", ErrInvalidACL, s, err)
	}
	return a, nil
}

func (a ACL) check() error {
	switch {
	case strings.TrimPrefix(a.Principal, userPrefix) == "":
		return errors.New("no principal; name a user, or * for everybody")
	case a.Operation < kmsg.ACLOperationAll || a.Operation > kmsg.ACLOperationIdempotentWrite:
		return fmt.Errorf("%v is no operation to allow or deny; use read, write, create, delete, alter, describe, cluster_action, describe_configs, alter_configs, idempotent_write or all", a.Operation)
	case a.Resource < kmsg.ACLResourceTypeTopic || a.Resource > kmsg.ACLResourceTypeTransactionalId:
		return fmt.Errorf("%v is no resource; use topic, group, cluster or transactional_id", a.Resource)
	case a.Resource == kmsg.ACLResourceTypeCluster && a.Name != "" && a.Name != clusterName && a.Name != "*":
		return fmt.Errorf("there is no cluster %q; leave the name out, or use %s", a.Name, clusterName)
	case a.Resource != kmsg.ACLResourceTypeCluster && a.Name == "":
		return errors.New("no name of the resource; * is every name")
	case a.Prefixed && (a.Name == "" || a.Name == "*"):
		return fmt.Errorf("%q is no prefix; use * without it for every name", a.Name)
	}
	return nil
}

// ErrInvalidUser is wrapped by the errors of [ParseUser].
var ErrInvalidUser = errors.New("invalid user")

// ParseUser reads MECHANISM:USER:PASSWORD, such as SCRAM-SHA-256:alice:secret.
// The password may have colons. An error wraps [ErrInvalidUser] and does not say
// the password.
func ParseUser(s string) (User, error) {
	mechanism, rest, found := strings.Cut(s, ":")
	name, password, complete := strings.Cut(rest, ":")
	u := User{Mechanism: strings.ToUpper(mechanism), Name: name, Password: password}
	switch {
	case !found || !complete:
		return User{}, fmt.Errorf("%w: use MECHANISM:USER:PASSWORD, such as %s:alice:secret", ErrInvalidUser, ScramSHA256)
	case !u.supported():
		return User{}, fmt.Errorf("%w: mechanism %q is not supported; use %s, %s or %s", ErrInvalidUser, mechanism, Plain, ScramSHA256, ScramSHA512)
	case password == "":
		return User{}, fmt.Errorf("%w: %q has no password", ErrInvalidUser, name)
	}
	return u, nil
}

func (u User) supported() bool {
	return u.Mechanism == Plain || u.Mechanism == ScramSHA256 || u.Mechanism == ScramSHA512
}

// authorizes reports whether there is an authorizer.
func (c Config) authorizes() bool {
	return len(c.ACLs) > 0 || len(c.Superusers) > 0 || c.AllowEveryone
}

// authenticates reports whether connections have a user.
func (c Config) authenticates() bool { return len(c.SASL) > 0 || c.authorizes() }

func (c Config) checkUsers() error {
	for _, u := range c.SASL {
		if !u.supported() {
			return badConfig("SASL", "user %q: mechanism %q is not supported; use %s, %s or %s", u.Name, u.Mechanism, Plain, ScramSHA256, ScramSHA512)
		}
		if u.Name == "" || u.Name == inspector || u.Name == anonymous {
			return badConfig("SASL", "user name %q cannot be used; choose another", u.Name)
		}
	}
	for _, a := range c.ACLs {
		if err := a.check(); err != nil {
			return &ConfigError{Field: "ACLs", Err: err}
		}
	}
	if c.AllowEveryone && c.DataDir != "" {
		return badConfig("AllowEveryone", "ACLs are on by it and it cannot be kept: leave out DataDir or this")
	}
	for _, name := range c.Superusers {
		if name = strings.TrimPrefix(name, userPrefix); name == "" || name == inspector {
			return badConfig("Superusers", "user name %q cannot be used; choose another", name)
		}
	}
	return nil
}

// checkCertificates refuses certificates that would be asked for and not verified,
// where they are to say who a client is: anybody can make one of any name.
func (c Config) checkCertificates() error {
	if c.TLS == nil || !c.authorizes() || !slices.ContainsFunc(c.Listeners, func(l Listener) bool { return l.TLS && !l.SASL }) {
		return nil
	}
	if a := c.TLS.ClientAuth; a == tls.RequestClientCert || a == tls.RequireAnyClientCert {
		return badConfig("TLS", "ClientAuth %v: a certificate that is not verified does not say who a client is; use %v or %v", a, tls.VerifyClientCertIfGiven, tls.RequireAndVerifyClientCert)
	}
	return nil
}

// users says to kfake who there is.
func (b *Broker) users() []kfake.Opt {
	if !b.cfg.authenticates() {
		return nil
	}
	// kfake asks everybody to authenticate or nobody, and knows superusers by
	// the passwords it is given. Those who have none get the inspector's: they
	// cannot come in by SASL, and connections log in for them.
	super := map[string]bool{inspector: true}
	for _, name := range b.cfg.Superusers {
		super[strings.TrimPrefix(name, userPrefix)] = true
	}
	opts := []kfake.Opt{kfake.EnableSASL()}
	if b.cfg.authorizes() {
		opts = append(opts, kfake.EnableACLs())
	}
	plain := map[string]bool{}
	for _, u := range b.cfg.SASL {
		plain[u.Name] = plain[u.Name] || u.Mechanism == Plain
		if super[u.Name] {
			opts = append(opts, kfake.Superuser(u.Mechanism, u.Name, u.Password))
		} else {
			opts = append(opts, kfake.User(u.Mechanism, u.Name, u.Password))
		}
	}
	opts = append(opts, kfake.User(Plain, anonymous, b.password))
	b.insiders[anonymous] = true
	for name := range super {
		if !plain[name] {
			opts = append(opts, kfake.Superuser(Plain, name, b.password))
			b.insiders[name] = true
		}
	}
	return opts
}

// login is how connections of a listener authenticate whose clients do not: nil
// when they do, or nobody asks.
func (b *Broker) login(l Listener) func(net.Conn) (user, password string) {
	if l.SASL || !b.cfg.authenticates() {
		return nil
	}
	return func(client net.Conn) (user, password string) {
		user = anonymous
		if c, is := client.(*tls.Conn); is {
			// What nobody has verified names nobody.
			if chains := c.ConnectionState().VerifiedChains; len(chains) > 0 {
				user = chains[0][0].Subject.String() // RFC 2253, as Kafka has it
			}
		}
		return user, b.passwordOf(user)
	}
}

// createACLs makes the config's ACLs. What DataDir has stays.
func (b *Broker) createACLs() error {
	if len(b.cfg.ACLs) == 0 {
		return nil
	}
	const version = 3
	req := kmsg.NewPtrCreateACLsRequest()
	req.Version = version
	for _, a := range b.cfg.ACLs {
		c := kmsg.NewCreateACLsRequestCreation()
		c.Principal = userPrefix + strings.TrimPrefix(a.Principal, userPrefix)
		c.Host = cmp.Or(a.Host, "*")
		c.Operation, c.ResourceType, c.ResourceName = a.Operation, a.Resource, a.Name
		c.PermissionType = kmsg.ACLPermissionTypeAllow
		if a.Deny {
			c.PermissionType = kmsg.ACLPermissionTypeDeny
		}
		c.ResourcePatternType = kmsg.ACLResourcePatternTypeLiteral
		if a.Prefixed {
			c.ResourcePatternType = kmsg.ACLResourcePatternTypePrefixed
		}
		if a.Resource == kmsg.ACLResourceTypeCluster {
			c.ResourceName = cmp.Or(a.Name, clusterName)
		}
		req.Creations = append(req.Creations, c)
	}
	resp, err := b.ask(context.Background(), 0, own(req))
	if err != nil {
		return err
	}
	for _, r := range resp.(*kmsg.CreateACLsResponse).Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return &ConfigError{Field: "ACLs", Err: err}
		}
	}
	return nil
}
