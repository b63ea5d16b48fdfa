package wire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// listen is a listener in memory whose connections echo whole frames back.
func listen(t *testing.T, rules *wire.Rules) (*wire.Listener, *kfake.VirtualNetwork) {
	t.Helper()
	network := new(kfake.VirtualNetwork)
	ln, err := wire.Listen(func() (net.Listener, error) { return network.Listen("tcp", "localhost:9092") }, wire.Config{Rules: rules})
	noError(t, err)
	return ln, network
}

// heartbeats answers each heartbeat until the connection ends.
func heartbeats(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := make([]byte, len(request(0, 4, heartbeat("g"))))
	for i := int32(0); ; i++ {
		if _, err := io.ReadFull(c, in); err != nil {
			return
		}
		if _, err := c.Write(answer(i, 4, heartbeatAnswer(0))); err != nil {
			return
		}
	}
}

func beat(c net.Conn, correlation int32) error {
	if _, err := c.Write(request(correlation, 4, heartbeat("g"))); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, len(answer(0, 4, heartbeatAnswer(0)))))
	return err
}

func TestListener_downAndUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, network := listen(t, nil)
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go heartbeats(c)
			}
		}()
		dial := func() (net.Conn, error) { return network.DialContext(t.Context(), "tcp", ln.Addr().String()) }
		first, err := dial()
		noError(t, err)
		noError(t, beat(first, 0))
		private, err := ln.Dial(t.Context(), nil, nil)
		noError(t, err)

		if cut := ln.Down(); cut != 1 {
			t.Fatalf("cut %d connections", cut)
		}
		if err := beat(first, 1); err == nil {
			t.Fatal("answered although down")
		}
		if _, err := dial(); err == nil {
			t.Fatal("connected although down")
		}
		noError(t, beat(private, 0))

		noError(t, ln.Up())
		noError(t, ln.Up())
		again, err := dial()
		noError(t, err)
		noError(t, beat(again, 0))

		noError(t, ln.Close())
		noError(t, ln.Close())
		if err := ln.Up(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("came up although closed: %v", err)
		}
		if _, err := ln.Dial(t.Context(), nil, nil); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("dialed although closed: %v", err)
		}
		noError(t, private.Close())
	})
}

func TestListener_delayOnOneConnectionLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := new(wire.Rules)
		n := 0
		rules.Add(wire.Rule{Answer: func(x *wire.Exchange) {
			if n++; n == 1 {
				x.Delay(time.Hour)
			}
		}})
		ln, network := listen(t, rules)
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go heartbeats(c)
			}
		}()
		slow, err := network.DialContext(t.Context(), "tcp", ln.Addr().String())
		noError(t, err)
		start := time.Now()
		done := make(chan time.Duration)
		go func() {
			_ = beat(slow, 0)
			done <- time.Since(start)
		}()
		synctest.Wait()
		quick, err := network.DialContext(t.Context(), "tcp", ln.Addr().String())
		noError(t, err)
		noError(t, beat(quick, 0))
		if took := time.Since(start); took != 0 {
			t.Fatalf("the quick one took %v", took)
		}
		if took := <-done; took != time.Hour {
			t.Fatalf("the slow one took %v", took)
		}
		noError(t, ln.Close())
	})
}

func TestAsk_endsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		req := kmsg.NewPtrHeartbeatRequest()
		if _, err := wire.Ask(ctx, here, "me", req); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
	})
}
