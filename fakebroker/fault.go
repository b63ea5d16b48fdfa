package fakebroker

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/internal/kafkaname"
	"example.com/kafkatest/fakebroker/wire"
)

// Fault is something that goes wrong on purpose, from the call that made it
// until it is used up or cleared, or the broker is closed. Its methods are safe
// for concurrent use.
type Fault struct {
	name  string
	inert bool
	once  sync.Once
	clear func()
	told  *observers
	count int // how often it strikes at most; zero means no limit

	mu           sync.Mutex
	seen, struck int
	hits         func() int // nil: struck
}

// Hits is how often the fault has struck so far: how many requests, unless the
// method that made it says what else it counts.
func (f *Fault) Hits() int {
	if f.hits != nil {
		return f.hits()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.struck
}

// Inert reports whether the fault could do nothing when it was made, and never
// will: there was no such broker, partition or member, the leader or coordinator
// was there already, or none of the APIs is one that it changes.
func (f *Fault) Inert() bool { return f.inert }

// Clear ends the fault. Requests that it has struck already stay struck: what it
// delays stays late. It may be called more than once.
func (f *Fault) Clear() {
	f.once.Do(func() {
		f.clear()
		if !f.spent() {
			f.tell(FaultEvent{Phase: FaultEnded, API: -1, Broker: -1})
		}
	})
}

// String says what goes wrong, for whom, and how often it has.
func (f *Fault) String() string { return fmt.Sprintf("%s (struck %d)", f.name, f.Hits()) }

// strike counts a matching request and reports whether it is to be struck.
func (f *Fault) strike(s Scope) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	if f.seen < s.Nth || (s.Count > 0 && f.struck >= s.Count) {
		return false
	}
	f.struck++
	return true
}

// spent reports whether nothing can be struck any more.
func (f *Fault) spent() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count > 0 && f.struck >= f.count
}

// Refuse answers requests with a protocol error; nil stands for
// UNKNOWN_SERVER_ERROR. The broker does not act on what it refuses, but for the
// errors that mean it has: REQUEST_TIMED_OUT and, for produce,
// NOT_ENOUGH_REPLICAS_AFTER_APPEND. Of a request about several topics,
// partitions or groups, only those in the scope are refused; a request is struck
// once however many are. SaslHandshake cannot be told apart by client, nor can
// JoinGroup before version 4, LeaveGroup before 3 and ListOffsets before 1: a
// scope with a client leaves those alone.
//
// Behind a [Proxy] it is the proxy that answers: with acks=0 the records are gone, a
// fetch in a session is refused when its answer has something that is, and so is a
// fetch, or a share fetch, of which only a part is.
func (tr *traffic) Refuse(err *kerr.Error, s Scope) *Fault {
	if err == nil {
		err = kerr.UnknownServerError
	}
	f := tr.newFault(fmt.Sprintf("refuse %s with %s", s, kafkaname.OfError(err)), s.Count)
	f.clear = tr.behind.refuse(f, err, s, func(kmsg.Request) bool { return true })
	return f.begin()
}

// refuse has the cluster refuse those requests of the scope that are also of a
// kind.
func (b *Broker) refuse(f *Fault, err *kerr.Error, s Scope, of func(kmsg.Request) bool) (remove func()) {
	marked, unmark := b.mark(s)
	untold := new(refusals)
	untell := b.tellRefusals(f, untold, err, s)
	// kfake asks once for each topic or partition, and again when a waiting
	// fetch wakes up: a request is known by its pointer.
	verdicts := make(map[kmsg.Request]bool)
	h := b.cluster.Fault(kfake.Fault{
		Keys: s.APIs, Nodes: b.inside(s.Brokers), Topic: s.Topic, Partitions: s.Partitions, Group: s.Group,
		Err: err, Count: -1,
		When: func(req kmsg.Request) bool { // on the cluster's one goroutine
			verdict, known := verdicts[req]
			if !known {
				if f.spent() { // nothing more to remember
					return false
				}
				if len(verdicts) > maxVerdicts {
					clear(verdicts)
				}
				verdict = !tagged(req, ownTag) && of(req) && marked(req) && f.strike(s)
				verdicts[req] = verdict
				if verdict {
					untold.count(req)
				}
			}
			return verdict
		},
	})
	return func() {
		h.Remove()
		unmark()
		untell()
	}
}

// maxVerdicts bounds the requests that a fault remembers. It is more than can be
// waiting at a time in any test, and the cost of forgetting is a miscount.
const maxVerdicts = 10_000

// mark lets a fault in the cluster tell clients apart, which kfake does not: the
// requests of the client are marked on their way in.
func (b *Broker) mark(s Scope) (marked func(kmsg.Request) bool, unmark func()) {
	if s.ClientID == "" && s.Remote == "" {
		return func(kmsg.Request) bool { return true }, func() {}
	}
	mark := faultTag + b.lastFault.Add(1)
	unmark = b.rules.Add(wire.Rule{
		Name:  "mark requests of " + s.ClientID + s.Remote,
		Wants: b.wants(s),
		Request: func(x *wire.Exchange) {
			if !s.hasRemote(x.RemoteAddr()) {
				return
			}
			tag(x, mark)
		},
	})
	return func(req kmsg.Request) bool { return tagged(req, mark) }, unmark
}

// Delay makes answers late by d; the broker acts at once. Requests without an
// answer (produce with acks=0) are not struck. What comes behind on the same
// connection waits too, as the protocol has answers in order. Clients give up on
// an answer in time of their own, and closing the broker ends the wait.
func (tr *traffic) Delay(d time.Duration, s Scope) *Fault {
	return tr.onAnswer(fmt.Sprintf("delay %s by %v", s, d), s, func(x *wire.Exchange) { x.Delay(d) })
}

// DropAfter closes the connection in place of an answer: the broker has acted,
// and the client cannot know. Requests without an answer (produce with acks=0)
// are not struck.
func (tr *traffic) DropAfter(s Scope) *Fault {
	return tr.onAnswer(fmt.Sprintf("drop the connection after %s", s), s, (*wire.Exchange).Cut)
}

// DropBefore closes the connection on a request that the broker then never gets.
func (tr *traffic) DropBefore(s Scope) *Fault {
	f := tr.newFault(fmt.Sprintf("drop the connection before %s", s), s.Count)
	f.clear = tr.rules.Add(wire.Rule{
		Name:  f.name,
		Wants: tr.wants(s),
		Request: func(x *wire.Exchange) {
			if tr.inScope(x, s, false) && f.strike(s) {
				x.Cut()
				tr.struckRequest(f, x)
			}
		},
	})
	return f.begin()
}

func (tr *traffic) onAnswer(name string, s Scope, strike func(*wire.Exchange)) *Fault {
	f := tr.newFault(name, s.Count)
	f.clear = tr.rules.Add(wire.Rule{
		Name:  name,
		Wants: tr.wants(s),
		Answer: func(x *wire.Exchange) {
			if !x.Silent && tr.inScope(x, s, true) && f.strike(s) {
				strike(x)
				tr.struckRequest(f, x)
			}
		},
	})
	return f.begin()
}

// inside is node ids as kfake's numbers of the brokers.
func (b *Broker) inside(ids []int32) []int32 {
	ids = slices.Clone(ids)
	b.allInside(ids)
	return ids
}

// inScope looks into the request, and where that does not say into the answer.
func (tr *traffic) inScope(x *wire.Exchange, s Scope, answered bool) bool {
	if !s.hasRemote(x.RemoteAddr()) {
		return false
	}
	if !s.needsBody() {
		return true
	}
	req, err := x.Request()
	if err != nil {
		return false
	}
	messages := []any{req}
	if f, ok := req.(*kmsg.FetchRequest); ok && f.SessionEpoch > 0 {
		if !answered {
			return s.Group == ""
		}
		if resp, err := x.Response(); err == nil {
			messages = append(messages, resp)
		}
	}
	return s.matches(namesIn(tr.behind.topicByID, messages...))
}

func (b *Broker) topicByID(id [16]byte) (name string) {
	_ = b.do(func() error { // closed: nothing is called that any more
		if t := b.cluster.TopicIDInfo(id); t != nil {
			name = t.Topic
		}
		return nil
	})
	return name
}
