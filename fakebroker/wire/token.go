package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// expectTokens notes that a client asked SaslHandshake v0: what follows are bare
// tokens without any header, as many as the mechanism takes.
func (s *Session) expectTokens(x *Exchange) {
	if x.Version != 0 {
		return
	}
	req, err := x.Request()
	if err != nil {
		return
	}
	if h, ok := req.(*kmsg.SASLHandshakeRequest); ok {
		const plain, scram = 1, 2
		s.opaque = scram
		if h.Mechanism == "PLAIN" {
			s.opaque = plain
		}
		s.framed = x.sent > 0
	}
}

// passToken passes on a bare SASL token, which has no header to look at. A broker
// that was asked SaslHandshake in a later version has it as SaslAuthenticate.
func (s *Session) passToken(size int) error {
	if size < 0 || size > s.cfg.MaxFrame {
		return fmt.Errorf("%w: SASL token of %d bytes", ErrMalformed, size)
	}
	s.opaque--
	if !s.framed {
		s.await(awaited{opaque: true, step: s.beginStep(kmsg.SASLAuthenticate)})
		s.toBroker = frameSize + size
		return nil
	}
	token, err := s.wholeFrame(size)
	if err != nil {
		return err
	}
	req := kmsg.NewPtrSASLAuthenticateRequest()
	req.SASLAuthBytes = token[frameSize:]
	h := Header{Node: s.cfg.Node, Listener: s.cfg.Listener, Key: kmsg.SASLAuthenticate, ClientID: s.clientID}
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(h.ClientID)).AppendRequest(nil, req, h.CorrelationID)
	_, body, err := parseHeader(frame[frameSize:], s.clientID)
	if err != nil {
		return err
	}
	x := &Exchange{Header: h, session: s, frame: frame, body: frameSize + body, bare: true}
	x.rules = s.cfg.Rules.wanting(h, frame[x.body:])
	return s.takeRequest(x)
}

// bareToken is the answer to a bare token. A client that is refused has none, it
// finds the connection closed.
func (x *Exchange) bareToken() ([]byte, error) {
	resp, err := x.Response()
	if err != nil {
		return nil, err
	}
	r, ok := resp.(*kmsg.SASLAuthenticateResponse)
	if !ok || r.ErrorCode != 0 {
		return nil, errCut
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(r.SASLAuthBytes)))
	return append(frame, r.SASLAuthBytes...), nil
}
