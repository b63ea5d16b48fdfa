package wire_test

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"testing/synctest"

	"example.com/kafkatest/fakebroker/wire"
)

func TestAct_isInTurnAndInPlaceOfTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acted := 0
		rules := new(wire.Rules)
		rules.Add(wire.Rule{
			Wants: func(h wire.Header) bool { return h.CorrelationID > 1 },
			Act: func(x *wire.Exchange) {
				if acted++; x.CorrelationID == 2 {
					x.Reply(heartbeatAnswer(7))
				}
			},
			Answer: func(*wire.Exchange) { acted += 10 },
		}, wire.Rule{Act: func(*wire.Exchange) { acted += 100 }})
		first, second, third := request(1, 2, heartbeat("a")), request(2, 2, heartbeat("b")), request(3, 2, heartbeat("c"))
		cl := &client{Reader: bytes.NewReader(slices.Concat(first, second, third))}
		s := wire.NewSession(cl, wire.Config{Rules: rules})
		broker := make(chan []byte, 2)
		go func() {
			defer close(broker)
			for range 2 {
				b := make([]byte, len(first))
				if _, err := io.ReadFull(s, b); err != nil {
					t.Error(err)
					return
				}
				broker <- b
			}
		}()
		same(t, "what the broker is asked", <-broker, first)
		synctest.Wait()
		if acted != 100 {
			t.Fatalf("acted %d before the first request was answered, want 100", acted)
		}
		_, err := s.Write(answer(1, 2, heartbeatAnswer(0)))
		noError(t, err)
		same(t, "what the broker is asked next", <-broker, third)
		<-broker
		if want := 100 + 1 + 10 + 1 + 100; acted != want {
			t.Fatalf("acted %d, want %d", acted, want)
		}
		same(t, "answers", cl.got.Bytes(), slices.Concat(answer(1, 2, heartbeatAnswer(0)), answer(2, 2, heartbeatAnswer(7))))
	})
}

func TestAct_isNotBegunForASessionThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acted := false
		rules := new(wire.Rules)
		rules.Add(wire.Rule{
			Wants: func(h wire.Header) bool { return h.CorrelationID > 1 },
			Act:   func(*wire.Exchange) { acted = true },
		})
		first := request(1, 2, heartbeat("a"))
		s := wire.NewSession(&client{Reader: bytes.NewReader(slices.Concat(first, request(2, 2, heartbeat("b"))))}, wire.Config{Rules: rules})
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, s)
			ended <- err
		}()
		synctest.Wait() // until it waits for the first answer
		_ = s.Close()   // the client's connection cannot fail to
		if err := <-ended; err == nil || acted {
			t.Fatalf("acted: %v, error: %v", acted, err)
		}
	})
}
