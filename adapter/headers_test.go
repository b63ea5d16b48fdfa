package adapter

import (
	"errors"
	"fmt"
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
		{strings.Repeat("ä", 600), strings.Repeat(`\u00e4`, 100)[:512]},
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

func TestErrorText_isRedactedBeforeItIsCut(t *testing.T) {
	card := strings.Repeat("x", maxErrorText-4) + "4111111111111111"
	redact := func(s string) string { return strings.ReplaceAll(s, "4111111111111111", "****") }
	assert.Equal(t, strings.Repeat("x", maxErrorText-4)+"****", headerStyle{redact: redact}.errorText(errors.New(card)))
	longer := func(s string) string { return s + s }
	assert.Len(t, headerStyle{redact: longer}.errorText(errors.New(card)), maxErrorText)
	assert.Equal(t, "<nil>", headerStyle{redact: func(s string) string { return s }}.errorText(nil))
}

func TestErrorText_ofARedactThatPanicsSaysNothingElse(t *testing.T) {
	text := headerStyle{redact: func(string) string { panic("secret") }}.errorText(errors.New("secret"))
	assert.Equal(t, "(Redact panicked)", text)
}

func TestErrorType_isOfTheHandlersError(t *testing.T) {
	assert.Equal(t, "*adapter.DecodeError", errorType(&DecodeError{}))
	assert.Equal(t, "*adapter.DecodeError", errorType(&AttemptsError{Attempts: 3, Err: &DecodeError{}}))
	assert.Equal(t, "*adapter.AttemptsError", errorType(&AttemptsError{Attempts: 3}))
	assert.Equal(t, "*fmt.wrapError", errorType(fmt.Errorf("while: %w", &DecodeError{})))
}
