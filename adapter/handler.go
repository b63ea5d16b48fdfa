package adapter

import (
	"context"
	"encoding/json"
	"fmt"
)

// Handler decides what becomes of one message at a time. Its context is cancelled
// when the result would no longer count: the partition was taken away, the
// consumer's shutdown ran out of time, or RetryPolicy.HandlerTimeout is over. A
// handler that panics, or that exits its goroutine, has asked for a retry.
//
// A consumer calls its handler from several goroutines at once: see
// Subscription.Order.
type Handler interface {
	Handle(ctx context.Context, m *Message) Result
}

// HandlerFunc is a Handler made of a function.
type HandlerFunc func(ctx context.Context, m *Message) Result

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, m *Message) Result { return f(ctx, m) }

// JSON is a Handler for values that are JSON of a T. What does not decode is
// rejected before fn runs, with a DecodeError, and its bytes are kept. A
// tombstone does not decode. Unknown fields are ignored, so that producers may
// add some.
func JSON[T any](fn func(ctx context.Context, value T, m *Message) Result) Handler {
	return HandlerFunc(func(ctx context.Context, m *Message) Result {
		var value T
		if m.Value == nil {
			return Reject(&DecodeError{Type: fmt.Sprintf("%T", value), Err: errTombstone})
		}
		if err := json.Unmarshal(m.Value, &value); err != nil {
			return Reject(&DecodeError{Type: fmt.Sprintf("%T", value), Err: err})
		}
		return fn(ctx, value, m)
	})
}

// BatchHandler handles what one fetch brought from one partition. See Batch for
// what its error does; a panic, or the exit of its goroutine, is an error too. Its
// context is as a Handler's. It is called for one batch of a partition at a time,
// and for several partitions at once.
type BatchHandler interface {
	HandleBatch(ctx context.Context, b *Batch) error
}

// BatchHandlerFunc is a BatchHandler made of a function.
type BatchHandlerFunc func(ctx context.Context, b *Batch) error

// HandleBatch calls f.
func (f BatchHandlerFunc) HandleBatch(ctx context.Context, b *Batch) error { return f(ctx, b) }
