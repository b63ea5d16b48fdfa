package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// message is a definition of a request, as Kafka has it in a file of JSON with
// comments.
type message struct {
	Key      int16  `json:"apiKey"`
	Name     string `json:"name"`
	Valid    string `json:"validVersions"`
	Flexible string `json:"flexibleVersions"`
	Fields   []field
	Common   []structure `json:"commonStructs"`
}

// structure is one that several fields are of.
type structure struct {
	Name   string
	Fields []field
}

// field is a field of a request or of a structure in it.
type field struct {
	Name     string
	Type     string
	Versions string
	Nullable string `json:"nullableVersions"`
	Tagged   string `json:"taggedVersions"`
	Tag      *int
	Flexible string `json:"flexibleVersions"`
	Fields   []field
}

// A comment takes the rest of a line. In strings, which may hold two slashes, it
// is none.
var comment = regexp.MustCompile(`("(?:[^"\\]|\\.)*")|//[^\n]*`)

// definitions reads those of all requests that clients or brokers have ever sent
// to a broker of this version, by their keys.
func definitions(jars, version string) ([]message, error) {
	jar := filepath.Join(jars, "kafka-clients-"+version+".jar")
	r, err := zip.OpenReader(jar)
	if err != nil {
		return nil, fmt.Errorf("opening Kafka's message definitions: %w", err)
	}
	defer func() { _ = r.Close() }() // only read
	var out []message
	for _, f := range r.File {
		if ok, _ := path.Match("common/message/*Request.json", f.Name); !ok { // the pattern is a good one
			continue
		}
		m, err := definition(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", jar, f.Name, err)
		}
		if m.Valid != "none" { // removed from Kafka
			out = append(out, m)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no message definitions", jar)
	}
	slices.SortFunc(out, func(a, b message) int { return cmp.Compare(a.Key, b.Key) })
	return out, nil
}

func definition(f *zip.File) (m message, err error) {
	r, err := f.Open()
	if err != nil {
		return m, err
	}
	defer func() { _ = r.Close() }() // only read
	b, err := io.ReadAll(r)
	if err != nil {
		return m, err
	}
	d := json.NewDecoder(bytes.NewReader(comment.ReplaceAll(b, []byte("$1"))))
	if err := d.Decode(&m); err != nil {
		return m, err
	}
	m.Name = strings.TrimSuffix(m.Name, "Request")
	for _, o := range others() {
		if o.key == m.Key {
			if m.Fields, err = o.addTo(m.Fields, o.in); err != nil {
				return m, err
			}
		}
	}
	return m, nil
}
