package adapter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrHandlerTimeout is the cause of a retry after a handler that took longer than
// RetryPolicy.HandlerTimeout, and what its context ends with.
var ErrHandlerTimeout = errors.New("the handler took longer than its timeout")

var errNothing = errors.New("nothing")

// patienceWithHandlers is how long a handler may go on after its context was
// cancelled before it is called stuck.
const patienceWithHandlers = 10 * time.Second

// attempt is a call of a handler.
type attempt struct {
	m     *Message
	start time.Time // set when somebody is told of it
	watch *overrun  // nil without a timeout
}

// overrun ends the context of a handler that takes too long.
type overrun struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer

	mu       sync.Mutex
	late     bool // the time is over
	stuck    bool // for long, and the lane knows
	returned bool
}

// attempt runs the handler once. It is a method of the lane so that what watches
// goroutines recognizes a handler by its stack.
func (l *lane) attempt(a *attempt) Result {
	ctx := l.ctx
	if f := l.c.a.cfg.Trace.Delivered; f != nil {
		ctx = f(ctx, a.m)
	}
	if l.c.a.cfg.Trace.Returned != nil {
		a.start = time.Now()
	}
	if limit := l.c.sub.Retry.HandlerTimeout; limit > 0 {
		ctx, a.watch = l.limitTime(ctx, limit, a.m.String())
	}
	return l.c.sub.Handler.Handle(ctx, a.m)
}

// ended is what an attempt came to that has returned a result, or none: then the
// result says why.
func (l *lane) ended(a *attempt, r Result) Result {
	if a.watch != nil {
		if a.watch.end(l) {
			r = Retry(fmt.Errorf("%w of %v: it returned %v", ErrHandlerTimeout, l.c.sub.Retry.HandlerTimeout, r))
		}
		a.watch = nil
	}
	if classify := l.c.sub.Retry.Classify; r.byPolicy && classify != nil {
		r = classify(r.err)
	}
	if f := l.c.a.cfg.Trace.Returned; f != nil {
		f(a.m, r, time.Since(a.start))
	}
	return r
}

// limitTime makes a context that ends after a time, and calls the lane stuck when
// whoever has it does not end then.
func (l *lane) limitTime(ctx context.Context, limit time.Duration, what string) (context.Context, *overrun) {
	o := &overrun{}
	ctx, o.cancel = context.WithCancelCause(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.timer = time.AfterFunc(limit, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		switch {
		case o.returned:
		case !o.late:
			o.late = true
			o.cancel(ErrHandlerTimeout)
			o.timer.Reset(patienceWithHandlers)
		default:
			o.stuck = true
			l.stuck.Add(1)
			l.log.Error("a handler ignores that its context was cancelled, and is waited for", "message", what, "timeout", limit)
		}
	})
	return ctx, o
}

// end reports whether the time was over.
func (o *overrun) end(l *lane) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.returned = true
	o.timer.Stop()
	o.cancel(nil)
	if o.stuck {
		l.stuck.Add(-1)
	}
	return o.late
}
