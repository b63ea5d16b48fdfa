package adapter

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAsciiText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{`say "no"`, `say "no"`},
		{"bäd", `b\u00e4d`},
		{"two\nlines", `two\nlines`},
		{"\xff\x00", `\xff\x00`},
		{"", ""},
	} {
		assert.Equal(t, c.want, asciiText(c.in, 512))
	}
}

func FuzzAsciiText(f *testing.F) {
	f.Add(strings.Repeat("ä", 600))
	f.Fuzz(func(t *testing.T, s string) {
		got := asciiText(s, 64)
		if len(got) > 64 {
			t.Fatalf("%d bytes", len(got))
		}
		for _, c := range []byte(got) {
			if c < ' ' || c > '~' {
				t.Fatalf("%q is not printable ASCII", got)
			}
		}
	})
}
