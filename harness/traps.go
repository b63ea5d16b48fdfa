package harness

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// refuseInBubble fails the test where a bubble would be opened in a bubble.
func refuseInBubble(t *testing.T, method string) {
	t.Helper()
	if caller().bubble != "" {
		t.Fatalf("harness: %s was called in virtual time: a bubble cannot be opened in another one, nor sockets be waited for; call it on the outer test's t", method)
	}
}

// misuses are methods of testing.T that panic in a bubble, and what to do
// instead.
var misuses = []struct{ says, do string }{
	{"t.Parallel called inside synctest bubble", "call t.Parallel on the outer t, before Run"},
	{"t.Run called inside synctest bubble", "call t.Run on the outer t, and Run in each subtest"},
	{"t.Deadline called inside synctest bubble", "the deadline is one of real time: ask the outer t, before Run"},
	{"synctest.Run called from within a synctest bubble", "Run has opened a bubble already: call synctest.Wait and time as they are"},
}

// explainMisuse turns panics of testing in the body into failures that say what
// to do instead. It is deferred.
func (h *Harness) explainMisuse() {
	r := recover()
	if r == nil {
		return
	}
	why := fmt.Sprint(r)
	for _, m := range misuses {
		if strings.Contains(why, m.says) {
			// Errorf would name the line that panics, which is in testing.
			_, _ = fmt.Fprintf(h.t.Output(), "%s: harness: %s: %s\n", self().bodyLine(), why, m.do)
			h.t.FailNow()
		}
	}
	panic(r)
}

// exitLine is where a handler ends its goroutine: the caller of t.Fatal, or of
// whatever it called to fail. It is asked for while that happens.
func exitLine() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	exits := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.Goexit":
			exits = true
		case exits && !strings.HasPrefix(f.Function, "testing.") && !strings.Contains(f.Function, "/testify/"):
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
		if !more {
			return ""
		}
	}
}
