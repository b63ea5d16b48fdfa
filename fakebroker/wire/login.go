package wire

import (
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// login has the broker asked who it is talking to before anything else: the
// connection authenticates in the name of a client that does not. It is called
// once the client has sent something, which is after a TLS handshake.
func (s *Session) login() {
	conn, _ := s.client.(net.Conn) // what is no connection has no certificate to look at
	user, password := s.cfg.Login(conn)
	s.user.Store(&user)

	const (
		handshakeVersion    = 1 // the first whose tokens have headers
		authenticateVersion = 2
	)
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Version, shake.Mechanism = handshakeVersion, "PLAIN"
	auth := kmsg.NewPtrSASLAuthenticateRequest()
	auth.Version, auth.SASLAuthBytes = authenticateVersion, []byte("\x00"+user+"\x00"+password)

	f := kmsg.NewRequestFormatter()
	for i, req := range []kmsg.Request{shake, auth} {
		h := Header{Node: s.cfg.Node, Listener: s.cfg.Listener, Key: kmsg.Key(req.Key()), Version: req.GetVersion(), CorrelationID: int32(i)}
		s.changed = append(s.changed, f.AppendRequest(nil, req, h.CorrelationID)...)
		s.await(awaited{correlation: h.CorrelationID, x: &Exchange{Header: h, session: s, sent: h.Version, login: true}})
	}
}

// loggedIn looks at what the broker said to login; the client does not see it.
func (x *Exchange) loggedIn() error {
	resp, err := x.Response()
	if err != nil {
		return err
	}
	var code int16
	switch r := resp.(type) {
	case *kmsg.SASLHandshakeResponse:
		code = r.ErrorCode
	case *kmsg.SASLAuthenticateResponse:
		code = r.ErrorCode
	}
	if err := kerr.ErrorForCode(code); err != nil {
		return fmt.Errorf("authenticating for a client: %w", err)
	}
	return nil
}
