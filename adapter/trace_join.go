package adapter

import "context"

// JoinTraces is a trace that tells several, each in its turn. Nil ones are left
// out. The context that one's Delivered returns is the next one's.
func JoinTraces(traces ...*Trace) *Trace {
	joined := &Trace{}
	for _, t := range traces {
		if t != nil {
			joined = joined.then(t)
		}
	}
	return joined
}

func (t *Trace) then(next *Trace) *Trace {
	return &Trace{
		Published:    both3(t.Published, next.Published),
		Subscribed:   both2(t.Subscribed, next.Subscribed),
		Stopped:      both2(t.Stopped, next.Stopped),
		Assigned:     both2(t.Assigned, next.Assigned),
		Started:      both4(t.Started, next.Started),
		Revoked:      both3(t.Revoked, next.Revoked),
		Gate:         both2(t.Gate, next.Gate),
		Delivered:    bothDelivered(t.Delivered, next.Delivered),
		Returned:     both3(t.Returned, next.Returned),
		Waiting:      both2(t.Waiting, next.Waiting),
		Hopped:       both3(t.Hopped, next.Hopped),
		DeadLettered: both3(t.DeadLettered, next.DeadLettered),
		Redriven:     both3(t.Redriven, next.Redriven),
		Rejected:     both2(t.Rejected, next.Rejected),
		Settled:      both1(t.Settled, next.Settled),
		Fenced:       both1(t.Fenced, next.Fenced),
		Committed:    both4(t.Committed, next.Committed),
	}
}

func bothDelivered(f, g func(context.Context, *Message) context.Context) func(context.Context, *Message) context.Context {
	switch {
	case f == nil:
		return g
	case g == nil:
		return f
	}
	return func(ctx context.Context, m *Message) context.Context { return g(f(ctx, m), m) }
}

func both1[A any](f, g func(A)) func(A) {
	switch {
	case f == nil:
		return g
	case g == nil:
		return f
	}
	return func(a A) { f(a); g(a) }
}

func both2[A, B any](f, g func(A, B)) func(A, B) {
	switch {
	case f == nil:
		return g
	case g == nil:
		return f
	}
	return func(a A, b B) { f(a, b); g(a, b) }
}

func both3[A, B, C any](f, g func(A, B, C)) func(A, B, C) {
	switch {
	case f == nil:
		return g
	case g == nil:
		return f
	}
	return func(a A, b B, c C) { f(a, b, c); g(a, b, c) }
}

func both4[A, B, C, D any](f, g func(A, B, C, D)) func(A, B, C, D) {
	switch {
	case f == nil:
		return g
	case g == nil:
		return f
	}
	return func(a A, b B, c C, d D) { f(a, b, c, d); g(a, b, c, d) }
}
