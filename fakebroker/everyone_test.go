package fakebroker_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

func TestAllowEveryone_whereThereIsNoACL(t *testing.T) {
	c := orders(2)
	c.Brokers = 3
	c.Topics = append(c.Topics, fakebroker.Topic{Name: "secrets"})
	c.AllowEveryone = true
	c.ACLs = []fakebroker.ACL{acl(t, "somebody:allow:read:topic:secrets")}
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		p := client(t, b)
		produce(t, p, "orders", 0, 4)
		consume(t, client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders")), 4)
		err := p.ProduceSync(within(t), &kgo.Record{Topic: "secrets"}).FirstErr()
		if !errors.Is(err, kerr.TopicAuthorizationFailed) {
			t.Fatalf("got %v, want %v", err, kerr.TopicAuthorizationFailed)
		}
	})
}

// A client that makes up names neither fills the memory nor takes from others what
// they may do.
func TestAllowEveryone_madeUpNamesAreForgotten(t *testing.T) {
	c := orders(1)
	c.AllowEveryone = true
	b := c.Run(t)
	good, bad := client(t, b), client(t, b)
	produce(t, good, "orders", 0, 1)
	for i := range 4 {
		req := kmsg.NewPtrFindCoordinatorRequest()
		for j := range 4 * fakebroker.MostResources {
			req.CoordinatorKeys = append(req.CoordinatorKeys, fmt.Sprintf("made-up-%d-%d", i, j))
		}
		_, err := bad.SeedBrokers()[0].Request(within(t), req)
		noError(t, err)
		produce(t, good, "orders", i+1, 1)
	}
	if n := fakebroker.ACLs(t, b); n > 3*fakebroker.MostResources {
		t.Fatalf("there are %d ACLs", n)
	}
}
