package harness

import (
	"fmt"
	"maps"
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
// the offsets that the broker has; no handler runs; no record is on its way
// from an adapter to the broker; no record waits for another attempt. While one
// does, Settle waits until it is due.
//
// A record that no dead-letter topic and no OnReject takes would wait for
// ever: it fails the test. So does the limit of Config.Limit, with what does
// not hold and the records concerned. The timeline follows, as it does for
// every test that fails.
//
// What handlers wrote before Settle returned may be read without a lock.
// Goroutines that handlers left behind, and adapters that the harness did not
// make, are not waited for.
func (h *Harness) Settle() {
	h.t.Helper()
	h.settleWithin(h.cfg.Limit)
}

// SettleWithin is Settle with a limit of its own.
func (h *Harness) SettleWithin(limit time.Duration) {
	h.t.Helper()
	h.settleWithin(limit)
}

func (h *Harness) settleWithin(limit time.Duration) {
	h.t.Helper()
	start, wall := time.Now(), h.clock.wall()
	step := firstStep
	for {
		h.clock.idle()
		v := h.look()
		if v.hopeless != "" {
			h.t.Fatalf("harness: this will never settle: %s", v.hopeless)
		}
		if v.clause == "" {
			h.clock.idle()
			again := h.look()
			if again.clause == "" && again.mark == v.mark {
				return
			}
			if v = again; v.clause == "" {
				v.clause = "something happened between two looks"
			}
		}
		left := limit - time.Since(start)
		spent := h.clock.wall() - wall
		if left <= 0 || h.clock.virtual && spent > runaway {
			h.t.Fatalf("harness: not settled after %v (%v of real time): %s%s", time.Since(start).Round(time.Millisecond),
				spent.Round(time.Millisecond), v.clause, h.background(v))
		}
		// What changes a clause mostly wakes us. The rest, such as a
		// rebalance seen from the broker, is looked for, more and more
		// rarely.
		wait := min(step, left)
		if !v.due.IsZero() {
			wait = min(max(time.Until(v.due), firstStep), left)
		}
		timer := time.NewTimer(wait)
		select {
		case <-h.watch.wake:
			step = firstStep
		case <-timer.C:
			step = min(2*step, lastStep)
		}
		timer.Stop()
	}
}

// background is what else there is to say of a clause that does not hold.
func (h *Harness) background(v view) string {
	b := ""
	if v.concerns != nil {
		b = ": " + h.watch.which(v.concerns)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
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

// runaway is how much real time Settle takes at most where time is virtual:
// far more than anything that comes to an end.
const runaway = 30 * time.Second

const (
	firstStep = time.Millisecond
	lastStep  = time.Minute
)

// view is what one look sees.
type view struct {
	clause   string            // what does not hold yet; empty when everything does
	concerns func(*story) bool // which records the clause is about; nil when it names them
	hopeless string            // why it never will hold
	due      time.Time         // when a waiting record is due, if that is all there is to wait for
	mark     string            // differs when anything has changed
}

// look checks the clauses of Settle, from what costs least.
func (h *Harness) look() view {
	h.mu.Lock()
	adapters := slices.Clone(h.adapters)
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
	groups := map[string]*consumed{}
	for _, a := range adapters {
		if n := a.Buffered(); n > 0 {
			v.clause = fmt.Sprintf("%d records are on their way to the broker", n)
			return v
		}
		for _, c := range a.Consumers() {
			s := c.Status()
			if groups[s.Group] == nil {
				groups[s.Group] = &consumed{topics: map[string]bool{}, taken: map[topicPartition]bool{}}
			}
			g := groups[s.Group]
			g.members++
			for _, t := range s.Topics {
				g.topics[t] = true
			}
			for _, p := range s.Partitions {
				g.taken[topicPartition{p.Topic, p.Partition}] = true
				where := fmt.Sprintf("%s[%d] in group %s", p.Topic, p.Partition, s.Group)
				switch {
				case p.Blocked != nil:
					v.hopeless = fmt.Sprintf("%s is blocked: %v", where, p.Blocked)
					return v
				case p.Held > 0 && v.clause == "":
					v.clause = fmt.Sprintf("a record of %s waits until %s for its next attempt", where, w.at(p.Due))
					v.due = p.Due
				case p.Held > 0 && !v.due.IsZero() && p.Due.Before(v.due):
					v.due = p.Due
				case p.InFlight > 0 || p.Queued > 0:
					v.clause = fmt.Sprintf("%d records of %s are being handled or wait for the handler", p.InFlight+p.Queued, where)
					v.due = time.Time{}
				}
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

// lookAtRefused says what is left undone by a group whose last consumer the
// group or the broker refused for good. One that the test closed has nothing
// more to do.
func (h *Harness) lookAtRefused(alive map[string]*consumed) string {
	h.watch.mu.Lock()
	refused := maps.Clone(h.watch.refused)
	h.watch.mu.Unlock()
	for _, group := range sortedKeys(refused) {
		if alive[group] != nil {
			continue
		}
		g, _ := h.broker.Group(group)
		for _, t := range sortedKeys(h.subscribed()[group]) {
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

type topicPartition struct {
	topic     string
	partition int32
}

// consumed is what the consumers of a group say together.
type consumed struct {
	members int
	topics  map[string]bool
	taken   map[topicPartition]bool // the partitions that one of them works on
}

// lookAtGroup checks what the broker says of a group.
func (h *Harness) lookAtGroup(name string, says *consumed) (clause, mark string) {
	g, ok := h.broker.Group(name)
	if !ok {
		return fmt.Sprintf("group %s has not formed yet", name), ""
	}
	if g.State != "Stable" {
		return fmt.Sprintf("group %s is rebalancing (%s)", name, g.State), ""
	}
	assigned := map[topicPartition]bool{}
	for _, m := range g.Members {
		for t, ps := range m.Assignment {
			for _, p := range ps {
				assigned[topicPartition{t, p}] = true
			}
		}
	}
	offsets := map[topicPartition]fakebroker.GroupOffset{}
	for _, o := range g.Offsets {
		offsets[topicPartition{o.Topic, o.Partition}] = o
	}
	for _, t := range sortedKeys(says.topics) {
		partitions, err := h.broker.Partitions(t)
		if err != nil {
			return fmt.Sprintf("group %s consumes topic %s: %v", name, t, err), ""
		}
		for _, p := range partitions {
			where := fmt.Sprintf("%s[%d]", t, p.Partition)
			tp := topicPartition{t, p.Partition}
			if !assigned[tp] {
				return fmt.Sprintf("%s is assigned to nobody in group %s", where, name), ""
			}
			if says.members == len(g.Members) && !says.taken[tp] {
				return fmt.Sprintf("%s is assigned in group %s, to a member that does not know it yet", where, name), ""
			}
			at, ok := offsets[tp]
			if !ok {
				at.Committed = -1
			}
			if p.Start < p.EndOfData && at.Committed < p.EndOfData {
				return fmt.Sprintf("group %s has committed %s of %s, and its data ends at %d", name, committed(at.Committed), where, p.EndOfData), ""
			}
			mark += fmt.Sprintf(" %s:%d/%d", where, at.Committed, p.HighWatermark)
		}
	}
	return "", fmt.Sprintf("; %s@%d%s", name, g.Epoch, mark)
}

func committed(offset int64) string {
	if offset < 0 {
		return "nothing"
	}
	return fmt.Sprintf("offset %d", offset)
}

// which names the records that the adapters know of for which is holds, and no
// more than ten.
func (w *watch) which(is func(*story) bool) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for _, group := range sortedKeys(w.stories) {
		for at, s := range w.stories[group] {
			if is(s) {
				names = append(names, fmt.Sprintf("%s[%d]@%d in %s", at.topic, at.partition, at.offset, group))
			}
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
