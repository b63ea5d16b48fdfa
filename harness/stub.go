package harness

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrNoValue is what a Stub's call fails with that comes after all values it was
// given.
var ErrNoValue = errors.New("the stub has no value left")

// Stub is a Spy for what returns a value and an error, such as a repository's
// Find:
//
//	type repository struct{ Finds harness.Stub[string, Order] }
//
//	func (r *repository) Find(ctx context.Context, id string) (Order, error) {
//		return r.Finds.Call(ctx, id)
//	}
//
// A call that Calls has fail returns its error and the zero value. Another
// returns the next value of ReturnNext, or else that of ReturnAlways, or else
// what Next returns. When the values of ReturnNext have been used up, and there
// is nothing else, it fails with ErrNoValue. The zero Stub returns the zero value
// and no error. It is safe for concurrent use; set Next before.
type Stub[Arg, Out any] struct {
	// Calls records the calls, and has them fail or wait.
	Calls Spy[Arg]
	// Next is what is called where no value is scripted: the real thing, or a
	// function of the argument. Nil is nothing.
	Next func(ctx context.Context, arg Arg) (Out, error)

	mu     sync.Mutex
	values []Out
	given  int // to ReturnNext
	always *Out
}

// Call records a call and returns what it is to return.
func (s *Stub[Arg, Out]) Call(ctx context.Context, arg Arg) (Out, error) {
	call, err := s.Calls.begin(ctx, arg)
	var out Out
	if err == nil {
		out, err = s.answer(ctx, arg)
	}
	s.Calls.end(call, err)
	return out, err
}

func (s *Stub[Arg, Out]) answer(ctx context.Context, arg Arg) (Out, error) {
	out, scripted, err := s.scripted(arg)
	if scripted || err != nil || s.Next == nil {
		return out, err
	}
	return s.Next(ctx, arg)
}

func (s *Stub[Arg, Out]) scripted(arg Arg) (out Out, scripted bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.values) > 0:
		out, s.values = s.values[0], s.values[1:]
		return out, true, nil
	case s.always != nil:
		return *s.always, true, nil
	case s.given > 0 && s.Next == nil:
		return out, false, fmt.Errorf("harness: a call with %v, after %s: %w: ReturnAlways says what comes then", arg, count(s.given, "value"), ErrNoValue)
	}
	return out, false, nil
}

// ReturnNext makes the next calls that succeed return these values, one each,
// after those that are to be returned already.
func (s *Stub[Arg, Out]) ReturnNext(values ...Out) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = append(s.values, values...)
	s.given += len(values)
}

// ReturnAlways makes every call that succeeds return a value, once those of
// ReturnNext are used up.
func (s *Stub[Arg, Out]) ReturnAlways(value Out) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = &value
}
