package adapter

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// keys is what goes on with the keys of a partition, by their hash: of one key
// there is one record in a handler at a time. The zero value is ready to use.
type keys struct {
	busy    map[uint64]*busyKey
	spare   []*busyKey // used again
	ready   []*busyKey // keys that nobody is at any more, and that records wait for
	waiting backlog    // records that wait for their key
	stalled backlog    // those of them that wait for a task
}

// backlog is a number of records and their size.
type backlog struct{ records, bytes int }

func (b *backlog) add(r *kgo.Record)  { b.records++; b.bytes += size(r) }
func (b *backlog) drop(r *kgo.Record) { b.records--; b.bytes -= size(r) }

// busyKey is a key that somebody is at, or that records wait for.
type busyKey struct {
	key  uint64
	at   int    // items of runs, and tasks
	run  *run   // which has the items
	more *queue // nil when nobody is held and nobody waits
}

// queue is who waits for a key, and for whom.
type queue struct {
	task *task // nil when it is a run that the others wait for
	wait []*kgo.Record
}

// enter is the key of a record that may go into a run now. It is nil when the
// record has to wait.
func (k *keys) enter(key uint64, into *run, r *kgo.Record) *busyKey {
	b := k.busy[key]
	switch {
	case b == nil:
		b = k.begin(key)
	case b.more != nil || b.run != into:
		if b.more == nil {
			b.more = &queue{}
		}
		b.more.wait = append(b.more.wait, r)
		k.waiting.add(r)
		if b.more.task != nil {
			k.stalled.add(r)
		}
		return nil
	}
	b.at, b.run = b.at+1, into
	return b
}

func (k *keys) begin(key uint64) *busyKey {
	if k.busy == nil {
		k.busy = map[uint64]*busyKey{}
	}
	var b *busyKey
	if n := len(k.spare); n > 0 {
		b, k.spare = k.spare[n-1], k.spare[:n-1]
	} else {
		b = new(busyKey)
	}
	b.key = key
	k.busy[key] = b
	return b
}

// peek is the next record that waits for a key which nobody is at.
func (k *keys) peek() (b *busyKey, r *kgo.Record, ok bool) {
	if len(k.ready) == 0 {
		return nil, nil, false
	}
	b = k.ready[0]
	return b, b.more.wait[0], true
}

// next takes the record that peek is, for a run.
func (k *keys) next(into *run) {
	b := k.ready[0]
	r := b.more.wait[0]
	b.more.wait = b.more.wait[1:]
	k.waiting.drop(r)
	b.at, b.run = b.at+1, into
	if len(b.more.wait) == 0 {
		b.more = nil
		k.ready = k.ready[1:]
	}
}

// skip drops the record that peek is.
func (k *keys) skip() {
	b := k.ready[0]
	k.waiting.drop(b.more.wait[0])
	b.more.wait = b.more.wait[1:]
	if len(b.more.wait) == 0 {
		b.more = nil
		k.ready = k.ready[1:]
		k.freed(b)
	}
}

// taken ends that a key is ready, when a run or a task has some of its records and
// others wait on.
func (k *keys) taken(b *busyKey) {
	if len(k.ready) > 0 && k.ready[0] == b {
		k.ready = k.ready[1:]
	}
}

// release lets go of a key, for one item or task.
func (k *keys) release(b *busyKey) {
	b.at--
	k.freed(b)
}

func (k *keys) freed(b *busyKey) {
	switch {
	case b.at > 0:
	case b.more != nil && len(b.more.wait) > 0:
		k.ready = append(k.ready, b)
	default:
		delete(k.busy, b.key)
		if len(k.spare) < runSize {
			*b = busyKey{}
			k.spare = append(k.spare, b)
		}
	}
}

// putBack takes a record out of a run that has not begun it. It reports whether
// the record goes back to the partition's queue; where later ones of its key have
// left that already, it waits for its key, before them.
func (k *keys) putBack(b *busyKey, r *kgo.Record) bool {
	b.at--
	if b.more == nil || len(b.more.wait) == 0 {
		k.freed(b)
		return true
	}
	b.more.wait = slices.Insert(b.more.wait, 0, r)
	k.waiting.add(r)
	if b.more.task != nil {
		k.stalled.add(r)
	}
	k.freed(b)
	return false
}

// behind is how many records wait for the key, if there is one.
func (b *busyKey) behind() int {
	if b == nil || b.more == nil {
		return 0
	}
	return len(b.more.wait)
}

// hold has the others of a key wait for a task, which was an item.
func (k *keys) hold(b *busyKey, t *task) {
	if b.more == nil {
		b.more = &queue{}
	}
	if b.more.task == nil {
		for _, r := range b.more.wait {
			k.stalled.add(r)
		}
	}
	b.more.task, b.run = t, nil // which has records beside the task's
}

// letGo ends a task of a key.
func (k *keys) letGo(b *busyKey) {
	b.at--
	for _, r := range b.more.wait {
		k.stalled.drop(r)
	}
	b.more.task = nil
	if len(b.more.wait) == 0 {
		b.more = nil
	}
	k.freed(b)
}
