package harness

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// Values are the values of a topic's records, by partition and offset, as what
// adapter.DefaultSerializer made them of: []byte and string are what the record
// has, a T that is an encoding.BinaryMarshaler or else an encoding.TextMarshaler
// is read by its counterpart, and the rest is JSON. The null value of a
// tombstone is the nil of a T that has one. Where T has such methods on its
// pointer only, ask for the type that was published.
//
// A value that does not decode fails the test, with the record and the reason;
// so does a topic that does not exist. For what another serializer made there
// is ValuesBy.
func Values[T any](t Topic, filters ...Filter) []T {
	t.h.t.Helper()
	decode, err := decoder[T]()
	if err != nil {
		t.h.t.Fatalf("harness: values of topic %s: %v", t.name, err)
	}
	return ValuesBy(t, decode, filters...)
}

// ValuesBy is Values by a function of the test's own, which is given the whole
// record: to choose a type by a header, say.
func ValuesBy[T any](t Topic, decode func(Record) (T, error), filters ...Filter) []T {
	t.h.t.Helper()
	records := t.Records(filters...)
	out := make([]T, len(records))
	for i, r := range records {
		v, err := decode(r)
		if err != nil {
			t.h.t.Fatalf("harness: %s has no value of type %s: %v: %s", r, reflect.TypeFor[T](), err, excerpt(r.Value))
		}
		out[i] = v
	}
	return out
}

// excerpt is a value as a message shows it.
func excerpt(value []byte) string {
	const most = 200
	switch {
	case value == nil:
		return "null"
	case len(value) > most:
		return fmt.Sprintf("%q and %d bytes more", value[:most], len(value)-most)
	}
	return fmt.Sprintf("%q", value)
}

// decoder is how values of a type are read. A type that writes itself in a form
// of its own, and cannot read it, is refused.
func decoder[T any]() (func(Record) (T, error), error) {
	t := reflect.TypeFor[T]()
	pointer := t.Kind() == reflect.Pointer
	p := reflect.PointerTo(t) // which has the methods of t, too
	if pointer || t.Kind() == reflect.Interface {
		p = t
	}
	missing := func(method string) error {
		return fmt.Errorf("%s writes itself in a form of its own, and has no %s to be read by: use ValuesBy", t, method)
	}
	var read func(to any, value []byte) error
	switch {
	case t.Implements(reflect.TypeFor[encoding.BinaryMarshaler]()):
		if !p.Implements(reflect.TypeFor[encoding.BinaryUnmarshaler]()) {
			return nil, missing("UnmarshalBinary")
		}
		read = func(to any, value []byte) error { return to.(encoding.BinaryUnmarshaler).UnmarshalBinary(value) }
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		if !p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			return nil, missing("UnmarshalText")
		}
		read = func(to any, value []byte) error { return to.(encoding.TextUnmarshaler).UnmarshalText(value) }
	default:
		read, pointer = func(to any, value []byte) error { return json.Unmarshal(value, to) }, false
	}
	return func(r Record) (v T, err error) {
		if r.Value == nil {
			return v, tombstone(t)
		}
		switch to := any(&v).(type) {
		case *[]byte:
			*to = r.Value
			return v, nil
		case *string:
			*to = string(r.Value)
			return v, nil
		}
		to := any(&v)
		if pointer {
			reflect.ValueOf(to).Elem().Set(reflect.New(t.Elem()))
			to = v
		}
		return v, read(to, r.Value)
	}, nil
}

// tombstone refuses types that have no nil.
func tombstone(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return nil
	}
	return errors.New("it is a tombstone: leave those out by WithoutTombstones, or ask for pointers")
}
