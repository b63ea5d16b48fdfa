package harness

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/kafkatest/fakebroker"
)

// Kind is what became of a record in a group.
type Kind string

// The kinds of fate. All but Pending are final.
const (
	// Pending: not settled yet, or settled and not committed yet.
	Pending Kind = "pending"
	// Committed: a handler settled it, and the group's offset passed it.
	Committed Kind = "committed"
	// DeadLettered: it is on the group's dead-letter topic.
	DeadLettered Kind = "dead-lettered"
	// Rejected: the subscription's OnReject took it.
	Rejected Kind = "rejected"
	// Skipped: no member ever was to handle it, because the group started
	// after it, or somebody else set the group's offset past it.
	Skipped Kind = "skipped"
	// Lost: a member of the harness's adapters committed past it although no
	// handler settled it.
	Lost Kind = "lost"
)

// Fate is what became of a record in a consumer group.
type Fate struct {
	Record Record
	Group  string
	Kind   Kind
	// Attempts is the number of the last attempt, by the count that the
	// handler saw. Deliveries is how often a handler ran: more than Attempts
	// when a crash or a rebalance made the count start again.
	Attempts, Deliveries int
	// Hops is how many times the record moved to another topic of the
	// adapter's before its last attempt.
	Hops int
	// Final is the record that it ended as: itself, or its dead letter.
	Final Record
	// Err is what the last attempt failed with. It is nil when the last
	// attempt succeeded, and when there was none.
	Err error
}

// String explains the fate.
func (f Fate) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in group %s: %s", f.Record, f.Group, f.Kind)
	switch f.Kind {
	case DeadLettered:
		fmt.Fprintf(&b, " to %s", f.Final)
	case Lost:
		b.WriteString(": the group's committed offset passed it, and no handler settled it")
	case Skipped:
		b.WriteString(": the group started after it, or its offset was set past it")
	}
	if f.Deliveries == 0 {
		b.WriteString(", never delivered")
	} else {
		fmt.Fprintf(&b, " after %s", count(f.Attempts, "attempt"))
	}
	if f.Deliveries != f.Attempts && f.Deliveries > 0 {
		fmt.Fprintf(&b, " (%s in all)", count(f.Deliveries, "delivery"))
	}
	if f.Err != nil {
		fmt.Fprintf(&b, ", last error: %v", f.Err)
	}
	return b.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if y, ok := strings.CutSuffix(what, "y"); ok {
		what = y + "ie"
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Fate is what became of a record, where one group consumes its topic. Where
// several do, or none, the test fails: ask Group.
func (h *Harness) Fate(r Record) Fate {
	h.t.Helper()
	groups := h.groupsOf(r.Topic)
	switch len(groups) {
	case 1:
		return h.fate(groups[0], r)
	case 0:
		h.t.Fatalf("harness: %s has no fate: no group consumes topic %s (groups: %s)", r, r.Topic, list(h.groups()))
	default:
		h.t.Fatalf("harness: %s has a fate in each of the groups %s: ask h.Group(name).Fate(record)", r, list(groups))
	}
	panic("unreachable")
}

// Group is a consumer group of the test.
type Group struct {
	h    *Harness
	name string
}

// Group is the consumer group of that name.
func (h *Harness) Group(name string) Group { return Group{h, name} }

// Fate is what became of a record in the group. The test fails when the group
// does not consume the record's topic.
func (g Group) Fate(r Record) Fate {
	g.h.t.Helper()
	if !slices.Contains(g.h.groupsOf(r.Topic), g.name) {
		g.h.t.Fatalf("harness: %s has no fate in group %s, which does not consume topic %s (groups: %s)", r, g.name, r.Topic, list(g.h.groups()))
	}
	return g.h.fate(g.name, r)
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// groups are the groups that have, or had, a consumer.
func (h *Harness) groups() []string { return sortedKeys(h.subscribed()) }

func (h *Harness) groupsOf(topic string) []string {
	all := h.subscribed()
	return slices.DeleteFunc(sortedKeys(all), func(g string) bool { return !all[g][topic] })
}

// subscribed are the topics of each group.
func (h *Harness) subscribed() map[string]map[string]bool {
	h.watch.mu.Lock()
	defer h.watch.mu.Unlock()
	all := map[string]map[string]bool{}
	for g, topics := range h.watch.topics {
		all[g] = maps.Clone(topics)
	}
	return all
}

// fate puts together what the adapters told and what the broker has.
func (h *Harness) fate(group string, r Record) Fate {
	f := h.fateWithoutFinal(group, r)
	if f.Kind == DeadLettered {
		records, err := h.broker.Records(f.Final.Topic)
		i := slices.IndexFunc(records, func(d fakebroker.Record) bool {
			return d.Partition == f.Final.Partition && d.Offset == f.Final.Offset
		})
		if err == nil && i >= 0 {
			f.Final = recordFrom(f.Final.Topic, records[i])
		}
	}
	return f
}

// fateWithoutFinal leaves of a dead letter no more than where it is.
func (h *Harness) fateWithoutFinal(group string, r Record) Fate {
	f := Fate{Record: r, Group: group, Kind: Pending, Final: r}
	at := int64(-1)
	if g, ok := h.broker.Group(group); ok {
		at = committedOffset(g, r.Topic, r.Partition)
	}
	passed := at > r.Offset
	h.watch.mu.Lock()
	defer h.watch.mu.Unlock()
	s := h.watch.stories[group][placeOf(r)]
	if s == nil {
		s = &story{}
	}
	f.Attempts, f.Deliveries, f.Err = s.attempt, s.deliveries, s.err
	switch {
	case !passed:
	case !s.settled && h.watch.claimed(group, placeOf(r)):
		f.Kind = Lost
	case !s.settled:
		f.Kind = Skipped
	case s.dead != nil:
		f.Kind = DeadLettered
		f.Final = Record{Topic: s.dead.topic, Partition: s.dead.partition, Offset: s.dead.offset}
	case s.rejected:
		f.Kind = Rejected
	default:
		f.Kind = Committed
	}
	return f
}

func committedOffset(g fakebroker.Group, topic string, partition int32) int64 {
	for _, o := range g.Offsets {
		if o.Topic == topic && o.Partition == partition {
			return o.Committed
		}
	}
	return -1
}

// verdict fails the test for records that were lost, and for those that are
// pending unless that is allowed.
func (h *Harness) verdict() {
	h.t.Helper()
	h.clock.idle()
	fates := h.unfinished()
	if len(fates) == 0 {
		return
	}
	hint := "\ncall Settle before the test ends, or AllowPending if that is meant"
	var lines []string
	for _, f := range fates {
		lines = append(lines, f.String())
		if f.Kind == Lost {
			hint = ""
		}
	}
	slices.Sort(lines)
	if n := len(lines); n > 10 {
		lines = append(lines[:10], fmt.Sprintf("and %d more", n-10))
	}
	h.t.Errorf("harness: the test ends with records that are not done:\n\t%s%s", strings.Join(lines, "\n\t"), hint)
}

// unfinished are the fates that a test must not end with.
func (h *Harness) unfinished() []Fate {
	h.t.Helper()
	h.mu.Lock()
	allowPending := h.allowPending
	h.mu.Unlock()
	var fates []Fate
	for group, topics := range h.subscribed() {
		for topic := range topics {
			for _, r := range h.suspects(group, topic) {
				f := h.fateWithoutFinal(group, r)
				if f.Kind == Lost || f.Kind == Pending && !allowPending {
					fates = append(fates, f)
				}
			}
		}
	}
	return fates
}

// suspects are the records of a topic that may not be done in a group. They
// are read only where offsets leave room for some.
func (h *Harness) suspects(group, topic string) []Record {
	partitions, err := h.broker.Partitions(topic)
	if err != nil {
		return nil // deleted, and its records with it
	}
	g, _ := h.broker.Group(group)
	clean := true
	for _, p := range partitions {
		at := committedOffset(g, topic, p.Partition)
		if p.Start < p.EndOfData && at < p.EndOfData || !h.watch.allSettled(group, topic, p.Partition, p.Start, at) {
			clean = false
		}
	}
	if clean {
		return nil
	}
	return Topic{h, topic}.Records()
}

// allSettled reports whether every offset of a range is known to be settled.
func (w *watch) allSettled(group, topic string, partition int32, from, to int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for o := from; o < to; o++ {
		if s := w.stories[group][place{topic, partition, o}]; s == nil || !s.settled {
			return false
		}
	}
	return true
}
