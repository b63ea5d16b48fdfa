package adapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// gateFresh is how long an answer of the gate holds.
	gateFresh = time.Second
	// gateTimeout is how long the gate may take to answer.
	gateTimeout = 10 * time.Second
	// maxSpells is how many of the times that it was closed are remembered.
	maxSpells = 1000
)

var errGateSilent = fmt.Errorf("the gate did not answer within %v", gateTimeout)

// gate asks Subscription.Gate whether handlers may run. It is asked before they
// do, once a second at most, and while it is closed again and again with backoff.
// A nil gate is open.
//
// What a record spends before a closed gate does not count for its age. Message.idle
// is what that comes to, less what the gate had been closed for in all by then, so
// that it needs no change while the gate is closed again.
type gate struct {
	check    func(context.Context) error
	policy   *RetryPolicy
	log      *slog.Logger
	ctx      context.Context // ends with the consumer
	onChange func(closed error)
	gone     sync.WaitGroup

	mu      sync.Mutex
	asked   time.Time     // when the last answer came
	closed  error         // why it is closed; nil while it is open
	since   time.Time     // when it was closed
	before  time.Duration // how long it was closed before that
	spells  []spell       // when that was: the last of them
	answer  chan struct{} // closed at the next answer; nil while nobody asks
	stopped bool
}

// spell is a time that the gate was closed.
type spell struct{ from, to time.Time }

// await returns when there is an answer that is fresh. It reports false when drop
// is closed, or the consumer ends, before that.
func (g *gate) await(drop <-chan struct{}) bool {
	if g == nil {
		return true
	}
	g.mu.Lock()
	fresh := g.closed != nil || !g.asked.IsZero() && time.Since(g.asked) < gateFresh
	g.mu.Unlock()
	return fresh || g.ask(drop)
}

// isOpen is the last answer.
func (g *gate) isOpen() bool {
	_, closed := g.lastAnswer()
	return closed == nil
}

// lastAnswer is when the gate has answered last, and why it is closed; nil while
// it is open.
func (g *gate) lastAnswer() (at time.Time, closed error) {
	if g == nil {
		return time.Time{}, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked, g.closed
}

// isClosedNow asks, unless it knows that the gate is closed. Where there is no answer
// it counts as closed, so that no attempt is used.
func (g *gate) isClosedNow(drop <-chan struct{}) bool {
	if g == nil {
		return false
	}
	if !g.isOpen() {
		return true
	}
	known := g.ask(drop)
	return !known || !g.isOpen()
}

// pass is await, until the gate is open.
func (g *gate) pass(drop <-chan struct{}) bool {
	known := g.await(drop)
	for known && !g.isOpen() {
		known = g.ask(drop)
	}
	return known
}

// closedFor is how long the gate has been closed in all.
func (g *gate) closedFor() time.Duration {
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return g.before + time.Since(g.since)
	}
	return g.before
}

// failedFirst notes when a record failed first.
func (g *gate) failedFirst(m *Message, at time.Time) {
	m.FirstFailed, m.idle = at, -g.closedFor()
}

// idleFor is for how long the gate was closed since a record failed first, as far as
// is known here.
func (g *gate) idleFor(m *Message) time.Duration {
	if m.FirstFailed.IsZero() {
		return 0
	}
	return m.idle + g.closedFor()
}

// idleOf is Message.idle of a record whose idleFor another process knew up to a time:
// since then it is this gate's.
func (g *gate) idleOf(known time.Duration, to time.Time) time.Duration {
	if g == nil {
		return known
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	closed := g.before
	if g.closed != nil {
		now := time.Now()
		closed += now.Sub(g.since)
		known += max(0, min(now.Sub(to), now.Sub(g.since)))
	}
	for _, s := range slices.Backward(g.spells) {
		if !s.to.After(to) {
			break
		}
		known += min(s.to.Sub(to), s.to.Sub(s.from))
	}
	return known - closed
}

// ask waits for the next answer. It reports false when drop is closed, or the
// consumer ends, before that.
func (g *gate) ask(drop <-chan struct{}) bool {
	g.mu.Lock()
	if g.answer == nil && !g.stopped {
		g.answer = make(chan struct{})
		g.gone.Go(g.run)
	}
	answer := g.answer
	g.mu.Unlock()
	select {
	case <-answer:
		return true
	case <-drop:
	case <-g.ctx.Done():
	}
	return false
}

// stop ends the asking. The gate's context has ended.
func (g *gate) stop() {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	g.gone.Wait()
}

// run asks once, and goes on while the gate is closed.
func (g *gate) run() {
	for failed := 1; ; failed++ {
		err := g.call()
		if g.ctx.Err() != nil {
			return
		}
		if was := g.know(err); (was == nil) != (err == nil) {
			if err != nil {
				g.log.Warn("the gate is closed: no handler runs until it opens", "error", err)
			} else {
				g.log.Info("the gate is open again")
			}
			g.onChange(err)
		}
		if err == nil || !sleep(g.ctx, g.policy.backoff(failed)) {
			return
		}
	}
}

// know takes an answer, and is the one before. While the gate is closed somebody
// is always asking.
func (g *gate) know(err error) (was error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was, g.closed, g.asked = g.closed, err, time.Now()
	switch {
	case was == nil && err != nil:
		g.since = g.asked
	case was != nil && err == nil:
		g.before += g.asked.Sub(g.since)
		if len(g.spells) == maxSpells {
			g.spells = slices.Delete(g.spells, 0, 1)
		}
		g.spells = append(g.spells, spell{g.since, g.asked})
	}
	close(g.answer)
	g.answer = nil
	if err != nil {
		g.answer = make(chan struct{})
	}
	return was
}

// call runs the check, which may panic, exit its goroutine or hang.
func (g *gate) call() error {
	ctx, cancel := context.WithTimeoutCause(g.ctx, gateTimeout, errGateSilent)
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		err := errors.New("the gate exited its goroutine")
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("the gate panicked: %v", p)
			}
			answer <- err
		}()
		err = g.check(ctx)
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
