package harness

import (
	"context"
	"slices"
	"sync"

	"example.com/kafkatest/adapter"
)

// Spy counts calls, records what they were called with, and fails when told
// to. It is what test doubles of a port are made of:
//
//	type repository struct{ Saves harness.Spy[Order] }
//
//	func (r *repository) Save(ctx context.Context, o Order) error {
//		return r.Saves.Call(o)
//	}
//
// The zero value succeeds. It is safe for concurrent use.
type Spy[Arg any] struct {
	mu    sync.Mutex
	calls []Arg
	fails []error
	err   error
}

// Call records a call, and returns the error that it is to fail with.
func (s *Spy[Arg]) Call(arg Arg) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, arg)
	if len(s.fails) > 0 {
		err := s.fails[0]
		s.fails = s.fails[1:]
		return err
	}
	return s.err
}

// Calls are the arguments of the calls so far, in order.
func (s *Spy[Arg]) Calls() []Arg {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Count is how many calls there were.
func (s *Spy[Arg]) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// FailNext makes the next n calls fail with err, after those that are to fail
// already.
func (s *Spy[Arg]) FailNext(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = append(s.fails, slices.Repeat([]error{err}, n)...)
}

// FailAlways makes every call fail with err, once those of FailNext have. A
// nil err ends that.
func (s *Spy[Arg]) FailAlways(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Publisher is what a use case publishes with. An adapter is one.
type Publisher interface {
	Publish(ctx context.Context, events ...adapter.Event) error
}

// PublisherSpy is a Publisher that records the events it is given. With a Next
// it passes them on; without, they go nowhere.
type PublisherSpy struct {
	Next Publisher
	// Calls records one call for each event. A call that is told to fail
	// passes nothing on.
	Calls Spy[adapter.Event]
}

// Publish is Publisher's.
func (p *PublisherSpy) Publish(ctx context.Context, events ...adapter.Event) error {
	for _, e := range events {
		if err := p.Calls.Call(e); err != nil {
			return err
		}
	}
	if p.Next == nil {
		return nil
	}
	return p.Next.Publish(ctx, events...)
}

// HandlerSpy is a handler that records the messages it is given. A call that
// is told to fail returns a retry, and does not reach Next. Without a Next it
// commits.
type HandlerSpy struct {
	Next  adapter.Handler
	Calls Spy[*adapter.Message]
}

// Handle is adapter.Handler's.
func (h *HandlerSpy) Handle(ctx context.Context, m *adapter.Message) adapter.Result {
	if err := h.Calls.Call(m); err != nil {
		return adapter.Retry(err)
	}
	if h.Next == nil {
		return adapter.Commit()
	}
	return h.Next.Handle(ctx, m)
}
