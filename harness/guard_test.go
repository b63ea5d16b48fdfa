package harness

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dump is goroutines as a dump of stacks shows them: "STATE FUNCTION" each, in
// bubble 1, or outside when it ends in " outside".
func dump(t *testing.T, each ...string) []goroutine {
	t.Helper()
	var all []goroutine
	for i, s := range each {
		s, outside := strings.CutSuffix(s, " outside")
		state, function, _ := strings.Cut(s, " in ")
		bubble := ", 5 minutes, synctest bubble 1"
		if outside {
			bubble = ""
		}
		g, ok := parseGoroutine(fmt.Sprintf("goroutine %d [%s%s]:\n%s(0x1, {0x2, 0x3})\n\t/src/file.go:%d +0x12\ncreated by main.start in goroutine 1\n\t/src/main.go:3 +0x4\n", i+1, state, bubble, function, 10+i))
		require.True(t, ok)
		all = append(all, g)
	}
	return all
}

func TestFrozen(t *testing.T) {
	root := "synctest.Run (durable) in internal/synctest.Run"
	body := "synctest.Wait (durable) in internal/synctest.Wait"
	for name, c := range map[string]struct {
		all   []string
		looks int // until it is decided; never when zero
	}{
		"all wait for the bubble":            {[]string{root, body, "chan receive (durable) in main.f"}, 0},
		"a channel from outside":             {[]string{root, body, "chan receive in main.f"}, sureLooks},
		"a client's lock":                    {[]string{root, body, "sync.Mutex.Lock in github.com/twmb/franz-go/pkg/kgo.(*Client).f", "sleep in main.g outside"}, sureLooks},
		"somebody computes":                  {[]string{root, body, "chan receive in main.f", "running in main.g"}, 0},
		"somebody could":                     {[]string{root, body, "chan receive in main.f", "runnable in main.g"}, 0},
		"somebody is in a system call":       {[]string{root, body, "chan receive in main.f", "syscall in syscall.Syscall6"}, 0},
		"somebody outside computes":          {[]string{root, body, "chan receive in main.f", "running in main.g outside"}, 0},
		"somebody outside sleeps":            {[]string{root, body, "chan receive in main.f", "sleep in time.Sleep outside"}, unsureLooks},
		"somebody outside waits":             {[]string{root, body, "sync.Mutex.Lock in main.f", "chan receive in main.g outside"}, unsureLooks},
		"tests outside wait":                 {[]string{root, body, "chan receive in main.f", "chan receive in testing.(*T).Run outside", "syscall in os/signal.signal_recv outside"}, sureLooks},
		"an answer from the network":         {[]string{root, body, "IO wait in net.(*conn).Read"}, unsureLooks},
		"a listener":                         {[]string{root, body, "IO wait in net.(*TCPListener).accept", "IO wait in net.(*TCPListener).Accept outside"}, sureLooks},
		"a connection that is kept alive":    {[]string{root, body, "IO wait in net/http.(*persistConn).readLoop", "IO wait in main.server outside"}, sureLooks},
		"a connection with a call under way": {[]string{root, body, "IO wait in net/http.(*persistConn).readLoop", "select (durable) in net/http.(*persistConn).roundTrip"}, unsureLooks},
		"somebody starts to collect garbage": {[]string{root, body, "chan receive in main.f", "GC assist wait in main.g"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var f frozen
			all := dump(t, c.all...)
			now := seen{all: all, mine: inBubble(all, "1")}
			decided := 0
			f.look(now)
			for i := 1; i <= unsureLooks+1 && decided == 0; i++ {
				if f.look(now) != "" {
					decided = i
				}
			}
			assert.Equal(t, c.looks, decided)
		})
	}
}

func TestFrozen_beginsAgainWhenSomethingHasMoved(t *testing.T) {
	var f frozen
	look := func(function string) string {
		all := dump(t, "chan receive in "+function)
		return f.look(seen{all: all, mine: all})
	}
	for range 3 {
		for range sureLooks {
			assert.Empty(t, look("main.f"))
		}
		assert.Empty(t, look("main.g"))
	}
	assert.True(t, f.suspects(seen{}))
	f.looks = 3
	assert.False(t, f.suspects(seen{signs: 1}))
	assert.Zero(t, f.looks, "something became of a record")
}

func TestRunaway(t *testing.T) {
	const day = 24 * time.Hour
	waits := dump(t, "chan receive (durable) in main.f")[0]
	sleeps := waits
	sleeps.stack = fmt.Sprintf("time.Sleep(%#x)\n\t/src/time.go:1 +0x1\n", int64(10*day)) + sleeps.stack
	polls := waits
	polls.stack = fmt.Sprintf("time.Sleep(%#x)\n\t/src/time.go:1 +0x1\n", int64(time.Minute)) + polls.stack
	moves := func(i int) goroutine { g := waits; g.stack += fmt.Sprint(i); return g }
	still := func(g goroutine) func(int) goroutine { return func(int) goroutine { return g } }
	for name, c := range map[string]struct {
		step  time.Duration
		body  func(look int) goroutine
		sign  bool
		waits bool
		looks int // until it is decided; never in 10 when zero
	}{
		"waits while days pass":             {day, still(waits), false, false, 5},
		"waits while hours pass":            {time.Hour, still(waits), false, false, 0},
		"polls":                             {day, still(polls), false, false, 5},
		"sleeps for longer":                 {day, still(sleeps), false, false, 0},
		"moves":                             {day, moves, false, false, 0},
		"something becomes of records":      {day, still(waits), true, false, 0},
		"waits in the harness, with limits": {day, still(waits), false, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var r runawayLooks
			decided, s := 0, seen{purposeful: c.waits}
			for i := 1; i <= 10 && decided == 0; i++ {
				s.virtual += c.step
				s.body = c.body(i)
				if c.sign {
					s.signs++
				}
				if r.suspects(s, day) && r.look(s, day, "") != "" {
					decided = i
				}
			}
			assert.Equal(t, c.looks, decided)
		})
	}
}

// A process that was stopped, in a debugger for example, has looks that count
// for nothing.
func TestGuard_forgetsLooksBetweenWhichTheProcessWasStopped(t *testing.T) {
	g := &guard{frozen: frozen{looks: 3}}
	g.tick(wallTick)
	assert.Equal(t, 3, g.frozen.looks)
	g.tick(longestPace + 1)
	assert.Zero(t, g.frozen.looks)
}

func TestIsTraced(t *testing.T) {
	assert.False(t, isTraced([]byte("Name:\tgo\nTracerPid:\t0\nUid:\t0\n")))
	assert.True(t, isTraced([]byte("Name:\tgo\nTracerPid:\t17\nUid:\t0\n")))
	assert.False(t, isTraced([]byte("Name:\tgo\n")))
}
