package harness

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Spy counts calls, records what they were called with, and fails or waits when
// told to. It is what test doubles of a port are made of:
//
//	type repository struct{ Saves harness.Spy[Order] }
//
//	func (r *repository) Save(ctx context.Context, o Order) error {
//		return r.Saves.CallContext(ctx, o)
//	}
//
// For methods that return a value, too, there is Stub. The zero value succeeds.
// It is safe for concurrent use; Block is for the body of a harness test, and
// not for before it.
//
// A call waits while it is blocked, and then fails as FailUntil says, or else as
// FailNext says, or else as FailAlways says.
type Spy[Arg any] struct {
	mu       sync.Mutex
	calls    []SpyCall[Arg]
	waiting  int
	blocks   []chan struct{}
	until    time.Time
	untilErr error
	fails    []error
	err      error
}

// SpyCall is a call of a Spy.
type SpyCall[Arg any] struct {
	Arg Arg
	// At is when it was called, by the test's clock.
	At time.Time
	// Returned is when it returned. It is zero while the call runs, and when
	// it has panicked.
	Returned time.Time
	// Err is what it returned.
	Err error
}

// Call records a call, and returns the error that it is to fail with. Where it
// is blocked, nothing but a release ends it.
func (s *Spy[Arg]) Call(arg Arg) error { return s.CallContext(context.Background(), arg) }

// CallContext is Call that waits no longer than ctx, where it is blocked: it
// then returns ctx's cause. Elsewhere ctx is not looked at.
func (s *Spy[Arg]) CallContext(ctx context.Context, arg Arg) error {
	call, err := s.begin(ctx, arg)
	s.end(call, err)
	return err
}

// begin records a call, and returns its number and what it is to fail with.
func (s *Spy[Arg]) begin(ctx context.Context, arg Arg) (call int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	call = len(s.calls)
	s.calls = append(s.calls, SpyCall[Arg]{Arg: arg, At: time.Now()})
	for len(s.blocks) > 0 {
		released := s.blocks[0]
		s.waiting++
		s.mu.Unlock()
		select {
		case <-released:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		s.mu.Lock()
		s.waiting--
		if err != nil {
			return call, err
		}
	}
	switch {
	case time.Now().Before(s.until):
		return call, s.untilErr
	case len(s.fails) > 0:
		err = s.fails[0]
		s.fails = s.fails[1:]
		return call, err
	}
	return call, s.err
}

// end records that a call has returned.
func (s *Spy[Arg]) end(call int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[call].Returned, s.calls[call].Err = time.Now(), err
}

// Calls are the arguments of the calls so far, in order, those that still wait
// included. Arguments are kept as they are: what a pointer points to may have
// changed since.
func (s *Spy[Arg]) Calls() []Arg {
	s.mu.Lock()
	defer s.mu.Unlock()
	var args []Arg
	for _, c := range s.calls {
		args = append(args, c.Arg)
	}
	return args
}

// Log is all that is known of the calls so far, in the order in which they were
// called.
func (s *Spy[Arg]) Log() []SpyCall[Arg] {
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

// Waiting is how many calls are blocked now.
func (s *Spy[Arg]) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

// FailNext makes the next n calls fail with err, after those that are to fail
// already. With a nil err they succeed: FailNext(2, nil) and then FailNext(1,
// err) has the third call fail. A negative n panics.
func (s *Spy[Arg]) FailNext(n int, err error) {
	refuseNegative("FailNext", int64(n))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = append(s.fails, slices.Repeat([]error{err}, n)...)
}

// FailUntil makes every call fail with err until a time, by the test's clock. A
// time that has passed ends that, and then err may be nil; elsewhere it panics.
func (s *Spy[Arg]) FailUntil(t time.Time, err error) {
	if err == nil && time.Now().Before(t) {
		panic("harness: FailUntil: the error is nil, so that no call would fail")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until, s.untilErr = t, err
}

// FailAlways makes every call fail with err, once those of FailNext have. A
// nil err ends that.
func (s *Spy[Arg]) FailAlways(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Block makes every call wait, from now on, until release is called: calls that
// wait then go on. Where there are several blocks, all must be released.
// Calling release again changes nothing.
func (s *Spy[Arg]) Block() (release func()) {
	block := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks = append(s.blocks, block)
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.blocks = slices.DeleteFunc(s.blocks, func(b chan struct{}) bool { return b == block })
		close(block)
	})
}

// String says how many calls there were.
func (s *Spy[Arg]) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting > 0 {
		return fmt.Sprintf("%s, %d of them waiting", count(len(s.calls), "call"), s.waiting)
	}
	return count(len(s.calls), "call")
}
