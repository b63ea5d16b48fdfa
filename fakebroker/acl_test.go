package fakebroker_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"example.com/kafkatest/fakebroker"
)

func TestParseACL(t *testing.T) {
	read, topic := kmsg.ACLOperationRead, kmsg.ACLResourceTypeTopic
	for text, want := range map[string]fakebroker.ACL{
		"alice:allow:read:topic:orders":           {Principal: "alice", Operation: read, Resource: topic, Name: "orders"},
		"User:alice:DENY:Read:Topic:orders":       {Principal: "alice", Deny: true, Operation: read, Resource: topic, Name: "orders"},
		"*:allow:read:topic:*":                    {Principal: "*", Operation: read, Resource: topic, Name: "*"},
		"alice:allow:read:topic:orders-*":         {Principal: "alice", Operation: read, Resource: topic, Name: "orders-", Prefixed: true},
		"CN=a,OU=b:allow:read:group:a:b":          {Principal: "CN=a,OU=b", Operation: read, Resource: kmsg.ACLResourceTypeGroup, Name: "a:b"},
		"a:allow:idempotent_write:cluster":        {Principal: "a", Operation: kmsg.ACLOperationIdempotentWrite, Resource: kmsg.ACLResourceTypeCluster},
		"a:allow:describe-configs:cluster:":       {Principal: "a", Operation: kmsg.ACLOperationDescribeConfigs, Resource: kmsg.ACLResourceTypeCluster},
		"a:allow:all:transactional-id:payments-1": {Principal: "a", Operation: kmsg.ACLOperationAll, Resource: kmsg.ACLResourceTypeTransactionalId, Name: "payments-1"},
	} {
		got, err := fakebroker.ParseACL(text)
		noError(t, err)
		equal(t, text, got, want)
	}
	for text, says := range map[string]string{
		"":                              "1 of 5 parts",
		"alice:allow:read:topic":        "4 of 5 parts",
		"alice:may:read:topic:orders":   "neither allow nor deny",
		"alice:allow:eat:topic:orders":  `no operation "eat"`,
		"alice:allow:read:planet:x":     `no resource "planet"`,
		"alice:allow:any:topic:orders":  "no operation",
		"alice:allow:read:any:orders":   "no resource",
		":allow:read:topic:orders":      "no principal",
		"alice:allow:read:topic:":       "no name",
		"alice:allow:read:cluster:mine": "no cluster",
		"alice:allow:read:user:bob":     "no resource",
	} {
		_, err := fakebroker.ParseACL(text)
		isError(t, err, fakebroker.ErrInvalidACL)
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want %s", text, err, says)
		}
	}
}

func TestParseUser(t *testing.T) {
	got, err := fakebroker.ParseUser("scram-sha-512:alice:a:b c")
	noError(t, err)
	equal(t, "user", got, fakebroker.User{Mechanism: fakebroker.ScramSHA512, Name: "alice", Password: "a:b c"})
	for text, says := range map[string]string{
		"PLAIN": "use MECHANISM:USER:PASSWORD", "PLAIN:alice": "use MECHANISM:USER:PASSWORD",
		"GSSAPI:alice:hidden": "not supported", "PLAIN:alice:": "no password",
	} {
		_, err := fakebroker.ParseUser(text)
		isError(t, err, fakebroker.ErrInvalidUser)
		if !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: got %v, want %s", text, err, says)
		}
	}
}

func TestACLs_sayWhoMayDoWhat(t *testing.T) {
	c := orders(1)
	c.Topics = append(c.Topics, fakebroker.Topic{Name: "secrets"})
	for _, name := range []string{"root", "alice", "bob"} {
		c.SASL = append(c.SASL, fakebroker.User{Mechanism: fakebroker.Plain, Name: name, Password: name})
	}
	c.Superusers = []string{"User:root"}
	c.ACLs = []fakebroker.ACL{
		acl(t, "*:allow:write:topic:ord*"),
		acl(t, "alice:allow:read:topic:orders"),
		acl(t, "alice:allow:read:group:*"),
		acl(t, "bob:deny:write:topic:orders"),
	}
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		as := func(user string, opts ...kgo.Opt) *kgo.Client {
			cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addrs()...), kgo.Dialer(b.PlainDialer()),
				kgo.SASL(plain.Auth{User: user, Pass: user}.AsMechanism()))...)
			noError(t, err)
			t.Cleanup(cl.Close)
			return cl
		}
		for user, may := range map[string]map[string]bool{
			"root": {"orders": true, "secrets": true}, "alice": {"orders": true}, "bob": {},
		} {
			for _, topic := range []string{"orders", "secrets"} {
				err := as(user).ProduceSync(within(t), &kgo.Record{Topic: topic}).FirstErr()
				if (err == nil) != may[topic] || err != nil && !errors.Is(err, kerr.TopicAuthorizationFailed) {
					t.Fatalf("%s writes to %s: %v", user, topic, err)
				}
			}
		}
		consume(t, as("alice", kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders")), 2)
		fs := as("bob", kgo.ConsumerGroup("h"), kgo.ConsumeTopics("orders")).PollFetches(within(t))
		if err := fs.Err0(); !errors.Is(err, kerr.GroupAuthorizationFailed) {
			t.Fatalf("bob reads: %v", err)
		}
		created, err := kadm.NewClient(as("root")).DescribeACLs(within(t), kadm.NewACLs().AnyResource().ResourcePatternType(kadm.ACLPatternAny).Operations().Allow().Deny().AllowHosts().DenyHosts())
		noError(t, err)
		equal(t, "listed", len(created[0].Described), 4)
	})
}

func TestACLs_stayInTheDataDir(t *testing.T) {
	c := orders(1)
	c.DataDir = t.TempDir()
	c.Superusers = []string{"root"}
	c.SASL = []fakebroker.User{{Mechanism: fakebroker.ScramSHA256, Name: "alice", Password: "a"}}
	c.ACLs = []fakebroker.ACL{acl(t, "alice:allow:write:topic:orders")}
	for range 2 {
		b := c.Run(t)
		produce(t, client(t, b), "orders", 0, 1)
		noError(t, b.Close())
		c.ACLs = nil
	}
}

func TestSuperusers_alone(t *testing.T) {
	for _, c := range []struct {
		super string
		may   bool
	}{{"ANONYMOUS", true}, {"root", false}} {
		conf := orders(1)
		conf.Superusers = []string{c.super}
		onBoth(t, conf, func(t *testing.T, b *fakebroker.Broker) {
			err := client(t, b).ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr()
			equal(t, c.super, err == nil, c.may)
		})
	}
}
