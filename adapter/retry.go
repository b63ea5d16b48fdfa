package adapter

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// RetryPolicy says how often a record is tried, and how long to wait between
// attempts. In place, the record keeps its position, and what the subscription's
// Order says waits behind it. With Tiers it can also wait on topics of their own.
type RetryPolicy struct {
	// Attempts is how often the handler runs for a record at most, the first
	// included. When they are used up the record goes to OnReject. Zero means
	// 10.
	Attempts int
	// MinBackoff is the wait after the first attempt. It doubles with each
	// further one, up to MaxBackoff. Each wait is cut by up to a half, at
	// random, so that records that failed together are not tried together.
	// Zero means 200 milliseconds.
	MinBackoff time.Duration
	// MaxBackoff is the longest wait. Zero means 30 seconds, or MinBackoff
	// where that is longer.
	MaxBackoff time.Duration
	// Tiers are the delays of the group's retry topics, shortest first, in whole
	// milliseconds, none twice: see RetryTopic. A record goes to the first after a
	// few attempts in place (see InPlace), and each time it fails there to the next
	// one; the last is used again and again. While it waits there it holds up
	// nothing. RetryAfter goes to the shortest that is long enough. Only Unordered
	// subscriptions move records there, and others at the limit where OnHeldLimit is
	// Hop; else Tiers is refused. None means that records stay in their place. All
	// attempts count together.
	Tiers []time.Duration
	// InPlace is how often the handler runs for a record before it goes to the
	// first of Tiers; a RetryAfter that is longer than MaxBackoff goes there at
	// once. Zero means 3.
	InPlace int
	// MaxAge is how long a record may fail: after an attempt that ends later
	// than that after the first failure, it goes to OnReject, whatever Attempts
	// says. The time in which Subscription.Gate was closed does not count, as far as
	// the member knows that tries the record: its own gate since it started, and
	// what the member before wrote down of its gate. Zero means for ever. Mode
	// ShareGroup refuses it.
	MaxAge time.Duration
	// HandlerTimeout is how long a handler may take for one attempt. Then its
	// context is cancelled, with ErrHandlerTimeout as the cause, and the record
	// is tried again whatever the handler returns. One that ignores its context
	// for 10 seconds more is logged, and counted in Status. Zero means as long
	// as it likes.
	HandlerTimeout time.Duration
	// Classify makes the Result for FromError. It is called by several
	// goroutines. Nil means what FromError says.
	Classify func(err error) Result
}

func (p RetryPolicy) check() error {
	bad := func(field, problem string) error {
		return &ConfigError{Field: "Subscription.Retry." + field, Problem: problem}
	}
	switch {
	case p.Attempts < 0:
		return bad("Attempts", "is negative: leave it zero for the default of 10")
	case p.MinBackoff < 0:
		return bad("MinBackoff", "is negative: leave it zero for the default of 200ms")
	case p.MaxBackoff < 0:
		return bad("MaxBackoff", "is negative: leave it zero for the default of 30s")
	case p.InPlace < 0:
		return bad("InPlace", "is negative: leave it zero for the default of 3")
	case !slices.IsSorted(p.Tiers):
		return bad("Tiers", fmt.Sprintf("are %v: name the shortest first", p.Tiers))
	case p.MaxAge < 0:
		return bad("MaxAge", "is negative: leave it zero for no limit")
	case p.HandlerTimeout < 0:
		return bad("HandlerTimeout", "is negative: leave it zero for no limit")
	case p.MaxBackoff != 0 && p.MaxBackoff < p.MinBackoff:
		return bad("MaxBackoff", fmt.Sprintf("is %v, less than MinBackoff, %v", p.MaxBackoff, p.MinBackoff))
	}
	return nil
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	if p.Attempts == 0 {
		p.Attempts = 10
	}
	if p.MinBackoff == 0 {
		p.MinBackoff = 200 * time.Millisecond
		if p.MaxBackoff != 0 {
			p.MinBackoff = min(p.MinBackoff, p.MaxBackoff)
		}
	}
	p.InPlace = cmp.Or(p.InPlace, 3)
	p.Tiers = slices.Clone(p.Tiers)
	if p.MaxBackoff == 0 {
		p.MaxBackoff = max(30*time.Second, p.MinBackoff)
	}
	return p
}

// backoff is the wait after that many failed attempts.
func (p RetryPolicy) backoff(failed int) time.Duration {
	d := p.MinBackoff
	for range failed - 1 {
		if d >= p.MaxBackoff/2 {
			d = p.MaxBackoff
			break
		}
		d *= 2
	}
	d = min(d, p.MaxBackoff)
	return d - rand.N(d/2+1)
}

// Why a record failed without its handler saying so.
var (
	// ErrHandlerPanicked is the cause of a retry after a panic. The stack is
	// in the log.
	ErrHandlerPanicked = errors.New("the handler panicked")
	// ErrHandlerExited is the cause of a retry after the handler ended its
	// goroutine, as runtime.Goexit does, and testing's FailNow with it.
	ErrHandlerExited = errors.New("the handler exited its goroutine")
)

// AttemptsError is the cause with which a record goes to OnReject when its
// attempts are used up.
type AttemptsError struct {
	Attempts int
	Err      error // what the last attempt failed with
}

func (e *AttemptsError) Error() string {
	return fmt.Sprintf("failed %d times, the last time with: %v", e.Attempts, e.Err)
}

// Unwrap is the error of the last attempt.
func (e *AttemptsError) Unwrap() error { return e.Err }
