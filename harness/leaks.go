package harness

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"
)

// explainLeaks turns the panic of a bubble that did not end into a failure
// that names what was left open. testing/synctest raises it on the goroutine
// that opened the bubble, so it can be caught there.
func explainLeaks(t *testing.T) {
	t.Helper()
	r := recover()
	if r == nil {
		return
	}
	why := fmt.Sprint(r)
	if !strings.Contains(why, "deadlock") || !strings.Contains(why, "bubble") {
		panic(r)
	}
	t.Fatalf("harness: the test body has returned, or waits for something that never comes, and this is left in its bubble:\n\t%s\n"+
		"close in the body what it opens: clients, databases, servers, goroutines\n(testing/synctest says: %s)",
		strings.Join(leftovers(stacks()), "\n\t"), why)
}

func stacks() string {
	b := make([]byte, 1<<20)
	for {
		n := runtime.Stack(b, true)
		if n < len(b) {
			return string(b[:n])
		}
		b = make([]byte, 2*len(b))
	}
}

var inBubble = regexp.MustCompile(`^goroutine \d+ \[([^\],]+)[^\]]*, synctest bubble \d+\]`)

// whatItIs names goroutines by a function on their stacks.
var whatItIs = []struct{ function, name string }{
	{"kgo.(*Client).updateMetadataLoop", "a kgo client that was not closed"},
	{"kfake.(*Cluster).run", "a broker that was not closed"},
	{"database/sql.(*DB).connectionOpener", "a sql.DB that was not closed"},
	{"net/http.(*Server).Serve", "an HTTP server that was not closed"},
	{"net/http.(*persistConn)", "an HTTP connection kept alive: call CloseIdleConnections"},
}

// checkLeaks fails a test in real time that leaves goroutines behind, once its
// cleanups have run. It knows those of this test, and of no other that runs at
// the same time, by a label that goroutines inherit.
func checkLeaks(t *testing.T) {
	t.Helper()
	const key = "kafkatest"
	label := fmt.Sprintf("%s %p", t.Name(), t)
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(key, label)))
	t.Cleanup(func() {
		pprof.SetGoroutineLabels(context.Background())
		marked := fmt.Sprintf("# labels: {%q:%q}", key, label)
		deadline := time.After(leakGrace)
		again := time.NewTicker(10 * time.Millisecond)
		defer again.Stop()
		for {
			left := labelled(marked)
			if len(left) == 0 {
				return
			}
			select {
			case <-again.C: // the last goroutines of what was closed end by themselves
			case <-deadline:
				t.Errorf("harness: the test has ended, and this is left of it:\n\t%s\nclose what it opens: clients, databases, servers, goroutines", strings.Join(left, "\n\t"))
				return
			}
		}
	})
}

const leakGrace = 2 * time.Second

// standsIn is the function that a goroutine waits in, left out what the runtime
// and sync do for it.
func standsIn(stack string) string {
	for line := range strings.SplitSeq(stack, "\n") {
		function, _, isCall := strings.Cut(line, "(")
		if strings.HasPrefix(line, "goroutine ") || strings.HasPrefix(line, "\t") || !isCall {
			continue
		}
		if name := line[:strings.LastIndex(line, "(")]; !strings.HasPrefix(function, "runtime.") && !strings.HasPrefix(function, "sync.") &&
			!strings.HasPrefix(function, "time.") && !strings.HasPrefix(function, "internal/") {
			return name
		}
	}
	return "the runtime"
}

// labelled names the goroutines with a label.
func labelled(label string) []string {
	var profile strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return nil
	}
	var known, unknown []string
	for g := range strings.SplitSeq(profile.String(), "\n\n") {
		if !strings.Contains(g, label) {
			continue
		}
		if name := whatIs(g); name != "" {
			known = append(known, name)
			continue
		}
		frames := strings.Split(strings.TrimSpace(g), "\n")
		unknown = append(unknown, "a goroutine in "+strings.Join(strings.Fields(frames[len(frames)-1])[2:], " "))
	}
	return namedFirst(known, unknown)
}

// whatIs names a goroutine by its stack, if it is one of those known.
func whatIs(stack string) string {
	for _, w := range whatItIs {
		if strings.Contains(stack, w.function) {
			return w.name
		}
	}
	return ""
}

// namedFirst leaves out what is explained already: most goroutines of a client
// or a broker are explained by the one that is known.
func namedFirst(known, unknown []string) []string {
	if len(known) == 0 {
		known = unknown
	}
	slices.Sort(known)
	return slices.Compact(known)
}

// leftovers names the goroutines that are left in bubbles.
func leftovers(stacks string) []string {
	var known, unknown []string
	for g := range strings.SplitSeq(stacks, "\n\n") {
		m := inBubble.FindStringSubmatch(g)
		if m == nil || strings.HasPrefix(m[1], "synctest.") {
			continue
		}
		if name := whatIs(g); name != "" {
			known = append(known, name)
			continue
		}
		where := "unknown"
		if _, by, ok := strings.Cut(g, "created by "); ok {
			where = strings.Join(strings.Fields(by), " ")
		}
		unknown = append(unknown, fmt.Sprintf("a goroutine [%s] in %s, created by %s", m[1], standsIn(g), where))
	}
	return namedFirst(known, unknown)
}
