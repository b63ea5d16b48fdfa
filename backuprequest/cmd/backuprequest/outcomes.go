package main

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// outcomes keeps what became of every line and every id of a run. Its memory
// grows with the number of ids: an id that comes again has to be known.
type outcomes struct {
	changed chan struct{} // something may have been settled

	mu      sync.Mutex
	ids     map[string]*fate
	retries map[string]bool // by Message.ID
	counts  tally
	open    int // outcomes that are still to come
}

// fate is what became of one id.
type fate struct {
	line         int // the first that has it
	published    int // records that are on the topic for certain
	received     int
	deadLettered int
}

// open is how many records have no outcome yet. Redeliveries make more outcomes
// than records; those are not held against records to come.
func (f *fate) open() int { return max(0, f.published-f.received-f.deadLettered) }

func newOutcomes() *outcomes {
	return &outcomes{changed: make(chan struct{}, 1), ids: map[string]*fate{}, retries: map[string]bool{}}
}

// reject counts a line that was not right.
func (o *outcomes) reject() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counts.Lines++
	o.counts.Rejected++
}

// accept counts a line that was right. It is called before the line's record is
// published, so that no outcome can come before it.
func (o *outcomes) accept(id string, line int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counts.Lines++
	o.counts.Accepted++
	if f, known := o.ids[id]; known {
		o.counts.Duplicates++
		f.line = min(f.line, line)
		return
	}
	o.ids[id] = &fate{line: line}
	o.counts.Lost++ // until it is found
}

// published says that a line's record is on the topic, so that its outcome is
// worth waiting for.
func (o *outcomes) published(id string) {
	o.update(id, func(f *fate) { f.published++ })
}

// received counts a Received, and says which line has the id. It is false when
// the id is not one of this run's. again is true when it was received before.
func (o *outcomes) received(id string) (line int, again, ours bool) {
	line, ours = o.update(id, func(f *fate) {
		again = f.received > 0
		f.received++
	})
	return line, again, ours
}

// deadLettered counts a dead letter, and says which line has the id. It is
// false when the id is not one of this run's.
func (o *outcomes) deadLettered(id string) (line int, ours bool) {
	return o.update(id, func(f *fate) { f.deadLettered++ })
}

// retried counts a record, once however often it is tried.
func (o *outcomes) retried(id, record string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ours := o.ids[id]; ours && !o.retries[record] {
		o.retries[record] = true
		o.counts.Retried++
	}
}

// ours reports whether an id is one of this run's.
func (o *outcomes) ours(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ours := o.ids[id]
	return ours
}

// update changes an id's fate, and the counts with it.
func (o *outcomes) update(id string, change func(*fate)) (line int, ours bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f, ours := o.ids[id]
	if !ours {
		return 0, false
	}
	*o.counts.of(f)--
	o.open -= f.open()
	change(f)
	*o.counts.of(f)++
	o.open += f.open()
	if o.open == 0 {
		select {
		case o.changed <- struct{}{}:
		default:
		}
	}
	return f.line, true
}

// of is where an id is counted. A dead letter is what somebody has to look at,
// so it counts for more than a Received of the same id.
func (t *tally) of(f *fate) *int {
	switch {
	case f.deadLettered > 0:
		return &t.DeadLettered
	case f.received > 0:
		return &t.Received
	}
	return &t.Lost
}

// tally is the tally so far. What has no outcome counts as lost.
func (o *outcomes) tally() tally {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.counts
}

// settled reports whether every published record has its outcome.
func (o *outcomes) settled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.open == 0
}

// await waits until every published record has its outcome, or ctx ends; then
// it returns the context's cause.
func (o *outcomes) await(ctx context.Context) error {
	for !o.settled() {
		select {
		case <-o.changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// missing is an id without an outcome.
type missing struct {
	id   string
	line int
}

// missing are the ids without an outcome, by line.
func (o *outcomes) missing() []missing {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []missing
	for id, f := range o.ids {
		if f.received+f.deadLettered == 0 {
			found = append(found, missing{id, f.line})
		}
	}
	slices.SortFunc(found, func(a, b missing) int { return cmp.Compare(a.line, b.line) })
	return found
}
