package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// updateVariable makes golden files be written.
const updateVariable = "HARNESS_UPDATE"

// Golden says how topics are compared with a golden file. The zero value works.
//
// What differs from run to run is masked: times in RFC 3339 become <time>,
// UUIDs become <uuid-1>, <uuid-2> and so on, the same one the same everywhere
// in the file, and integers that are Unix milliseconds of the years 2000 to 2099
// become <ms>. The timestamps of records are left out. JSON is indented, and
// so compared without its white space; what is no text is shown in hexadecimal.
type Golden struct {
	// Fields are members of JSON objects, at any depth, and headers: each
	// value of one becomes <NAME>.
	Fields []string
	// Maskers mask more, line by line, before the masks above do.
	Maskers []Masker
	// Unmasked leaves times, UUIDs and milliseconds as they are.
	Unmasked bool
	// ByKey orders records by their key, and leaves partitions and offsets
	// out: for topics where several handlers' records come as they come, or
	// where keys are made anew in each run. Records with the same key keep
	// their order; those without one are ordered by what they are.
	ByKey bool
	// Filters choose the records.
	Filters []Filter
}

// Masker replaces, in a line of a golden file, what differs from run to run. The
// line has no line break. It must give the same for the same line.
type Masker func(line string) string

// MaskPattern replaces what matches a regular expression, as
// regexp.ReplaceAllString does. A pattern that is none panics.
func MaskPattern(pattern, with string) Masker {
	re, err := regexp.Compile(pattern)
	if err != nil {
		panic(fmt.Sprintf("harness: mask %q: %v", pattern, err))
	}
	return func(line string) string { return re.ReplaceAllString(line, with) }
}

// Golden compares topics with testdata/NAME.golden, as Golden.Compare does with
// no settings.
func (h *Harness) Golden(name string, topics ...string) {
	h.t.Helper()
	Golden{}.Compare(h, name, topics...)
}

// Compare compares the records of topics, none means all there are, with the
// file testdata/NAME.golden, and fails the test with the difference. The test
// goes on. Records are ordered by topic, partition and offset. Line ends of the
// file may be those of Windows.
//
// With HARNESS_UPDATE=1 in the environment the file is written instead, unless
// the test has failed already. Without, nothing ever is.
func (g Golden) Compare(h *Harness, name string, topics ...string) {
	h.t.Helper()
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, `\:`) {
		h.t.Fatalf("harness: golden file %q: use a name, or a path below testdata with slashes", name)
	}
	update, err := updating()
	if err != nil {
		h.t.Fatalf("harness: %v", err)
	}
	path := filepath.Join("testdata", filepath.FromSlash(name)+".golden")
	if len(topics) == 0 {
		for _, t := range h.broker.Topics() {
			topics = append(topics, t.Name)
		}
	}
	got := g.text(h, topics)
	file, err := os.ReadFile(path)
	want := strings.ReplaceAll(string(file), "\r\n", "\n")
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		h.t.Fatalf("harness: golden file: %v", err)
	case !missing && want == got:
	case update && h.t.Failed():
		h.t.Logf("harness: %s is not written: the test has failed already", path)
	case update:
		if err := write(path, got); err != nil {
			h.t.Fatalf("harness: golden file: %v", err)
		}
		h.t.Logf("harness: %s is written", path)
	case missing:
		h.t.Errorf("harness: there is no %s: make it with\n\t%s\nand look at what is in it. Now that would be:\n%s", path, h.updateCommand(), shorten(got))
	default:
		h.t.Errorf("harness: what is in %s differs from %s (-file +test):\n%sif that is meant:\n\t%s", strings.Join(topics, ", "), path, difference(want, got), h.updateCommand())
	}
}

// updating reports whether golden files are to be written.
func updating() (bool, error) {
	v := os.Getenv(updateVariable)
	if v == "" {
		return false, nil
	}
	update, err := strconv.ParseBool(v)
	if err != nil {
		return false, fmt.Errorf("%s=%q: use 1 to have golden files written, and leave it unset if not", updateVariable, v)
	}
	return update, nil
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// updateCommand writes the golden files of this test.
func (h *Harness) updateCommand() string {
	var pattern []string
	for part := range strings.SplitSeq(h.t.Name(), "/") {
		pattern = append(pattern, "^"+strings.ReplaceAll(regexp.QuoteMeta(part), "'", ".")+"$")
	}
	return fmt.Sprintf("%s=1 go test -run '%s' .", updateVariable, strings.Join(pattern, "/"))
}

var hunk = regexp.MustCompile(`^@@ -\d+,\d+ \+(\d+),\d+ @@$`)

// difference is a unified diff. Each hunk says which record it begins in.
func difference(want, got string) string {
	all := strings.SplitAfter(got, "\n")
	var b strings.Builder
	for line := range strings.Lines(string(diff.Diff("file", []byte(want), "test", []byte(got)))) {
		switch at := hunk.FindStringSubmatch(strings.TrimSuffix(line, "\n")); {
		case strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
			continue
		case at != nil:
			first, _ := strconv.Atoi(at[1]) // digits
			line = strings.TrimSuffix(line, "\n") + title(all[:min(first, len(all))]) + "\n"
		}
		b.WriteString(line)
	}
	return shorten(b.String())
}

// title is the record that the last of some lines belongs to.
func title(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if l := strings.TrimSpace(lines[i]); l != "" && l[0] != '#' && lines[i][0] != '\t' {
			return " " + l
		}
	}
	return ""
}

// shorten keeps a failure readable.
func shorten(text string) string {
	const most = 200
	lines := strings.SplitAfter(text, "\n")
	if len(lines) <= most {
		return text
	}
	return strings.Join(lines[:most], "") + fmt.Sprintf("and %d lines more\n", len(lines)-1-most)
}
