package shape_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire/shape"
)

// eachRequest calls f with every version of every request that is both decoded and
// checked, and fails when those are few.
func eachRequest(tb testing.TB, f func(key kmsg.Key, version int16)) {
	tb.Helper()
	n := 0
	for key := range kmsg.Key(kmsg.MaxKey + 1) {
		req := kmsg.RequestForKey(key.Int16())
		if req == nil {
			continue
		}
		for v := range req.MaxVersion() + 1 {
			if new(shape.Walk).Start(key, v, 0) == nil {
				f(key, v)
				n++
			}
		}
	}
	if n < 300 {
		tb.Errorf("only %d versions of requests are known", n)
	}
}

// random is a well-formed body with values that make no sense.
func random(key kmsg.Key, version int16, seed uint64) []byte {
	req := kmsg.RequestForKey(key.Int16())
	filler{rand.New(rand.NewPCG(seed, uint64(version)))}.fill(reflect.ValueOf(req).Elem())
	req.SetVersion(version)
	var body []byte
	if req.IsFlexible() {
		body = append(body, 1, 7, 2, 'x', 'y') // the header's tags
	}
	return req.AppendTo(body)
}

// decode is what a broker does with a body.
func decode(key kmsg.Key, version int16, body []byte) error {
	req := kmsg.RequestForKey(key.Int16())
	req.SetVersion(version)
	r := kbin.Reader{Src: body}
	if req.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	return req.ReadFrom(r.Src)
}

// pieces is Check of a body that comes in pieces.
func pieces(key kmsg.Key, version int16, body []byte, size int) error {
	var w shape.Walk
	if err := w.Start(key, version, len(body)); err != nil {
		return err
	}
	for len(body) > 0 {
		n := min(size, len(body))
		if err := w.Next(body[:n]); err != nil {
			return err
		}
		body = body[n:]
	}
	return w.End()
}

// The table is Kafka's, and decoders have another one: that every last byte is
// needed shows that they are the same.
func TestCheck_takesWhatIsWellFormed(t *testing.T) {
	eachRequest(t, func(key kmsg.Key, version int16) {
		for seed := range uint64(100) {
			body := random(key, version, seed)
			if err := shape.Check(key, version, body); err != nil {
				t.Errorf("%s v%d is refused: %v: %x", key.Name(), version, err, body)
				return
			}
			if err := shape.Check(key, version, append(slices.Clip(body), "more"...)); err != nil {
				t.Errorf("%s v%d is refused with bytes behind it: %v", key.Name(), version, err)
				return
			}
			if len(body) > 0 && shape.Check(key, version, body[:len(body)-1]) == nil {
				t.Errorf("%s v%d passes without its last byte: %x", key.Name(), version, body)
				return
			}
			if err := pieces(key, version, body, 1); err != nil {
				t.Errorf("%s v%d is refused byte by byte: %v", key.Name(), version, err)
				return
			}
		}
	})
}

func TestCheck_refusesCountsThatAreNotThere(t *testing.T) {
	empty := func(n int) []byte { return make([]byte, n) }
	varint := binary.AppendUvarint
	for name, c := range map[string]struct {
		key     kmsg.Key
		version int16
		body    []byte
	}{
		"tags":                      {kmsg.Metadata, 9, append([]byte{0, 0, 0, 0, 0}, varint(nil, 1<<28)...)},
		"tags of the header":        {kmsg.Metadata, 9, varint(nil, 1<<28)},
		"tags of an element":        {kmsg.Metadata, 9, append([]byte{0, 2, 1}, varint(nil, 1<<28)...)},
		"tags in a tag":             {kmsg.Fetch, 15, fetchWithTag(1, append(make([]byte, 12), varint(nil, 1<<28)...))},
		"tags beyond their tag":     {kmsg.Fetch, 15, append(fetchWithTag(1, append(make([]byte, 12), 1, 9, 3)), 1, 2, 3)},
		"size of a tag":             {kmsg.Metadata, 9, []byte{0, 0, 0, 0, 0, 1, 0, 100}},
		"an array":                  {kmsg.Metadata, 1, []byte{0x7f, 0xff, 0xff, 0xff}},
		"an array, compact":         {kmsg.Metadata, 9, append([]byte{0}, varint(nil, 1<<28)...)},
		"an array that is null":     {kmsg.Produce, 3, []byte{0xff, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}},
		"an array of numbers":       {kmsg.DescribeLogDirs, 0, append([]byte{0, 0, 0, 1, 0, 1, 'x', 0x7f, 0xff, 0xff, 0xff}, empty(100)...)},
		"an array as long as it is": {kmsg.Metadata, 1, append([]byte{0, 0, 0, 100}, empty(100)...)},
		"a string":                  {kmsg.Metadata, 1, []byte{0, 0, 0, 1, 0x7f, 0xff}},
		"a string that is null":     {kmsg.Metadata, 1, []byte{0, 0, 0, 1, 0xff, 0xff}},
		"a string that is too long": {kmsg.Metadata, 9, append([]byte{0, 2, 0x81, 0x80, 0x02}, empty(1<<15+10)...)},
		"bytes":                     {kmsg.SASLAuthenticate, 0, []byte{0x7f, 0xff, 0xff, 0xff}},
		"records":                   {kmsg.Produce, 3, []byte{0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0}},
		"a compact number":          {kmsg.Metadata, 9, []byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		"half a number":             {kmsg.Metadata, 9, []byte{0, 0xff}},
		"nothing":                   {kmsg.Metadata, 9, nil},
		"more than Kafka has":       {kmsg.Metadata, 99, empty(100)},
		"an API that is gone":       {kmsg.LeaderAndISR, 0, empty(100)},
		"an API that is not known":  {kmsg.Key(1000), 0, empty(100)},
		"too many structures":       {kmsg.Metadata, 9, append(varint([]byte{0}, shape.MaxElements+2), bytes.Repeat([]byte{1, 0}, 2*shape.MaxElements)...)},
		"too many strings":          {kmsg.DescribeGroups, 5, append(varint([]byte{0}, shape.MaxElements+2), bytes.Repeat([]byte{1}, 2*shape.MaxElements)...)},
		"too many tags":             {kmsg.Metadata, 9, append(varint([]byte{0, 0, 0, 0, 0}, shape.MaxTags+1), empty(1<<20)...)},
	} {
		t.Run(name, func(t *testing.T) {
			if shape.Check(c.key, c.version, c.body) == nil {
				t.Error("it passes")
			}
			if pieces(c.key, c.version, c.body, 3) == nil {
				t.Error("it passes in pieces")
			}
		})
	}
}

// fetchWithTag is an empty Fetch v15 with a tag.
func fetchWithTag(key byte, value []byte) []byte {
	req := kmsg.NewPtrFetchRequest()
	req.Version = 15
	body := req.AppendTo([]byte{0})
	body = append(body[:len(body)-1], 1, key, byte(len(value)))
	return append(body, value...)
}

func TestCheck_takesAnyVersionOfApiVersions(t *testing.T) {
	if err := shape.Check(kmsg.ApiVersions, 99, []byte{0, 2, 'x', 2, 'y', 0, 0, 0, 0, 1, 0}); err != nil {
		t.Error(err)
	}
}

// What the most elements and tags take that a request may have is in proportion to
// the 100 MiB that a request itself may have.
func TestMaxElements_takeBoundedMemory(t *testing.T) {
	var largest uintptr
	eachRequest(t, func(key kmsg.Key, _ int16) {
		largest = max(largest, largestElement(reflect.TypeOf(kmsg.RequestForKey(key.Int16())).Elem()))
	})
	if largest == 0 || largest*shape.MaxElements > 200<<20 {
		t.Errorf("%d elements of up to %d bytes", shape.MaxElements, largest)
	}
	tags := binary.AppendUvarint([]byte{0}, shape.MaxTags/4+1)
	tags = append(tags, bytes.Repeat([]byte{1, 4, 9, 0, 8, 0, 7, 0, 6, 0}, shape.MaxTags/4)...)
	tags = append(tags, 0, 0, 0, 0)
	if err := shape.Check(kmsg.Metadata, 9, tags); err != nil {
		t.Fatal(err)
	}
	if used := allocated(func() { _ = decode(kmsg.Metadata, 9, tags) }); used > 100<<20 {
		t.Errorf("%d tags take %d MiB", shape.MaxTags, used>>20)
	}
}

func largestElement(t reflect.Type) (largest uintptr) {
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			largest = t.Elem().Size()
		}
		return max(largest, largestElement(t.Elem()))
	case reflect.Pointer:
		return largestElement(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			largest = max(largest, largestElement(t.Field(i).Type))
		}
	}
	return largest
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzCheck holds the check against the decoder: what passes is decoded to its end.
// Then every number was followed by what it announced, and what it takes to decode
// is in proportion to what was sent.
func FuzzCheck(f *testing.F) {
	eachRequest(f, func(key kmsg.Key, version int16) {
		body := random(key, version, 1)
		f.Add(key.Int16(), version, body)
		f.Add(key.Int16(), version, body[:len(body)/2])
		f.Add(key.Int16(), version, binary.AppendUvarint(slices.Clone(body[:max(len(body)-1, 0)]), 1<<28))
	})
	f.Fuzz(func(t *testing.T, k, version int16, body []byte) {
		key := kmsg.Key(k)
		if kmsg.RequestForKey(k) == nil {
			return
		}
		err := shape.Check(key, version, body)
		for _, size := range []int{1, 5} {
			if in := pieces(key, version, body, size); fmt.Sprint(in) != fmt.Sprint(err) {
				t.Errorf("%v, and in pieces %v", err, in)
			}
		}
		if err != nil || version > kmsg.RequestForKey(k).MaxVersion() { // the decoder takes what it does not know for what it knows
			return
		}
		var decoded error
		used := allocated(func() { decoded = decode(key, version, body) })
		if decoded != nil {
			t.Errorf("%s v%d passes and is not decoded: %v", key.Name(), version, decoded)
		}
		const some, each = 64 << 10, 512
		if used > uint64(some+each*len(body)) {
			t.Errorf("%d bytes take %d to decode", len(body), used)
		}
	})
}

// filler fills requests with values of the right type.
type filler struct{ *rand.Rand }

func (s filler) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); v.Type().Field(i).Name == "UnknownTags" {
				s.tag(f.Addr().Interface().(*kmsg.Tags))
			} else if f.CanSet() {
				s.fill(f)
			}
		}
	case reflect.Pointer:
		if s.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			s.fill(v.Elem())
		}
	case reflect.Slice:
		n := s.IntN(4)
		if n == 3 && s.IntN(4) == 0 {
			return // null, where it may be
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			s.fill(v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			s.fill(v.Index(i))
		}
	case reflect.String:
		v.SetString("abcdefgh"[:s.IntN(9)])
	case reflect.Bool:
		v.SetBool(s.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(s.Int64() >> (64 - v.Type().Bits()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(s.IntN(256)))
	case reflect.Float64:
		v.SetFloat(s.NormFloat64())
	}
}

// tag adds one that nobody knows, now and then.
func (s filler) tag(tags *kmsg.Tags) {
	const beyondKnown = 100
	if s.IntN(4) == 0 {
		tags.Set(uint32(beyondKnown+s.IntN(1000)), make([]byte, s.IntN(300)))
	}
}
