package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire/shape"
)

// peekSize is how much of a frame is looked at without reading it whole. It
// holds a header, and of a produce request what says whether it is answered.
const peekSize = 4 << 10

// roomAtFirst is how much of a frame a connection has room to look at before a
// request is longer, which most are not.
const roomAtFirst = 512

// maxUnread is the longest frame that is passed on while it is still arriving. A
// broker makes room for a frame when it has seen its length, so a longer one is
// passed on when it is all there: many clients that only announce one cost
// nothing.
const maxUnread = 1 << 20

// requests is the half of a session that reads what the client asks. Only the
// goroutine that reads the session touches it.
type requests struct {
	in       *bufio.Reader
	toBroker int           // bytes of the present frame still to be passed on
	changed  []byte        // bytes to pass on in place of a frame
	clientID string        // the last one seen
	opaque   int           // SASL tokens without a header still to come
	framed   bool          // the broker wants them with one
	loggedIn bool          // Config.Login was asked
	shape    shape.Walk    // of the present frame
	looked   int           // bytes still to be passed on that it has seen
	passing  *passing      // the present frame, nil when nobody waits for it to be passed on
	broken   error         // why no more can be read, once what has come is passed on
	step     chan struct{} // of an authentication, closed when it is answered; nil for none
	confirm  chan struct{} // of the last request that a rule has had confirmed, likewise
}

// Read gives the broker the client's next request, or a part of it. The error
// is io.EOF when the client has hung up between two requests.
func (s *Session) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case s.broken != nil:
			return 0, s.failReading(s.broken)
		case len(s.changed) > 0:
			n := copy(p, s.changed)
			s.changed = s.changed[n:]
			if s.passing != nil && s.passing.took(p, n, s.cfg.Lends) {
				s.pass()
			}
			return n, nil
		case s.toBroker > 0:
			n, err := s.in.Read(p[:min(len(p), s.toBroker)])
			if err != nil && n == 0 {
				return 0, s.failReading(err)
			}
			s.broken = err // behind what came
			s.toBroker -= n
			seen := min(s.looked, n)
			s.looked -= seen
			if err := s.look(p[seen:n], s.toBroker == 0); err != nil {
				return 0, s.failReading(err) // so the broker never has the whole
			}
			if s.passing != nil && s.passing.took(p, n, s.cfg.Lends) {
				s.pass()
			}
			return n, nil
		}
		b, err := s.in.Peek(frameSize) // waits, with little on the stack
		if err == nil {
			growStack()
			err = s.nextRequest(b)
		} else {
			err = noRequest(b, err)
		}
		if err != nil {
			return 0, s.failReading(err)
		}
	}
}

// failReading is fail for what the client sends: what it sent before that is still
// told of.
func (s *Session) failReading(err error) error {
	s.endConfirmed()
	return s.fail(err)
}

// noRequest says why there is none, when it begins with b.
func noRequest(b []byte, err error) error {
	if len(b) > 0 && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// nextRequest looks at the frame that comes next, whose length is given, and
// decides how it goes on.
func (s *Session) nextRequest(b []byte) error {
	if s.cfg.Login != nil && !s.loggedIn {
		s.loggedIn = true
		s.login()
		return nil
	}
	if err := s.endStep(); err != nil {
		return err
	}
	size := int(int32(binary.BigEndian.Uint32(b)))
	if s.opaque > 0 {
		return s.passToken(size)
	}
	if size < minHeader || size > s.cfg.MaxFrame {
		return fmt.Errorf("%w: request of %d bytes, of %d to %d allowed", ErrMalformed, size, minHeader, s.cfg.MaxFrame)
	}
	b, err := s.peek(min(frameSize+size, peekSize))
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	b = b[frameSize:]
	if s.cfg.Relays && !known(b) {
		s.await(awaited{correlation: int32(binary.BigEndian.Uint32(b[4:]))})
		s.toBroker, s.looked = frameSize+size, frameSize+size // none of it is to be looked at
		return nil
	}

	h, body, err := parseRequest(b, s.clientID)
	var frame []byte
	if short := errors.Is(err, errShort); size > maxUnread && !s.cfg.Relays || (short && size > len(b)) {
		if frame, err = s.wholeFrame(size); err != nil {
			return err
		}
		b = frame[frameSize:]
		h, body, err = parseRequest(b, s.clientID)
	}
	if errors.Is(err, errShort) {
		err = fmt.Errorf("%w: request of %d bytes ends too early", ErrMalformed, size)
	}
	if err != nil {
		return err
	}
	if s.cfg.SASL && s.user.Load() == nil && h.Key != kmsg.ApiVersions && !authenticates(h.Key) {
		return fmt.Errorf("%s from a client that has not authenticated", h.Key.Name())
	}
	if err := s.shape.Start(h.Key, h.Version, size-body); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := s.look(b[body:], len(b) == size); err != nil {
		return err
	}
	h.Node, h.Listener = s.cfg.Node, s.cfg.Listener
	if h.ClientID != s.clientID {
		s.rename(h.ClientID)
	}

	rules := s.cfg.Rules.wanting(h, b[body:])
	if !authenticates(h.Key) && !needRequest(rules) {
		if !h.Silent {
			a := awaited{correlation: h.CorrelationID}
			if len(rules) > 0 {
				a.x = &Exchange{Header: h, session: s, rules: rules, frame: frame, body: frameSize + body, sent: h.Version}
			}
			if lookBack(rules) {
				a.arriving = true
				s.passing = &passing{x: a.x, size: frameSize + size, whole: frame}
			}
			s.await(a)
		}
		if s.changed = frame; frame == nil {
			s.toBroker, s.looked = frameSize+size, frameSize+len(b)
		}
		return nil
	}
	if frame == nil {
		seen := frameSize + len(b)
		if frame, err = s.wholeFrame(size); err != nil {
			return err
		}
		if err := s.look(frame[seen:], true); err != nil {
			return err
		}
	}
	x := &Exchange{Header: h, session: s, rules: rules, frame: frame, body: frameSize + body, sent: h.Version}
	return s.takeRequest(x)
}

// peek looks at the next bytes, no more than peekSize.
func (s *Session) peek(n int) ([]byte, error) {
	if n > s.in.Size() {
		s.in = bufio.NewReaderSize(s.in, peekSize) // after what the present one has read
	}
	return s.in.Peek(n)
}

// look has the request's body checked as far as it has come: whoever decodes it
// believes what it announces.
func (s *Session) look(p []byte, last bool) error {
	err := s.shape.Next(p)
	if err == nil && last {
		err = s.shape.End()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// authenticates reports whether a request is a step of an authentication.
func authenticates(key kmsg.Key) bool {
	return key == kmsg.SASLHandshake || key == kmsg.SASLAuthenticate
}

// beginStep is what is closed when a step of an authentication is answered, nil
// for other requests.
func (s *Session) beginStep(key kmsg.Key) chan struct{} {
	if authenticates(key) {
		s.step = make(chan struct{})
		return s.step
	}
	return nil
}

// endStep waits until a step of an authentication is answered. Kafka reads no
// further before that, so what a client sends behind it is from whoever it then is.
func (s *Session) endStep() error {
	if s.step == nil {
		return nil
	}
	select {
	case <-s.step:
		s.step = nil
		return nil
	case <-s.ctx.Done():
		return net.ErrClosed
	}
}

// endConfirmed waits until the broker has answered what a rule has had confirmed:
// it would not when it knew that the client has hung up.
func (s *Session) endConfirmed() {
	if s.confirm == nil {
		return
	}
	select {
	case <-s.confirm:
	case <-s.ctx.Done():
	}
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
	frame := s.newFrame(min(size, step))
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
func (s *Session) takeRequest(x *Exchange) error {
	if err := x.run(func(r *Rule) func(*Exchange) { return r.Request }); err != nil {
		return err
	}
	if err := s.act(x); err != nil {
		return err
	}
	if x.replied {
		if !x.Silent {
			s.await(awaited{correlation: x.CorrelationID, ready: true, x: x, step: s.beginStep(x.Key)})
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
	s.passWhole(x)
	if !x.Silent || x.confirmed {
		a := awaited{correlation: x.CorrelationID, step: s.beginStep(x.Key)}
		for _, r := range x.rules {
			if r.Answer != nil || r.Unanswered != nil || r.Sending != nil {
				a.x = x
			}
		}
		if x.bare || x.confirmed || x.sent != x.Version {
			a.x = x
		}
		if x.confirmed {
			a.step = make(chan struct{})
			s.confirm = a.step
		}
		if s.passing != nil && a.x != nil {
			s.passing.x, a.arriving = x, true
		}
		s.await(a)
	}
	return nil
}
