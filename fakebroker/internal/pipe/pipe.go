// Package pipe has connections within a process that have room for what is under
// way, as those of TCP have: whoever writes goes on before the other end reads. With
// net.Pipe each message costs two changes of goroutine, and each deadline a timer.
package pipe

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// room is how many bytes may be under way before a writer waits.
	room = 64 << 10
	// kept is how much memory stays with a connection on which nothing is.
	kept = 4 << 10
)

// New returns the two ends of a connection. They belong to the bubble of
// testing/synctest that they are made in, if to any, which sees who waits for them
// as waiting. What one end has written before it was closed the other end still
// reads, and io.EOF behind it; else they are as net.Pipe's.
func New() (net.Conn, net.Conn) {
	there, back := newWay(), newWay()
	return &end{in: back, out: there}, &end{in: there, out: back}
}

// end is one of two.
type end struct{ in, out *way }

// Read waits for bytes, or for the other end to close.
func (e *end) Read(p []byte) (int, error) { return e.in.take(p) }

// Write waits where there is no room.
func (e *end) Write(p []byte) (int, error) { return e.out.put(p) }

// Close may be called more than once.
func (e *end) Close() error {
	e.in.close(func(w *way) { w.deaf = true })
	e.out.close(func(w *way) { w.ended = true })
	return nil
}

func (e *end) LocalAddr() net.Addr  { return addr{} }
func (e *end) RemoteAddr() net.Addr { return addr{} }

// SetDeadline is net.Conn's.
func (e *end) SetDeadline(t time.Time) error {
	e.in.setDeadline(&e.in.readBy, t)
	e.out.setDeadline(&e.out.writeBy, t)
	return nil
}

// SetReadDeadline is net.Conn's.
func (e *end) SetReadDeadline(t time.Time) error {
	e.in.setDeadline(&e.in.readBy, t)
	return nil
}

// SetWriteDeadline is net.Conn's.
func (e *end) SetWriteDeadline(t time.Time) error {
	e.out.setDeadline(&e.out.writeBy, t)
	return nil
}

type addr struct{}

func (addr) Network() string { return "pipe" }
func (addr) String() string  { return "pipe" }

// way is one of the directions of a connection.
type way struct {
	mu              sync.Mutex
	changed         sync.Cond // there are more bytes, or fewer, an end has closed or a deadline passed
	data            []byte    // written, from read on not read
	read            int
	ended           bool // by who writes
	deaf            bool // who reads has closed
	readBy, writeBy deadline
}

func newWay() *way {
	w := new(way)
	w.changed.L = &w.mu
	return w
}

func (w *way) take(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.deaf:
			return 0, io.ErrClosedPipe
		case w.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case w.read < len(w.data):
			n := copy(p, w.data[w.read:])
			if w.read += n; w.read == len(w.data) {
				w.empty()
			}
			w.changed.Broadcast()
			return n, nil
		case w.ended:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		w.wait(&w.readBy)
	}
}

func (w *way) put(p []byte) (written int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.ended, w.deaf:
			return written, io.ErrClosedPipe
		case w.writeBy.passed():
			return written, os.ErrDeadlineExceeded
		case written == len(p):
			return written, nil
		}
		n := min(len(p)-written, room-(len(w.data)-w.read))
		if n == 0 {
			w.wait(&w.writeBy)
			continue
		}
		if len(w.data)+n > cap(w.data) {
			w.data = append(w.data[:0], w.data[w.read:]...)
			w.read = 0
		}
		w.data = append(w.data, p[written:written+n]...)
		written += n
		w.changed.Broadcast()
	}
}

// empty makes room where everything has been read.
func (w *way) empty() {
	w.read = 0
	if w.data = w.data[:0]; cap(w.data) > kept {
		w.data = nil
	}
}

func (w *way) close(mark func(*way)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	mark(w)
	w.changed.Broadcast()
}

// deadline of those who read or of those who write. Its timer runs only while one
// of them waits: most never do for long enough to need one.
type deadline struct {
	at    time.Time // zero for none
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// wait waits for a change, or until a deadline.
func (w *way) wait(d *deadline) {
	if d.at.IsZero() {
		w.changed.Wait()
		return
	}
	if d.timer == nil {
		d.timer = time.AfterFunc(time.Until(d.at), func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changed.Broadcast()
		})
	} else {
		d.timer.Reset(time.Until(d.at))
	}
	w.changed.Wait()
	d.timer.Stop()
}

// setDeadline wakes those who wait, to wait for the new one.
func (w *way) setDeadline(d *deadline, t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d.at = t
	w.changed.Broadcast()
}
