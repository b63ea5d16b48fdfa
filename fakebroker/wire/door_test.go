package wire_test

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kfake"

	"example.com/kafkatest/fakebroker/wire"
)

func TestListenAt_aBrokerHasSeveralDoors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := new(kfake.VirtualNetwork)
		at := func(addr string) func() (net.Listener, error) {
			return func() (net.Listener, error) { return network.Listen("tcp", addr) }
		}
		rules := new(wire.Rules)
		var seen []int
		rules.Add(wire.Rule{Request: func(x *wire.Exchange) { seen = append(seen, x.Listener) }})
		ln, err := wire.ListenAt([]wire.Door{{Open: at("localhost:1")}, {Open: at("localhost:2")}}, wire.Config{Rules: rules})
		noError(t, err)
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go heartbeats(c)
			}
		}()
		if ln.Addr().String() != "localhost:1" || len(ln.Addrs()) != 2 || ln.Addrs()[1].String() != "localhost:2" {
			t.Fatal(ln.Addr(), ln.Addrs())
		}
		for range 2 {
			var conns []net.Conn
			for _, addr := range ln.Addrs() {
				c, err := network.DialContext(t.Context(), "tcp", addr.String())
				noError(t, err)
				noError(t, beat(c, 0))
				conns = append(conns, c)
			}
			if cut := ln.Down(); cut != 2 {
				t.Fatalf("cut %d connections", cut)
			}
			for i, c := range conns {
				if beat(c, 1) == nil {
					t.Fatalf("answered although down: %d", i)
				}
			}
			noError(t, ln.Up())
		}
		noError(t, ln.Close())
		if len(seen) != 4 || seen[0] != 0 || seen[1] != 1 || seen[3] != 1 {
			t.Fatalf("came in by %v", seen)
		}
	})
}

func TestListenAt_opensAllDoorsOrNone(t *testing.T) {
	network := new(kfake.VirtualNetwork)
	open := func() (net.Listener, error) { return network.Listen("tcp", "localhost:1") }
	locked := errors.New("locked")
	_, err := wire.ListenAt([]wire.Door{{Open: open}, {Open: func() (net.Listener, error) { return nil, locked }}}, wire.Config{})
	if !errors.Is(err, locked) {
		t.Fatal(err)
	}
	ln, err := open()
	if err != nil {
		t.Fatalf("the first door is still open: %v", err)
	}
	noError(t, ln.Close())
}
