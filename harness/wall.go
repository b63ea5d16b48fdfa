package harness

import (
	"sync/atomic"
	"time"
)

// wallClock tells real time to those who live in a bubble, where time.Now does
// not. Its goroutine lives outside.
type wallClock struct {
	now  atomic.Int64 // nanoseconds since the start, as of the last tick
	quit chan struct{}
	done chan struct{}
}

const wallTick = 50 * time.Millisecond

// startWallClock starts a clock that calls tick at each tick, with the time
// since the one before.
func startWallClock(tick func(since time.Duration)) *wallClock {
	w := &wallClock{quit: make(chan struct{}), done: make(chan struct{})}
	start := time.Now()
	ticker := time.NewTicker(wallTick)
	go func() {
		defer close(w.done)
		defer ticker.Stop()
		last := start
		for {
			select {
			case <-ticker.C:
				now := time.Now()
				w.now.Store(int64(now.Sub(start)))
				tick(now.Sub(last))
				last = now
			case <-w.quit:
				return
			}
		}
	}()
	return w
}

func (w *wallClock) elapsed() time.Duration { return time.Duration(w.now.Load()) }

func (w *wallClock) stop() {
	close(w.quit)
	<-w.done
}
