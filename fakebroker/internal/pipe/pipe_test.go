package pipe_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"example.com/kafkatest/fakebroker/internal/pipe"
)

// room is as much as may be under way.
const room = 64 << 10

func inBubble(t *testing.T, f func(t *testing.T, a, b net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe.New()
		defer func() { _, _ = a.Close(), b.Close() }()
		f(t, a, b)
	})
}

func write(t *testing.T, c net.Conn, p []byte) {
	t.Helper()
	if n, err := c.Write(p); n != len(p) || err != nil {
		t.Fatalf("wrote %d of %d: %v", n, len(p), err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q: %v, want %q", got, err, want)
	}
}

func TestPipe_keepsWhatIsNotReadYet(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b net.Conn) {
		write(t, a, []byte("one"))
		write(t, a, []byte("two"))
		write(t, b, []byte("back"))
		read(t, b, "on")
		write(t, a, []byte("three"))
		read(t, b, "etwothree")
		read(t, a, "back")
	})
}

func TestPipe_hasNoEndOfRoomForWhoIsRead(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b net.Conn) {
		sent := bytes.Repeat([]byte("0123456789"), room) // ten times the room
		go func() {
			for rest := sent; len(rest) > 0; {
				n, err := a.Write(rest[:min(len(rest), 7777)])
				if err != nil {
					t.Error(err)
				}
				rest = rest[n:]
			}
			_ = a.Close()
		}()
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("read %d of %d bytes: %v", len(got), len(sent), err)
		}
	})
}

func TestPipe_writerWaitsForRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b net.Conn) {
		write(t, a, make([]byte, room))
		written := false
		go func() {
			_, _ = a.Write([]byte("more"))
			written = true
		}()
		if synctest.Wait(); written {
			t.Fatal("written where there is no room")
		}
		read(t, b, string(make([]byte, 10)))
		if synctest.Wait(); !written {
			t.Fatal("not written where there is room")
		}
	})
}

func TestPipe_closing(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b net.Conn) {
		ends := make(chan error)
		go func() {
			_, err := b.Read(make([]byte, 1))
			_, more := b.Read(make([]byte, 1))
			ends <- errors.Join(err, more)
		}()
		synctest.Wait()
		write(t, a, []byte("x"))
		_ = a.Close()
		_ = a.Close()
		if err := <-ends; !errors.Is(err, io.EOF) {
			t.Errorf("read behind the last byte: %v, want EOF", err)
		}
		for name, f := range map[string]func([]byte) (int, error){"own read": a.Read, "own write": a.Write, "the other's write": b.Write} {
			if _, err := f([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%s: %v, want %v", name, err, io.ErrClosedPipe)
			}
		}
	})
}

func TestPipe_closingEndsWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b net.Conn) {
		ends := make(chan error)
		write(t, a, make([]byte, room))
		go func() {
			_, err := a.Write([]byte("x"))
			ends <- err
		}()
		go func() {
			_, err := a.Read(make([]byte, 1))
			ends <- err
		}()
		synctest.Wait()
		_ = a.Close()
		for range 2 {
			if err := <-ends; !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%v, want %v", err, io.ErrClosedPipe)
			}
		}
		if _, err := io.CopyN(io.Discard, b, room); err != nil {
			t.Errorf("what was written before: %v", err)
		}
	})
}

func TestPipe_deadlines(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b net.Conn) {
		start := time.Now()
		after := func(want time.Duration, err error) {
			t.Helper()
			if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != want {
				t.Errorf("after %v: %v, want a passed deadline after %v", took, err, want)
			}
		}
		_ = a.SetReadDeadline(start.Add(time.Second))
		_, err := a.Read(make([]byte, 1))
		after(time.Second, err)
		write(t, b, []byte("x"))
		_, err = a.Read(make([]byte, 1))
		after(time.Second, err) // whatever there is
		_ = a.SetReadDeadline(time.Time{})
		read(t, a, "x")

		write(t, a, make([]byte, room))
		_ = a.SetDeadline(start.Add(2 * time.Second))
		_, err = a.Write([]byte("x"))
		after(2*time.Second, err)

		// A new deadline is that of who waits already.
		_ = b.SetReadDeadline(time.Time{})
		_, _ = io.CopyN(io.Discard, b, room)
		go func() {
			time.Sleep(time.Second)
			_ = b.SetReadDeadline(start.Add(5 * time.Second))
			time.Sleep(time.Second)
			_ = b.SetReadDeadline(start.Add(6 * time.Second))
		}()
		_, err = b.Read(make([]byte, 1))
		after(6*time.Second, err)
	})
}
