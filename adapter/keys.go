package adapter

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// keys is what goes on with the keys of a partition, by their hash: of one key
// there is one record in a handler at a time. The zero value is ready to use.
type keys struct {
	busy    map[uint64]busyKey
	ready   []uint64 // keys that nobody is at any more, and that records wait for
	waiting backlog  // records that wait for their key
	stalled backlog  // those of them that wait for a task
}

// backlog is a number of records and their size.
type backlog struct{ records, bytes int }

func (b *backlog) add(r *kgo.Record)  { b.records++; b.bytes += size(r) }
func (b *backlog) drop(r *kgo.Record) { b.records--; b.bytes -= size(r) }

// busyKey is a key that somebody is at, or that records wait for.
type busyKey struct {
	at   int    // items of runs, and tasks
	run  *run   // which has the items
	more *queue // nil when nobody is held and nobody waits
}

// queue is who waits for a key, and for whom.
type queue struct {
	task *task // nil when it is a run that the others wait for
	wait []*kgo.Record
}

// enter reports whether a record of a key may go into a run now. Otherwise it
// waits.
func (k *keys) enter(key uint64, into *run, r *kgo.Record) bool {
	b := k.busy[key]
	if b.more != nil || b.at > 0 && b.run != into {
		if b.more == nil {
			b.more = &queue{}
			k.busy[key] = b
		}
		b.more.wait = append(b.more.wait, r)
		k.waiting.add(r)
		if b.more.task != nil {
			k.stalled.add(r)
		}
		return false
	}
	if k.busy == nil {
		k.busy = map[uint64]busyKey{}
	}
	b.at, b.run = b.at+1, into
	k.busy[key] = b
	return true
}

// peek is the next record that waits for a key which nobody is at.
func (k *keys) peek() (key uint64, r *kgo.Record, ok bool) {
	if len(k.ready) == 0 {
		return 0, nil, false
	}
	key = k.ready[0]
	return key, k.busy[key].more.wait[0], true
}

// next takes the record that peek is, for a run.
func (k *keys) next(into *run) {
	key := k.ready[0]
	b := k.busy[key]
	r := b.more.wait[0]
	b.more.wait = b.more.wait[1:]
	k.waiting.drop(r)
	b.at, b.run = b.at+1, into
	if len(b.more.wait) == 0 {
		b.more = nil
		k.ready = k.ready[1:]
	}
	k.busy[key] = b
}

// taken ends that a key is ready, when a run or a task has some of its records and
// others wait on.
func (k *keys) taken(key uint64) {
	if len(k.ready) > 0 && k.ready[0] == key {
		k.ready = k.ready[1:]
	}
}

// release lets go of a key, for one item or task.
func (k *keys) release(key uint64) {
	b := k.busy[key]
	b.at--
	k.freed(key, b)
}

func (k *keys) freed(key uint64, b busyKey) {
	switch {
	case b.at > 0:
		k.busy[key] = b
	case b.more != nil && len(b.more.wait) > 0:
		k.busy[key] = b
		k.ready = append(k.ready, key)
	default:
		delete(k.busy, key)
	}
}

// putBack takes a record out of a run that has not begun it. It reports whether
// the record goes back to the partition's queue; where later ones of its key have
// left that already, it waits for its key, before them.
func (k *keys) putBack(key uint64, r *kgo.Record) bool {
	b := k.busy[key]
	b.at--
	if b.more == nil || len(b.more.wait) == 0 {
		k.freed(key, b)
		return true
	}
	b.more.wait = slices.Insert(b.more.wait, 0, r)
	k.waiting.add(r)
	if b.more.task != nil {
		k.stalled.add(r)
	}
	k.freed(key, b)
	return false
}

// behind is how many records wait for a key.
func (k *keys) behind(key uint64) int {
	if b := k.busy[key]; b.more != nil {
		return len(b.more.wait)
	}
	return 0
}

// hold has the others of a key wait for a task, which was an item.
func (k *keys) hold(key uint64, t *task) {
	b := k.busy[key]
	if b.more == nil {
		b.more = &queue{}
	}
	if b.more.task == nil {
		for _, r := range b.more.wait {
			k.stalled.add(r)
		}
	}
	b.more.task, b.run = t, nil // which has records beside the task's
	k.busy[key] = b
}

// letGo ends a task of a key.
func (k *keys) letGo(key uint64) {
	b := k.busy[key]
	b.at--
	for _, r := range b.more.wait {
		k.stalled.drop(r)
	}
	b.more.task = nil
	if len(b.more.wait) == 0 {
		b.more = nil
	}
	k.freed(key, b)
}
