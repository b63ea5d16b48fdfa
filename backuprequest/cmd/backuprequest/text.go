package main

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// shown is what a console shows of bytes that anybody may have written. Nil is
// null. Text is shown as it is where it is printable and cannot be mistaken for
// something else; all other bytes are quoted as in Go. separators are characters
// that would be mistaken for the end of it.
func shown(b []byte, separators string) string {
	if b == nil {
		return "null"
	}
	s := string(b)
	if s == "" || s == "null" || s[0] == '"' || !clean(s) || strings.ContainsAny(s, separators) {
		return strconv.Quote(s)
	}
	return s
}

// clean reports whether a terminal prints s and does nothing else with it.
func clean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// printable is s with what a terminal would act on escaped.
func printable(s string) string {
	if clean(s) {
		return s
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
