package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// console is a command's output: results on standard output, the rest on
// standard error, where a terminal has one live line below everything else. It
// is safe for concurrent use.
type console struct {
	mu     sync.Mutex
	out    *bufio.Writer
	outErr error // the first, after which nothing is written to out
	err    io.Writer
	width  func() int // of the terminal; nil when there is none
	shown  bool       // the live line is on the screen
}

func newConsole(s streams) *console {
	c := &console{out: bufio.NewWriter(s.out), err: s.err}
	if file, ok := s.err.(*os.File); ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb" {
		c.width = func() int {
			width, _, err := term.GetSize(int(file.Fd()))
			if err != nil || width <= 0 {
				return 80
			}
			return width
		}
	}
	return c
}

// live reports whether there is a live line.
func (c *console) live() bool { return c.width != nil }

// result writes a line to standard output. It may stay in a buffer until flush.
func (c *console) result(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outErr != nil {
		return
	}
	if c.out.Available() <= len(line) {
		c.clear()
	}
	if _, err := c.out.WriteString(line + "\n"); err != nil {
		c.failed(err)
	}
}

// flush writes out what results are in the buffer.
func (c *console) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outErr != nil || c.out.Buffered() == 0 {
		return
	}
	c.clear()
	if err := c.out.Flush(); err != nil {
		c.failed(err)
	}
}

func (c *console) failed(err error) {
	c.outErr = err
	c.clear()
	c.say("cannot write to standard output, and go on without it: " + oneLine(err) + "\n")
}

// broken is why standard output does not work, except that its reader has gone
// away: that one has seen what it wanted.
func (c *console) broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if gone(c.outErr) {
		return nil
	}
	return c.outErr
}

func gone(err error) bool { return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) }

// last writes the last result, and to standard error where standard output does
// not work: it is what the command was run for.
func (c *console) last(text string) {
	c.result(text)
	c.flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outErr != nil {
		c.say(text + "\n")
	}
}

// notef writes a line to standard error.
func (c *console) notef(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	c.say(fmt.Sprintf(format, args...) + "\n")
}

// Write takes the lines of a log.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	return c.err.Write(p)
}

// show replaces the live line; empty removes it.
func (c *console) show(status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.live() {
		return
	}
	c.clear()
	if status == "" {
		return
	}
	if most := c.width() - 1; len(status) > most {
		status = status[:max(most, 0)] // ASCII, so that bytes are columns
	}
	c.say(status)
	c.shown = true
}

// clear takes the live line off the screen, where something else comes next.
func (c *console) clear() {
	if c.shown {
		c.say("\r" + strings.Repeat(" ", max(c.width()-1, 0)) + "\r")
		c.shown = false
	}
}

// say writes to standard error. There is nobody to tell when that fails.
func (c *console) say(text string) { _, _ = io.WriteString(c.err, text) }
