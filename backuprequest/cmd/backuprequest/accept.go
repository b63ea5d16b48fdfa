package main

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
)

const (
	// acceptors is how many lines are accepted at a time. One waits for the
	// broker's acknowledgement; together they fill the client's batches.
	acceptors = 32
	// acceptBackoff is the longest wait before a line is tried again whose
	// record the broker did not take.
	acceptBackoff = 5 * time.Second
)

// accepting runs the use case Accept for lines.
type accepting struct {
	publisher backuprequest.Publisher
	outcomes  *outcomes
	console   *console
	// giveUp is called when a line failed and the next ones would fail too.
	giveUp func(error)
}

// run accepts entries until there are no more, or reading ends, and returns
// when all it took are done with. last is the line it took last. ctx ends the
// work, as reading ends the taking.
func (a *accepting) run(ctx, reading context.Context, entries <-chan entry) (last int, ended bool) {
	var workers sync.WaitGroup
	defer workers.Wait()
	lanes := make([]chan entry, acceptors)
	for i := range lanes {
		lanes[i] = make(chan entry)
		defer close(lanes[i])
		workers.Go(func() {
			for e := range lanes[i] {
				a.accept(ctx, e)
			}
		})
	}
	seed := maphash.MakeSeed()
	for n := 0; ; n++ {
		var e entry
		if reading.Err() != nil {
			return last, false
		}
		var more bool
		select {
		case e, more = <-entries:
		case <-reading.Done():
			return last, false
		}
		if !more { // the reader stops at the end of its context, too
			return last, reading.Err() == nil
		}
		last = e.line
		if e.err != nil {
			a.reject(e.line, e.err)
			continue
		}
		// Lines with the same id stay in order: the first one is to win.
		lane := n % acceptors
		if id := e.submission.BackupRequestID; id != "" {
			lane = int(maphash.String(seed, id) % acceptors)
		}
		lanes[lane] <- e
	}
}

// accept runs the use case for one line, again under the same id where that can
// help. A line that was taken is counted, whatever happens: as rejected when it
// is not right, else as accepted.
func (a *accepting) accept(ctx context.Context, e entry) {
	counted := false
	use := backuprequest.NewAcceptBackupRequest(publisherFunc(func(_ context.Context, events ...adapter.Event) error {
		// Only what is valid comes this far.
		if !counted {
			counted = true
			a.outcomes.accept(events[0].MessageKey(), e.line)
		}
		return a.publisher.Publish(ctx, events...)
	}))
	for backoff := 100 * time.Millisecond; ; backoff = min(2*backoff, acceptBackoff) {
		request, err := use.Accept(context.WithoutCancel(ctx), e.submission)
		switch {
		case err == nil:
			a.outcomes.published(request.BackupRequestID)
			return
		case errors.Is(err, backuprequest.ErrInvalid):
			a.reject(e.line, err)
			return
		case ctx.Err() != nil: // it is missing, and named as such
			return
		case !adapter.Retryable(err):
			a.console.notef("line %d: %s", e.line, oneLine(err))
			a.giveUp(err)
			return
		}
		e.submission.BackupRequestID = request.BackupRequestID
		a.console.notef("line %d: trying again: %s", e.line, oneLine(err))
		if !sleep(ctx, backoff) {
			return
		}
	}
}

func (a *accepting) reject(line int, err error) {
	a.outcomes.reject()
	a.console.notef("line %d: rejected: %s", line, oneLine(err))
}

// publisherFunc is a Publisher made of a function.
type publisherFunc func(ctx context.Context, events ...adapter.Event) error

// Publish calls f.
func (f publisherFunc) Publish(ctx context.Context, events ...adapter.Event) error {
	return f(ctx, events...)
}

// sleep waits for d, and reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// rejects reports whether an error of a line means that the line is not right.
func rejects(err error, e entry) bool {
	return e.err != nil || errors.Is(err, backuprequest.ErrInvalid)
}
