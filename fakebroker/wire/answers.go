package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// answers is the half of a session that takes what the broker answers. Only the
// goroutine that writes to the session touches it.
type answers struct {
	gathered []byte // of a frame that is wanted whole, or its first bytes
	toClient int    // bytes of the present frame still to be passed on
	wanted   *Exchange
}

// answerHead is the length and the correlation id of an answer; a bare SASL token
// has only the length.
const answerHead = 8

// Write takes answers, or parts of one. It returns when the client has what was
// complete: after a delay, when a rule asked for one.
func (s *Session) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n, err := s.takeAnswer(p)
		written += n
		if err != nil {
			return written, s.fail(err)
		}
		p = p[n:]
	}
	return written, nil
}

func (s *Session) takeAnswer(p []byte) (int, error) {
	switch {
	case s.toClient > 0:
		return s.passAnswer(p)
	case s.wanted != nil:
		return s.gatherAnswer(p)
	}
	// A broker that writes whole frames gets here once a frame, with nothing
	// gathered, and nothing is copied.
	need := answerHead
	if a, ok := s.oldest(); ok && a.opaque {
		need = frameSize
	}
	if len(s.gathered) == 0 && len(p) >= need {
		return 0, s.startAnswer(p[:need])
	}
	take := min(need-len(s.gathered), len(p))
	s.gathered = append(s.gathered, p[:take]...)
	if len(s.gathered) < need {
		return take, nil
	}
	if err := s.startAnswer(s.gathered); err != nil || s.wanted != nil {
		return take, err
	}
	head := s.gathered
	s.gathered = nil
	_, err := s.passAnswer(head)
	return take, err
}

// startAnswer decides by an answer's first bytes how it goes on, and takes the
// turn to write to the client.
func (s *Session) startAnswer(head []byte) error {
	size := int(int32(binary.BigEndian.Uint32(head)))
	a, ok := s.oldest()
	switch {
	case !ok || a.ready || a.arriving:
		return fmt.Errorf("%w: an answer that was not asked for", ErrMalformed)
	case size < 0, !a.opaque && size < answerHead-frameSize:
		return fmt.Errorf("%w: answer of %d bytes", ErrMalformed, size)
	case !a.opaque && a.correlation != int32(binary.BigEndian.Uint32(head[frameSize:])):
		return fmt.Errorf("%w: answer out of turn, request %d is due", ErrMalformed, a.correlation)
	}
	if err := s.takeTurn(); err != nil {
		return err
	}
	s.answering.Store(true)
	if a.x == nil {
		s.toClient = frameSize + size
	} else {
		s.wanted = a.x
	}
	return nil
}

func (s *Session) passAnswer(p []byte) (int, error) {
	n, err := s.client.Write(p[:min(len(p), s.toClient)])
	s.toClient -= n
	if err == nil && s.toClient == 0 {
		err = s.endAnswer()
	}
	return n, err
}

// gatherAnswer collects an answer that a rule wants, and completes it.
func (s *Session) gatherAnswer(p []byte) (int, error) {
	if len(s.gathered) == 0 && len(p) >= frameSize {
		size := frameSize + int(int32(binary.BigEndian.Uint32(p)))
		if len(p) >= size {
			if s.wanted.skipped(p[frameSize:size]) {
				s.wanted, s.toClient = nil, size
				return s.passAnswer(p)
			}
			s.gathered = bytes.Clone(p[:size])
			return size, s.endGathered()
		}
	}
	take := 0
	if need := frameSize - len(s.gathered); need > 0 {
		take = min(need, len(p))
		s.gathered = append(s.gathered, p[:take]...)
		if len(s.gathered) < frameSize {
			return take, nil
		}
	}
	size := frameSize + int(int32(binary.BigEndian.Uint32(s.gathered)))
	n := min(size-len(s.gathered), len(p)-take)
	s.gathered = append(s.gathered, p[take:take+n]...)
	take += n
	if len(s.gathered) < size {
		return take, nil
	}
	return take, s.endGathered()
}

// endGathered completes the answer that was gathered.
func (s *Session) endGathered() error {
	growStack()
	x := s.wanted
	x.answer = s.gathered
	s.gathered, s.wanted = nil, nil
	if err := s.complete(x); err != nil {
		return err
	}
	return s.endAnswer()
}

// endAnswer is called when an answer was written whole.
func (s *Session) endAnswer() error {
	s.answered()
	s.answering.Store(false)
	defer s.endTurn()
	return s.flush()
}
