package main

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestWrongUsage(t *testing.T) {
	for _, c := range []struct{ arg, want string }{
		{"--no-such-flag", "unknown flag --no-such-flag (see kafka --help)"},
		{"surplus", "unexpected argument surplus (see kafka --help)"},
		{"--user=nobody", "--user 1 is not NAME:PASSWORD (see kafka --help)"},
	} {
		err := parseAndRun([]string{c.arg}, io.Discard)
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.arg, err, c.want)
		}
	}
}
