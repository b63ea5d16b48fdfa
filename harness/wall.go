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

func startWallClock() *wallClock {
	w := &wallClock{quit: make(chan struct{}), done: make(chan struct{})}
	start := time.Now()
	ticker := time.NewTicker(50 * time.Millisecond)
	go func() {
		defer close(w.done)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				w.now.Store(int64(time.Since(start)))
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
