package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestConsole_keepsTheLiveLineBelowEverything(t *testing.T) {
	var out, err bytes.Buffer
	c := newConsole(streams{nil, &out, &err})
	assert.False(t, c.live())
	c.show("not on a terminal")
	assert.Empty(t, err.String())

	c.width = func() int { return 11 }
	blank := "\r          \r"
	c.show("12 lines, 3 received")
	c.notef("line %d", 7)
	c.show("13 lines")
	c.result("received a")
	c.flush()
	c.show("14 lines")
	c.show("")
	assert.Equal(t, "12 lines, "+blank+"line 7\n"+"13 lines"+blank+"14 lines"+blank, err.String())
	assert.Equal(t, "received a\n", out.String())
}

func TestProgressLine(t *testing.T) {
	assert.Equal(t, "1m2s: 10 lines, 4 received, 3 to come, 1 rejected, 0 dead-lettered, 2 retried",
		progressLine(tally{Lines: 10, Accepted: 9, Rejected: 1, Received: 4, Lost: 3, Retried: 2}, 62*time.Second+time.Millisecond))
}
