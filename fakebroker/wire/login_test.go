package wire_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"testing"

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
