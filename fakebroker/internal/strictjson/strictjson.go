// Package strictjson reads JSON objects of which every field counts: encoding/json
// takes the last of those that have the same name.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Member is a field of an object, with its value as it is written.
type Member struct {
	Name  string
	Value json.RawMessage
}

// DoubledError says that an object has a field twice.
type DoubledError struct{ Name string }

// Error names the field.
func (e *DoubledError) Error() string { return fmt.Sprintf("%q is there twice; give it once", e.Name) }

// ErrNoObject says that a value is JSON, and not an object.
var ErrNoObject = errors.New("this is not a JSON object")

// Members are the fields of an object, in its order. An error is a [DoubledError],
// [ErrNoObject], or says where the text is no JSON.
func Members(text []byte) ([]Member, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	var whole json.RawMessage
	if err := d.Decode(&whole); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	d = json.NewDecoder(bytes.NewReader(whole))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, ErrNoObject
	}
	var out []Member
	seen := make(map[string]bool)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := Member{Name: name.(string)} // of an object that was decoded before
		if err := d.Decode(&m.Value); err != nil {
			return nil, err
		}
		if seen[m.Name] {
			return nil, &DoubledError{m.Name}
		}
		seen[m.Name] = true
		out = append(out, m)
	}
	return out, nil
}
