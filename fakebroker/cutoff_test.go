package fakebroker_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/wire"
)

// oneShot makes a client that does not try again.
func oneShot(t *testing.T, b interface{ ClientOptions() []kgo.Opt }, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	return client(t, b, append(opts, kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.RequestRetries(0), kgo.RecordDeliveryTimeout(5*time.Second))...)
}

func TestCutOff_aClientUntilCleared(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		mine, other := oneShot(t, b, kgo.ClientID("mine")), client(t, b, kgo.ClientID("other"))
		produce(t, mine, "orders", 0, 1)
		produce(t, other, "orders", 1, 1)

		f := b.CutOff(fakebroker.Scope{ClientID: "mine"})
		if f.Hits() == 0 {
			t.Fatal("the connections that were there are not cut")
		}
		was := f.Hits()
		eventually(t, "new connections are cut too", func() bool {
			if err := mine.ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr(); err == nil {
				t.Fatal("produced although cut off")
			}
			return f.Hits() > was
		})
		produce(t, other, "orders", 2, 1)

		f.Clear()
		produce(t, client(t, b, kgo.ClientID("mine")), "orders", 3, 1)
		equal(t, "records", values(t, b, "orders"), []string{"0", "1", "2", "3"})
	})
}

func TestCutOff_idleConnectionsAreCut(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		conn, err := dialNode(t, b, 0)
		noError(t, err)
		defer func() { _ = conn.Close() }()
		req := kmsg.NewPtrMetadataRequest()
		_, err = wire.Ask(within(t), conn, "mine", req)
		noError(t, err)
		equal(t, "hits", b.CutOff(fakebroker.Scope{ClientID: "mine"}).Hits(), 1)
		stop := context.AfterFunc(within(t), func() { _ = conn.Close() })
		defer stop()
		_, err = conn.Read(make([]byte, 1))
		isError(t, err, io.EOF)
	})
}

func TestCutOff_fromOneBroker(t *testing.T) {
	c := orders(2)
	c.Brokers = 2
	onEach(t, c, func(t *testing.T, b scene) {
		parts, err := b.Partitions("orders")
		noError(t, err)
		if parts[0].Leader == parts[1].Leader {
			b.MoveLeader("orders", 1, 1-parts[0].Leader)
		}
		cut := parts[0].Leader
		cl := oneShot(t, b, kgo.ClientID("mine"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		b.CutOff(fakebroker.Scope{ClientID: "mine", Brokers: []int32{cut}})
		if err := cl.ProduceSync(within(t), &kgo.Record{Topic: "orders", Partition: 0}).FirstErr(); err == nil {
			t.Fatal("produced to the broker that it is cut off from")
		}
		noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: "orders", Partition: 1}).FirstErr())
	})
}

func TestCutOff_countsConnections(t *testing.T) {
	onEach(t, orders(1), func(t *testing.T, b scene) {
		f := b.CutOff(fakebroker.Scope{ClientID: "mine", Count: 2})
		produce(t, client(t, b, kgo.ClientID("mine")), "orders", 0, 2)
		equal(t, "hits", f.Hits(), 2)
	})
}

func TestScope_remote(t *testing.T) {
	b := orders(1).Run(t)
	var local net.Addr
	cl := oneShot(t, b, kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil && local == nil {
			local = c.LocalAddr()
		}
		return c, err
	}))
	noError(t, cl.Ping(within(t)))
	for scope, want := range map[string]bool{"127.0.0.1": true, "127.0.0.2": false, local.String(): true} {
		cut := false
		f := b.DropBefore(fakebroker.Scope{Remote: scope})
		if err := cl.Ping(within(t)); err != nil {
			cut = true
		}
		f.Clear()
		if scope != local.String() { // after which the address is another
			equal(t, scope, cut, want)
		}
	}
	f := b.CutOff(fakebroker.Scope{Remote: "127.0.0.1"})
	if cl.Ping(within(t)) == nil || f.Hits() == 0 {
		t.Fatal("not cut off by address")
	}
}
