package adapter

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// naiveLedger is what a ledger means: a list of all that was ever entered.
type naiveLedger struct {
	offsets []int64
	settled map[int64]bool
}

func (n *naiveLedger) prefix() int64 {
	at := int64(-1)
	for _, o := range n.offsets {
		if !n.settled[o] {
			break
		}
		at = o + 1
	}
	return at
}

// FuzzLedger holds the ledger to the naive one: each byte enters a record (with
// a gap before it) or settles one of those entered, or one that was not.
func FuzzLedger(f *testing.F) {
	f.Add([]byte{0, 0, 0, 128, 130, 129})
	f.Add([]byte{3, 1, 255, 128, 128, 0, 129})
	f.Add([]byte{127, 128, 0, 200, 0, 0, 131, 130, 129, 128})
	f.Fuzz(func(t *testing.T, steps []byte) {
		l := newLedger()
		naive := naiveLedger{settled: map[int64]bool{}}
		next := int64(5)
		for _, s := range steps {
			if s < 128 {
				next += int64(s % 4)
				if !l.enter(next, int32(next)) {
					t.Fatalf("offset %d starts afresh", next)
				}
				naive.offsets = append(naive.offsets, next)
				next++
				continue
			}
			offset := 5 + int64(s-128)
			known := false
			for _, o := range naive.offsets {
				known = known || o == offset
			}
			fresh := known && !naive.settled[offset]
			if got := l.settle(offset); got != fresh {
				t.Fatalf("settle(%d) = %v", offset, got)
			}
			if known {
				naive.settled[offset] = true
			}
			if l.prefix.offset != naive.prefix() {
				t.Fatalf("prefix %d, want %d", l.prefix.offset, naive.prefix())
			}
			if l.prefix != none && l.prefix.epoch != int32(l.prefix.offset-1) {
				t.Fatalf("prefix %d with the epoch of %d", l.prefix.offset, l.prefix.epoch)
			}
		}
		unsettled := 0
		for i, o := range naive.offsets {
			if !naive.settled[o] {
				unsettled = len(naive.offsets) - i
				break
			}
		}
		if len(l.entries) != unsettled {
			t.Fatalf("%d entries kept, want %d: from the first unsettled on", len(l.entries), unsettled)
		}
	})
}

func TestLedger_offsetsThatGoBackStartAfresh(t *testing.T) {
	l := newLedger()
	l.enter(10, 1)
	l.enter(11, 1)
	assert.True(t, l.settle(10))
	assert.False(t, l.enter(7, 2), "told that the log was cut")
	assert.Equal(t, none, l.prefix)
	assert.False(t, l.settle(11), "forgotten")
	assert.True(t, l.settle(7))
	assert.Equal(t, position{8, 2}, l.prefix)
	assert.False(t, l.enter(3, 2), "below what is settled, with nothing open")
}

func TestLedger_firstIsWhereTheWorkBegins(t *testing.T) {
	l := newLedger()
	assert.EqualValues(t, -1, l.first())
	l.enter(100, 0)
	assert.EqualValues(t, 100, l.first())
	l.settle(100)
	assert.EqualValues(t, 101, l.first())
}
