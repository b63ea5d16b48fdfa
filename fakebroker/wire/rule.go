package wire

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Rule is one thing that watches or changes traffic. Its functions are called
// from many connections at once; within one connection, never two at a time for
// the same exchange.
type Rule struct {
	// Name is for logs.
	Name string

	// Wants decides from the header alone; it is called for every request and
	// must be cheap. Nil wants everything.
	Wants func(Header) bool

	// SkipRequest reports, from how a request's body begins (with the header's
	// tags before it, which are all there, and no less than what fits 4 KiB), that
	// the rule does not want it after all; it must be cheap and must not keep them.
	// Nil: none is skipped.
	SkipRequest func(h Header, body []byte) bool

	// Request is called with a request before the broker has it. Nil: not
	// called.
	Request func(*Exchange)

	// Answer is called with an answer before the client has it. Requests that
	// are not answered (produce with acks=0) and those whose connection ends
	// first do not get here. Nil: not called.
	Answer func(*Exchange)

	// Unanswered is called with a request when the broker closes the
	// connection in place of answering it. What the rule replies is written
	// before the connection closes. Nil: not called.
	Unanswered func(*Exchange)

	// Sending is called with an answer that the client is now sent, as all
	// rules have left it and after their delays. It comes too late to change
	// anything, and before the client can act on it. Nil: not called.
	Sending func(*Exchange)

	// AnswerOnly says that the rule never looks at the request. A request that
	// only such rules want passes uncopied, and has no [Exchange.Request].
	AnswerOnly bool

	// Skip reports, from the bytes of the broker's answer after its length, that
	// the rule does not need to see it; it must be cheap and must not keep them.
	// It is not asked about answers that an earlier rule has changed. An answer
	// that all its rules skip passes uncopied. Nil: none is skipped.
	Skip func(h Header, answer []byte) bool
}

// Rules is the list of rules that connections go by. Both requests and answers
// pass the rules in the order in which those were added, so a rule sees what
// earlier ones have made of a message. The zero value has none. It is safe for
// concurrent use, and changes apply to requests that come later.
type Rules struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*Rule]
}

// Add adds a rule after the others and returns what takes it out again, which
// may be called more than once.
func (rs *Rules) Add(r Rule) (remove func()) {
	p := &r
	rs.change(func(l []*Rule) []*Rule { return append(l, p) })
	return func() {
		rs.change(func(l []*Rule) []*Rule {
			return slices.DeleteFunc(l, func(o *Rule) bool { return o == p })
		})
	}
}

func (rs *Rules) change(f func([]*Rule) []*Rule) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	l := f(slices.Clone(rs.all()))
	rs.list.Store(&l)
}

func (rs *Rules) all() []*Rule {
	if rs == nil {
		return nil
	}
	if l := rs.list.Load(); l != nil {
		return *l
	}
	return nil
}

// wanting returns the rules that want a request, nil when there are none. body
// is how it begins.
func (rs *Rules) wanting(h Header, body []byte) []*Rule {
	var out []*Rule
	for _, r := range rs.all() {
		if (r.Wants == nil || r.Wants(h)) && (r.SkipRequest == nil || !r.SkipRequest(h, body)) {
			out = append(out, r)
		}
	}
	return out
}

// needRequest reports whether one of the rules is to see the request.
func needRequest(rules []*Rule) bool {
	return slices.ContainsFunc(rules, func(r *Rule) bool { return r.Request != nil || !r.AnswerOnly })
}

// skips reports whether the rule does not need to see an answer, as the broker
// gave it.
func (r *Rule) skips(x *Exchange, answer []byte) bool {
	return r.Skip != nil && r.Skip(x.Header, answer)
}
