package harness

import (
	"context"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"
)

// leftIn turns the panic of a bubble that cannot end into words: what was left
// open, or what the body waits for. testing/synctest raises it on the goroutine
// that opened the bubble, so it can be caught there.
func (g *guard) leftIn(bubble func()) (left string) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		why := fmt.Sprint(r)
		if !strings.Contains(why, "deadlock") || !strings.Contains(why, "bubble") {
			panic(r)
		}
		left = g.explainDeadlock()
	}()
	bubble()
	return ""
}

func (g *guard) explainDeadlock() string {
	left := inBubble(goroutines(), g.body.bubble)
	if i := slices.IndexFunc(left, func(each goroutine) bool { return each.id == g.body.id }); i >= 0 {
		return fmt.Sprintf("%s: the test waits for what never comes, and nothing in its bubble runs or is due:\n\t%s", left[i].bodyLine(), left[i])
	}
	names := strings.Join(atMost(leftovers(left), 10), "\n\t")
	if slices.ContainsFunc(left, func(each goroutine) bool { return whatIs(each.stack) != "" }) {
		// The test's own words are printed when it ends. What its cleanups do to
		// a client that belongs to the bubble may end the process before.
		fmt.Fprintf(os.Stderr, "harness: %s leaves in its bubble:\n\t%s\nwhat the outer t closes is closed too late, and may end the process\n", g.t.Name(), names)
	}
	return "the test body has returned, and this is left in its bubble:\n\t" + names +
		"\nclose in the body what it opens: clients, databases, servers, goroutines; in a Cleanup of the body's t at the latest, since what the outer t closes is closed too late"
}

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
		t.Helper()
		pprof.SetGoroutineLabels(context.Background())
		marked := fmt.Sprintf("# labels: {%q:%q}", key, label)
		deadline := time.After(realLeakGrace)
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

// leakGrace is how long the goroutines of what was closed have to end. Some
// clients have them sleep first.
const leakGrace = 2 * time.Second

// realLeakGrace is leakGrace in real time, where a busy machine needs longer. Only
// a test that fails waits for all of it.
const realLeakGrace = 10 * time.Second

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

// leftovers names goroutines that are left in a bubble.
func leftovers(left []goroutine) []string {
	var known, unknown []string
	for _, g := range left {
		if name := whatIs(g.stack); name != "" {
			known = append(known, name)
			continue
		}
		unknown = append(unknown, g.String())
	}
	return namedFirst(known, unknown)
}
