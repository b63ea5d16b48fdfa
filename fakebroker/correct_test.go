package fakebroker_test

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/brokertest"
)

func TestLeaderChange_nothingHandledIsDeliveredAgain(t *testing.T) {
	for _, records := range []int{10, 0} {
		c := orders(1)
		c.Brokers = 2
		onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
			cl := client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit(), kgo.FetchMaxWait(100*time.Millisecond))
			p := client(t, b)
			produce(t, p, "orders", 0, records)
			consume(t, cl, records)
			for range 3 {
				parts, err := b.Partitions("orders")
				noError(t, err)
				f := b.TakeDown(parts[0].Leader)
				eventually(t, "a metadata update", func() bool { return cl.Ping(within(t)) == nil })
				f.Clear()
			}
			// What comes next is the next record, and not one of the old ones.
			produce(t, p, "orders", records, 1)
			equal(t, "next", consume(t, cl, 1), values(t, b, "orders")[records:])
		})
	}
}

func TestBehaviours(t *testing.T) {
	brokertest.Test(t, func(t *testing.T, needs brokertest.Needs) brokertest.Cluster {
		return cluster(config(needs).Run(t))
	})
}

// A broker of Kafka may be told late that it leads a partition. Only behaviours
// that wait for it are true of every cluster.
func TestBehaviours_whereLeadersAreLate(t *testing.T) {
	led := []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.OffsetForLeaderEpoch}
	brokertest.Test(t, func(t *testing.T, needs brokertest.Needs) brokertest.Cluster {
		b := config(needs).Run(t)
		b.Refuse(kerr.NotLeaderForPartition, fakebroker.Scope{APIs: led, Count: 1})
		return cluster(b)
	})
}

// A correction that upstream no longer needs is to be deleted.
func TestCorrections_areNeeded(t *testing.T) {
	behaviours := make(map[string]brokertest.Behaviour)
	for _, b := range brokertest.Behaviours() {
		behaviours[b.Name] = b
	}
	seen := make(map[string]bool)
	for _, c := range fakebroker.Corrections() {
		if seen[c.Name] || c.Name == "" || c.Restores == "" || c.Upstream == "" {
			t.Errorf("a correction needs a name of its own, what it restores and where upstream differs: %+v", c)
		}
		seen[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel() // they wait for what does not come
			b, ok := behaviours[c.Behaviour]
			if !ok {
				t.Fatalf("there is no behaviour %q", c.Behaviour)
			}
			if c.Fatal && os.Getenv(expendable) == "" {
				panicsElsewhere(t, c.Upstream)
				return
			}
			err := brokertest.Check(t.Context(), b, cluster(fakebroker.Without(config(b.Needs), c.Name).Run(t)))
			if !errors.Is(err, brokertest.ErrDiffers) {
				t.Fatalf("kfake does this by itself now: delete the correction (%s). %v", c.Upstream, err)
			}
			t.Log(err)
		})
	}
}

// expendable tells a process that it may panic.
const expendable = "KAFKATEST_EXPENDABLE"

// panicsElsewhere runs the present test again in a process that may panic.
func panicsElsewhere(t *testing.T, upstream string) {
	t.Helper()
	self, err := os.Executable()
	noError(t, err)
	parts := strings.Split(t.Name(), "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	again := exec.CommandContext(t.Context(), self, "-test.run="+strings.Join(parts, "/"))
	again.Env = append(os.Environ(), expendable+"=yes")
	out, err := again.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: ") || !strings.Contains(string(out), "/kfake@") {
		t.Fatalf("kfake survives this by itself now: delete the correction (%s). %v\n%s", upstream, err, out)
	}
}

// config is a broker that has what a behaviour needs.
func config(n brokertest.Needs) fakebroker.Config {
	c := fakebroker.Config{Brokers: n.Brokers, AutoCreateTopics: n.AutoCreate, AllowEveryone: n.AllowEveryone}
	if n.SASL || n.ACLs || n.AllowEveryone {
		c.SASL = []fakebroker.User{
			{Mechanism: fakebroker.Plain, Name: admin.Name, Password: admin.Password},
			{Mechanism: fakebroker.ScramSHA256, Name: admin.Name, Password: admin.Password},
			{Mechanism: fakebroker.ScramSHA512, Name: admin.Name, Password: admin.Password},
			{Mechanism: fakebroker.Plain, Name: alice.Name, Password: alice.Password},
		}
	}
	if n.TLS || n.ACLs || n.AllowEveryone {
		c.Listeners = []fakebroker.Listener{{}, {SASL: n.SASL || n.ACLs || n.AllowEveryone}, {TLS: true}}
	}
	if n.ShortSessions {
		c.BrokerConfig = map[string]string{
			"group.consumer.session.timeout.ms": "1000", "group.consumer.heartbeat.interval.ms": "100",
			"group.min.session.timeout.ms":        "1000",
			"group.share.record.lock.duration.ms": "1000", "group.share.min.record.lock.duration.ms": "1000",
		}
	}
	if n.ACLs || n.AllowEveryone {
		c.Superusers = []string{admin.Name, "ANONYMOUS"}
	}
	return c
}

var (
	admin = brokertest.Credentials{Name: "admin", Password: "admin-secret"}
	alice = brokertest.Credentials{Name: "alice", Password: "alice-secret"}
)

func cluster(b *fakebroker.Broker) brokertest.Cluster {
	c := brokertest.Cluster{Options: b.ClientOptions()}
	for i, l := range b.Listeners() {
		switch {
		case l.SASL:
			c.SASL = &brokertest.SASL{Options: []kgo.Opt{kgo.SeedBrokers(l.Advertise...)}, Admin: admin, User: alice}
		case l.TLS:
			c.TLS = b.ListenerOptions(i)
		}
	}
	return c
}
