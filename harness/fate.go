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
	// Expired: it was deleted, by retention or DeleteRecords, before it was
	// settled.
	Expired Kind = "expired"
	// Aborted: it is of a transaction that was aborted, and the group reads
	// committed records only.
	Aborted Kind = "aborted"
	// Lost: a member committed past it although no handler settled it, or a
	// share group archived it although nobody accepted or rejected it. Of
	// clients that are not adapters no more is known than what the broker
	// sent them: there lost means committed past without having been sent.
	Lost Kind = "lost"
)

// Fate is what became of a record in a consumer group. It follows the record by
// way of the group's retry topics, and from its dead-letter topic by way of the
// redrive topic, whoever redrove it: then Kind is what its latest run came to, and
// Pending while it waits for one, also where nobody consumes the redrive topic.
type Fate struct {
	Record Record
	Group  string
	Kind   Kind
	// Attempts is the number of the last attempt, by the count that the
	// handler saw. Deliveries is how often a handler ran: more than Attempts
	// when a crash, a rebalance or a redrive made the count start again. Of clients that
	// are not adapters both are how often the broker sent them the record.
	Attempts, Deliveries int
	// Hops is how many times the record moved to a retry topic. A redrive is none.
	Hops int
	// Redrives is how many times it was taken back from the dead-letter topic,
	// since it was the record that the fate was asked for.
	Redrives int
	// Final is the record that it ended as, or waits as: itself, what it became
	// on a retry or redrive topic, or its dead letter.
	Final Record
	// Err is what the last attempt failed with. It is nil when the last
	// attempt succeeded, and when there was none.
	Err error
	// Published are the records that the group's handlers published, with the
	// context they were given, while they handled the record; in a batch,
	// while they handled the batch. Of them only the place is known.
	Published []Record
	// Forgotten says that only how it ended is known: see Config.MaxFates.
	Forgotten bool

	archived bool   // by a share group
	from     string // where it was first published, if it is on a redrive topic
}

// String explains the fate.
func (f Fate) String() string {
	var b strings.Builder
	b.WriteString(f.Record.String())
	if f.from != "" {
		fmt.Fprintf(&b, ", redriven from %s,", f.from)
	}
	fmt.Fprintf(&b, " in group %s: %s", f.Group, f.Kind)
	switch f.Kind {
	case Pending:
		if f.Redrives > 0 {
			fmt.Fprintf(&b, " as %s", f.Final)
		}
	case DeadLettered:
		if f.Forgotten {
			break
		}
		fmt.Fprintf(&b, " to %s", f.Final)
	case Lost:
		if f.archived {
			b.WriteString(": the share group archived it, and nobody accepted or rejected it")
			break
		}
		b.WriteString(": the group's committed offset passed it, and no handler settled it")
	case Skipped:
		b.WriteString(": the group started after it, or its offset was set past it")
	case Expired:
		b.WriteString(": it was deleted before it was settled")
	case Aborted:
		b.WriteString(": its transaction was aborted")
	}
	switch {
	case f.Forgotten:
		b.WriteString(", and more was not kept (see Config.MaxFates)")
	case f.Deliveries == 0:
		b.WriteString(", never delivered")
	default:
		fmt.Fprintf(&b, " after %s", count(f.Attempts, "attempt"))
	}
	if f.Deliveries != f.Attempts && f.Deliveries > 0 {
		fmt.Fprintf(&b, " (%s in all)", count(f.Deliveries, "delivery"))
	}
	if f.Hops > 0 {
		fmt.Fprintf(&b, " and %s", count(f.Hops, "hop"))
	}
	if f.Redrives > 0 {
		fmt.Fprintf(&b, " and %s", count(f.Redrives, "redrive"))
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
	h.requireRecord(r)
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

// requireRecord fails the test where there is, and was, no such record. What
// became of records of a topic that was deleted may still be known.
func (h *Harness) requireRecord(r Record) {
	h.t.Helper()
	partitions, err := h.broker.Partitions(r.Topic)
	switch {
	case err != nil && len(h.groupsOf(r.Topic)) > 0:
	case err != nil:
		h.t.Fatalf("harness: %s has no fate: there is no topic %q (topics: %s)", r, r.Topic, h.topicNames())
	case r.Partition < 0 || int(r.Partition) >= len(partitions):
		h.t.Fatalf("harness: %s has no fate: topic %s has no partition %d, only %s", r, r.Topic, r.Partition, count(len(partitions), "partition"))
	case r.Offset < 0 || r.Offset >= partitions[r.Partition].HighWatermark:
		h.t.Fatalf("harness: %s has no fate: there is no such record, the next one of %s[%d] will be at %d", r, r.Topic, r.Partition, partitions[r.Partition].HighWatermark)
	}
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
	g.h.requireRecord(r)
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
func (h *Harness) groups() []string {
	names := slices.Concat(sortedKeys(h.watch.subscribed()), sortedKeys(h.consumesForeign()))
	slices.Sort(names)
	return slices.Compact(names)
}

// groupsOf are those of them that consume a topic, or that it is a redrive topic of.
func (h *Harness) groupsOf(topic string) []string {
	var names []string
	for _, all := range []map[string]map[string]bool{h.watch.subscribed(), h.consumesForeign()} {
		for group, topics := range all {
			if topics[topic] || h.watch.isRedrive(group, topic) {
				names = append(names, group)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// fate puts together what the adapters told and what the broker has.
func (h *Harness) fate(group string, r Record) Fate {
	h.t.Helper()
	if h.cfg.WithoutFates {
		h.t.Fatalf("harness: %s has no fate: Config.WithoutFates is set", r)
	}
	f := h.fateWithoutFinal(group, r)
	if f.Kind == DeadLettered && f.Final.Topic != "" {
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
	h.t.Helper()
	from := h.wayOf(group, r)
	f := h.follow(group, r, from)
	if from.redriven > 0 && h.watch.isRedrive(group, r.Topic) {
		f.from = originPlace(from.origin).String()
	}
	return f
}

// follow is the fate of a record that has come so far.
func (h *Harness) follow(group string, r Record, from way) Fate {
	h.t.Helper()
	var f Fate
	if len(h.watch.subscribed()[group]) > 0 {
		var next *place
		f, next = h.adapterFate(group, r)
		if at, ok := h.unheard(group, f, from); ok && h.watch.isOwn(group, at.topic) {
			next = &at
		} else if ok {
			f.Kind, f.Final = DeadLettered, recordAt(at)
		}
		if next != nil {
			f.Hops++
			return f.then(h.follow(group, recordAt(*next), from))
		}
		if f.Kind == DeadLettered {
			if next, as := h.redrivenFrom(group, f.Final.Topic, from); next != nil {
				f.Redrives++
				return f.then(h.follow(group, recordAt(*next), as))
			}
		}
	} else {
		f = h.foreignFate(group, r)
	}
	switch {
	case f.Kind != Lost && f.Kind != Skipped && f.Kind != Pending:
	case h.expired(r):
		f.Kind = Expired
	case f.Deliveries == 0 && h.aborted(r):
		f.Kind = Aborted
	}
	return f
}

// expired reports whether a record is no longer there.
func (h *Harness) expired(r Record) bool {
	parts, err := h.broker.Partitions(r.Topic)
	if err != nil {
		return false
	}
	i := slices.IndexFunc(parts, func(p fakebroker.Partition) bool { return p.Partition == r.Partition })
	return i >= 0 && r.Offset < parts[i].Start
}

// aborted reports whether a record is of a transaction that was aborted.
func (h *Harness) aborted(r Record) bool {
	if !h.watch.transactions() {
		return false
	}
	parts, err := h.broker.Partitions(r.Topic)
	if err != nil || int(r.Partition) >= len(parts) || r.Offset >= parts[r.Partition].LastStableOffset {
		return false // of an open one
	}
	only := fakebroker.Selection{Partitions: []int32{r.Partition}, From: r.Offset, To: r.Offset + 1, ReadCommitted: true}
	for _, err := range h.broker.Scan(r.Topic, only) {
		return err != nil
	}
	return true
}

// then is the fate of a record that went on to a retry or redrive topic, with what
// became of it there.
func (f Fate) then(next Fate) Fate {
	f.Kind, f.Final, f.Forgotten, f.archived = next.Kind, next.Final, f.Forgotten || next.Forgotten, next.archived
	f.Hops += next.Hops
	f.Redrives += next.Redrives
	f.Deliveries += next.Deliveries
	if next.Deliveries > 0 {
		f.Attempts, f.Err = next.Attempts, next.Err
	}
	f.Published = append(f.Published, next.Published...)
	return f
}

// adapterFate is a fate as an adapter told it, and where the record went on, when
// that is a retry topic.
func (h *Harness) adapterFate(group string, r Record) (f Fate, next *place) {
	f = Fate{Record: r, Group: group, Kind: Pending, Final: r}
	at := int64(-1)
	g, ok := h.broker.Group(h.watch.idOf(group, r.Topic))
	if ok {
		at = committedOffset(g, r.Topic, r.Partition)
	}
	h.watch.mu.Lock()
	defer h.watch.mu.Unlock()
	p := h.watch.partition(group, r.Topic, r.Partition)
	s := p.stories.at(r.Offset)
	if s == nil {
		s = &story{}
	}
	if g.Type == "share" && (s.settled || h.watch.accepted(group, r)) {
		at = max(at, r.Offset+1) // its adapter tells once the broker has answered
	}
	f.Attempts, f.Deliveries, f.Err, f.Forgotten = int(s.attempt), int(s.deliveries), s.err, s.forgotten
	for _, e := range s.effects {
		for _, at := range e.published {
			f.Published = append(f.Published, Record{Topic: at.topic, Partition: at.partition, Offset: at.offset})
		}
	}
	switch {
	case at <= r.Offset:
	case !s.settled && g.Type == "share" && !h.watch.accepted(group, r):
		if f.Kind = Skipped; s.deliveries > 0 {
			f.Kind, f.archived = Lost, true
		}
	case !s.settled && p.claimed(r.Offset):
		f.Kind = Lost
	case !s.settled && g.Type != "share":
		f.Kind = Skipped
	case s.dead != nil:
		f.Kind = DeadLettered
		f.Final = Record{Topic: s.dead.topic, Partition: s.dead.partition, Offset: s.dead.offset}
	case s.rejected:
		f.Kind = Rejected
	case s.hop != nil:
		next = s.hop
	default:
		f.Kind = Committed
	}
	return f, next
}

// accepted reports whether a member of a share group has accepted a record. The
// caller holds mu.
func (w *watch) accepted(group string, r Record) bool {
	g := w.groups[group]
	if g == nil || g.foreign == nil {
		return false
	}
	s := g.foreign.acked[topicPartition{r.Topic, r.Partition}]
	return s != nil && s.accepted.count(r.Offset) > 0
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
	if h.cfg.WithoutFates {
		return nil
	}
	h.mu.Lock()
	allowPending := h.allowPending
	h.mu.Unlock()
	var fates []Fate
	for group, topics := range h.followed() {
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

// followed are the topics of the groups in which records have a fate, redrive topics
// that nobody consumes among them. Some may not be there.
func (h *Harness) followed() map[string]map[string]bool {
	all := h.watch.subscribed()
	for group, topics := range h.watch.redrivesOfAll() {
		for _, t := range topics {
			all[group][t] = true
		}
	}
	maps.Copy(all, h.consumesForeign())
	return all
}

// suspects are the records of a topic that may not be done in a group. They
// are read only where offsets leave room for some.
func (h *Harness) suspects(group, topic string) []Record {
	partitions, err := h.broker.Partitions(topic)
	if err != nil {
		return nil // deleted, and its records with it
	}
	g, _ := h.broker.Group(h.watch.idOf(group, topic))
	var out []Record
	for _, p := range partitions {
		for _, s := range h.watch.unsettled(group, topic, p, committedOffset(g, topic, p.Partition)) {
			only := fakebroker.Selection{Partitions: []int32{p.Partition}, From: s.from, To: s.to}
			for r, err := range h.broker.Scan(topic, only) {
				if err != nil {
					h.t.Fatalf("harness: read topic %s: %v", topic, err)
				}
				out = append(out, recordFrom(topic, r))
			}
		}
	}
	return out
}

// unsettled are the offsets of a partition that a group may not be done with.
func (w *watch) unsettled(group, topic string, p fakebroker.Partition, committed int64) []span {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.partition(group, topic, p.Partition)
	if len(w.group(group).topics) == 0 { // no adapter tells
		return []span{{p.Start, p.EndOfData}}
	}
	var out []span
	if from := max(committed, p.Start); from < p.EndOfData {
		out = append(out, span{from, p.EndOfData})
	}
	return append(out, known.stories.unsettled(p.Start, committed)...)
}
