package shape

import "errors"

// number is one that is being read, byte by byte because a piece may end in it.
type number struct {
	open  bool
	means meaning
	value uint64
	bits  int // read
	bytes int // still to come, or compact
}

// meaning is what a number is for.
type meaning uint8

const (
	presence meaning = iota // of a structure
	length                  // of text or data
	count                   // of elements
	tagCount
	tagKey
	tagSize
)

// compact is a number as flexible versions have it (KIP-482): seven bits a byte,
// and for what can be null one more than is meant.
const compact = 0

// read begins a number of so many bytes, or a compact one.
func (w *Walk) read(m meaning, bytes int) error {
	if max(bytes, 1) > w.room() {
		return errEnds
	}
	w.number = number{open: true, means: m, bytes: bytes}
	return nil
}

// digit is the next byte of the number.
func (w *Walk) digit(b byte) error {
	if w.room() < 1 {
		return errEnds
	}
	w.left--
	n := &w.number
	if n.bytes != compact {
		n.value, n.bits = n.value<<8|uint64(b), n.bits+8
		if n.bytes--; n.bytes > 0 {
			return nil
		}
		n.open = false
		unused := 64 - n.bits
		return w.take(n.means, int(int64(n.value<<unused)>>unused))
	}
	const last, lastBits = 28, 0x07 // of a number of 31 bits
	if n.bits == last && b > lastBits {
		return errors.New("compact number of more than 31 bits")
	}
	n.value, n.bits = n.value|uint64(b&0x7f)<<n.bits, n.bits+7
	if b&0x80 != 0 {
		return nil
	}
	n.open = false
	v := int(n.value)
	if n.means == length || n.means == count {
		v--
	}
	return w.take(n.means, v)
}
