package harness

import (
	"context"
	"sync"
	"time"

	"example.com/kafkatest/adapter"
)

// Publisher is what a use case publishes with. An adapter is one.
type Publisher interface {
	Publish(ctx context.Context, events ...adapter.Event) error
}

// PublisherSpy is a Publisher that records the events it is given. With a Next
// it passes them on; without, they go nowhere.
type PublisherSpy struct {
	Next Publisher
	// Calls records one call for each event. A call that is told to fail
	// passes nothing on, of the events that came with it neither.
	Calls Spy[adapter.Event]
}

// Publish is Publisher's.
func (p *PublisherSpy) Publish(ctx context.Context, events ...adapter.Event) error {
	var calls []int
	var err error
	for _, e := range events {
		var call int
		call, err = p.Calls.begin(ctx, e)
		if calls = append(calls, call); err != nil {
			break
		}
	}
	if err == nil && p.Next != nil {
		err = p.Next.Publish(ctx, events...)
	}
	for _, call := range calls {
		p.Calls.end(call, err)
	}
	return err
}

// HandlerSpy is a handler that records the messages it is given. A call that
// is told to fail returns a retry, and does not reach Next. Without a Next it
// commits.
type HandlerSpy struct {
	Next adapter.Handler
	// Calls records the calls. Err is that of the result.
	Calls Spy[*adapter.Message]

	mu      sync.Mutex
	results []adapter.Result
}

// ReturnNext makes the next calls that are not told to fail return these
// results, one each, after those that are to be returned already. They do not
// reach Next.
func (h *HandlerSpy) ReturnNext(results ...adapter.Result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.results = append(h.results, results...)
}

// Handle is adapter.Handler's.
func (h *HandlerSpy) Handle(ctx context.Context, m *adapter.Message) adapter.Result {
	call, err := h.Calls.begin(ctx, m)
	var r adapter.Result
	if err != nil {
		r = adapter.Retry(err)
	} else {
		r = h.result(ctx, m)
	}
	h.Calls.end(call, r.Err())
	return r
}

func (h *HandlerSpy) result(ctx context.Context, m *adapter.Message) adapter.Result {
	h.mu.Lock()
	if len(h.results) > 0 {
		defer h.mu.Unlock()
		r := h.results[0]
		h.results = h.results[1:]
		return r
	}
	h.mu.Unlock()
	if h.Next == nil {
		return adapter.Commit()
	}
	return h.Next.Handle(ctx, m)
}

// GateSpy is a dependency that is up or down: a double of what asks whether a
// database can be reached, say. The zero value is up. It is safe for concurrent
// use.
type GateSpy struct {
	// Calls records the checks, and can have them fail or wait in other ways.
	Calls Spy[struct{}]
}

// Check is nil when the dependency is up, and else what it is down with.
func (g *GateSpy) Check(ctx context.Context) error { return g.Calls.CallContext(ctx, struct{}{}) }

// Down takes the dependency down, until Up. A nil err panics.
func (g *GateSpy) Down(err error) {
	if err == nil {
		panic("harness: GateSpy.Down: the error is nil: use Up")
	}
	g.Calls.FailAlways(err)
}

// DownUntil takes the dependency down until a time, by the test's clock. A nil
// err panics.
func (g *GateSpy) DownUntil(t time.Time, err error) {
	if err == nil {
		panic("harness: GateSpy.DownUntil: the error is nil: use Up")
	}
	g.Calls.FailUntil(t, err)
}

// Up brings the dependency back.
func (g *GateSpy) Up() {
	g.Calls.FailAlways(nil)
	g.Calls.FailUntil(time.Time{}, nil)
}
