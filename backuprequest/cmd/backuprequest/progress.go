package main

import (
	"context"
	"fmt"
	"time"
)

// How often progress is told: on a terminal, and elsewhere.
const (
	liveInterval  = 100 * time.Millisecond
	plainInterval = 5 * time.Second
)

// progress tells how far a run is, until ctx ends.
func progress(ctx context.Context, c *console, o *outcomes) {
	start, interval := time.Now(), plainInterval
	if c.live() {
		interval = liveInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.show("")
			return
		}
		line := progressLine(o.tally(), time.Since(start))
		if c.live() {
			c.show(line)
		} else {
			c.notef("%s", line)
		}
	}
}

func progressLine(t tally, elapsed time.Duration) string {
	return fmt.Sprintf("%v: %d lines, %d received, %d to come, %d rejected, %d dead-lettered, %d retried",
		elapsed.Truncate(time.Second), t.Lines, t.Received, t.Lost, t.Rejected, t.DeadLettered, t.Retried)
}
