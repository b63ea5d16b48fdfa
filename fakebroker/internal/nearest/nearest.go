// Package nearest finds the name that somebody meant who has written another, for
// messages that say so.
package nearest

import (
	"slices"
	"strings"
)

// Hint is "; did you mean NAME?" with the nearest of some names, quoted by quote,
// or empty when none is near: more than a third of the letters, and more than
// two, would have to change.
func Hint(written string, names []string, quote func(string) string) string {
	best, least := "", 0
	for _, name := range names {
		d := distance(strings.ToLower(written), strings.ToLower(name))
		if d <= max(2, len(name)/3) && d < len(name) && (best == "" || d < least) {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + quote(best) + "?"
}

// distance is how many bytes are to be inserted, deleted, replaced, or swapped
// with the next.
func distance(a, b string) int {
	var before []int // the row before the last
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := append(make([]int, 0, len(b)+1), i+1)
		for j := range len(b) {
			d := last[j]
			if a[i] != b[j] {
				d = 1 + slices.Min([]int{last[j], last[j+1], row[j]})
				if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
					d = min(d, before[j-1]+1)
				}
			}
			row = append(row, d)
		}
		before, last = last, row
	}
	return last[len(b)]
}
