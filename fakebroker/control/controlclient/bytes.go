package controlclient

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// In JSON bytes are text where they are UTF-8, and base64 in a field of another
// name where they are not: "key" or "key_base64". Whoever writes may also give
// any JSON as key or value, which is then written as it stands.

// keyValue is the form of a key and a value.
type keyValue struct {
	Key         json.RawMessage `json:"key,omitempty"`
	KeyBase64   *string         `json:"key_base64,omitempty"`
	Value       json.RawMessage `json:"value,omitempty"`
	ValueBase64 *string         `json:"value_base64,omitempty"`
}

func asKeyValue(key, value []byte) (kv keyValue) {
	kv.Key, kv.KeyBase64 = asJSON(key)
	kv.Value, kv.ValueBase64 = asJSON(value)
	return kv
}

func asJSON(b []byte) (text json.RawMessage, encoded *string) {
	if b == nil {
		return json.RawMessage("null"), nil
	}
	if !utf8.Valid(b) {
		s := base64.StdEncoding.EncodeToString(b)
		return nil, &s
	}
	text, _ = json.Marshal(string(b)) // a string is JSON
	return text, nil
}

func (kv keyValue) key() ([]byte, error)   { return fromJSON("key", kv.Key, kv.KeyBase64) }
func (kv keyValue) value() ([]byte, error) { return fromJSON("value", kv.Value, kv.ValueBase64) }

func fromJSON(field string, text json.RawMessage, encoded *string) ([]byte, error) {
	if encoded != nil {
		if text != nil {
			return nil, &FieldError{field, errors.New("is there as " + field + " and as " + field + "_base64; leave one out")}
		}
		b, err := base64.StdEncoding.DecodeString(*encoded)
		if err != nil {
			return nil, &FieldError{field + "_base64", err}
		}
		return b, nil
	}
	if text == nil || string(text) == "null" {
		return nil, nil
	}
	var s string
	if text[0] == '"' && json.Unmarshal(text, &s) == nil {
		return []byte(s), nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return nil, &FieldError{field, err}
	}
	return compact.Bytes(), nil
}

// FieldError says which field of what was sent is wrong.
type FieldError struct {
	Field string
	Err   error
}

// Error names the field.
func (e *FieldError) Error() string { return fmt.Sprintf("%s: %v", e.Field, e.Err) }

// Unwrap gives the cause.
func (e *FieldError) Unwrap() error { return e.Err }

type recordJSON struct {
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Timestamp time.Time `json:"timestamp"`
	keyValue
	Headers []Header `json:"headers"`
}

// MarshalJSON writes key and value as text or base64.
func (r Record) MarshalJSON() ([]byte, error) {
	out := recordJSON{r.Partition, r.Offset, r.Timestamp, asKeyValue(r.Key, r.Value), r.Headers}
	if out.Headers == nil {
		out.Headers = []Header{}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads key and value from text or base64.
func (r *Record) UnmarshalJSON(b []byte) (err error) {
	var in recordJSON
	if err := strictly(b, &in); err != nil {
		return err
	}
	*r = Record{Partition: in.Partition, Offset: in.Offset, Timestamp: in.Timestamp, Headers: in.Headers}
	if r.Key, err = in.key(); err != nil {
		return err
	}
	r.Value, err = in.value()
	return err
}

type newRecordJSON struct {
	keyValue
	Headers   []Header   `json:"headers,omitempty"`
	Partition *int32     `json:"partition,omitempty"`
	Timestamp *time.Time `json:"timestamp,omitempty"`
}

// MarshalJSON writes key and value as text or base64.
func (r NewRecord) MarshalJSON() ([]byte, error) {
	out := newRecordJSON{keyValue: asKeyValue(r.Key, r.Value), Headers: r.Headers, Partition: r.Partition}
	if !r.Timestamp.IsZero() {
		out.Timestamp = &r.Timestamp
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads key and value from text, base64 or any JSON.
func (r *NewRecord) UnmarshalJSON(b []byte) (err error) {
	var in newRecordJSON
	if err := strictly(b, &in); err != nil {
		return err
	}
	*r = NewRecord{Headers: in.Headers, Partition: in.Partition}
	if in.Timestamp != nil {
		r.Timestamp = *in.Timestamp
	}
	if r.Key, err = in.key(); err != nil {
		return err
	}
	r.Value, err = in.value()
	return err
}

type headerJSON struct {
	Key         *string         `json:"key"`
	Value       json.RawMessage `json:"value,omitempty"`
	ValueBase64 *string         `json:"value_base64,omitempty"`
}

// MarshalJSON writes the value as text or base64.
func (h Header) MarshalJSON() ([]byte, error) {
	out := headerJSON{Key: &h.Key}
	out.Value, out.ValueBase64 = asJSON(h.Value)
	return json.Marshal(out)
}

// UnmarshalJSON reads the value from text, base64 or any JSON.
func (h *Header) UnmarshalJSON(b []byte) (err error) {
	var in headerJSON
	if err := strictly(b, &in); err != nil {
		return err
	}
	if in.Key == nil {
		return &FieldError{"headers.key", errors.New("is missing")}
	}
	h.Key = *in.Key
	h.Value, err = fromJSON("headers.value", in.Value, in.ValueBase64)
	return err
}

func strictly(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
