package fakebroker

import (
	"bytes"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Keys under which a connection remembers who authenticates, and by which mechanism.
type (
	saslMechanism struct{}
	saslCandidate struct{}
)

// noticeUsers finds out who a client has authenticated as. Before that nothing is
// served, and when another broker is asked in a client's place, it must be asked by
// the same user.
func (b *Broker) noticeUsers() wire.Rule {
	api := wire.Keys(kmsg.SASLHandshake, kmsg.SASLAuthenticate)
	return wire.Rule{
		Name:  "users of connections",
		Keys:  api,
		Wants: func(h wire.Header) bool { return b.cfg.Listeners[h.Listener].SASL },
		Answer: func(x *wire.Exchange) {
			req, err := x.Request()
			if err != nil {
				return
			}
			resp, err := x.Response()
			if err != nil {
				return
			}
			switch r := resp.(type) {
			case *kmsg.SASLHandshakeResponse:
				if asked, is := req.(*kmsg.SASLHandshakeRequest); is && r.ErrorCode == 0 {
					x.Memory().Store(saslMechanism{}, asked.Mechanism)
				}
			case *kmsg.SASLAuthenticateResponse:
				if asked, is := req.(*kmsg.SASLAuthenticateRequest); is && r.ErrorCode == 0 {
					noticeUser(x, asked.SASLAuthBytes, r.SASLAuthBytes)
				}
			}
		},
	}
}

// noticeUser looks at a step of PLAIN (RFC 4616) or SCRAM (RFC 5802) that the
// broker has accepted.
func noticeUser(x *wire.Exchange, sent, answered []byte) {
	m := x.Memory()
	if name, _ := m.Load(saslMechanism{}); name == Plain {
		if parts := bytes.SplitN(sent, []byte{0}, 3); len(parts) == 3 {
			x.Authenticated(string(parts[1]))
		}
		return
	}
	for part := range strings.SplitSeq(string(sent), ",") {
		if name, is := strings.CutPrefix(part, "n="); is {
			m.Store(saslCandidate{}, strings.NewReplacer("=2C", ",", "=3D", "=").Replace(name))
		}
	}
	if bytes.HasPrefix(answered, []byte("v=")) {
		if name, known := m.LoadAndDelete(saslCandidate{}); known {
			x.Authenticated(name.(string))
		}
	}
}

// passwordOf is a password by which kfake takes a user, whoever it is. It takes
// an empty one from names that it has no password for, which the corrections keep
// clients from using.
func (b *Broker) passwordOf(user string) string {
	if b.insiders[user] {
		return b.password
	}
	for _, u := range b.cfg.SASL {
		if u.Mechanism == Plain && u.Name == user {
			return u.Password
		}
	}
	return ""
}
