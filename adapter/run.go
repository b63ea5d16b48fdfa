package adapter

import (
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// run is some records that one worker takes through the handler, one after
// another.
type run struct {
	items   []item
	started time.Time
	// cost is how many bytes of a commit's metadata it may need, of room, as it is
	// put together: see scheduler.room.
	cost, room int
	// span is the index of the next item to begin, and behind the last one, in 32
	// bits each: what is not begun can be taken away.
	span atomic.Uint64

	// The lane's mutex guards what follows.
	flushed int // items that are marked, or out
	seen    int // how many were begun when the scheduler looked last
}

// item is a record of a run.
type item struct {
	m    Message
	r    *kgo.Record
	task *task    // of a record that has been tried before, in place of m and r
	busy *busyKey // its key; nil when it waits for no others, and they not for it
	out  bool     // it is settled elsewhere
}

func (it *item) message() *Message {
	if it.task != nil {
		return it.task.m
	}
	return &it.m
}

func newRun(items []item) *run {
	r := &run{items: items}
	r.span.Store(uint64(len(items)))
	return r
}

// drop takes out the last item, while the run is put together.
func (r *run) drop() {
	last := len(r.items) - 1
	r.items[last] = item{}
	r.items = r.items[:last]
}

// begin is the index of the next item.
func (r *run) begin() (int, bool) {
	for {
		s := r.span.Load()
		next, end := s>>32, s&(1<<32-1)
		if next >= end {
			return 0, false
		}
		if r.span.CompareAndSwap(s, (next+1)<<32|end) {
			return int(next), true
		}
	}
}

// begun is how many items were begun. The last of them may be in the handler.
func (r *run) begun() int { return int(r.span.Load() >> 32) }

// end is how many items are to be begun in all.
func (r *run) end() int { return int(r.span.Load() & (1<<32 - 1)) }

// cut takes away the items that were not begun.
func (r *run) cut() []item {
	for {
		s := r.span.Load()
		next, end := s>>32, s&(1<<32-1)
		if r.span.CompareAndSwap(s, next<<32|next) {
			return r.items[next:end]
		}
	}
}
