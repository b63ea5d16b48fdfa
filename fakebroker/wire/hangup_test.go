package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func TestHangUp_aRuleAnswersWhatTheBrokerDoesNot(t *testing.T) {
	for name, tt := range map[string]struct {
		rule   wire.Rule
		answer bool
	}{
		"replied": {wire.Rule{Unanswered: func(x *wire.Exchange) { x.Reply(heartbeatAnswer(7)) }}, true},
		"left":    {wire.Rule{Unanswered: func(*wire.Exchange) {}}, false},
		"cut":     {wire.Rule{Unanswered: func(x *wire.Exchange) { x.Reply(heartbeatAnswer(7)); x.Cut() }}, false},
		"no rule": {wire.Rule{Answer: func(*wire.Exchange) {}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			rules := new(wire.Rules)
			rules.Add(tt.rule)
			ln, err := wire.Listen(func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }, wire.Config{Rules: rules})
			noError(t, err)
			defer func() { _ = ln.Close() }() // the test is over
			conn, err := net.Dial("tcp", ln.Addr().String())
			noError(t, err)
			defer func() { _ = conn.Close() }()
			sent := slices.Concat(request(1, 2, heartbeat("a")), request(2, 2, heartbeat("b")))
			_, err = conn.Write(sent)
			noError(t, err)

			broker, err := ln.Accept()
			noError(t, err)
			_, err = io.ReadFull(broker, make([]byte, len(sent)))
			noError(t, err)
			_, err = broker.Write(answer(1, 2, heartbeatAnswer(0)))
			noError(t, err)
			_ = broker.Close() // reports a cut

			got, err := io.ReadAll(conn)
			noError(t, err)
			want := answer(1, 2, heartbeatAnswer(0))
			if tt.answer {
				want = append(want, answer(2, 2, heartbeatAnswer(7))...)
			}
			same(t, "answers", got, want)
		})
	}
}

func TestExchange_lastAnswerClosesTheConnection(t *testing.T) {
	rules := new(wire.Rules)
	rules.Add(wire.Rule{Answer: func(x *wire.Exchange) { x.Last() }})
	broker, conn := net.Pipe()
	s := wire.NewSession(broker, wire.Config{Rules: rules})
	asked := request(1, 2, heartbeat("g"))
	go func() {
		_, _ = conn.Write(asked) // the reading end sees what is wrong
	}()
	_, err := io.ReadFull(s, make([]byte, len(asked)))
	noError(t, err)
	written := make(chan error, 1)
	go func() {
		_, err := s.Write(answer(1, 2, heartbeatAnswer(0)))
		written <- err
	}()
	got, err := io.ReadAll(conn)
	noError(t, err)
	same(t, "answer", got, answer(1, 2, heartbeatAnswer(0)))
	if err := <-written; err == nil {
		t.Fatal("the broker may go on writing")
	}
}

func TestSession_bareTokensAreFramedForABrokerThatWantsThem(t *testing.T) {
	var tokens []string
	rules := new(wire.Rules)
	rules.Add(wire.Rule{
		Keys: wire.Keys(kmsg.SASLHandshake, kmsg.SASLAuthenticate),
		Request: func(x *wire.Exchange) {
			req, err := x.Request()
			if err != nil {
				t.Error(err)
				return
			}
			switch r := req.(type) {
			case *kmsg.SASLHandshakeRequest:
				r.Version = 1
				x.SetRequest(r)
			case *kmsg.SASLAuthenticateRequest:
				tokens = append(tokens, string(r.SASLAuthBytes))
				resp := kmsg.NewPtrSASLAuthenticateResponse()
				resp.SASLAuthBytes = []byte("welcome")
				if string(r.SASLAuthBytes) == "bad" {
					resp.ErrorCode = 58
				}
				x.Reply(resp)
			}
		},
	})
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Mechanism = "SCRAM-SHA-256" // two tokens
	token := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }

	broker, conn := net.Pipe()
	s := wire.NewSession(broker, wire.Config{Rules: rules})
	defer func() { _ = s.Close() }() // closed already, if it goes well
	go func() {
		sent := slices.Concat(request(1, 0, shake), token("good"), token("bad"), request(2, 2, heartbeat("g")))
		_, _ = conn.Write(sent) // ends early, with the connection
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1<<10)
		n, err := s.Read(b)
		if err != nil {
			t.Error(err)
			return
		}
		if v := binary.BigEndian.Uint16(b[6:]); v != 1 {
			t.Errorf("handshake in version %d of %d bytes, want version 1", v, n)
		}
		if _, err := s.Write(answer(1, 1, kmsg.NewPtrSASLHandshakeResponse())); err != nil {
			t.Error(err)
		}
		if n, err := s.Read(b); err == nil {
			t.Errorf("the broker was told %q after a refusal", b[:n])
		}
	}()
	got, err := io.ReadAll(conn)
	noError(t, err)
	<-done
	same(t, "answers", got, slices.Concat(answer(1, 0, kmsg.NewPtrSASLHandshakeResponse()), token("welcome")))
	if !slices.Equal(tokens, []string{"good", "bad"}) {
		t.Fatalf("tokens: %q", tokens)
	}
}

// A broker has a goroutine that reads and one that writes, and each closes the
// connection when it ends.
func TestHangUp_twiceAtOnceAnswersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *wire.Session
		second := make(chan error, 1)
		rules := new(wire.Rules)
		rules.Add(wire.Rule{Unanswered: func(x *wire.Exchange) {
			if len(second) == 0 {
				go func() { second <- s.HangUp() }()
				synctest.Wait() // until it is in line
			}
			x.Reply(heartbeatAnswer(7))
			x.Last()
		}})
		in := request(1, 2, heartbeat("g"))
		cl := slowToClose{&client{Reader: bytes.NewReader(in)}}
		s = wire.NewSession(cl, wire.Config{Rules: rules})
		_, err := io.ReadFull(s, make([]byte, len(in)))
		noError(t, err)
		err = errors.Join(s.HangUp(), <-second) // that it was the last answer is one's error
		if err == nil {
			t.Error("nobody was told that it was the last answer")
		}
		same(t, "answers", cl.got.Bytes(), answer(1, 2, heartbeatAnswer(7)))
	})
}

// slowToClose is closed when everybody else has done what there is to do.
type slowToClose struct{ *client }

func (c slowToClose) Close() error {
	synctest.Wait()
	return c.client.Close()
}

func TestHangUp_nobodyIsAskedAboutARequestThatTheBrokerDoesNotHave(t *testing.T) {
	in := produceRecords(make([]byte, 100_000))
	rules := new(wire.Rules)
	asked := 0
	rules.Add(wire.Rule{
		Request:    func(x *wire.Exchange) { seenRecords(x) },
		Unanswered: func(*wire.Exchange) { asked++ },
	})
	for _, had := range []int{4, len(in)} {
		s := wire.NewSession(&client{Reader: bytes.NewReader(in)}, wire.Config{Lends: true, Rules: rules})
		_, err := io.ReadFull(s, make([]byte, 4))
		noError(t, err)
		_, err = io.ReadFull(s, make([]byte, had-4))
		noError(t, err)
		noError(t, s.HangUp())
		if want := had / len(in); asked != want {
			t.Errorf("with %d of %d bytes: the rule was asked %d times", had, len(in), asked)
		}
	}
}
