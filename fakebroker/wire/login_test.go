package wire_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func TestSession_authenticatesForAClientThatDoesNot(t *testing.T) {
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Mechanism = "PLAIN"
	auth := kmsg.NewPtrSASLAuthenticateRequest()
	auth.SASLAuthBytes = []byte("\x00me\x00secret")
	formatted := func(correlation int32, version int16, req kmsg.Request) []byte {
		req.SetVersion(version)
		return kmsg.NewRequestFormatter().AppendRequest(nil, req, correlation)
	}
	in := request(7, 4, heartbeat("g"))
	asked := slices.Concat(formatted(0, 1, shake), formatted(1, 2, auth), in)
	out := answer(7, 4, heartbeatAnswer(0))
	for name, c := range map[string]struct {
		shake, auth int16
		want        error
	}{
		"accepted":       {0, 0, nil},
		"no mechanism":   {33, 0, kerr.UnsupportedSaslMechanism},
		"wrong password": {0, 58, kerr.SaslAuthenticationFailed},
	} {
		for who, rules := range map[string]*wire.Rules{"nobody looks": nil, "everything is decoded": everything()} {
			t.Run(name+"/"+who, func(t *testing.T) {
				shaken, authenticated := kmsg.NewPtrSASLHandshakeResponse(), kmsg.NewPtrSASLAuthenticateResponse()
				shaken.ErrorCode, authenticated.ErrorCode = c.shake, c.auth
				cl := &client{Reader: bytes.NewReader(in)}
				s := wire.NewSession(cl, wire.Config{Rules: rules, Login: func(net.Conn) (string, string) { return "me", "secret" }})
				got := make([]byte, len(asked))
				_, err := io.ReadFull(s, got)
				noError(t, err)
				same(t, "the broker sees", got, asked)
				_, err = s.Write(slices.Concat(answer(0, 1, shaken), answer(1, 2, authenticated), out))
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if c.want == nil {
					same(t, "the client sees", cl.got.Bytes(), out)
				} else if !cl.closed || cl.got.Len() > 0 {
					t.Fatalf("closed: %v, the client sees %q", cl.closed, cl.got.Bytes())
				}
			})
		}
	}
}

func TestSession_authenticatesOnlyForAClientThatSaysSomething(t *testing.T) {
	s := wire.NewSession(&client{Reader: bytes.NewReader(nil)}, wire.Config{Login: func(net.Conn) (string, string) {
		t.Error("asked")
		return "", ""
	}})
	if n, err := s.Read(make([]byte, 100)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("%d bytes, %v", n, err)
	}
}

// notice has a client be whoever it says, once the broker has taken it.
func notice() *wire.Rules {
	rules := new(wire.Rules)
	rules.Add(wire.Rule{Keys: wire.Keys(kmsg.SASLAuthenticate), Answer: func(x *wire.Exchange) {
		req, err := x.Request()
		if err != nil {
			return
		}
		if resp, err := x.Response(); err == nil && resp.(*kmsg.SASLAuthenticateResponse).ErrorCode == 0 {
			x.Authenticated(string(req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes))
		}
	}})
	return rules
}

func TestSession_readsOnWhenAStepOfAuthenticationIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := notice()
		var user string
		rules.Add(wire.Rule{Keys: wire.Keys(kmsg.Heartbeat), Request: func(x *wire.Exchange) { user, _ = x.User() }})
		auth := kmsg.NewPtrSASLAuthenticateRequest()
		auth.SASLAuthBytes = []byte("me")
		requests := [][]byte{request(0, 4, kmsg.NewPtrApiVersionsRequest()), request(1, 1, kmsg.NewPtrSASLHandshakeRequest()), request(2, 2, auth), request(3, 4, heartbeat("g"))}
		answers := [][]byte{answer(0, 4, kmsg.NewPtrApiVersionsResponse()), answer(1, 1, kmsg.NewPtrSASLHandshakeResponse()), answer(2, 2, kmsg.NewPtrSASLAuthenticateResponse()), answer(3, 4, heartbeatAnswer(0))}
		c := &client{Reader: bytes.NewReader(slices.Concat(requests...))}
		s := wire.NewSession(c, wire.Config{Rules: rules, SASL: true})
		seen := make(chan int, len(requests))
		go func() {
			for i, want := range requests {
				_, err := io.ReadFull(s, make([]byte, len(want)))
				noError(t, err)
				seen <- i
			}
		}()
		// The request before a step is not waited for, and a step is.
		for i, want := range []int{2, 2, 3, 4} {
			synctest.Wait()
			if len(seen) != want {
				t.Fatalf("with %d answers the broker sees %d requests, want %d", i, len(seen), want)
			}
			_, err := s.Write(answers[i])
			noError(t, err)
		}
		same(t, "the client sees", c.got.Bytes(), slices.Concat(answers...))
		if user != "me" {
			t.Fatalf("the request behind is of user %q", user)
		}
	})
}

func TestSession_endsWhenAStepOfAuthenticationIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := request(1, 1, kmsg.NewPtrSASLHandshakeRequest())
		s := wire.NewSession(&client{Reader: bytes.NewReader(slices.Concat(first, first))}, wire.Config{})
		_, err := io.ReadFull(s, make([]byte, len(first)))
		noError(t, err)
		ended := make(chan error, 1)
		go func() {
			_, err := s.Read(make([]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		noError(t, s.Close())
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestSession_servesNobodyBeforeTheyAuthenticate(t *testing.T) {
	refused := kmsg.NewPtrSASLAuthenticateResponse()
	refused.ErrorCode = kerr.SaslAuthenticationFailed.Code
	for name, c := range map[string]struct {
		before [][2][]byte // requests and answers
		sasl   bool
		passes bool
	}{
		"no authentication": {nil, true, false},
		"nobody has to":     {nil, false, true},
		"a handshake":       {[][2][]byte{{request(1, 1, kmsg.NewPtrSASLHandshakeRequest()), answer(1, 1, kmsg.NewPtrSASLHandshakeResponse())}}, true, false},
		"a refusal":         {[][2][]byte{{request(1, 2, kmsg.NewPtrSASLAuthenticateRequest()), answer(1, 2, refused)}}, true, false},
		"a success":         {[][2][]byte{{request(1, 2, kmsg.NewPtrSASLAuthenticateRequest()), answer(1, 2, kmsg.NewPtrSASLAuthenticateResponse())}}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			rules := notice()
			rules.Add(wire.Rule{Keys: wire.Keys(kmsg.Heartbeat), Request: func(x *wire.Exchange) {
				if !c.passes {
					t.Error("a rule sees the request")
				}
			}})
			last := request(9, 4, heartbeat("g"))
			var in []byte
			for _, b := range c.before {
				in = append(in, b[0]...)
			}
			cl := &client{Reader: bytes.NewReader(append(in, last...))}
			s := wire.NewSession(cl, wire.Config{Rules: rules, SASL: c.sasl})
			for _, b := range c.before {
				_, err := io.ReadFull(s, make([]byte, len(b[0])))
				noError(t, err)
				_, err = s.Write(b[1])
				noError(t, err)
			}
			_, err := io.ReadFull(s, make([]byte, len(last)))
			if (err == nil) != c.passes || cl.closed == c.passes {
				t.Fatalf("got %v, closed: %v", err, cl.closed)
			}
		})
	}
}
