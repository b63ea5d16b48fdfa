package harness

import (
	"fmt"
	"slices"
	"strings"
)

// frozen is what the looks so far have found of a bubble whose time stands
// still.
type frozen struct {
	last  seen
	where string // all goroutines, and where they are
	looks int    // how many in a row have found them there
}

const (
	// sureLooks are enough where nothing outside the bubble can wake it.
	sureLooks = 4
	// unsureLooks are enough where somebody might: another goroutine outside, or
	// somebody at the other end of a connection.
	unsureLooks = 120
)

// suspects reports whether a look is worth its price: nothing has happened
// since the last one.
func (f *frozen) suspects(now seen) bool {
	quiet := now.virtual == f.last.virtual && now.signs == f.last.signs
	f.last.virtual, f.last.signs = now.virtual, now.signs
	if !quiet {
		f.looks = 0
	}
	return quiet
}

// look says why the bubble is frozen, once it is sure.
func (f *frozen) look(now seen) string {
	var stuck []goroutine
	var where strings.Builder
	for _, g := range now.mine {
		switch {
		case g.held():
			stuck = append(stuck, g)
		case !g.durable():
			f.looks = 0
			return ""
		}
		fmt.Fprintln(&where, g.id, g.state, g.stack)
	}
	if len(stuck) == 0 || where.String() != f.where {
		f.where, f.looks = where.String(), 0
		return ""
	}
	mayWake, wakes := outsiders(now.all)
	if wakes {
		return "" // as soon as it is done
	}
	f.looks++
	if f.looks < sureLooks || f.looks < unsureLooks && !sure(now.mine, stuck, mayWake) {
		return ""
	}
	return explainFreeze(stuck)
}

// outsiders looks at the goroutines outside of bubbles: whether one of them is
// at work, and whether one is there at all that could be.
func outsiders(all []goroutine) (mayWork, works bool) {
	for _, g := range all {
		switch {
		case g.bubble != "", g.in("os/signal.signal_recv"), g.in("harness.startWallClock"), g.in("harness.(*wallClock)"):
		case isTesting(g):
		case g.held() || strings.HasPrefix(g.state, "sync.Cond") || g.state == "sleep":
			mayWork = true
		default:
			return true, true
		}
	}
	return mayWork, false
}

// isTesting reports whether a goroutine waits for tests to end or begin.
func isTesting(g goroutine) bool { return strings.HasPrefix(g.standsIn().function, "testing.") }

// sure reports whether nobody but the bubble itself could wake what is stuck.
func sure(mine, stuck []goroutine, mayWake bool) bool {
	all := func(yes func(goroutine) bool) bool {
		return !slices.ContainsFunc(stuck, func(g goroutine) bool { return !yes(g) })
	}
	calling := slices.ContainsFunc(mine, func(g goroutine) bool { return g.in("net/http.(*persistConn).roundTrip") })
	switch {
	case slices.ContainsFunc(stuck, isListener):
		return true // waits for as long as it is open
	case all(func(g goroutine) bool { return isKeptAlive(g) && !calling }):
		return true
	case slices.ContainsFunc(stuck, isClientLock):
		return true // which is of this bubble
	}
	return !mayWake && all(func(g goroutine) bool { return g.state != "IO wait" })
}

func isListener(g goroutine) bool {
	return g.state == "IO wait" && (g.in("net.(*TCPListener).") || g.in("net.(*UnixListener)."))
}

func isKeptAlive(g goroutine) bool {
	return g.state == "IO wait" && g.in("net/http.(*persistConn).readLoop")
}

func isLock(g goroutine) bool {
	return strings.HasPrefix(g.state, "sync.Mutex") || strings.HasPrefix(g.state, "sync.RWMutex")
}

func isClientLock(g goroutine) bool {
	return isLock(g) && strings.HasPrefix(g.standsIn().function, "github.com/twmb/franz-go/")
}

// explainFreeze says what a frozen bubble waits for, and what to do.
func explainFreeze(stuck []goroutine) string {
	var lines, hints []string
	for _, g := range stuck {
		lines = append(lines, g.String())
		hints = append(hints, freezeHint(g))
	}
	slices.Sort(hints)
	return fmt.Sprintf("the bubble is frozen: all its goroutines wait, and its time stands still because of what these wait for, which is not the bubble's:\n\t%s\n%s",
		strings.Join(atMost(lines, 10), "\n\t"), strings.Join(slices.Compact(hints), "\n"))
}

// freezeHint says what to do about a goroutine that keeps time from passing.
func freezeHint(g goroutine) string {
	switch {
	case isClientLock(g) && !visibleLocks:
		return "The client holds a lock while virtual time should pass, and such a lock stops it: run the tests with -tags synctests."
	case isLock(g):
		return "A sync.Mutex is held across a wait, and a goroutine that waits for one stops virtual time: unlock it before sleeping, publishing or calling anything that waits, or use a channel with room for one as the lock."
	case isListener(g):
		return "A server listens on a real socket in the bubble: start it before Run, outside, and let its clients keep no connection alive (http.Transport.DisableKeepAlives), or use RunRealTime."
	case isKeptAlive(g):
		return "An HTTP connection to a server outside is kept alive: set DisableKeepAlives of the http.Transport, or call CloseIdleConnections after each call."
	case g.state == "IO wait":
		return "Real I/O stops virtual time: connect to the broker with Harness.ClientOptions or Env.Dial, which need no socket, or use RunRealTime."
	case g.state == "sync.WaitGroup.Wait":
		return "A sync.WaitGroup is used that does not belong to the bubble: one of a package or of the outer test. Declare it in the body."
	}
	return "A channel is used that was made outside the bubble: by a package, by the outer test, or by its t.Context(). Make it in the body, and use the body's t."
}

func atMost(lines []string, n int) []string {
	if more := len(lines) - n; more > 0 {
		return append(lines[:n:n], fmt.Sprintf("and %d more", more))
	}
	return lines
}
