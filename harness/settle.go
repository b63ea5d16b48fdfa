package harness

import (
	"fmt"
	"iter"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
)

// Settle returns when nothing more can happen without new input. That is when
// all of this holds, and holds again at a second look with nothing changed in
// between: every group that has consumers is stable, and all partitions of its
// topics are assigned; every partition is consumed to the end of its data, by
// the offsets that the broker has; no handler runs; no record is on its way from
// an adapter or another client of the harness's to the broker; no transaction is
// open; no record waits for another attempt. While one does, Settle waits until it
// is due. So it does for records that were redriven, where somebody consumes the
// redrive topic.
//
// A record that no dead-letter topic and no OnReject takes would wait for ever, and
// so would a record behind a gate that stays closed: both fail the test. So does the
// limit of Config.Limit, with what does not hold and the records concerned. The
// timeline follows, as it does for every test that fails.
//
// What handlers wrote before Settle returned may be read without a lock.
// Goroutines that handlers left behind, and adapters that the harness did not
// make, are not waited for.
func (h *Harness) Settle() {
	h.t.Helper()
	h.refuseInHandler("Settle")
	h.settleWithin(h.cfg.Limit)
}

// SettleWithin is Settle with a limit of its own.
func (h *Harness) SettleWithin(limit time.Duration) {
	h.t.Helper()
	h.refuseInHandler("SettleWithin")
	h.settleWithin(limit)
}

func (h *Harness) settleWithin(limit time.Duration) {
	h.t.Helper()
	p := h.patience(limit)
	began := time.Now()
	for {
		h.clock.idle()
		h.endWithHandler()
		h.warn()
		v := h.look(began)
		if v.hopeless != "" {
			h.t.Fatalf("harness: this will never settle: %s", v.hopeless)
		}
		if v.clause == "" {
			h.clock.idle()
			again := h.look(began)
			if again.clause == "" && again.mark == v.mark {
				return
			}
			if v = again; v.clause == "" {
				v.clause = "something happened between two looks"
			}
		}
		if why := p.over(); why != "" {
			h.t.Fatalf("harness: not settled after %s: %s%s", why, v.clause, h.background(v))
		}
		p.wait(h.watch.wake, v.due)
	}
}

// refuseInHandler fails the test where a handler would wait for itself.
func (h *Harness) refuseInHandler(method string) {
	h.t.Helper()
	lane := reflect.TypeFor[adapter.Adapter]().PkgPath() + ".(*lane)"
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasPrefix(f.Function, lane) {
			h.t.Fatalf("harness: %s was called in a handler, and would wait for that handler to end: call it in the test's body", method)
		}
		if !more {
			return
		}
	}
}

// endWithHandler ends a test that a handler has ended, as t.Fatal does: only its
// own goroutine has gone, and its record would be retried.
func (h *Harness) endWithHandler() {
	h.watch.mu.Lock()
	exited := h.watch.exited != ""
	h.watch.mu.Unlock()
	if exited && h.t.Failed() {
		h.t.FailNow()
	}
}

// warn names clients that can hold records which nobody knows of, and readers
// that have no end, each once.
func (h *Harness) warn() {
	w := h.watch
	w.mu.Lock()
	var lines []string
	for name, what := range w.foreign.producers {
		if !w.foreign.warned[name] {
			w.foreign.warned[name] = true
			lines = append(lines, name+" "+what)
		}
	}
	w.mu.Unlock()
	slices.Sort(lines)
	for _, line := range lines {
		h.t.Logf("harness: %s: Settle does not know what it still has buffered; a franz-go client tells, given ClientOptions", line)
	}
}

// background is what else there is to say of a clause that does not hold.
func (h *Harness) background(v view) string {
	b := ""
	if v.concerns != nil {
		b = ": " + h.watch.which(v.concerns)
	}
	if k, ok := h.broker.(*kafka); ok {
		if err := k.lastError(); err != nil {
			b += fmt.Sprintf("; the cluster was asked in vain: %v", err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for client, topics := range h.watch.readers() {
		b += fmt.Sprintf("; %s reads %s without a group, and is not waited for", client, topics)
	}
	for i, a := range h.adapters {
		if s := a.State(); s != adapter.Connected && s != adapter.Closed {
			b += fmt.Sprintf("; adapter %d is %v", i+1, s)
		}
		for _, c := range a.Consumers() {
			for _, p := range c.Status().Partitions {
				if len(p.Paused) > 0 {
					b += fmt.Sprintf("; %s[%d] is not fetched in group %s: %s", p.Topic, p.Partition, c.Group(), strings.Join(p.Paused, ", "))
				}
			}
		}
	}
	return b
}

// view is what one look sees.
type view struct {
	clause   string            // what does not hold yet; empty when everything does
	concerns func(*story) bool // which records the clause is about; nil when it names them
	hopeless string            // why it never will hold
	due      time.Time         // when a waiting record is due, if that is all there is to wait for
	mark     string            // differs when anything has changed
}

// look checks the clauses of Settle, which began then, from what costs least.
func (h *Harness) look(began time.Time) view {
	h.mu.Lock()
	adapters, links := slices.Clone(h.adapters), slices.Clone(h.links)
	h.mu.Unlock()
	w := h.watch
	w.mu.Lock()
	running, changes := w.running, w.changes
	w.mu.Unlock()

	v := view{mark: fmt.Sprint(changes)}
	if running > 0 {
		v.clause = fmt.Sprintf("handlers run for %s", count(running, "record"))
		v.concerns = func(s *story) bool { return s.running }
		return v
	}
	for _, l := range links {
		if v.clause = h.lookAtLink(l); v.clause != "" {
			return v
		}
	}
	groups := map[string]*consumed{}
	for _, a := range adapters {
		if h.linkOf[a].isDead() {
			continue // as its process is
		}
		if n := a.Buffered(); n > 0 {
			v.clause = fmt.Sprintf("%d records are on their way to the broker", n)
			return v
		}
		for _, c := range a.Consumers() {
			s := c.Status()
			if groups[s.Group] == nil {
				groups[s.Group] = &consumed{topics: map[string]bool{}, taken: map[topicPartition]bool{}}
			}
			groups[s.Group].add(s)
			for _, p := range s.Partitions {
				where := func() string { return fmt.Sprintf("%s[%d] in group %s", p.Topic, p.Partition, s.Group) }
				switch {
				case p.Blocked != nil:
					v.hopeless = fmt.Sprintf("%s is blocked: %v", where(), p.Blocked)
					return v
				case p.InFlight > 0 || p.Queued > p.Stalled:
					v.clause = fmt.Sprintf("%d records of %s are being handled or wait for the handler", p.InFlight+p.Queued-p.Stalled, where())
					v.due = time.Time{}
				case p.Held > 0 && v.clause == "":
					v.clause = fmt.Sprintf("a record of %s waits until %s for its next attempt", where(), since(p.Due.Sub(w.start)))
					v.due = p.Due
				case p.Held > 0 && !v.due.IsZero() && p.Due.Before(v.due):
					v.due = p.Due
				}
			}
			switch {
			case s.Gate == nil:
			case s.GateAsked.Before(began):
				v.clause = fmt.Sprintf("the gate of group %s is closed, and has not been asked again: %v", s.Group, s.Gate)
				v.due = time.Now().Add(time.Second)
			default:
				v.hopeless = fmt.Sprintf("the gate of group %s is closed: %v", s.Group, s.Gate)
				return v
			}
			if !s.Joined {
				v.clause = fmt.Sprintf("a consumer of group %s is not a member of it", s.Group)
			}
			if n := s.Fenced; n > 0 {
				v.clause = fmt.Sprintf("%d handlers of group %s still run for partitions that were taken away", n, s.Group)
			}
		}
	}
	if v.clause != "" {
		return v
	}
	if v.clause = h.openTransaction(); v.clause != "" {
		return v
	}
	for name, topics := range h.consumesForeign() {
		if g, _ := h.broker.Group(name); len(g.Members) > 0 {
			groups[name] = &consumed{topics: topics, taken: map[topicPartition]bool{}}
		}
	}
	for _, name := range sortedKeys(groups) {
		clause, mark := h.lookAtGroup(name, groups[name])
		if clause != "" {
			v.clause = clause
			v.concerns = func(s *story) bool { return !s.settled }
			return v
		}
		v.mark += mark
	}
	v.hopeless = h.lookAtRefused(groups)
	return v
}

// lookAtLink checks what is known of clients that are no adapters.
func (h *Harness) lookAtLink(l *link) (clause string) {
	if n := l.buffered.Load(); n > 0 {
		return fmt.Sprintf("%s are on their way to the broker from %s", count(int(n), "record"), l.name)
	}
	l.mu.Lock()
	groups := slices.Sorted(maps.Values(l.groups))
	started := l.dialed || !l.member
	dead := l.dead
	l.mu.Unlock()
	if dead {
		return ""
	}
	if !started && !h.hasEnded(l) {
		return l.name + " has made no connection to a broker yet, by Env.Dial or Env.ClientOptions"
	}
	for _, name := range groups {
		g, _ := h.broker.Group(name)
		if !h.isMember(l.name, g) {
			return fmt.Sprintf("%s is not a member of group %s", l.name, name)
		}
	}
	return ""
}

// hasEnded reports whether the service that uses a link has returned.
func (h *Harness) hasEnded(l *link) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.members, func(m *Member) bool { return m.link == l })
	select {
	case <-h.members[i].done:
		return true
	default:
		return false
	}
}

// lookAtRefused says what is left undone by a group whose last consumer the
// group or the broker refused for good. One that the test closed has nothing
// more to do.
func (h *Harness) lookAtRefused(alive map[string]*consumed) string {
	refused := map[string]error{}
	h.watch.mu.Lock()
	for name, g := range h.watch.groups {
		if g.refused != nil {
			refused[name] = g.refused
		}
	}
	h.watch.mu.Unlock()
	for _, group := range sortedKeys(refused) {
		if alive[group] != nil {
			continue
		}
		for _, t := range sortedKeys(h.watch.subscribed()[group]) {
			g, _ := h.broker.Group(h.watch.idOf(group, t))
			partitions, err := h.broker.Partitions(t)
			if err != nil {
				continue // deleted
			}
			for _, p := range partitions {
				if p.Start < p.EndOfData && committedOffset(g, t, p.Partition) < p.EndOfData {
					return fmt.Sprintf("the consumer of group %s has stopped, and has not reached the end of %s[%d]: %v", group, t, p.Partition, refused[group])
				}
			}
		}
	}
	return ""
}

// consumed is what the consumers of a group say together.
type consumed struct {
	members int
	topics  map[string]bool
	taken   map[topicPartition]bool // the partitions that one of them works on
}

func (c *consumed) add(s adapter.Status) {
	c.members++
	for _, t := range s.Topics {
		c.topics[t] = true
	}
	for _, p := range s.Partitions {
		c.taken[topicPartition{p.Topic, p.Partition}] = true
	}
}

// ends are the partitions of each topic, and where their data ends.
type ends map[string][]fakebroker.Partition

// endsOf looks at the topics of a group.
func (h *Harness) endsOf(group string, says *consumed) (all ends, clause string) {
	all = make(ends, len(says.topics))
	for _, t := range sortedKeys(says.topics) {
		partitions, err := h.broker.Partitions(t)
		if err != nil {
			return nil, fmt.Sprintf("group %s consumes topic %s: %v", group, t, err)
		}
		all[t] = partitions
	}
	return all, ""
}

// lookAtAssignment checks that a group has given away its partitions, and that
// its members know.
func (h *Harness) lookAtAssignment(g fakebroker.Group, says *consumed, all ends) (clause string) {
	if g.State != "Stable" {
		return fmt.Sprintf("group %s is rebalancing (%s)", g.Name, g.State)
	}
	assigned := map[topicPartition]bool{}
	for _, m := range g.Members {
		if name := h.watch.clientOf(g.Name, m); h.isKilled(name) {
			return fmt.Sprintf("group %s has not found out yet that %s was killed", g.Name, name)
		}
		for t, ps := range m.Assignment {
			for _, p := range ps {
				assigned[topicPartition{t, p}] = true
			}
		}
	}
	if g.Type == "share" {
		return "" // each record is given away on its own
	}
	for _, t := range sortedKeys(all) {
		for _, p := range all[t] {
			tp := topicPartition{t, p.Partition}
			if !assigned[tp] {
				return fmt.Sprintf("%s[%d] is assigned to nobody in group %s", t, p.Partition, g.Name)
			}
			if says.members == len(g.Members) && !says.taken[tp] {
				return fmt.Sprintf("%s[%d] is assigned in group %s, to a member that does not know it yet", t, p.Partition, g.Name)
			}
		}
	}
	return ""
}

// isKilled reports whether a client is a member that was killed.
func (h *Harness) isKilled(client string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.members, func(m *Member) bool { return m.Name() == client && m.link.isDead() })
}

// lookAtGroup checks what the broker says of a group.
func (h *Harness) lookAtGroup(name string, says *consumed) (clause, mark string) {
	g, ok := h.broker.Group(name)
	if !ok {
		return fmt.Sprintf("group %s has not formed yet", name), ""
	}
	all, clause := h.endsOf(name, says)
	if clause != "" {
		return clause, ""
	}
	if clause := h.lookAtAssignment(g, says, all); clause != "" {
		return clause, ""
	}
	offsets := map[topicPartition]fakebroker.GroupOffset{}
	for _, o := range g.Offsets {
		offsets[topicPartition{o.Topic, o.Partition}] = o
	}
	seen := fmt.Appendf(nil, "; %s@%d", name, g.Epoch)
	for _, t := range sortedKeys(all) {
		for _, p := range all[t] {
			where := func() string { return fmt.Sprintf("%s[%d]", t, p.Partition) }
			at, ok := offsets[topicPartition{t, p.Partition}]
			if !ok {
				at.Committed = -1
			}
			done := p.Start == p.EndOfData || at.Committed >= p.EndOfData
			switch {
			case g.Type == "share" && at.Committed < 0 && p.Start < p.EndOfData:
				return fmt.Sprintf("share group %s has not begun with %s", name, where()), ""
			case g.Type == "share" && at.Lag > 0:
				return fmt.Sprintf("share group %s is not done with %s of %s", name, count(int(at.Lag), "record"), where()), ""
			case g.Type != "share" && !done && !h.onlyAborted(name, t, p, at.Committed):
				return fmt.Sprintf("group %s has committed %s of %s, and its data ends at %d", name, committed(at.Committed), where(), p.EndOfData), ""
			}
			seen = fmt.Appendf(seen, " %s[%d]:%d/%d", t, p.Partition, at.Committed, p.HighWatermark)
		}
	}
	return "", string(seen)
}

func committed(offset int64) string {
	if offset < 0 {
		return "nothing"
	}
	return fmt.Sprintf("offset %d", offset)
}

// openTransaction names a transaction that is not over.
func (h *Harness) openTransaction() string {
	if !h.watch.transactions() {
		return ""
	}
	for _, t := range h.broker.Transactions() {
		if !t.Started.IsZero() {
			return fmt.Sprintf("transaction %s is open since %s", t.ID, since(t.Started.Sub(h.watch.start)))
		}
	}
	return ""
}

// onlyAborted reports whether all that a group has not committed of a partition
// was aborted, and the group does not read such records.
func (h *Harness) onlyAborted(group, topic string, p fakebroker.Partition, committed int64) bool {
	if !h.watch.readsCommitted(group) {
		return false
	}
	rest := fakebroker.Selection{Partitions: []int32{p.Partition}, From: committed, ReadCommitted: true}
	next, stop := iter.Pull2(h.broker.Scan(topic, rest))
	defer stop()
	_, _, more := next() // an error is not the end
	return !more
}

// readsCommitted reports whether the clients of a group read committed.
func (w *watch) readsCommitted(group string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.groups[group]
	if !w.foreign.transactional || g == nil {
		return false
	}
	if g.foreign != nil {
		for client := range g.foreign.clients {
			if w.foreign.readCommitted[client] {
				return true
			}
		}
	}
	for client := range g.adapters {
		if w.foreign.readCommitted[client] {
			return true
		}
	}
	return false
}

// readers are the topics that clients without a group were sent.
func (w *watch) readers() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	grouped := map[string]bool{}
	for _, g := range w.groups {
		if g.foreign != nil {
			for client := range g.foreign.clients {
				grouped[client] = true
			}
		}
	}
	topics := map[string]map[string]bool{}
	for at := range w.foreign.sent {
		if grouped[at.client] {
			continue
		}
		if topics[at.client] == nil {
			topics[at.client] = map[string]bool{}
		}
		topics[at.client][at.topic] = true
	}
	out := map[string]string{}
	for client, ts := range topics {
		out[client] = strings.Join(sortedKeys(ts), ", ")
	}
	return out
}

// which names the records that the adapters know of for which is holds, and no
// more than ten.
func (w *watch) which(is func(*story) bool) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for _, group := range sortedKeys(w.groups) {
		for tp, p := range w.groups[group].partitions {
			p.stories.eachOpen(func(offset int64, s *story) {
				if is(s) {
					names = append(names, fmt.Sprintf("%s[%d]@%d in %s", tp.topic, tp.partition, offset, group))
				}
			})
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "no record of it was delivered"
	}
	if n := len(names); n > 10 {
		names = append(names[:10], fmt.Sprintf("and %d more", n-10))
	}
	return strings.Join(names, ", ")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
