package wire

import "errors"

// errLast ends a connection after an answer, because a rule said so.
var errLast = errors.New("connection closed by a rule after its last answer")

// Last closes the connection once this exchange's answer is written, as a broker
// does that will have no more to do with a client; of a request that is silent, once
// all rules have seen what the broker answers (see [Exchange.Confirm]).
func (x *Exchange) Last() { x.last = true }

// HangUp is Close from the broker's side. What the broker leaves unanswered may
// be answered by a rule first: see [Rule.Unanswered].
func (s *Session) HangUp() error {
	if err := s.answerUnanswered(); err != nil {
		return s.fail(err)
	}
	return s.Close()
}

func (s *Session) answerUnanswered() error {
	a, ok := s.oldest()
	if !ok || a.x == nil || a.ready || a.arriving || s.answering.Load() {
		return nil // nothing to add, or in the middle of a request or an answer
	}
	if err := s.takeTurn(); err != nil {
		return err
	}
	defer s.endTurn()
	if now, ok := s.oldest(); !ok || now.x != a.x {
		return nil // answered meanwhile
	}
	if err := a.x.run(func(r *Rule) func(*Exchange) { return r.Unanswered }); err != nil || !a.x.replied {
		return err
	}
	err := s.complete(a.x)
	s.answered() // also by the last one: a broker may hang up twice at once
	return err
}
