package fakebroker_test

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

// Connections in memory are told apart by their addresses, as over TCP.
func TestObserver_hearsFromWhichConnection(t *testing.T) {
	onBoth(t, orders(1), func(t *testing.T, b *fakebroker.Broker) {
		var mu sync.Mutex
		var heard, mine []string
		t.Cleanup(b.Observe(fakebroker.Observer{Produced: func(p fakebroker.Produced) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, p.Remote)
		}}))
		cl := client(t, b, kgo.WithHooks(connections(func(c net.Conn) {
			mu.Lock()
			defer mu.Unlock()
			mine = append(mine, c.LocalAddr().String())
		})))
		produce(t, cl, "orders", 0, 1)
		produce(t, client(t, b), "orders", 1, 1)
		mu.Lock()
		defer mu.Unlock()
		if len(heard) != 2 || !slices.Contains(mine, heard[0]) || slices.Contains(mine, heard[1]) {
			t.Fatalf("produced from %v, and the first client's connections are %v", heard, mine)
		}
	})
}

type connections func(net.Conn)

func (f connections) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, c net.Conn, err error) {
	if err == nil {
		f(c)
	}
}

func TestInMemory_refusesWhereNobodyListens(t *testing.T) {
	c := orders(1)
	c.Network = fakebroker.InMemory
	b := c.Run(t)
	cl := client(t, b, kgo.SeedBrokers("localhost:1"), kgo.RetryTimeout(time.Second))
	if err := cl.Ping(within(t)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("want a refused connection, got %v", err)
	}
}

// A pipe between two bubbles would end the process.
func TestDial_refusesAnotherBubble(t *testing.T) {
	b, err := fakebroker.Start(fakebroker.Config{Network: fakebroker.InMemory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		_, err := b.Dial(t.Context(), "tcp", b.Addrs()[0])
		if err == nil || !strings.Contains(err.Error(), "in the same bubble") {
			t.Errorf("dial from a bubble: %v", err)
		}
	})
}

// Ports of clients are ports, however many connections there were, and nobody has
// one that somebody else has.
func TestInMemory_portsBeginAgain(t *testing.T) {
	c := orders(1)
	c.Network = fakebroker.InMemory
	b := c.Run(t)
	dial := func() (net.Conn, int) {
		conn, err := b.DialInMemory(within(t), b.Addrs()[0])
		noError(t, err)
		_, port, err := net.SplitHostPort(conn.LocalAddr().String())
		noError(t, err)
		n, err := strconv.Atoi(port)
		noError(t, err)
		return conn, n
	}
	for range 40_000 {
		if _, err := b.DialInMemory(t.Context(), "localhost:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
	}
	held, first := dial()
	equal(t, "after refusals", first, 32768)
	seen := make(map[int]int)
	for range 33_000 {
		conn, port := dial()
		noError(t, conn.Close())
		if port < 32768 || port > 65535 || port == first {
			t.Fatalf("port %d, while %d is held", port, first)
		}
		seen[port]++
	}
	equal(t, "used again", seen[first+1] >= 1, true)
	noError(t, held.Close())
	noError(t, held.Close())
}
