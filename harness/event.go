package harness

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// place is where a record is.
type place struct {
	topic     string
	partition int32
	offset    int64
}

// String is as a Record's.
func (p place) String() string { return fmt.Sprintf("%s@%d", p.part(), p.offset) }

func (p place) part() string { return fmt.Sprintf("%s[%d]", p.topic, p.partition) }

// eventKind is what an event of the timeline is about.
type eventKind uint8

const (
	evNote eventKind = iota // text says it
	evPublished
	evSubscribed
	evClosed
	evStopped
	evAssigned
	evStarted
	evRevoked
	evLost
	evGate
	evDelivered
	evReturned
	evWaiting
	evHopped
	evDeadLettered
	evRedriven
	evRejected
	evSettled
	evFenced
	evCommitted
	evFetched
	evFault
	evEnded // the test's body
)

// event is one line of the timeline. What a kind does not need is zero. It is
// turned into text when somebody reads it, which is mostly never.
type event struct {
	at      time.Duration // since the test's start
	kind    eventKind
	attempt int32
	member  string // who did it, in the words of the line
	client  string // whose doing it was: a link's name, or a client id
	group   string
	place   place         // the record, or the partition and an offset in it
	to      place         // where it went, or what published the record
	took    time.Duration // of a handler
	due     time.Duration // of the next attempt, since the start
	detail  any           // an error, a result, text
	plain   bool          // the detail, if there is one, is plainCommit
}

// String is the event without its time.
func (e event) String() string {
	switch e.kind {
	case evPublished:
		switch {
		case e.to.topic != "":
			return fmt.Sprintf("%s published, for %s in %s", e.place, e.to, e.group)
		case e.member != "":
			return fmt.Sprintf("%s published by %s%s", e.place, e.member, e.text())
		case e.byOther():
			return fmt.Sprintf("%s published by %s", e.place, e.client)
		}
		return fmt.Sprintf("%s published", e.place)
	case evSubscribed:
		return fmt.Sprintf("%s subscribes to %s", e.member, e.text())
	case evClosed:
		return e.member + " closed"
	case evStopped:
		return fmt.Sprintf("%s stopped: %v", e.member, e.detail)
	case evAssigned:
		return fmt.Sprintf("%s assigned %s", e.member, e.text())
	case evStarted:
		return fmt.Sprintf("%s starts %s at %d", e.member, e.place.part(), e.place.offset)
	case evRevoked:
		return fmt.Sprintf("%s revoked %s", e.member, e.text())
	case evLost:
		return fmt.Sprintf("%s lost %s", e.member, e.text())
	case evGate:
		if e.detail == nil {
			return fmt.Sprintf("%s: the gate is open", e.member)
		}
		return fmt.Sprintf("%s: the gate is closed: %v", e.member, e.detail)
	case evDelivered:
		return fmt.Sprintf("%s delivered to %s, attempt %d", e.place, e.consumer(), e.attempt)
	case evReturned:
		after := ""
		if e.took > 0 {
			after = " after " + length(e.took)
		}
		return fmt.Sprintf("%s returned by %s%s: %v", e.place, e.consumer(), after, e.detail)
	case evWaiting:
		return fmt.Sprintf("%s waits in %s for %s, until %s", e.place, e.group, length(e.due-e.at), since(e.due))
	case evHopped:
		return fmt.Sprintf("%s moved by %s to %s%s", e.place, e.group, e.to, e.because())
	case evDeadLettered:
		return fmt.Sprintf("%s dead-lettered by %s to %s: %v", e.place, e.group, e.to, e.detail)
	case evRedriven:
		by := ""
		if e.byOther() {
			by = " by " + e.client
		}
		return fmt.Sprintf("%s redriven as %s%s", e.place, e.to, by)
	case evRejected:
		return fmt.Sprintf("%s rejected by %s: %v", e.place, e.group, e.detail)
	case evSettled:
		return fmt.Sprintf("%s settled in %s", e.place, e.group)
	case evFenced:
		return fmt.Sprintf("%s given up by %s, to be delivered again", e.place, e.consumer())
	case evCommitted:
		return fmt.Sprintf("%s committed %s through %d", e.member, e.place.part(), e.place.offset)
	case evEnded:
		return "the test's body has ended"
	case evFetched:
		return fmt.Sprintf("%s sent to %s", e.place, e.member)
	}
	return e.text()
}

// because is the reason, where there is one.
func (e event) because() string {
	if e.detail == nil {
		return ""
	}
	return fmt.Sprintf(": %v", e.detail)
}

// byOther reports whether somebody else than the test's own adapter did it,
// which most tests have alone.
func (e event) byOther() bool { return e.client != "" && e.client != firstAdapter }

// consumer is the group, and which of its members where there may be several.
func (e event) consumer() string {
	if e.byOther() {
		return e.group + " at " + e.client
	}
	return e.group
}

func (e event) text() string {
	if e.detail == nil {
		return ""
	}
	return fmt.Sprint(e.detail)
}

// shape is what events have in common that say the same of different records.
type shape struct {
	kind          eventKind
	attempt       int32
	member, group string
	client, topic string
	outcome       string
}

func (e event) shape() shape {
	s := shape{e.kind, e.attempt, e.member, e.group, e.client, e.place.topic, ""}
	switch d := e.detail.(type) {
	case fmt.Stringer: // a result, partitions
		s.outcome = d.String()
	case error:
		s.outcome = d.Error()
	case string:
		s.outcome = d
	}
	return s
}

// since is a time as a timeline says it: how long after the start.
func since(d time.Duration) string { return length(d) }

// length is a duration, to what a reader can tell apart: 1h0m0s is 1h.
func length(d time.Duration) string {
	s := d.Round(10 * time.Microsecond).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// partitions are those of each topic.
type partitions map[string][]int32

// partitionsOf copies what its owner may change.
func partitionsOf(of map[string][]int32) partitions {
	ps := make(partitions, len(of))
	for topic, some := range of {
		ps[topic] = slices.Clone(some)
	}
	return ps
}

// String is as in orders[0 1], refunds[2].
func (ps partitions) String() string {
	if len(ps) == 0 {
		return "nothing"
	}
	var out []string
	for _, topic := range sortedKeys(ps) {
		out = append(out, fmt.Sprintf("%s%v", topic, slices.Sorted(slices.Values(ps[topic]))))
	}
	return strings.Join(out, ", ")
}

// timeline keeps what happened: the beginning, which says how it came about,
// and the end, which says what went wrong.
type timeline struct {
	max  int     // events; none when negative
	head []entry // the first half
	tail []entry // a ring of the second half
	next int     // in tail
	all  int     // events there ever were

	shared [evEnded + 1][4]*event // by kind and partition: the one that was added last
}

// entry is an event as the timeline keeps it. Most of what is in an event is the
// same in those of many records, which share it: there are many, and so the
// collector of garbage has little to look at.
type entry struct {
	at, took time.Duration
	offset   int64
	attempt  int32
	same     *event // the rest
}

func (e entry) event() event {
	out := *e.same
	out.at, out.took, out.place.offset, out.attempt = e.at, e.took, e.offset, e.attempt
	return out
}

func (t *timeline) add(of *event) {
	if t.max < 0 {
		return
	}
	e := t.room()
	e.at, e.took, e.offset, e.attempt = of.at, of.took, of.place.offset, of.attempt
	if same := t.share(of); e.same != same { // which costs more than to look
		e.same = same
	}
}

// room is where the next event is kept.
func (t *timeline) room() *entry {
	t.all++
	half := t.max / 2
	switch {
	case len(t.head) < half:
		t.head = append(t.head, entry{})
		return &t.head[len(t.head)-1]
	case len(t.tail) < t.max-half:
		t.tail = append(t.tail, entry{})
		return &t.tail[len(t.tail)-1]
	}
	e := &t.tail[t.next]
	if t.next++; t.next == len(t.tail) {
		t.next = 0
	}
	return e
}

// share finds an event that is the same but for what an entry has of its own.
func (t *timeline) share(e *event) *event {
	if e.due != 0 || e.to.topic != "" || e.detail != nil && !e.plain {
		own := *e
		return &own
	}
	last := &t.shared[e.kind][uint32(e.place.partition)%uint32(len(t.shared[0]))]
	if s := *last; s == nil || s.plain != e.plain || s.place.partition != e.place.partition ||
		s.place.topic != e.place.topic || s.group != e.group || s.client != e.client || s.member != e.member {
		own := *e
		*last = &own
	}
	return *last
}

// events are those that are kept, in order, and how many are missing behind the
// first half.
func (t *timeline) events() (head, tail []event, cut int) {
	for _, e := range t.head {
		head = append(head, e.event())
	}
	for i := range t.tail {
		tail = append(tail, t.tail[(t.next+i)%len(t.tail)].event())
	}
	return head, tail, t.all - len(head) - len(tail)
}

// String has a line for each event, runs of the same thing folded.
func (t *timeline) String() string {
	head, tail, cut := t.events()
	if cut == 0 {
		return strings.Join(lines(append(head[:len(head):len(head)], tail...)), "")
	}
	all := append(lines(head), fmt.Sprintf("%14s  %d events left out\n", "", cut))
	return strings.Join(append(all, lines(tail)...), "")
}

// A cycle of events is what happens to each of many records: it is folded from
// the third time on, if it is not longer than maxCycle.
const (
	maxCycle  = 8
	minRepeat = 4
)

// fold is a run of events that repeat: all but the first and the last time are
// folded away.
type fold struct {
	first, period, times int
}

func folds(events []event) []fold {
	shapes := make([]shape, len(events))
	for i, e := range events {
		shapes[i] = e.shape()
	}
	var out []fold
	for i := 0; i < len(events); {
		period, times := cycle(shapes[i:])
		if times < minRepeat {
			i++
			continue
		}
		out = append(out, fold{i, period, times})
		i += period * times
	}
	return out
}

// lines are the events, folded.
func lines(events []event) []string {
	var out []string
	add := func(events []event) {
		for _, e := range events {
			out = append(out, fmt.Sprintf("%14s  %s\n", since(e.at), e))
		}
	}
	from := 0
	for _, f := range folds(events) {
		first, last := f.first+f.period, f.first+(f.times-1)*f.period
		add(events[from:first])
		through := ""
		if at := events[last-1].place; at.topic != "" {
			through = ", through " + at.String()
		}
		out = append(out, fmt.Sprintf("%14s  ... the same %d times more%s ...\n", "", f.times-2, through))
		from = last
	}
	add(events[from:])
	return out
}

// cycle is the shortest period in which shapes repeat from the first one on,
// and how often they do.
func cycle(shapes []shape) (period, times int) {
	for p := 1; p <= maxCycle && p*minRepeat <= len(shapes); p++ {
		n := p
		for n < len(shapes) && shapes[n] == shapes[n-p] && shapes[n].kind != evNote {
			n++
		}
		if n/p >= minRepeat {
			return p, n / p
		}
	}
	return 1, 1
}
