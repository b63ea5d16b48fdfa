package harness

import (
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// goroutine is one as a dump of all stacks shows it.
type goroutine struct {
	id     string
	state  string // what it waits for, or running, runnable, syscall
	bubble string // the number of its bubble, empty outside
	stack  string // without the header
}

var (
	goroutineHeader = regexp.MustCompile(`^goroutine (\d+) \[([^\],]+)([^\n]*)\]:\n`)
	bubbleNumber    = regexp.MustCompile(`, synctest bubble (\d+)`)
)

func parseGoroutine(text string) (g goroutine, ok bool) {
	m := goroutineHeader.FindStringSubmatch(text)
	if m == nil {
		return g, false
	}
	g = goroutine{id: m[1], state: m[2], stack: text[len(m[0]):]}
	if b := bubbleNumber.FindStringSubmatch(m[3]); b != nil {
		g.bubble = b[1]
	}
	return g, true
}

// goroutines are all there are, at one moment.
func goroutines() []goroutine {
	var all []goroutine
	for text := range strings.SplitSeq(stacks(), "\n\n") {
		if g, ok := parseGoroutine(text); ok {
			all = append(all, g)
		}
	}
	return all
}

// caller is the goroutine that calls it, without state and stack. A goroutine that
// it starts has its number, and is in the same bubble, and has a short stack: the
// runtime looks up every function on a stack that it writes down.
func caller() (g goroutine) {
	text := make(chan string)
	go func() {
		var b [1 << 10]byte
		text <- string(b[:runtime.Stack(b[:], false)])
	}()
	started := <-text
	g.bubble = numberAfter(started, ", synctest bubble ")
	g.id = numberAfter(started, " in goroutine ")
	return g
}

// numberAfter is the number behind a word of a text, empty when it is not there.
func numberAfter(text, word string) string {
	_, after, _ := strings.Cut(text, word)
	digits := strings.TrimLeft(after, "0123456789")
	return after[:len(after)-len(digits)]
}

// self is the goroutine that calls it.
func self() goroutine {
	b := make([]byte, 16<<10) // what is cut off is where it was started
	g, _ := parseGoroutine(string(b[:runtime.Stack(b, false)]))
	return g
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

// inBubble are the goroutines of a bubble, without the one that opened it.
func inBubble(all []goroutine, bubble string) []goroutine {
	return slices.DeleteFunc(slices.Clone(all), func(g goroutine) bool {
		return g.bubble != bubble || strings.HasPrefix(g.state, "synctest.Run")
	})
}

// durable reports whether only its bubble can wake the goroutine, so that
// virtual time may pass.
func (g goroutine) durable() bool { return strings.HasSuffix(g.state, "(durable)") }

// held are the states in which a goroutine waits for what may come from
// elsewhere, so that virtual time may not pass.
var held = []string{
	"chan receive", "chan send", "select", "IO wait", "semacquire",
	"sync.Mutex.Lock", "sync.RWMutex.Lock", "sync.RWMutex.RLock", "sync.WaitGroup.Wait",
}

func (g goroutine) held() bool { return slices.Contains(held, g.state) }

// in reports whether a function is on the stack.
func (g goroutine) in(function string) bool { return strings.Contains(g.stack, function) }

// frame is a call on a stack.
type frame struct{ function, args, at string }

// frames are the calls, the last one first, without the statement that started
// the goroutine.
func (g goroutine) frames() []frame {
	var out []frame
	lines := strings.Split(g.stack, "\n")
	for i := 0; i+1 < len(lines); i++ {
		call, place := lines[i], lines[i+1]
		open := strings.LastIndex(call, "(")
		if strings.HasPrefix(call, "created by ") || strings.HasPrefix(call, "\t") || open < 0 || !strings.HasPrefix(place, "\t") {
			continue
		}
		out = append(out, frame{call[:open], strings.Trim(call[open:], "()"), fileLine(place)})
	}
	return out
}

// createdBy is the function that started the goroutine, and where.
func (g goroutine) createdBy() string {
	_, by, ok := strings.Cut(g.stack, "created by ")
	if !ok {
		return "the runtime"
	}
	function, place, _ := strings.Cut(strings.TrimSpace(by), "\n")
	function, _, _ = strings.Cut(function, " in goroutine")
	return function + " (" + fileLine(place) + ")"
}

// fileLine is FILE:LINE of the second line of a frame.
func fileLine(place string) string {
	at, _, _ := strings.Cut(strings.TrimSpace(place), " +0x")
	return filepath.Base(at)
}

// standsIn is the function that a goroutine waits in, left out what the standard
// library's own plumbing does for it.
func (g goroutine) standsIn() frame {
	for _, f := range g.frames() {
		if !isPlumbing(f.function) {
			return f
		}
	}
	return frame{function: "the runtime"}
}

func isPlumbing(function string) bool {
	return slices.ContainsFunc([]string{"runtime.", "sync.", "time.", "internal/", "net.(*", "testing/synctest."}, func(p string) bool {
		return strings.HasPrefix(function, p)
	})
}

// asleep is for how long the goroutine sleeps at a time, if it does.
func (g goroutine) asleep() (time.Duration, bool) {
	fs := g.frames()
	if len(fs) == 0 || fs[0].function != "time.Sleep" {
		return 0, false
	}
	ns, err := strconv.ParseInt(strings.TrimSuffix(fs[0].args, "?"), 0, 64)
	return time.Duration(ns), err == nil
}

// bodyLine is the line of the test's body on the stack of the goroutine that
// runs it, or empty when that is over.
func (g goroutine) bodyLine() string {
	fs := g.frames()
	i := slices.IndexFunc(fs, func(f frame) bool { return strings.HasSuffix(f.function, "harness.(*Harness).body") })
	if i <= 0 {
		return ""
	}
	return fs[i-1].at
}

// String says what the goroutine waits for, and where.
func (g goroutine) String() string {
	f := g.standsIn()
	s := "goroutine " + g.id + " [" + g.state + "] in " + f.function
	if f.at != "" {
		s += " (" + f.at + ")"
	}
	return s + ", created by " + g.createdBy()
}
