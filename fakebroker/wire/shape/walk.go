package shape

import (
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A decoded element takes many times the bytes that an empty one has on the wire,
// and a decoded tag still more. Apache Kafka sets no limits of its own: there, what
// a request may take is bounded by the memory of its process.
const (
	// MaxElements is how many strings and structures the arrays of a request may
	// hold together. Numbers do not count, they take what they have on the wire.
	MaxElements = 1 << 20

	// MaxTags is how many tags a request may have together. No client sends more
	// than two or three to a structure.
	MaxTags = 1 << 16
)

// errEnds says that a request announces more than it has.
var errEnds = errors.New("ends too early")

// Check walks a body that is there as a whole: what follows the client id, with the
// header's tags in flexible versions. An error says what is wrong with it.
func Check(key kmsg.Key, version int16, body []byte) error {
	var w Walk
	if err := w.Start(key, version, len(body)); err != nil {
		return err
	}
	if err := w.Next(body); err != nil {
		return err
	}
	return w.End()
}

// Walk is the check of one body at a time, that comes in pieces of any size. The
// zero value is ready for [Walk.Start]. It is not safe for concurrent use.
type Walk struct {
	request  *request
	version  int16
	flexible bool

	left           int // bytes of the body that are not spoken for
	skip           int // bytes to pass over, which come next
	elements, tags int // how many more there may be

	levels   []level // what is being read, innermost last
	field    *field  // the one being read, nil for tags
	nullable bool    // it may be null
	number   number  // what is read of it, or of the tags
}

// level is a structure, several of a kind in an array, or values of a field.
type level struct {
	fields  []field // of a structure
	next    int     // field
	counted bool    // the tags after the fields were
	tags    int     // still to come
	key     uint32  // of the tag whose size is being read

	value *field // in place of a structure

	more    int   // elements still to come, without the one that is being read
	tag     bool  // it is what a tag holds
	floor   int   // of Walk.left: the bytes below are not the tag's
	version int16 // whose fields are read
}

// Start begins the check of a request whose body has a number of bytes, see [Check].
// It is an error when Apache Kafka has no such request in the version or a later one.
// Of ApiVersions any version will do, because all are answered (KIP-511).
func (w *Walk) Start(key kmsg.Key, version int16, size int) error {
	if key < 0 || int(key) >= len(requestOf) || requestOf[key].name == "" {
		return fmt.Errorf("no such request: key %d", key)
	}
	r := &requestOf[key]
	if version < 0 || version > r.last && key != kmsg.ApiVersions {
		return fmt.Errorf("no such request: %s v%d", r.name, version)
	}
	*w = Walk{
		request: r, version: version, flexible: version >= r.flexible,
		left: size, elements: MaxElements, tags: MaxTags, levels: w.levels[:0],
	}
	w.levels = append(w.levels, level{fields: r.fields, version: version})
	if w.flexible {
		w.enter(level{}) // the header's tags
	}
	return nil
}

// Next looks at the bytes that come next, which it does not keep. After an error
// only Start may be called. Bytes after the last field are allowed, as Kafka does.
func (w *Walk) Next(p []byte) error {
	for {
		n := min(w.skip, len(p))
		w.skip -= n
		p = p[n:]
		switch {
		case w.skip > 0 || len(p) == 0 && w.number.open:
			return nil
		case w.number.open:
			if err := w.digit(p[0]); err != nil {
				return w.wrong(err)
			}
			p = p[1:]
		case len(w.levels) == 0:
			return nil
		default:
			if err := w.step(); err != nil {
				return w.wrong(err)
			}
		}
	}
}

// End is to be called after the last bytes.
func (w *Walk) End() error {
	if err := w.Next(nil); err != nil {
		return err
	}
	if w.skip > 0 || w.number.open || len(w.levels) > 0 {
		return w.wrong(errEnds)
	}
	return nil
}

// wrong says where an error is.
func (w *Walk) wrong(err error) error {
	where := "tags"
	if w.field != nil {
		where = w.field.name
	}
	return fmt.Errorf("%s v%d: %s: %w", w.request.name, w.version, where, err)
}

// step begins what comes next.
func (w *Walk) step() error {
	l := w.level()
	switch {
	case l.value != nil && l.more > 0:
		l.more--
		if l.tag {
			return w.begin(l.value)
		}
		return w.beginOne(l.value, false)
	case l.next < len(l.fields):
		return w.fields(l)
	case l.value == nil && w.flexible && !l.counted:
		l.counted = true
		w.field = nil
		return w.read(tagCount, compact)
	case l.tags > 0:
		l.tags--
		w.field = nil
		return w.read(tagKey, compact)
	case l.more > 0:
		l.more--
		l.next, l.counted = 0, false
		return nil
	}
	if l.tag {
		w.skip, w.left = w.left-l.floor, l.floor
	}
	w.levels = w.levels[:len(w.levels)-1]
	return nil
}

// fields passes over fields of a fixed size, all that follow one another, or begins
// another one.
func (w *Walk) fields(l *level) error {
	n := 0
	for l.next < len(l.fields) {
		f := &l.fields[l.next]
		plain := f.kind == fixed && !f.array
		switch {
		case f.tagged || !f.in(l.version):
		case plain:
			w.field = f
			n += f.size
		case n == 0:
			l.next++
			return w.begin(f)
		default:
			return w.pass(n)
		}
		l.next++
	}
	return w.pass(n)
}

// begin begins to read a field.
func (w *Walk) begin(f *field) error {
	if !f.array {
		return w.beginOne(f, f.null(w.level().version))
	}
	w.field, w.nullable = f, f.null(w.level().version)
	if w.flexible {
		return w.read(count, compact)
	}
	return w.read(count, 4)
}

// beginOne begins to read a field that is no array, or an element of one.
func (w *Walk) beginOne(f *field, nullable bool) error {
	w.field, w.nullable = f, nullable
	switch {
	case f.kind == fixed:
		return w.pass(f.size)
	case f.kind == structure && nullable:
		return w.read(presence, 1)
	case f.kind == structure:
		w.enter(level{fields: f.of})
		return nil
	case w.flexible:
		return w.read(length, compact)
	case f.kind == text:
		return w.read(length, 2)
	}
	return w.read(length, 4)
}

// take goes on with a number that was read.
func (w *Walk) take(m meaning, v int) error {
	l := w.level()
	switch m {
	case presence:
		if v < -1 {
			return fmt.Errorf("%d says neither that it is there nor that it is not", v)
		}
		if v >= 0 {
			w.enter(level{fields: w.field.of})
		}
		return nil
	case length:
		if v < 0 {
			return w.null()
		}
		if w.field.kind == text && v > math.MaxInt16 {
			return fmt.Errorf("string of %d bytes", v)
		}
		return w.pass(v)
	case count:
		if v < 0 {
			return w.null()
		}
		return w.array(v)
	case tagCount:
		const smallest = 2 // a key and a size
		if v > w.room()/smallest {
			return fmt.Errorf("of %d tags: %w", v, errEnds)
		}
		if w.tags -= v; w.tags < 0 {
			return fmt.Errorf("more than %d in one request", MaxTags)
		}
		l.tags = v
		return nil
	case tagKey:
		l.key = uint32(v)
		return w.read(tagSize, compact)
	}
	return w.tag(l, v)
}

func (w *Walk) null() error {
	if !w.nullable {
		return errors.New("is null")
	}
	return nil
}

// array begins the elements of the field.
func (w *Walk) array(elements int) error {
	f := w.field
	if f.kind == fixed {
		if elements > w.room()/f.size {
			return fmt.Errorf("of %d elements: %w", elements, errEnds)
		}
		return w.pass(elements * f.size)
	}
	if elements > w.room() { // none takes less than a byte
		return fmt.Errorf("of %d elements: %w", elements, errEnds)
	}
	if w.elements -= elements; w.elements < 0 {
		return fmt.Errorf("more than %d elements in one request", MaxElements)
	}
	switch {
	case f.kind != structure:
		w.enter(level{value: f, more: elements})
	case elements > 0:
		w.enter(level{fields: f.of, more: elements - 1})
	}
	return nil
}

// tag begins what a tag of a level holds. What is not known passes; what is known is
// so in versions before its own too, because there are decoders that do not ask.
func (w *Walk) tag(l *level, size int) error {
	if size > w.room() {
		return fmt.Errorf("of %d bytes: %w", size, errEnds)
	}
	for i := range l.fields {
		if f := &l.fields[i]; f.tagged && f.tag == l.key {
			w.enter(level{value: f, more: 1, tag: true, floor: w.left - size, version: max(l.version, f.first)})
			return nil
		}
	}
	return w.pass(size)
}

func (w *Walk) level() *level { return &w.levels[len(w.levels)-1] }

// enter begins a level. But for that of a tag it is within the one that is present.
func (w *Walk) enter(l level) {
	if !l.tag {
		l.floor, l.version = w.level().floor, w.level().version
	}
	w.levels = append(w.levels, l)
}

// room is how many bytes there are for the present level.
func (w *Walk) room() int { return w.left - w.level().floor }

// pass passes over bytes.
func (w *Walk) pass(n int) error {
	if n > w.room() {
		return fmt.Errorf("of %d bytes: %w", n, errEnds)
	}
	w.left -= n
	w.skip = n
	return nil
}
