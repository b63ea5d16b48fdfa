package adapter

import (
	"cmp"
	"slices"
)

// ledger knows, for one partition, which records are settled, and so how far
// the group's offset may be committed: through the last record before which
// nothing is unsettled. Its memory is that of the records between the first
// unsettled one and the last one fetched. It is not safe for concurrent use.
type ledger struct {
	entries []entry // by offset; the first is unsettled
	prefix  position
}

type entry struct {
	offset  int64
	epoch   int32
	settled bool
}

// position is an offset to be committed. The epoch is that of the record
// before it: a commit with another epoch would compare wrong (KIP-320).
type position struct {
	offset int64
	epoch  int32
}

// none is the position of a ledger in which nothing is settled.
var none = position{offset: -1, epoch: -1}

func newLedger() ledger { return ledger{prefix: none} }

// enter adds a record that was fetched. It reports false when the offset is
// not beyond the last one entered: then the log was cut or made anew, what was
// known of it no longer applies, and the ledger starts afresh.
func (l *ledger) enter(offset int64, epoch int32) bool {
	afresh := false
	if n := len(l.entries); n > 0 && offset <= l.entries[n-1].offset || n == 0 && offset < l.prefix.offset {
		*l = newLedger()
		afresh = true
	}
	l.entries = append(l.entries, entry{offset: offset, epoch: epoch})
	return !afresh
}

// first is the offset before which nothing is unsettled, and -1 while no
// record was entered.
func (l *ledger) first() int64 {
	if l.prefix == none && len(l.entries) > 0 {
		return l.entries[0].offset
	}
	return l.prefix.offset
}

// settle marks the record at offset, and reports whether it was there and
// unsettled.
func (l *ledger) settle(offset int64) bool {
	i, ok := slices.BinarySearchFunc(l.entries, offset, func(e entry, o int64) int { return cmp.Compare(e.offset, o) })
	if !ok || l.entries[i].settled {
		return false
	}
	l.entries[i].settled = true
	for i = 0; i < len(l.entries) && l.entries[i].settled; i++ {
		l.prefix = position{offset: l.entries[i].offset + 1, epoch: l.entries[i].epoch}
	}
	l.entries = l.entries[i:]
	return true
}
