package adapter

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"time"
)

// ledger knows, for one partition, which of the records that were fetched are
// not settled, and so how far the group's offset may be committed: up to the
// first of them. What is known of the records behind that offset goes into the
// commit's metadata (see [ledger.encode]), and comes from there when a partition
// is assigned. Its memory is that of the unsettled records: what is settled
// takes none, however long a record before it is held. It is not safe for
// concurrent use.
type ledger struct {
	open   []block // by base; those without an open record are dropped now and then
	empty  int     // blocks without an open record
	count  int     // open records
	next   int64   // the offset after the last record entered; -1 before the first
	start  int64   // where the group starts in the partition; -1 while that is not known
	from   int64   // what the group had committed when the partition came; -1 for nothing
	epochs []epoch // of the records entered, by offset

	// failures is what is known of records that have been tried and are not
	// settled, by offset.
	failures map[int64]failure
	// done is which records beyond next are settled already: by the metadata that
	// the partition came with.
	done []span
}

// block is which of 64 offsets are open: entered, and not settled.
type block struct {
	base int64 // a multiple of 64
	open uint64
}

// epoch is the leader epoch of the records from an offset on.
type epoch struct {
	from int64
	is   int32
}

// span is the offsets from one to another, which is not included.
type span struct{ from, to int64 }

// failure is what a record's attempts came to so far.
type failure struct {
	attempts int           // that have ended, or are counted before they begin
	first    time.Time     // when the first one failed
	due      time.Time     // when the next one is
	idle     time.Duration // of the time since the first failure, what does not count for its age
}

// position is an offset to be committed. The epoch is that of the record
// before it: a commit with another epoch would compare wrong (KIP-320).
type position struct {
	offset int64
	epoch  int32
}

// none is the position of a ledger in which nothing was entered.
var none = position{offset: -1, epoch: -1}

const blockSize = 64

func newLedger() ledger { return ledger{next: -1, start: -1, from: -1} }

// enter adds a record that was fetched. settled says that it was settled before
// the partition came here. afresh says that the offset is not beyond the last one
// entered, or before what the group had committed: then the log was cut or made
// anew, what was known of it no longer applies, and the ledger has started afresh.
func (l *ledger) enter(offset int64, leader int32) (settled, afresh bool) {
	if offset < max(l.next, l.from) {
		*l = newLedger()
		afresh = true
	}
	if l.start < 0 {
		l.start = offset
	}
	l.next = offset + 1
	if n := len(l.epochs); n == 0 || l.epochs[n-1].is != leader {
		l.epochs = append(l.epochs, epoch{offset, leader})
	}
	for len(l.done) > 0 && offset >= l.done[0].to {
		l.done = l.done[1:]
	}
	if len(l.done) > 0 && offset >= l.done[0].from {
		return true, afresh
	}
	base := offset &^ (blockSize - 1)
	if n := len(l.open); n == 0 || l.open[n-1].base != base {
		l.open = append(l.open, block{base: base})
	} else if l.open[n-1].open == 0 {
		l.empty--
	}
	l.open[len(l.open)-1].open |= 1 << (offset - base)
	l.count++
	return false, afresh
}

// settle marks the record at offset, and reports whether it was there and
// unsettled.
func (l *ledger) settle(offset int64) bool {
	base := offset &^ (blockSize - 1)
	i := 0
	if len(l.open) > 0 && l.open[0].base != base { // else it is the oldest, as it is most often
		i, _ = slices.BinarySearchFunc(l.open, base, func(b block, base int64) int { return cmp.Compare(b.base, base) })
	}
	bit := uint64(1) << (offset - base)
	if i >= len(l.open) || l.open[i].base != base || l.open[i].open&bit == 0 {
		return false
	}
	l.open[i].open &^= bit
	l.count--
	if l.failures != nil {
		delete(l.failures, offset)
	}
	if l.open[i].open == 0 {
		l.empty++
		l.tidy()
	}
	return true
}

// tidy drops blocks in which nothing is open, and epochs that nobody asks for.
func (l *ledger) tidy() {
	n := 0
	for n < len(l.open) && l.open[n].open == 0 {
		n++
	}
	l.open, l.empty = l.open[n:], l.empty-n
	if l.empty > len(l.open)/2 {
		l.open = slices.DeleteFunc(l.open, func(b block) bool { return b.open == 0 })
		l.empty = 0
	}
	if len(l.epochs) > 1 {
		before := l.prefix().offset - 1
		for len(l.epochs) > 1 && l.epochs[1].from <= before {
			l.epochs = l.epochs[1:]
		}
	}
}

// prefix is how far the group's offset may be committed, or none.
func (l *ledger) prefix() position {
	p := position{offset: l.first(), epoch: -1}
	if p.offset < 0 {
		return none
	}
	for _, e := range l.epochs {
		if e.from < p.offset {
			p.epoch = e.is
		}
	}
	return p
}

// first is the offset before which nothing is unsettled, and -1 while that is not
// known.
func (l *ledger) first() int64 {
	for _, b := range l.open {
		if b.open != 0 {
			return b.base + int64(bits.TrailingZeros64(b.open))
		}
	}
	if l.next >= 0 {
		return l.next
	}
	return l.start
}

// isOpen reports whether the record at offset was entered, and is not settled.
func (l *ledger) isOpen(offset int64) bool {
	base := offset &^ (blockSize - 1)
	i, ok := slices.BinarySearchFunc(l.open, base, func(b block, base int64) int { return cmp.Compare(b.base, base) })
	return ok && l.open[i].open&(1<<(offset-base)) != 0
}

// wasSettled reports whether, by what a partition came with, the record at offset
// is settled.
func (l *ledger) wasSettled(offset int64) bool {
	return offset < l.from || slices.ContainsFunc(l.done, func(s span) bool { return s.from <= offset && offset < s.to })
}

// join settles what is settled in another ledger of the partition, which a partition
// came with, and is how many records that are.
func (l *ledger) join(other *ledger) (n int) {
	for _, b := range slices.Clone(l.open) {
		for open := b.open; open != 0; open &= open - 1 {
			if o := b.base + int64(bits.TrailingZeros64(open)); other.wasSettled(o) && l.settle(o) {
				n++
			}
		}
	}
	if l.next >= 0 && other.from > l.next {
		l.done = append([]span{{l.next, other.from}}, other.done...)
	} else if l.next >= 0 {
		for _, s := range other.done {
			if s.to > l.next {
				l.done = append(l.done, s)
			}
		}
	}
	return n
}

// clone is a ledger that goes its own way.
func (l *ledger) clone() ledger {
	c := *l
	c.open, c.epochs, c.done = slices.Clone(l.open), slices.Clone(l.epochs), slices.Clone(l.done)
	c.failures = maps.Clone(l.failures)
	return c
}

// fail notes what a record's attempts came to, unless it is settled.
func (l *ledger) fail(offset int64, f failure) {
	if !l.isOpen(offset) {
		return
	}
	if l.failures == nil {
		l.failures = map[int64]failure{}
	}
	l.failures[offset] = f
}

// behind are the offsets behind the prefix that are settled, oldest first.
func (l *ledger) behind() []span {
	var spans []span
	at := l.first() // everything before it is settled, or not ours
	add := func(from, to int64) {
		if from >= to {
			return
		}
		if n := len(spans); n > 0 && spans[n-1].to == from {
			spans[n-1].to = to
			return
		}
		spans = append(spans, span{from, to})
	}
	for _, b := range l.open {
		for open := b.open; open != 0; open &= open - 1 {
			offset := b.base + int64(bits.TrailingZeros64(open))
			add(at, offset)
			at = offset + 1
		}
	}
	if l.count > 0 {
		add(at, l.next)
	}
	for _, s := range l.done {
		add(max(s.from, l.next), s.to)
	}
	return spans
}

// gaps is how many spans behind has at most, without making them.
func (l *ledger) gaps() int {
	n := len(l.done)
	before := uint64(1) // whether the offset before a block is open; there is no gap before the first that is
	at := int64(-1)     // where the last block ended that has something open
	end := l.next       // where the last open record ended
	for _, b := range l.open {
		if b.open == 0 {
			continue
		}
		if at >= 0 && b.base != at {
			before = 0
		}
		starts := b.open &^ (b.open<<1 | before)
		n += bits.OnesCount64(starts)
		if at < 0 && b.open&1 == 0 {
			n-- // the first one
		}
		before, at = b.open>>(blockSize-1), b.base+blockSize
		end = b.base + int64(bits.Len64(b.open))
	}
	if end < l.next {
		n++
	}
	return n
}
