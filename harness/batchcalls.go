package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/kafkatest/adapter"
)

// BatchCalls are the controls that a handler called on a batch, in order.
type BatchCalls struct {
	Resolved   []int64     // what ResolveOffset was given, also where it changed nothing
	Rejected   []Rejection // what RejectAt was given, likewise
	Heartbeats []time.Time // when Heartbeat was called
	Pauses     int         // calls of Pause
	Resumes    int         // first calls of what Pause returned
	Checks     int         // calls of IsRunning and IsStale
	// Commits are the offsets that CommitOffsetsIfNecessary committed, one for
	// each call that had something to commit and returned no error.
	Commits []int64
	// Log has the calls of ResolveOffset, RejectAt, Heartbeat, Pause, what Pause
	// returned and CommitOffsetsIfNecessary.
	Log []BatchCall
}

// BatchCall is one call of a control.
type BatchCall struct {
	At      time.Time // when it was called, by the test's clock
	Control string    // the name of the method; "resume" for what Pause returned
	Offset  int64     // what was resolved, rejected or committed; -1 for no offset
	Err     error     // what RejectAt was given, or else what was returned
}

// String is the call without its time.
func (c BatchCall) String() string {
	s := c.Control
	if c.Offset >= 0 {
		s += fmt.Sprintf("(%d)", c.Offset)
	}
	if c.Err != nil {
		s += fmt.Sprintf(": %v", c.Err)
	}
	return s
}

// String is the log in a line.
func (c BatchCalls) String() string {
	if len(c.Log) == 0 {
		return "no controls called"
	}
	var calls []string
	for _, call := range c.Log {
		calls = append(calls, call.String())
	}
	return strings.Join(calls, ", ")
}

// Rejection is a call of RejectAt.
type Rejection struct {
	Offset int64
	Err    error
}

// When says when something becomes true of a batch. It is asked whenever the
// handler, or a control it calls, wants to know, until it is true.
type When func(BatchState) bool

// BatchState is how far a handler is with a batch.
type BatchState struct {
	Done   int           // messages that are resolved or rejected
	Checks int           // earlier calls of IsRunning and IsStale together
	Since  time.Duration // since the batch was made
}

// AfterMessages is when n messages are resolved or rejected; at once for 0.
// A negative n panics.
func AfterMessages(n int) When {
	refuseNegative("AfterMessages", int64(n))
	return func(s BatchState) bool { return s.Done >= n }
}

// AfterChecks is when IsRunning and IsStale have been called n times together,
// for handlers that resolve nothing themselves. A negative n panics.
func AfterChecks(n int) When {
	refuseNegative("AfterChecks", int64(n))
	return func(s BatchState) bool { return s.Checks >= n }
}

// AfterTime is when the batch is as old as d, by the test's clock. A negative d
// panics.
func AfterTime(d time.Duration) When {
	refuseNegative("AfterTime", int64(d))
	return func(s BatchState) bool { return s.Since >= d }
}

func refuseNegative(what string, n int64) {
	if n < 0 {
		panic(fmt.Sprintf("harness: %s(%d): it cannot be negative", what, n))
	}
}

// script is something that becomes true, and stays so.
type script struct {
	when  When
	truth bool
}

// Calls are the controls called so far.
func (b *Batch) Calls() BatchCalls {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.calls
	c.Resolved, c.Rejected, c.Heartbeats = slices.Clone(c.Resolved), slices.Clone(c.Rejected), slices.Clone(c.Heartbeats)
	c.Commits, c.Log = slices.Clone(c.Commits), slices.Clone(c.Log)
	return c
}

// controls are those of the config, or else the batch's own, recorded.
func (b *Batch) controls() adapter.BatchFuncs {
	f := b.config.Members
	f.ResolveOffset = b.resolve
	f.RejectAt = b.reject
	f.Heartbeat = b.heartbeat
	f.Pause = b.pause
	f.CommitOffsetsIfNecessary = b.commit
	f.IsRunning = func() bool { return !b.check(b.hasStopped) }
	f.IsStale = func() bool { return b.check(b.isStale) }
	if f.UncommittedOffsets == nil {
		f.UncommittedOffsets = b.uncommitted
	}
	return f
}

// log records a call. The caller holds mu.
func (b *Batch) log(control string, offset int64, err error) time.Time {
	now := time.Now()
	b.calls.Log = append(b.calls.Log, BatchCall{now, control, offset, err})
	return now
}

func (b *Batch) resolve(offset int64) {
	b.mu.Lock()
	b.log("ResolveOffset", offset, nil)
	b.calls.Resolved = append(b.calls.Resolved, offset)
	if n := len(b.Messages); n > 0 && offset >= b.Messages[0].Offset && offset <= b.Messages[n-1].Offset {
		b.resolved = max(b.resolved, offset)
	}
	b.mu.Unlock()
	if replaced := b.config.Members.ResolveOffset; replaced != nil {
		replaced(offset)
	}
}

func (b *Batch) reject(offset int64, err error) {
	b.mu.Lock()
	b.log("RejectAt", offset, err)
	b.calls.Rejected = append(b.calls.Rejected, Rejection{offset, err})
	if offset > b.resolved && slices.ContainsFunc(b.Messages, func(m *adapter.Message) bool { return m.Offset == offset }) {
		if b.rejected == nil {
			b.rejected = map[int64]bool{}
		}
		b.rejected[offset] = true
	}
	b.mu.Unlock()
	if replaced := b.config.Members.RejectAt; replaced != nil {
		replaced(offset, err)
	}
}

func (b *Batch) heartbeat(ctx context.Context) error {
	err := b.beat(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls.Heartbeats = append(b.calls.Heartbeats, b.log("Heartbeat", -1, err))
	return err
}

func (b *Batch) beat(ctx context.Context) error {
	if replaced := b.config.Members.Heartbeat; replaced != nil {
		return replaced(ctx)
	}
	return b.refused(ctx)
}

// refused is why the batch no longer counts.
func (b *Batch) refused(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.isStale() {
		return adapter.ErrStale
	}
	return nil
}

func (b *Batch) pause() func() {
	b.mu.Lock()
	b.log("Pause", -1, nil)
	b.calls.Pauses++
	b.mu.Unlock()
	resume := func() {}
	if replaced := b.config.Members.Pause; replaced != nil {
		resume = replaced()
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.log("resume", -1, nil)
			b.calls.Resumes++
		})
		resume()
	}
}

func (b *Batch) commit(ctx context.Context) error {
	var err error
	if replaced := b.config.Members.CommitOffsetsIfNecessary; replaced != nil {
		err = replaced(ctx)
	} else {
		err = b.refused(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	offset, ok := b.prefix()
	if err != nil || !ok {
		offset = -1
	} else {
		b.calls.Commits = append(b.calls.Commits, offset)
	}
	b.log("CommitOffsetsIfNecessary", offset, err)
	return err
}

func (b *Batch) uncommitted() map[string]map[int32]int64 {
	stale := b.isStale()
	b.mu.Lock()
	defer b.mu.Unlock()
	offset, ok := b.prefix()
	if !ok || stale {
		return map[string]map[int32]int64{}
	}
	return map[string]map[int32]int64{b.Topic: {b.Partition: offset}}
}

// prefix is the offset after the last message before which nothing is unsettled,
// if that has not been committed. Rejected messages are settled when the handler
// has returned, and not before. The caller holds mu.
func (b *Batch) prefix() (offset int64, ok bool) {
	offset = -1
	for _, m := range b.Messages {
		if m.Offset > b.resolved || b.rejected[m.Offset] {
			break
		}
		offset = m.Offset + 1
	}
	return offset, offset >= 0 && !slices.Contains(b.calls.Commits, offset)
}

// check answers IsRunning or IsStale.
func (b *Batch) check(is func() bool) bool {
	answer := is()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls.Checks++
	return answer
}

func (b *Batch) isStale() bool {
	if replaced := b.config.Members.IsStale; replaced != nil {
		return replaced()
	}
	return b.hasStopped() || b.has(&b.stale)
}

func (b *Batch) hasStopped() bool {
	if replaced := b.config.Members.IsRunning; replaced != nil {
		return !replaced()
	}
	return b.has(&b.stopped)
}

// has reports whether something has become true. A When may use the batch.
func (b *Batch) has(s *script) bool {
	b.mu.Lock()
	state := BatchState{Done: len(b.rejected), Checks: b.calls.Checks, Since: time.Since(b.made)}
	for _, m := range b.Messages {
		if m.Offset <= b.resolved && !b.rejected[m.Offset] {
			state.Done++
		}
	}
	truth := s.truth
	b.mu.Unlock()
	if truth || s.when == nil || !s.when(state) {
		return truth
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.truth = true
	return true
}
