package harness

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
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

// leftovers names the goroutines that are left in bubbles.
func leftovers(stacks string) []string {
	var known, unknown []string
	for g := range strings.SplitSeq(stacks, "\n\n") {
		m := inBubble.FindStringSubmatch(g)
		if m == nil || strings.HasPrefix(m[1], "synctest.") {
			continue
		}
		i := slices.IndexFunc(whatItIs, func(w struct{ function, name string }) bool { return strings.Contains(g, w.function) })
		where := "unknown"
		if _, by, ok := strings.Cut(g, "created by "); ok {
			where = strings.Join(strings.Fields(strings.Split(by+"\n", "\n\n")[0]), " ")
		}
		if i >= 0 {
			known = append(known, whatItIs[i].name)
			continue
		}
		unknown = append(unknown, fmt.Sprintf("a goroutine [%s] created by %s", m[1], where))
	}
	// The goroutines of a client or a broker are explained by the one that is
	// known.
	if len(known) > 0 {
		slices.Sort(known)
		return slices.Compact(known)
	}
	slices.Sort(unknown)
	return slices.Compact(unknown)
}
