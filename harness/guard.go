package harness

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// guard watches a bubble from outside, on the real clock: one that can go no
// further ends nothing, not even at the test's timeout with a word on why. It
// knows two ways to get there.
//
// Frozen: every goroutine of the bubble waits, one of them for something that
// does not belong to the bubble, so that its time stands still, and look after
// look finds them all in the same place.
//
// Running away: the body stands in the same place look after look, nothing
// becomes of any record, and of virtual time more than twice Config.Limit has
// passed meanwhile. What the harness itself waits for has limits of its own.
//
// How long it took alone is never a reason. A goroutine that computes, or is in
// a system call, keeps its bubble from being frozen, and its time from passing.
type guard struct {
	t     *testing.T    // the outer one
	limit time.Duration // Config.Limit
	clock *wallClock

	h          atomic.Pointer[Harness] // set when the bubble is there
	body       goroutine               // that runs it, without its stack
	virtual    atomic.Int64            // time since the bubble began, as of the last pulse
	purposeful atomic.Int64            // waits of the harness's own that have a limit

	pace    time.Duration // since the last look
	frozen  frozen
	runaway runawayLooks
}

const (
	// lookEvery is the time between two looks.
	lookEvery = 250 * time.Millisecond
	// A process that was stopped, in a debugger for example, has had no time to
	// run between two looks.
	longestPace = 2 * time.Second
)

func newGuard(t *testing.T, limit time.Duration) *guard {
	t.Helper()
	g := &guard{t: t, limit: limit}
	g.clock = startWallClock(g.tick)
	return g
}

// enter has the guard know the bubble that it is called in.
func (g *guard) enter(h *Harness) {
	g.body = caller()
	g.h.Store(h)
	stop := g.pulse()
	h.t.Cleanup(func() {
		stop()
		g.h.Store(nil)
	})
}

// pulse tells the guard the bubble's time: each hour at first, and less and
// less often, so that a bubble with nothing left to wait for but the pulse comes
// to its end at once, and is found out by testing/synctest.
func (g *guard) pulse() (stop func()) {
	const first, last = time.Hour, 200 * 365 * 24 * time.Hour
	start := time.Now()
	var mu sync.Mutex
	var timer *time.Timer
	stopped := false
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(first, func() {
		passed := time.Since(start)
		g.virtual.Store(int64(passed))
		mu.Lock()
		defer mu.Unlock()
		if passed < last && !stopped {
			timer.Reset(max(first, passed/64))
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}

// onPurpose says that the harness itself waits, with a limit, until done is
// called. A nil guard is that of real time, and does nothing.
func (g *guard) onPurpose() (done func()) {
	if g == nil {
		return func() {}
	}
	g.purposeful.Add(1)
	return func() { g.purposeful.Add(-1) }
}

// tick looks when it is time to.
func (g *guard) tick(since time.Duration) {
	if since > longestPace {
		g.forget()
		return
	}
	if g.pace += since; g.pace < lookEvery {
		return
	}
	g.pace = 0
	if h := g.h.Load(); h != nil {
		g.look(h)
	}
}

// forget has the looks so far count for nothing.
func (g *guard) forget() {
	g.pace = 0
	g.frozen, g.runaway = frozen{}, runawayLooks{}
}

func (g *guard) look(h *Harness) {
	s := seen{virtual: time.Duration(g.virtual.Load()), signs: h.watch.signs.Load(), purposeful: g.purposeful.Load() > 0}
	freeze, race := g.frozen.suspects(s), g.runaway.suspects(s, g.limit)
	if !freeze && !race {
		return
	}
	if debugged() {
		g.forget()
		return
	}
	s.all = goroutines()
	s.mine = inBubble(s.all, g.body.bubble)
	for _, each := range s.mine {
		if each.id == g.body.id {
			s.body = each
		}
	}
	var why string
	if freeze {
		why = g.frozen.look(s)
	}
	if race && why == "" {
		why = g.runaway.look(s, g.limit, h.watch.exit())
	}
	if why != "" {
		g.end(h, s, why)
	}
}

// seen is what one look finds.
type seen struct {
	virtual    time.Duration
	signs      int64
	purposeful bool
	all        []goroutine
	mine       []goroutine // of the bubble
	body       goroutine   // that runs the body; the zero value when that is over
}

// end says why, and ends the process: nothing can end a bubble from outside.
func (g *guard) end(h *Harness, s seen, why string) {
	var b strings.Builder
	where := s.body.bodyLine()
	if where == "" {
		where = "the body has returned"
	}
	fmt.Fprintf(&b, "--- FAIL: %s (%.2fs)\n    %s: harness: %s\n", g.t.Name(), g.clock.elapsed().Seconds(), where, indent(why))
	b.WriteString("    A bubble cannot be ended from outside: the process ends, and with it all tests that run or have not run yet.\n")
	if timeline := h.watch.tryText(); timeline != "" {
		fmt.Fprintf(&b, "    What happened:\n    %s\n", indent(timeline))
	}
	b.WriteString("FAIL\n")
	_, _ = os.Stdout.WriteString(b.String()) // there is nowhere else to say it
	os.Exit(1)
}

func indent(s string) string {
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ")
}

// debugged reports whether a debugger holds the process, where that can be
// known: on Linux.
func debugged() bool {
	status, err := os.ReadFile("/proc/self/status")
	return err == nil && isTraced(status)
}

func isTraced(status []byte) bool {
	_, tracer, ok := bytes.Cut(status, []byte("TracerPid:"))
	return ok && !bytes.HasPrefix(bytes.TrimSpace(tracer), []byte("0\n"))
}
