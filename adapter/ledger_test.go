package adapter

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// naiveLedger is what a ledger means: a list of all that was ever entered.
type naiveLedger struct {
	offsets []int64
	settled map[int64]bool
}

// prefix is the first that is not settled, or what comes after the last.
func (n *naiveLedger) prefix() int64 {
	at := int64(-1)
	for _, o := range n.offsets {
		if !n.settled[o] {
			return o
		}
		at = o + 1
	}
	return at
}

// open are those that are not settled.
func (n *naiveLedger) open() (open []int64) {
	for _, o := range n.offsets {
		if !n.settled[o] {
			open = append(open, o)
		}
	}
	return open
}

// FuzzLedger holds the ledger to the naive one: each byte enters a record (with
// a gap before it), settles one of those entered or one that was not, or notes
// that one has failed. At the end another ledger is made of what would be
// committed, which must know the same.
func FuzzLedger(f *testing.F) {
	f.Add([]byte{0, 0, 0, 128, 130, 129})
	f.Add([]byte{3, 1, 255, 128, 128, 0, 129})
	f.Add([]byte{127, 128, 0, 200, 0, 0, 131, 130, 129, 128})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 64, 65, 130, 132, 66})
	f.Fuzz(func(t *testing.T, steps []byte) {
		l := newLedger()
		naive := naiveLedger{settled: map[int64]bool{}}
		next := int64(5)
		failed := map[int64]failure{}
		for i, s := range steps {
			if s < 64 {
				next += int64(s % 4)
				settled, afresh := l.enter(next, int32(next))
				if settled || afresh {
					t.Fatalf("offset %d: settled %v, afresh %v", next, settled, afresh)
				}
				naive.offsets = append(naive.offsets, next)
				next++
				continue
			}
			if open := naive.open(); s < 128 {
				if len(open) > 0 {
					offset := open[int(s)%len(open)]
					first := time.UnixMilli(int64(1000 + i))
					failed[offset] = failure{attempts: i + 1, first: first, due: first.Add(time.Duration(i) * time.Hour), idle: time.Duration(s) * time.Second}
					if i == 0 {
						failed[offset] = failure{attempts: 1, first: first}
					}
					l.fail(offset, failed[offset])
				}
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
				delete(failed, offset)
			}
			p := l.prefix()
			if p.offset != naive.prefix() {
				t.Fatalf("prefix %d, want %d", p.offset, naive.prefix())
			}
			epoch := int32(-1)
			for _, o := range naive.offsets {
				if o < p.offset {
					epoch = int32(o)
				}
			}
			if p.epoch != epoch {
				t.Fatalf("prefix %d with epoch %d, want %d", p.offset, p.epoch, epoch)
			}
		}
		if len(l.open) > 2*len(naive.open())+1 {
			t.Fatalf("%d blocks kept for %d unsettled records", len(l.open), len(naive.open()))
		}
		if spans := len(l.behind()); l.gaps() != spans {
			t.Fatalf("gaps says %d, there are %d: %v", l.gaps(), spans, l.behind())
		}
		if l.prefix() == none {
			return
		}
		metadata, whole := l.encode(1 << 20)
		if !whole {
			t.Fatal("not whole")
		}
		if l.size() > l.cost() {
			t.Fatalf("takes %d bytes, said to take %d at most", l.size(), l.cost())
		}
		restored := newLedger()
		require.NoError(t, restored.restore(l.prefix().offset, metadata))
		for _, o := range naive.offsets {
			if o < l.prefix().offset {
				continue
			}
			if settled, afresh := restored.enter(o, 0); settled != naive.settled[o] || afresh {
				t.Fatalf("offset %d is settled: %v, after a restart: %v (afresh: %v)", o, naive.settled[o], settled, afresh)
			}
		}
		if len(failed) > 0 {
			require.Equal(t, failed, restored.failures)
		}
	})
}

func TestLedger_offsetsThatGoBackStartAfresh(t *testing.T) {
	l := newLedger()
	l.enter(10, 1)
	l.enter(11, 1)
	assert.True(t, l.settle(10))
	_, afresh := l.enter(7, 2)
	assert.True(t, afresh, "told that the log was cut")
	assert.Equal(t, position{7, -1}, l.prefix())
	assert.False(t, l.settle(11), "forgotten")
	assert.True(t, l.settle(7))
	assert.Equal(t, position{8, 2}, l.prefix())
	_, afresh = l.enter(3, 2)
	assert.True(t, afresh, "below what is settled, with nothing open")
}

func TestLedger_aLogThatStartsBeforeWhatWasCommittedIsAnotherOne(t *testing.T) {
	before := newLedger()
	for o := range int64(10) {
		before.enter(o, 0)
	}
	before.settle(0)
	before.settle(5)
	metadata, _ := before.encode(maxMetadata)

	l := newLedger()
	require.NoError(t, l.restore(1, metadata))
	_, afresh := l.enter(0, 0)
	assert.True(t, afresh)
	for o := int64(1); o < 10; o++ {
		settled, _ := l.enter(o, 0)
		assert.False(t, settled, "offset %d is another record now", o)
	}
}

func TestLedger_firstIsWhereTheWorkBegins(t *testing.T) {
	l := newLedger()
	assert.EqualValues(t, -1, l.first())
	l.enter(100, 0)
	assert.EqualValues(t, 100, l.first())
	l.settle(100)
	assert.EqualValues(t, 101, l.first())
}

// What is settled costs nothing, however long one before it is held.
func TestLedger_growsWithWhatIsUnsettledOnly(t *testing.T) {
	l := newLedger()
	for o := range int64(100_000) {
		l.enter(o, int32(o/1000))
		if o != 7 {
			l.settle(o)
		}
	}
	assert.EqualValues(t, 7, l.first())
	assert.Less(t, len(l.open), 4)
	assert.Less(t, l.size(), 25, "one span")
}

func TestLedger_foreignAndDamagedMetadataIsIgnored(t *testing.T) {
	full := newLedger()
	for o := range int64(10) {
		full.enter(o, 0)
	}
	full.settle(3)
	full.fail(0, failure{attempts: 2, first: time.UnixMilli(1), due: time.UnixMilli(2)})
	good, _ := full.encode(maxMetadata)
	require.NotEmpty(t, good)
	refused := func(want error, committed int64, metadata string) {
		t.Helper()
		l := newLedger()
		require.ErrorIs(t, l.restore(committed, metadata), want)
		assert.Empty(t, l.done)
		assert.Empty(t, l.failures)
	}
	refused(errForeignMetadata, 0, "somebody's notes")
	refused(errForeignMetadata, 0, "kafkatest.2:"+good[len(metadataMark):])
	refused(errOtherOffset, 1, good)
	for i := len(metadataMark); i < len(good); i++ {
		bad := []byte(good)
		if bad[i]++; bad[i] > 'z' {
			bad[i] = 'A'
		}
		l := newLedger()
		if err := l.restore(0, string(bad)); err == nil {
			// The last character has bits that mean nothing.
			require.Equal(t, len(good)-1, i)
		}
		refused(errDamagedMetadata, 0, good[:i])
	}
	l := newLedger()
	require.NoError(t, l.restore(0, good))
	require.NoError(t, l.restore(0, ""), "nothing to say")
}

func TestLedger_whatDoesNotFitIsLeftOut(t *testing.T) {
	l := newLedger()
	for o := range int64(5000) {
		l.enter(o, 0)
	}
	for o := int64(1); o < 5000; o += 2 {
		l.settle(o)
	}
	metadata, whole := l.encode(maxMetadata)
	assert.False(t, whole)
	assert.LessOrEqual(t, len(metadata), maxMetadata)
	r := newLedger()
	require.NoError(t, r.restore(0, metadata))
	for o := range int64(5000) {
		if settled, _ := r.enter(o, 0); settled {
			require.Equal(t, int64(1), o%2, "nothing is settled that was not")
		}
	}
}

// What is settled is in the metadata for as long as it fits: that a record was tried is
// forgotten first.
func TestLedger_failuresAreLeftOutFirst(t *testing.T) {
	l := newLedger()
	for o := range int64(100) {
		l.enter(o, 0)
	}
	for o := range int64(100) {
		if o%2 == 0 {
			l.fail(o, failure{attempts: 1, first: time.UnixMilli(1)})
		} else {
			l.settle(o)
		}
	}
	metadata, whole := l.encode(300)
	assert.False(t, whole)
	r := newLedger()
	require.NoError(t, r.restore(0, metadata))
	assert.Len(t, r.done, 50)
	assert.Less(t, len(r.failures), 50)
}

// A failure that is told after its record was settled does not stay for ever.
func TestLedger_thereIsNoFailureOfARecordThatIsSettled(t *testing.T) {
	l := newLedger()
	l.enter(0, 0)
	l.settle(0)
	l.fail(0, failure{attempts: 1, first: time.UnixMilli(1)})
	assert.Empty(t, l.failures)
}

func FuzzRestore(f *testing.F) {
	l := newLedger()
	for o := range int64(10) {
		l.enter(o, 0)
	}
	l.settle(3)
	l.fail(0, failure{attempts: 2, first: time.UnixMilli(1), due: time.UnixMilli(2)})
	good, _ := l.encode(maxMetadata)
	f.Add(int64(0), good)
	f.Add(int64(7), "kafkatest.1:AAAA")
	f.Fuzz(func(t *testing.T, committed int64, metadata string) {
		l := newLedger()
		if l.restore(committed, metadata) != nil && (len(l.done) > 0 || len(l.failures) > 0) {
			t.Fatal("believed in part")
		}
	})
}

// What others have settled of a partition is settled, of what was fetched and of
// what is to come.
func TestLedger_joinsWhatOthersHaveSettled(t *testing.T) {
	theirs := newLedger()
	for o := range int64(10) {
		theirs.enter(o, 1)
		if o != 4 && o != 8 {
			theirs.settle(o)
		}
	}
	metadata, _ := theirs.encode(maxMetadata)
	for _, tc := range []struct {
		fetched, settles int
		prefix           int64
		to               []int64 // settled of those that come
	}{
		{3, 3, 3, []int64{3, 5, 6, 7, 9}},
		{6, 5, 4, []int64{6, 7, 9}},
		{10, 8, 4, nil},
	} {
		l, others := newLedger(), newLedger()
		require.NoError(t, others.restore(theirs.first(), metadata))
		for o := range int64(tc.fetched) {
			l.enter(o, 1)
		}
		before := l.clone()
		assert.Equal(t, tc.settles, l.join(&others))
		assert.Equal(t, tc.prefix, l.first())
		assert.True(t, before.isOpen(0), "a clone goes its own way")
		assert.False(t, l.isOpen(0))
		var settled []int64
		for o := int64(tc.fetched); o < 10; o++ {
			if is, _ := l.enter(o, 1); is {
				settled = append(settled, o)
			}
		}
		assert.Equal(t, tc.to, settled)
		assert.EqualValues(t, 4, l.first())
		l.settle(4)
		l.settle(8)
		assert.EqualValues(t, 10, l.first())
	}
}
