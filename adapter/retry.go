package adapter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// RetryPolicy says how often a record is tried, and how long to wait between
// attempts. Attempts wait in place: the record keeps its position, and its
// partition waits behind it.
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
