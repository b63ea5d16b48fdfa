// Package report writes what happened in a test as one HTML page, which loads
// nothing and needs nobody to serve it.
package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Page is what a page shows. All text in it may be anybody's.
type Page struct {
	Test     string   `json:"test"`
	Outcome  string   `json:"outcome"` // passed, failed, skipped or panicked
	Clock    string   `json:"clock"`
	Failures []string `json:"-"` // what the harness said
	Text     string   `json:"-"` // the timeline, a line an event

	Fates       []Fate            `json:"fates"` // those worth a look first
	MoreFates   int               `json:"moreFates"`
	Events      []Event           `json:"events"` // in order
	LeftOut     int               `json:"leftOut"`
	LeftOutFrom int               `json:"leftOutFrom"` // the index of the event that follows what was left out
	Folds       []Fold            `json:"folds"`
	Records     map[string]Record `json:"records"` // by place, as far as they are known
}

// Event is one thing that happened.
type Event struct {
	At      time.Duration `json:"at"` // since the start, in nanoseconds
	Kind    string        `json:"kind"`
	Text    string        `json:"text"`
	Client  string        `json:"client,omitempty"` // whose doing it was
	Group   string        `json:"group,omitempty"`
	Lane    string        `json:"lane,omitempty"`    // the partition: topic[partition]
	Place   string        `json:"place,omitempty"`   // the record: topic[partition]@offset
	To      string        `json:"to,omitempty"`      // the record that it became
	ToLane  string        `json:"toLane,omitempty"`  // the partition of that
	Cause   string        `json:"cause,omitempty"`   // the record for which it was published
	Outcome string        `json:"outcome,omitempty"` // of a handler: commit, retry or reject
}

// Fold is a run of events that say the same of different records.
type Fold struct {
	First  int `json:"first"`  // index of its first event
	Period int `json:"period"` // how many events are repeated
	Times  int `json:"times"`
}

// Fate is a line of the table of fates.
type Fate struct {
	Place      string `json:"place"`
	Group      string `json:"group"`
	Kind       string `json:"kind"`
	Attempts   int    `json:"attempts"`
	Deliveries int    `json:"deliveries"`
	Err        string `json:"err,omitempty"`
	Text       string `json:"text"`
	Look       bool   `json:"look"` // it did not simply succeed
}

// Record is what a record holds, as text.
type Record struct {
	Key     *string     `json:"key"` // nil is null
	Value   *string     `json:"value"`
	Headers [][2]string `json:"headers,omitempty"`
}

var (
	//go:embed page.html
	markup string
	//go:embed page.css
	style string
	//go:embed page.js
	script string
)

// Render makes the page.
func Render(p Page) ([]byte, error) {
	t, err := template.New("page").Parse(markup)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, struct {
		Page
		Style  template.CSS
		Script template.JS
		Policy string
	}{
		p, template.CSS(style), template.JS(script), //nolint:gosec // the package's own files
		"default-src 'none'; img-src data:; style-src " + digest(style) + "; script-src " + digest(script),
	})
	return out.Bytes(), err
}

// digest is how a content security policy names what may run.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Write writes the page of a test into a folder, which is made if need be, in
// place of the one of an earlier run. An error says what to do.
func Write(dir string, p Page) (path string, err error) {
	html, err := Render(p)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make the folder of the pages, set HARNESS_REPORT to another: %w", err)
	}
	path = filepath.Join(dir, FileName(p.Test))
	f, err := os.CreateTemp(dir, ".page-*")
	if err != nil {
		return "", fmt.Errorf("cannot write into the folder of the pages, set HARNESS_REPORT to another: %w", err)
	}
	_, err = f.Write(html)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644) //nolint:gosec // for whoever reads test results
	}
	if err == nil {
		err = os.Rename(f.Name(), path) // so that nobody reads half a page
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("cannot write the page of the test: %w", err)
	}
	return path, nil
}

const maxName = 120

// FileName is the name of a test's page: letters, digits and few other
// characters, the same for the same test and another for another.
func FileName(test string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		case r == '/':
			return '.'
		}
		return '_'
	}, test)
	name = strings.TrimLeft(name, ".")
	if plain := strings.ReplaceAll(test, "/", "."); name != plain || strings.Contains(test, ".") || len(name) > maxName || name == "" {
		sum := sha256.Sum256([]byte(test))
		name = name[:min(len(name), maxName)] + "-" + hex.EncodeToString(sum[:4])
	}
	return name + ".html"
}
