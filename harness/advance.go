package harness

import (
	"time"
)

// Advance lets a time pass, exactly d, and returns when everything that fell
// due until then, and all that followed from it, has run as far as it can
// without more time passing. In virtual time it takes no time. In real time it
// takes d, so keep it short there, or use Settle and Until.
func (h *Harness) Advance(d time.Duration) {
	h.t.Helper()
	h.refuseInHandler("Advance")
	if d < 0 {
		h.t.Fatalf("harness: Advance(%v): time does not go backwards", d)
	}
	h.watch.order()
	h.watch.signs.Add(1)
	defer h.clock.guard.onPurpose()()
	time.Sleep(d)
	h.clock.idle()
	h.watch.order()
}

// Until returns when a condition holds, for services that never go quiet. It is
// asked again whenever something happens, and from time to time: it must be
// quick, and is called on the test's goroutine while handlers run. Like Settle
// it fails the test at Config.Limit.
func (h *Harness) Until(cond func() bool) {
	h.t.Helper()
	h.refuseInHandler("Until")
	h.until(func() string { return "the condition given to Until does not hold" }, cond)
}

// until is Until for a condition of which it is known what is missing.
func (h *Harness) until(what func() string, cond func() bool) {
	h.t.Helper()
	p := h.patience(h.cfg.Limit)
	for {
		h.clock.idle()
		h.endWithHandler()
		h.watch.order()
		if cond() {
			return
		}
		h.watch.order()
		if why := p.over(); why != "" {
			h.t.Fatalf("harness: %s after %s", what(), why)
		}
		p.wait(h.watch.wake, time.Time{})
	}
}

// patience is how long to wait for something, and how often to look.
type patience struct {
	h           *Harness
	limit       time.Duration
	start       time.Time
	wall        time.Duration
	step        time.Duration
	left, spent time.Duration
}

func (h *Harness) patience(limit time.Duration) *patience {
	return &patience{h: h, limit: limit, start: time.Now(), wall: h.clock.wall(), step: firstStep}
}

// over says how long it took, once that was too long.
func (p *patience) over() string {
	p.left = p.limit - time.Since(p.start)
	p.spent = p.h.clock.wall() - p.wall
	if p.left > 0 && (!p.h.clock.virtual || p.spent <= runaway) {
		return ""
	}
	return time.Since(p.start).Round(time.Millisecond).String() + " (" + p.spent.Round(time.Millisecond).String() + " of real time)"
}

// wait waits until something happens, or it is time to look again: at due,
// where that is known, and else more and more rarely.
func (p *patience) wait(wake <-chan struct{}, due time.Time) {
	d := min(p.step, p.left)
	if !due.IsZero() {
		d = min(max(time.Until(due), firstStep), p.left)
	}
	defer p.h.clock.guard.onPurpose()()
	p.h.watch.signs.Add(1)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-wake:
		p.step = firstStep
	case <-timer.C:
		p.step = min(2*p.step, p.h.clock.lastStep)
	}
}

// runaway is how much real time the harness waits at most where time is
// virtual: far more than anything that comes to an end takes.
const runaway = 30 * time.Second

const firstStep = time.Millisecond
