package fakebroker_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"example.com/kafkatest/fakebroker"
)

// Brokers ask each other in a client's place; what it may not do itself it may
// not do by that.
func TestACLs_holdWhicheverBrokerIsAsked(t *testing.T) {
	c := orders(1)
	c.Brokers = 3
	c.Listeners = []fakebroker.Listener{{SASL: true}, {}}
	c.SASL = []fakebroker.User{
		{Mechanism: fakebroker.Plain, Name: "alice", Password: "a"},
		{Mechanism: fakebroker.ScramSHA256, Name: "a,b=c", Password: "c"},
		{Mechanism: fakebroker.ScramSHA512, Name: "root", Password: "r"},
	}
	c.Superusers = []string{"root"}
	c.ACLs = []fakebroker.ACL{acl(t, "alice:allow:create:topic:alice-*"), acl(t, "a,b=c:allow:create:topic:b-*"), acl(t, "ANONYMOUS:allow:create:topic:anyone-*")}
	mechanisms := map[string]sasl.Mechanism{
		"alice": plain.Auth{User: "alice", Pass: "a"}.AsMechanism(),
		"a,b=c": scram.Auth{User: "a,b=c", Pass: "c"}.AsSha256Mechanism(),
		"root":  scram.Auth{User: "root", Pass: "r"}.AsSha512Mechanism(),
	}
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		for user, may := range map[string][]string{
			"alice": {"alice-"}, "a,b=c": {"b-"}, "": {"anyone-"}, "root": {"alice-", "b-", "anyone-", "root-"},
		} {
			opts := []kgo.Opt{kgo.Dialer(b.PlainDialer()), kgo.SeedBrokers(b.Listeners()[1].Advertise...)}
			if m := mechanisms[user]; m != nil {
				opts = append(opts, kgo.SeedBrokers(b.Addrs()...), kgo.SASL(m))
			}
			cl, err := kgo.NewClient(opts...)
			noError(t, err)
			t.Cleanup(cl.Close)
			for _, prefix := range []string{"alice-", "b-", "anyone-", "root-"} {
				for node, seed := range cl.SeedBrokers() {
					req := kmsg.NewPtrCreateTopicsRequest()
					rt := kmsg.NewCreateTopicsRequestTopic()
					rt.Topic, rt.NumPartitions, rt.ReplicationFactor = prefix+user[:min(1, len(user))]+strconv.Itoa(node), 1, 1
					req.Topics, req.TimeoutMillis = append(req.Topics, rt), 1000
					resp, err := seed.Request(within(t), req)
					noError(t, err)
					refused := kerr.ErrorForCode(resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode)
					allowed := false
					for _, p := range may {
						allowed = allowed || p == prefix
					}
					if allowed != (refused == nil) || refused != nil && !errors.Is(refused, kerr.TopicAuthorizationFailed) {
						t.Fatalf("%q creates %s at broker %d: %v", user, rt.Topic, node, refused)
					}
				}
			}
		}
	})
}
