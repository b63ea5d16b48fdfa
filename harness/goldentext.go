package harness

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"example.com/kafkatest/adapter"
)

// text is what a golden file of some topics has.
func (g Golden) text(h *Harness, topics []string) string {
	h.t.Helper()
	var b strings.Builder
	numbers := map[string]int{}
	for i, name := range topics {
		if i > 0 {
			b.WriteByte('\n')
		}
		records := h.Topic(name).Records(g.Filters...)
		if g.ByKey {
			fmt.Fprintf(&b, "# %s: %s\n", name, count(len(records), "record"))
		} else {
			fmt.Fprintf(&b, "# %s: %s, %s\n", name, count(len(h.Topic(name).partitions()), "partition"), count(len(records), "record"))
		}
		for _, lines := range g.ordered(records) {
			b.WriteByte('\n')
			for _, l := range lines {
				b.WriteString(number(l, numbers))
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}

// ordered are the masked lines of each record.
func (g Golden) ordered(records []Record) [][]string {
	var all [][]string
	if !g.ByKey {
		for _, r := range records {
			all = append(all, g.lines(r))
		}
		return all
	}
	groups := map[string][][]string{} // by key, and each without one on its own
	for i, r := range records {
		id := "with " + string(r.Key)
		if r.Key == nil {
			id = fmt.Sprint("without, ", i)
		}
		groups[id] = append(groups[id], g.lines(r))
	}
	sorted := make([][][]string, 0, len(groups))
	for _, group := range groups {
		sorted = append(sorted, group)
	}
	slices.SortFunc(sorted, func(x, y [][]string) int {
		return cmp.Or(cmp.Compare(anonymous(x[0][0]), anonymous(y[0][0])), cmp.Compare(anonymous(flat(x)), anonymous(flat(y))))
	})
	return slices.Concat(sorted...)
}

func flat(group [][]string) string { return strings.Join(slices.Concat(group...), "\n") }

// lines are a record's, masked, but for the numbers of UUIDs: the first says
// which it is, and the others begin with a tab.
func (g Golden) lines(r Record) []string {
	key := "without key"
	if r.Key != nil {
		key = strconv.Quote(string(r.Key))
	}
	first := fmt.Sprintf("%s %s", r, key)
	if g.ByKey {
		first = fmt.Sprintf("%s %s", r.Topic, key)
	}
	var rest []string
	for _, h := range r.Headers {
		rest = append(rest, g.header(h))
	}
	rest = append(rest, g.value(r.Value)...)
	lines := []string{g.mask(first)}
	for _, l := range rest {
		lines = append(lines, "\t"+g.mask(l))
	}
	return lines
}

var origin = regexp.MustCompile(`/\d+/\d+$`)

func (g Golden) header(h adapter.Header) string {
	value := strconv.Quote(string(h.Value))
	switch {
	case slices.Contains(g.Fields, h.Key):
		value = "<" + h.Key + ">"
	case h.Value == nil:
		value = "null"
	case g.ByKey && h.Key == adapter.HeaderID:
		value = strconv.Quote(origin.ReplaceAllString(string(h.Value), ""))
	}
	return fmt.Sprintf("header %s: %s", strconv.Quote(h.Key), value)
}

// value are the lines of a value. What is JSON, text and no text cannot be
// mistaken for each other.
func (g Golden) value(v []byte) []string {
	var indented bytes.Buffer
	switch {
	case v == nil:
		return []string{"null"}
	case !utf8.Valid(v):
		return strings.Split(strings.TrimSuffix(hex.Dump(v), "\n"), "\n")
	case isObject(v) && json.Indent(&indented, v, "", "\t") == nil:
		return maskFields(strings.Split(indented.String(), "\n"), g.Fields)
	}
	var lines []string
	for l := range strings.Lines(string(v)) {
		lines = append(lines, strconv.Quote(l))
	}
	if len(lines) == 0 {
		lines = []string{`""`}
	}
	return lines
}

// isObject reports whether a value is a JSON object or array, and not a number
// or a string, which are text as well.
func isObject(v []byte) bool {
	v = bytes.TrimSpace(v)
	return len(v) > 0 && (v[0] == '{' || v[0] == '[')
}

// maskFields masks members of the objects of indented JSON.
func maskFields(lines, fields []string) []string {
	var out []string
	for i := 0; i < len(lines); i++ {
		line := strings.TrimLeft(lines[i], "\t")
		indent := lines[i][:len(lines[i])-len(line)]
		f := slices.IndexFunc(fields, func(f string) bool { return strings.HasPrefix(line, strconv.Quote(f)+": ") })
		if f < 0 {
			out = append(out, lines[i])
			continue
		}
		if strings.HasSuffix(line, ": {") || strings.HasSuffix(line, ": [") {
			for i++; !strings.HasPrefix(lines[i], indent+"}") && !strings.HasPrefix(lines[i], indent+"]"); i++ {
			}
		}
		masked := fmt.Sprintf("%s%q: <%s>", indent, fields[f], fields[f])
		if strings.HasSuffix(lines[i], ",") {
			masked += ","
		}
		out = append(out, masked)
	}
	return out
}

var (
	masked = regexp.MustCompile(strings.Join([]string{
		`(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b`,
		`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)`,
		`\b\d{12,13}\b`,
	}, "|"))
	uuid = regexp.MustCompile(`<uuid [0-9a-f-]{36}>`)
)

// The first millisecond that is taken for a time, and the first that no longer is.
const (
	year2000 = 946_684_800_000
	year2100 = 4_102_444_800_000
)

func (g Golden) mask(line string) string {
	for _, m := range g.Maskers {
		line = m(line)
	}
	if g.Unmasked {
		return line
	}
	return masked.ReplaceAllStringFunc(line, func(s string) string {
		if strings.Contains(s, ":") {
			return "<time>"
		}
		ms, err := strconv.ParseInt(s, 10, 64)
		switch {
		case err != nil:
			return "<uuid " + strings.ToLower(s) + ">"
		case ms < year2000 || ms >= year2100:
			return s
		}
		return "<ms>"
	})
}

// number gives each UUID a number, in the order in which they come.
func number(line string, numbers map[string]int) string {
	return uuid.ReplaceAllStringFunc(line, func(id string) string {
		if numbers[id] == 0 {
			numbers[id] = len(numbers) + 1
		}
		return fmt.Sprintf("<uuid-%d>", numbers[id])
	})
}

// anonymous has all UUIDs look the same.
func anonymous(line string) string { return uuid.ReplaceAllString(line, "<uuid>") }
