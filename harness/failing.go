package harness

import (
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// failing is the test, and remembers what the harness has said against it.
type failing struct {
	*testing.T
	mu   sync.Mutex
	said []string
	at   string // see of
}

// of has all that follows be said of a line: while the test's body does not run,
// there is none of it on the stack. Empty means where it is called.
func (f *failing) of(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = line
}

// Errorf is testing.T's.
func (f *failing) Errorf(format string, args ...any) {
	f.Helper()
	text := fmt.Sprintf(format, args...)
	f.note(text)
	f.tell(text)
	f.Fail()
}

// Fatalf is testing.T's.
func (f *failing) Fatalf(format string, args ...any) {
	f.Helper()
	text := fmt.Sprintf(format, args...)
	f.note(text)
	f.tell(text)
	f.FailNow()
}

// Logf is testing.T's.
func (f *failing) Logf(format string, args ...any) {
	f.Helper()
	f.tell(fmt.Sprintf(format, args...))
}

func (f *failing) note(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, text)
}

func (f *failing) tell(text string) {
	f.Helper()
	f.mu.Lock()
	at := f.at
	f.mu.Unlock()
	if at == "" {
		f.Log(text)
		return
	}
	_, _ = fmt.Fprintf(f.Output(), "%s: %s\n", at, strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    "))
}

// calledAt is the line that called the harness.
func calledAt() string {
	ours := reflect.TypeFor[Harness]().PkgPath() + "."
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		if !more || !strings.HasPrefix(f.Function, ours) || strings.HasSuffix(f.File, "_test.go") {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
	}
}
