package wire

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Rule is one thing that watches or changes traffic. Its functions are called
// from many connections at once; within one connection, never two at a time for
// the same exchange.
type Rule struct {
	// Name is for logs.
	Name string

	// Keys are the APIs that the rule is for. The zero value is every API.
	Keys KeySet

	// Wants decides from the header alone; it is called for every request of
	// the rule's APIs and must be cheap. Nil wants them all.
	Wants func(Header) bool

	// SkipRequest reports, from how a request's body begins (with the header's
	// tags before it, which are all there, and no less than what fits 4 KiB), that
	// the rule does not want it after all; it must be cheap and must not keep them.
	// Nil: none is skipped.
	SkipRequest func(h Header, body []byte) bool

	// Request is called with a request before the broker has it. Nil: not
	// called.
	Request func(*Exchange)

	// Act is called with a request as all rules have left it, in place of handing it
	// to the broker, once the answers to all earlier ones of the connection are
	// written: a broker acts on one at a time. What the rule replies is the answer;
	// when it does not reply, the broker has the request after all. It is not called
	// when an earlier rule has replied. Neither the client's hanging up nor the end
	// of the session ends it, so what it does is done whole. Nil: not called.
	Act func(*Exchange)

	// Answer is called with an answer before the client has it. Requests that
	// are not answered (produce with acks=0) do not get here, but for those that
	// a rule has had confirmed (see [Exchange.Confirm]); nor do those whose
	// connection ends first. Nil: not called.
	Answer func(*Exchange)

	// Unanswered is called with a request when the broker closes the
	// connection in place of answering it. What the rule replies is written
	// before the connection closes. Nil: not called.
	Unanswered func(*Exchange)

	// Sending is called with an answer that the client is now sent, as all
	// rules have left it and after their delays. It comes too late to change
	// anything, and before the client can act on it. Nil: not called.
	Sending func(*Exchange)

	// AnswerOnly says that the rule never looks at the request, not even when there
	// is an answer. A request that only such rules want has no [Exchange.Request].
	AnswerOnly bool

	// Skip reports, from the bytes of the broker's answer after its length, that
	// the rule does not need to see it; it must be cheap and must not keep them.
	// It is not asked about answers that an earlier rule has changed. An answer
	// that all its rules skip passes uncopied. Nil: none is skipped.
	Skip func(h Header, answer []byte) bool

	// Make gives the rules for an API, one of Keys, that stand in the place of this
	// one, which has nothing else. It is called when requests of the API come for the
	// first time and again when rules are added or taken out, also from several
	// connections at once, and gives the same ones each time. Nil: the rule stands
	// for itself.
	Make func(kmsg.Key) []*Rule
}

// Rules is the list of rules that connections go by. Both requests and answers
// pass the rules in the order in which those were added, so a rule sees what
// earlier ones have made of a message. The zero value has none. It is safe for
// concurrent use, and changes apply to requests that come later.
type Rules struct {
	mu   sync.Mutex
	list atomic.Pointer[ruleList]
}

// ruleList is all rules at one time, and those for each API that was asked for.
type ruleList struct {
	all   []*Rule
	byKey [kmsg.MaxKey + 1]atomic.Pointer[[]*Rule]
}

// of are the rules for an API.
func (l *ruleList) of(key kmsg.Key) []*Rule {
	known := key >= 0 && int(key) < len(l.byKey)
	if known {
		if p := l.byKey[key].Load(); p != nil {
			return *p
		}
	}
	var of []*Rule
	for _, r := range l.all {
		switch {
		case !r.Keys.Has(key):
		case r.Make != nil:
			of = append(of, r.Make(key)...)
		default:
			of = append(of, r)
		}
	}
	if known {
		l.byKey[key].Store(&of)
	}
	return of
}

// Add adds rules after the others, in their order, and returns what takes them
// out again, which may be called more than once. Many are cheaper added at once.
func (rs *Rules) Add(rules ...Rule) (remove func()) { return rs.Take(slices.Clone(rules)) }

// Take is Add for rules that are given away: the slice is not to be changed.
func (rs *Rules) Take(rules []Rule) (remove func()) {
	added := make([]*Rule, len(rules))
	for i := range rules {
		added[i] = &rules[i]
	}
	rs.change(func(l []*Rule) []*Rule { return append(l, added...) })
	return func() {
		rs.change(func(l []*Rule) []*Rule {
			return slices.DeleteFunc(l, func(r *Rule) bool { return slices.Contains(added, r) })
		})
	}
}

func (rs *Rules) change(f func([]*Rule) []*Rule) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var was []*Rule
	if l := rs.list.Load(); l != nil {
		was = slices.Clone(l.all)
	}
	rs.list.Store(&ruleList{all: f(was)})
}

// wanting returns the rules that want a request, nil when there are none. body
// is how it begins.
func (rs *Rules) wanting(h Header, body []byte) []*Rule {
	if rs == nil {
		return nil
	}
	l := rs.list.Load()
	if l == nil {
		return nil
	}
	var room [16]*Rule // for most: what is returned is then no larger than it need be
	out := room[:0]
	for _, r := range l.of(h.Key) {
		if (r.Wants == nil || r.Wants(h)) && (r.SkipRequest == nil || !r.SkipRequest(h, body)) {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return slices.Clone(out)
}

// needRequest reports whether one of the rules is to see the request before the
// broker has it.
func needRequest(rules []*Rule) bool {
	return slices.ContainsFunc(rules, func(r *Rule) bool { return r.Request != nil || r.Act != nil })
}

// lookBack reports whether one of the rules may look at the request when there is
// an answer.
func lookBack(rules []*Rule) bool {
	return slices.ContainsFunc(rules, func(r *Rule) bool { return !r.AnswerOnly })
}

// skips reports whether the rule does not need to see an answer, as the broker
// gave it.
func (r *Rule) skips(x *Exchange, answer []byte) bool {
	return r.Skip != nil && r.Skip(x.Header, answer)
}
