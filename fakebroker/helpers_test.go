package fakebroker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/wire"
)

// onBoth runs a test on TCP in real time, and in memory in a bubble.
func onBoth(t *testing.T, c fakebroker.Config, test func(*testing.T, *fakebroker.Broker)) {
	t.Helper()
	t.Run("TCP", func(t *testing.T) {
		c := c
		c.Network = fakebroker.TCP
		leaves := goroutines()
		t.Cleanup(func() { noneLeft(t, leaves) })
		test(t, c.Run(t))
	})
	t.Run("InMemory", func(t *testing.T) {
		c := c
		c.Network = fakebroker.InMemory
		inBubble(t, c, test)
	})
}

// scene is a cluster, and what is between it and its clients.
type scene struct {
	*fakebroker.Broker
	wired
}

// wired is where faults and observers are, and where clients connect to.
type wired interface {
	fakebroker.Faults
	Observe(fakebroker.Observer) (stop func())
	Addrs() []string
	ClientOptions() []kgo.Opt
}

func (s scene) Addrs() []string          { return s.wired.Addrs() }
func (s scene) ClientOptions() []kgo.Opt { return s.wired.ClientOptions() }

// onEach is onBoth, and behind a proxy: for what is the same there.
func onEach(t *testing.T, c fakebroker.Config, test func(*testing.T, scene)) {
	t.Helper()
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) { test(t, scene{b, b}) })
	t.Run("BehindAProxy", func(t *testing.T) {
		leaves := goroutines()
		t.Cleanup(func() { noneLeft(t, leaves) })
		b := c.Run(t)
		test(t, scene{b, fakebroker.ProxyConfig{Brokers: b.Addrs()}.Run(t)})
	})
}

func inBubble(t *testing.T, c fakebroker.Config, test func(*testing.T, *fakebroker.Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, c.Run(t)) })
}

// needsTag skips a test whose bubble would freeze: one that makes a client wait
// in virtual time while it holds a mutex.
func needsTag(t *testing.T) {
	t.Helper()
	if !synctests {
		t.Skip("injects latency into a bubble; run with -tags synctests")
	}
}

// client is a client of the broker that the test closes.
func client(t *testing.T, b interface{ ClientOptions() []kgo.Opt }, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	common := []kgo.Opt{ // quick to find out that something has moved
		kgo.DisableClientMetrics(), kgo.ProducerLinger(0), kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
	}
	cl, err := kgo.NewClient(append(append(b.ClientOptions(), common...), opts...)...)
	noError(t, err)
	t.Cleanup(cl.CloseAllowingRebalance)
	return cl
}

// patience bounds what a test waits for; in a bubble it costs nothing.
const patience = 2 * time.Minute

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// produce sends records with the values first, first+1, ...
func produce(t *testing.T, cl *kgo.Client, topic string, first, n int) {
	t.Helper()
	for i := range n {
		r := &kgo.Record{Topic: topic, Value: fmt.Append(nil, first+i)}
		noError(t, cl.ProduceSync(within(t), r).FirstErr())
	}
}

func values(t *testing.T, b interface {
	Records(topic string) ([]fakebroker.Record, error)
}, topic string) []string {
	t.Helper()
	records, err := b.Records(topic)
	noError(t, err)
	out := []string{}
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	return out
}

// consume polls until it has n records, and returns their values. Errors on the
// way are what faults make, and clients go on after them.
func consume(t *testing.T, cl *kgo.Client, n int) []string {
	t.Helper()
	ctx := within(t)
	var got []string
	for len(got) < n {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("got %d of %d records: %v", len(got), n, got)
		}
		fs.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
		cl.AllowRebalance()
	}
	return got
}

// eventually looks again and again, without sleeping in real time for longer
// than it must.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		}
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// goroutines counts those of brokers and clients.
func goroutines() int {
	buf := make([]byte, 4<<20)
	n := 0
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "kfake") || strings.Contains(g, "fakebroker/wire") || strings.Contains(g, "pkg/kgo") {
			n++
		}
	}
	return n
}

// noneLeft waits for goroutines that are on their way out: kfake does not say
// when its own have ended.
func noneLeft(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for goroutines() > before {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("goroutines left:\n%s", buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
}

// rawRequest asks the first broker in a version of one's choice.
func rawRequest(t *testing.T, b wired, clientID string, version int16, req kmsg.Request) (kmsg.Response, error) {
	t.Helper()
	conn, err := dialNode(t, b, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	req.SetVersion(version)
	return wire.Ask(within(t), conn, clientID, req)
}

// dialNode connects to a broker as clients do.
func dialNode(t *testing.T, b wired, node int) (net.Conn, error) {
	t.Helper()
	var d net.Dialer
	dial := d.DialContext
	cl := client(t, b)
	if v, ok := cl.OptValue(kgo.Dialer).(func(context.Context, string, string) (net.Conn, error)); ok && v != nil {
		dial = v
	}
	return dial(within(t), "tcp", b.Addrs()[node])
}
