package adapter

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ResultType is what a handler decided about a message.
type ResultType string

// The three things that a handler can decide.
const (
	// ResultCommit: the message is done.
	ResultCommit ResultType = "commit"
	// ResultRetry: the message failed, and trying again can help.
	ResultRetry ResultType = "retry"
	// ResultReject: the message cannot be processed, however often it is
	// tried.
	ResultReject ResultType = "reject"
)

// ResultTypes lists the valid result types.
func ResultTypes() []ResultType {
	return []ResultType{ResultCommit, ResultRetry, ResultReject}
}

// ParseResultType is the result type of that name, exactly as ResultTypes
// spells it.
func ParseResultType(s string) (ResultType, error) {
	var names []string
	for _, t := range ResultTypes() {
		if string(t) == s {
			return t, nil
		}
		names = append(names, string(t))
	}
	return "", fmt.Errorf("unknown result type %q: want one of %s", s, strings.Join(names, ", "))
}

// ErrNoResult is the error of a zero Result: a handler that returned without
// deciding.
var ErrNoResult = errors.New("the handler returned the zero Result: return Commit(), Retry(err) or Reject(err)")

// Result is what a Handler returns. Make one with Commit, Retry, RetryAfter,
// Unavailable or Reject. The zero Result is a reject with ErrNoResult, so that
// a forgotten return is seen and the message is not lost.
type Result struct {
	// No more than four fields of four words, so that the compiler keeps it in
	// registers: every record has one.

	decision decision
	byPolicy bool // RetryPolicy.Classify has a say
	err      error
	delay    time.Duration
}

type decision uint8

const (
	undecided decision = iota
	commit
	retry
	unavailable // is a retry, too
	reject
)

// Commit says that the message is done.
func Commit() Result { return Result{decision: commit} }

// Retry says that the message failed and is to be tried again, after the
// backoff of the subscription's RetryPolicy.
func Retry(err error) Result { return Result{decision: retry, err: err} }

// RetryAfter is Retry with a delay of the handler's choosing in place of the
// policy's backoff. A delay of zero or less tries again at once.
func RetryAfter(err error, d time.Duration) Result {
	return Result{decision: retry, err: err, delay: max(d, 1)}
}

// Unavailable is Retry for a message that failed because something it depends
// on cannot be reached: nothing is wrong with the message itself. Where the
// subscription has a Gate it is asked: while that is closed the attempt does not
// count, and the record waits until it opens. Without a Gate it is Retry.
func Unavailable(err error) Result {
	return Result{decision: unavailable, err: err}
}

// Reject says that the message can never be processed. It goes to the
// subscription's OnReject, by default the dead-letter topic.
func Reject(err error) Result { return Result{decision: reject, err: err} }

// FromError is the result for an error: what RetryPolicy.Classify of the
// subscription says, and without that Commit for nil, Reject for an error that
// says, by a method Retryable() bool somewhere in its tree, that trying again
// cannot help, and Retry for any other.
func FromError(err error) Result {
	r := Retry(err)
	var says interface{ Retryable() bool }
	switch {
	case err == nil:
		r = Commit()
	case errors.As(err, &says) && !says.Retryable():
		r = Reject(err)
	}
	r.byPolicy = true
	return r
}

// Type is what was decided. The zero Result says ResultReject.
func (r Result) Type() ResultType {
	switch r.decision {
	case commit:
		return ResultCommit
	case retry, unavailable:
		return ResultRetry
	default:
		return ResultReject
	}
}

// Err is why. It is nil for Commit, and ErrNoResult for the zero Result.
func (r Result) Err() error {
	if r.decision == undecided {
		return ErrNoResult
	}
	return r.err
}

// Delay is how long RetryAfter asked to wait, and zero for every other result:
// the policy decides.
func (r Result) Delay() time.Duration { return r.delay }

// Unavailable reports whether the result was made by Unavailable.
func (r Result) Unavailable() bool { return r.decision == unavailable }

// String is the type, and the error when there is one.
func (r Result) String() string {
	s := string(r.Type())
	if r.Unavailable() {
		s = "unavailable"
	}
	if r.delay > 0 {
		s += fmt.Sprintf(" after %v", r.delay)
	}
	if err := r.Err(); err != nil {
		s += ": " + err.Error()
	}
	return s
}
