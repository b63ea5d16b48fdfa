package adapter

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"time"
)

// The metadata of a commit is text of at most 4,096 bytes by default
// (offset.metadata.max.bytes): a mark, and the base64 of
//
//	offset    the offset that is committed with it
//	spans     a count, and then of each how far it is from the end of the one
//	          before (the offset, for the first) and how long it is: what is
//	          settled
//	failures  a count, the time of the earliest first failure in milliseconds,
//	          and then of each how far it is from the one before (the offset, for
//	          the first), the number of its attempts, and in milliseconds how
//	          long after that time it failed first, how long after its failure it
//	          is due, and how much of its age does not count
//	checksum  CRC-32C of all before it, 4 bytes
//
// Numbers are unsigned varints, but for the time, which is a signed one.
const (
	metadataMark = "kafkatest.1:"

	// maxMetadata is how long the metadata may be, unless the broker says less.
	maxMetadata = 4096

	// What a span and a failure take at most, as long as spans are shorter than
	// 2^28 offsets and records are held for less than three days. What takes
	// more is found when it is encoded.
	spanCost, failureCost = 8, 18
	// fixedCost is of what comes once.
	fixedCost = 40
)

// ledgerBytes is how many bytes of a ledger fit into metadata.
func ledgerBytes(metadata int) int { return (metadata - len(metadataMark)) / 4 * 3 }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// cost is how many bytes the ledger takes at most.
func (l *ledger) cost() int { return fixedCost + spanCost*l.gaps() + failureCost*len(l.failures) }

// size is how many bytes the ledger takes now.
func (l *ledger) size() int { return len(l.bytes(l.first(), l.behind(), l.failed())) }

// failed are the offsets of records that have been tried and are not settled.
func (l *ledger) failed() []int64 {
	first := l.first()
	var failed []int64
	for o := range l.failures {
		if o >= first {
			failed = append(failed, o)
		}
	}
	slices.Sort(failed)
	return failed
}

// encode is the metadata to commit with the prefix, empty when there is nothing to
// say, and whether all of it fits. What does not is left out, from the end, and failures
// before spans: after a crash attempts may then be made again, or else records that are
// settled be delivered again.
func (l *ledger) encode(limit int) (metadata string, whole bool) {
	offset := l.first()
	spans, failed := l.behind(), l.failed()
	whole = true
	for {
		if len(spans) == 0 && len(failed) == 0 {
			return "", whole
		}
		text := metadataMark + base64.RawStdEncoding.EncodeToString(l.bytes(offset, spans, failed))
		if len(text) <= limit {
			return text, whole
		}
		whole = false
		if len(failed) > 0 {
			failed = failed[:len(failed)*3/4]
		} else {
			spans = spans[:len(spans)*3/4]
		}
	}
}

func (l *ledger) bytes(offset int64, spans []span, failed []int64) []byte {
	b := make([]byte, 0, fixedCost+4*len(spans)+12*len(failed))
	b = binary.AppendUvarint(b, uint64(offset))
	b = binary.AppendUvarint(b, uint64(len(spans)))
	at := offset
	for _, s := range spans {
		b = binary.AppendUvarint(b, uint64(s.from-at))
		b = binary.AppendUvarint(b, uint64(s.to-s.from))
		at = s.to
	}
	var base int64
	if len(failed) > 0 {
		base = math.MaxInt64
	}
	for _, o := range failed {
		base = min(base, millis(l.failures[o].first))
	}
	b = binary.AppendUvarint(b, uint64(len(failed)))
	b = binary.AppendVarint(b, base)
	at = offset
	for _, o := range failed {
		f := l.failures[o]
		first := millis(f.first)
		due := first
		if !f.due.IsZero() {
			due = max(first, millis(f.due))
		}
		for _, n := range []int64{o - at, int64(f.attempts), first - base, due - first, f.idle.Milliseconds()} {
			b = binary.AppendUvarint(b, uint64(n))
		}
		at = o
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// millis is a time in milliseconds since 1970. The zero time is none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

var (
	errForeignMetadata = errors.New("it is not this adapter's")
	errDamagedMetadata = errors.New("it is damaged")
	errOtherOffset     = errors.New("it belongs to another offset")
)

// restore makes the ledger of a partition of what was committed for it. An error
// says why the metadata is ignored; metadata that is empty says nothing.
func (l *ledger) restore(committed int64, metadata string) error {
	l.from = committed
	if metadata == "" {
		return nil
	}
	text, ours := strings.CutPrefix(metadata, metadataMark)
	if !ours {
		return errForeignMetadata
	}
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(b) < crc32.Size {
		return errDamagedMetadata
	}
	body, sum := b[:len(b)-crc32.Size], b[len(b)-crc32.Size:]
	if binary.BigEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {
		return errDamagedMetadata
	}
	r := varints{b: body}
	if offset := r.natural(); !r.bad && offset != committed {
		return errOtherOffset
	}
	var done []span
	at := committed
	for range r.count() {
		from := at + r.natural()
		at = from + r.natural()
		done = append(done, span{from, at})
	}
	failures := map[int64]failure{}
	n := r.count()
	base := r.signed()
	at = committed
	for range n {
		at += r.natural()
		f := failure{attempts: int(r.natural())}
		first := base + r.natural()
		due := first + r.natural()
		f.idle = time.Duration(r.natural()) * time.Millisecond
		if first > 0 {
			f.first = time.UnixMilli(first)
		}
		if due > first {
			f.due = time.UnixMilli(due)
		}
		failures[at] = f
	}
	if r.bad || len(r.b) > 0 {
		return errDamagedMetadata
	}
	l.done, l.failures = done, failures
	return nil
}

// varints reads numbers. What cannot be one makes it bad, and is 0.
type varints struct {
	b   []byte
	bad bool
}

// natural is a number that cannot make the sum of a few of them overflow.
func (v *varints) natural() int64 {
	n, size := binary.Uvarint(v.b)
	if size <= 0 || n > math.MaxInt64/8 {
		v.b, v.bad = nil, true
		return 0
	}
	v.b = v.b[size:]
	return int64(n)
}

func (v *varints) signed() int64 {
	n, size := binary.Varint(v.b)
	if size <= 0 || n > math.MaxInt64/8 || n < math.MinInt64/8 {
		v.b, v.bad = nil, true
		return 0
	}
	v.b = v.b[size:]
	return n
}

// count is a number of things that take a byte each at least.
func (v *varints) count() int64 {
	n := v.natural()
	if n > int64(len(v.b)) {
		v.b, v.bad = nil, true
		return 0
	}
	return n
}
