package clients_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table in fakebroker/README.md")

// table is what became of each cell, by client.
type table map[string]map[string]string

const (
	readme     = "../../fakebroker/README.md"
	tableBegin = "<!-- clients: made by go test ./clients -update in integration -->\n"
	tableEnd   = "<!-- end of clients -->\n"
)

// checkTable holds the README to what was found, or writes it. Columns of clients
// that were not run stay as they are.
func checkTable(t *testing.T, found table) {
	t.Helper()
	text, err := os.ReadFile(readme)
	noError(t, err)
	before, rest, ok := bytes.Cut(text, []byte(tableBegin))
	old, after, ok2 := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !ok2 {
		t.Fatalf("%s has no lines %q and %q to put the table between", readme, tableBegin, tableEnd)
	}
	whole := parseTable(string(old))
	maps.Copy(whole, found)
	want := whole.String()
	switch {
	case want == string(old):
	case *update:
		noError(t, os.WriteFile(readme, slices.Concat(before, []byte(tableBegin), []byte(want), []byte(tableEnd), after), 0o644))
	default:
		t.Errorf("the table in %s is not what was found: run this with -update. It would be:\n%s", readme, want)
	}
}

// String is the table in Markdown, a part for each suite, reasons of differences
// below.
func (tb table) String() string {
	var b strings.Builder
	var notes []string
	for _, s := range suites {
		row := func(first string, of func(client string) string) {
			b.WriteString("| " + first + " |")
			for _, c := range s.clients {
				b.WriteString(" " + of(c) + " |")
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
		row(heading, func(c string) string { return c })
		row("---", func(string) string { return "---" })
		for _, cell := range s.cells {
			row(cell, func(c string) string {
				said := tb[c][cell]
				reason, differs := strings.CutPrefix(said, differsAs)
				if !differs {
					return said
				}
				i := slices.Index(notes, reason)
				if i < 0 {
					i = len(notes)
					notes = append(notes, reason)
				}
				return fmt.Sprintf("differs (%d)", i+1)
			})
		}
	}
	b.WriteString("\n")
	for i, n := range notes {
		fmt.Fprintf(&b, "%d. %s\n", i+1, n)
	}
	if len(notes) > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

const (
	heading   = "cell"      // above the names of cells
	differsAs = "differs: " // what the table has of a difference before its reason
)

// parseTable reads what String wrote.
func parseTable(text string) table {
	notes := make(map[string]string)
	for line := range strings.Lines(text) {
		if n, reason, ok := strings.Cut(strings.TrimSpace(line), ". "); ok && !strings.HasPrefix(line, "|") {
			notes["differs ("+n+")"] = differsAs + reason
		}
	}
	tb := make(table)
	var columns []string
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if fields[0] == heading {
			columns = fields
		}
		if fields[0] == heading || strings.HasPrefix(fields[0], "---") {
			continue
		}
		for i := 1; i < len(fields) && i < len(columns); i++ {
			said := fields[i]
			if said == "" {
				continue
			}
			if reason, ok := notes[said]; ok {
				said = reason
			}
			if tb[columns[i]] == nil {
				tb[columns[i]] = make(map[string]string)
			}
			tb[columns[i]][fields[0]] = said
		}
	}
	return tb
}

func TestTable_isReadAsItIsWritten(t *testing.T) {
	tb := table{
		clients[0]:   {cells[0]: "as Kafka", cells[1]: "differs: another reason", cells[2]: notOffered},
		clients[1]:   {cells[0]: "differs: a reason", cells[1]: "differs: another reason"},
		"java-tools": {toolCells[0]: "as Kafka", toolCells[1]: "differs: a reason"},
	}
	text := tb.String()
	if got := parseTable(text); !maps.EqualFunc(got, tb, maps.Equal) || got.String() != text {
		t.Fatalf("read %v from\n%s", got, text)
	}
}
