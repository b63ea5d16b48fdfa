package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// peekSize is how much of a frame is looked at without reading it whole. It
// holds a header, and of a produce request what says whether it is answered.
const peekSize = 4 << 10

// maxUnread is the longest frame that is passed on while it is still arriving. A
// broker makes room for a frame when it has seen its length, so a longer one is
// passed on when it is all there: many clients that only announce one cost
// nothing.
const maxUnread = 1 << 20

// requests is the half of a session that reads what the client asks. Only the
// goroutine that reads the session touches it.
type requests struct {
	in       *bufio.Reader
	toBroker int    // bytes of the present frame still to be passed on
	changed  []byte // bytes to pass on in place of a frame
	clientID string // the last one seen
	opaque   int    // SASL tokens without a header still to come
	framed   bool   // the broker wants them with one
	loggedIn bool   // Config.Login was asked
}

// Read gives the broker the client's next request, or a part of it. The error
// is io.EOF when the client has hung up between two requests.
func (s *Session) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case len(s.changed) > 0:
			n := copy(p, s.changed)
			s.changed = s.changed[n:]
			return n, nil
		case s.toBroker > 0:
			n, err := s.in.Read(p[:min(len(p), s.toBroker)])
			s.toBroker -= n
			if err != nil {
				return n, s.fail(err)
			}
			return n, nil
		}
		if err := s.nextRequest(); err != nil {
			return 0, s.fail(err)
		}
	}
}

// nextRequest looks at the frame that comes next and decides how it goes on.
func (s *Session) nextRequest() error {
	b, err := s.in.Peek(frameSize)
	if err != nil {
		if len(b) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if s.cfg.Login != nil && !s.loggedIn {
		s.loggedIn = true
		s.login()
		return nil
	}
	size := int(int32(binary.BigEndian.Uint32(b)))
	if s.opaque > 0 {
		return s.passToken(size)
	}
	if size < minHeader || size > s.cfg.MaxFrame {
		return fmt.Errorf("%w: request of %d bytes, of %d to %d allowed", ErrMalformed, size, minHeader, s.cfg.MaxFrame)
	}
	b, err = s.in.Peek(min(frameSize+size, peekSize))
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	b = b[frameSize:]

	h, body, answered, err := parseRequest(b, s.clientID)
	var frame []byte
	if short := errors.Is(err, errShort); size > maxUnread || (short && size > len(b)) {
		if frame, err = s.wholeFrame(size); err != nil {
			return err
		}
		b = frame[frameSize:]
		h, body, answered, err = parseRequest(b, s.clientID)
	}
	if errors.Is(err, errShort) {
		err = fmt.Errorf("%w: request of %d bytes ends too early", ErrMalformed, size)
	}
	if err != nil {
		return err
	}
	h.Node, h.Listener = s.cfg.Node, s.cfg.Listener
	if h.ClientID != s.clientID {
		s.rename(h.ClientID)
	}

	rules := s.cfg.Rules.wanting(h, b[body:])
	if h.Key != kmsg.SASLHandshake && !needRequest(rules) {
		if answered {
			a := awaited{correlation: h.CorrelationID}
			if len(rules) > 0 {
				a.x = &Exchange{Header: h, session: s, rules: rules, sent: h.Version}
			}
			s.await(a)
		}
		if s.changed = frame; frame == nil {
			s.toBroker = frameSize + size
		}
		return nil
	}
	if frame == nil {
		if frame, err = s.wholeFrame(size); err != nil {
			return err
		}
	}
	x := &Exchange{Header: h, session: s, rules: rules, frame: frame, body: frameSize + body, sent: h.Version}
	return s.takeRequest(x, answered)
}

func (s *Session) rename(clientID string) {
	s.clientID = clientID
	s.mu.Lock()
	defer s.mu.Unlock()
	s.name = clientID
}

// wholeFrame reads the frame that comes next, length included. It grows with
// what arrives, so that a length alone does not make it allocate.
func (s *Session) wholeFrame(size int) ([]byte, error) {
	const step = 1 << 20
	size += frameSize
	frame := make([]byte, 0, min(size, step))
	for len(frame) < size {
		n := min(size-len(frame), step)
		frame = slices.Grow(frame, n)[:len(frame)+n]
		if _, err := io.ReadFull(s.in, frame[len(frame)-n:]); err != nil {
			return nil, err
		}
	}
	return frame, nil
}

// takeRequest takes a request past the rules that want it.
func (s *Session) takeRequest(x *Exchange, answered bool) error {
	if err := x.run(func(r *Rule) func(*Exchange) { return r.Request }); err != nil {
		return err
	}
	if x.replied {
		if answered {
			s.await(awaited{correlation: x.CorrelationID, ready: true, x: x})
		}
		if err := s.takeTurn(); err != nil {
			return err
		}
		defer s.endTurn()
		return s.flush()
	}
	if x.Key == kmsg.SASLHandshake {
		s.expectTokens(x)
	}
	s.changed = x.requestFrame()
	if answered {
		a := awaited{correlation: x.CorrelationID}
		for _, r := range x.rules {
			if r.Answer != nil || r.Unanswered != nil || r.Sending != nil {
				a.x = x
			}
		}
		if x.bare || x.sent != x.Version {
			a.x = x
		}
		s.await(a)
	}
	return nil
}
