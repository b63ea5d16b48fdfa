package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// lastLookTimeout bounds the wait for what is on the topics when everything has
// its outcome: there may be a dead letter behind a Received.
const lastLookTimeout = 5 * time.Second

// flow is the middle of a run: from the first line to the last outcome.
type flow struct {
	*pipeline
	*reporter
	drain time.Duration
	fail  context.CancelCauseFunc // ends working
}

// run accepts the lines of input, and waits until all that was accepted has its
// outcome. It ends early with working; interrupted ends the reading only. The
// error is why the run failed, apart from what was lost.
func (f *flow) run(working, interrupted context.Context, input io.Reader) error {
	reading, stopReading := context.WithCancelCause(working)
	defer stopReading(nil)
	defer context.AfterFunc(interrupted, func() {
		stopReading(errInterrupted)
		limit := time.AfterFunc(f.drain, func() { f.fail(errDrainLimit) })
		context.AfterFunc(working, func() { limit.Stop() })
	})()
	defer f.beside()()

	entries, readErr := startReading(reading, input)
	accepting := accepting{publisher: f.adapter, outcomes: f.outcomes, console: f.console, giveUp: stopReading}
	last, ended := accepting.run(working, reading, entries)

	var failure error
	switch cause := context.Cause(reading); {
	case ended:
		failure = <-readErr
	case errors.Is(cause, errInterrupted):
		f.console.notef("interrupted: stopped after line %d; waiting for what was accepted", last)
	default:
		f.console.notef("stopped after line %d", last)
		failure = cause
	}
	if err := f.outcomes.await(working); err != nil {
		return either(failure, err)
	}
	look, cancel := context.WithTimeout(working, lastLookTimeout)
	defer cancel()
	if err := f.watcher.catchUp(look); err != nil {
		f.console.notef("cannot tell whether there are more dead letters: %s", oneLine(err))
	}
	return failure
}

// beside starts what goes on beside the accepting; the result ends it.
func (f *flow) beside() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { progress(ctx, f.console, f.outcomes) })
	tasks.Go(func() {
		if err := f.watcher.run(ctx, f.see, f.console.flush); err != nil {
			f.fail(err)
		}
	})
	tasks.Go(func() {
		select {
		case <-f.consumer.Done():
			f.fail(fmt.Errorf("the handler was stopped: %w", f.consumer.Err()))
		case <-ctx.Done():
		}
	})
	return func() {
		cancel()
		tasks.Wait()
	}
}

// startReading reads entries in the background. It is not waited for: a read
// from a terminal or a pipe ends when there is something, or with the process.
func startReading(ctx context.Context, input io.Reader) (<-chan entry, <-chan error) {
	entries, failed := make(chan entry), make(chan error, 1)
	go func() {
		defer close(entries)
		for e, err := range readEntries(input) {
			if err != nil {
				failed <- err
				return
			}
			select {
			case entries <- e:
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				break
			}
		}
		failed <- nil
	}()
	return entries, failed
}
