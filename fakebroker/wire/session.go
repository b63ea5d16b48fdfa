package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what the connections of a broker have in common. The zero value
// works.
type Config struct {
	// Node is the broker's node id, for [Header.Node].
	Node int32

	// Listener is the door that a client came in by, for [Header.Listener].
	// A [Listener] fills it in.
	Listener int

	// Login is the door's: see [Door]. A [Listener] fills it in.
	Login func(client net.Conn) (user, password string)

	// SASL is the door's: see [Door]. A [Listener] fills it in.
	SASL bool

	// Remote is the client's address, for [Exchange.RemoteAddr]. A [Listener]
	// fills it in.
	Remote net.Addr

	// Rules is what connections go by. Nil: no rules.
	Rules *Rules

	// Lends says that whoever reads a session reads each frame's length, and then
	// the rest of it by [io.ReadFull] into memory that nobody changes afterwards, as
	// kfake does. Rules that look at a request only when there is an answer are
	// shown that memory, and a large request is not copied for them.
	Lends bool

	// Relays says that the broker is another program, which judges for itself. A
	// request of an API or a version that is not known here (see [Newest]) passes as it
	// is, seen by no rule, and so does its answer. A long one passes while it is still
	// arriving, unless a rule is to see it first.
	Relays bool

	// MaxFrame bounds a request, in bytes; a longer one ends its connection.
	// Zero means 100 MiB, Kafka's socket.request.max.bytes.
	MaxFrame int

	// Logger gets why connections were closed, at debug level. Nil: nothing is
	// logged.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.MaxFrame <= 0 {
		c.MaxFrame = 100 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// errCut ends a connection because a rule said so.
var errCut = errors.New("connection cut by a rule")

// Session follows one client's connection. Reading from it gives the requests
// that the broker shall have, writing to it takes the broker's answers; both
// are streams of whole frames, in pieces of any size. One goroutine may read
// while another writes, and Close may be called at any time.
type Session struct {
	cfg    Config
	client io.ReadWriteCloser
	ctx    context.Context
	cancel context.CancelFunc
	done   func() // called once, when the session is closed

	requests
	answers

	// turn is held by whoever writes to the client. A channel, because who
	// waits for it must be seen as waiting by a bubble.
	turn chan struct{}

	answering atomic.Bool            // an answer of the broker's is being written
	memory    sync.Map               // of the rules
	user      atomic.Pointer[string] // who the client is, nil while nobody has said

	mu    sync.Mutex
	queue []awaited  // requests still to be answered, oldest first
	room  [1]awaited // for the queue of a client that waits for each answer
	name  string     // the client id last seen, for others than who reads
}

// awaited is a request that an answer is owed for.
type awaited struct {
	step        chan struct{} // closed when it is answered; nil for what nothing waits for
	correlation int32
	opaque      bool      // a bare SASL token: no correlation id comes back
	ready       bool      // a rule has answered it
	arriving    bool      // the broker does not have the whole of it yet
	x           *Exchange // nil when no rule wants the answer
}

// NewSession follows a client's connection. Closing the session closes it.
func NewSession(client io.ReadWriteCloser, cfg Config) *Session {
	s := &Session{cfg: cfg.withDefaults(), client: client, turn: make(chan struct{}, 1)}
	s.queue = s.room[:0]
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.in = bufio.NewReaderSize(client, roomAtFirst)
	return s
}

// Close closes the client's connection and ends delays at once. It may be
// called more than once.
func (s *Session) Close() error {
	s.mu.Lock()
	first := s.ctx.Err() == nil
	s.cancel()
	s.mu.Unlock()
	if !first {
		return nil
	}
	if s.done != nil {
		s.done()
	}
	return s.client.Close()
}

// fail closes the session and says why.
func (s *Session) fail(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
		s.cfg.Logger.Debug("connection closed", "node", s.cfg.Node, "err", err)
	}
	_ = s.Close() // the reason for closing is the error to report
	return err
}

// ClientID is the client id of the latest request; empty before the first one.
func (s *Session) ClientID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name
}

// wait sleeps, or until the session is closed.
func (s *Session) wait(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.ctx.Done():
		return net.ErrClosed
	}
}

func (s *Session) takeTurn() error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-s.ctx.Done():
		return net.ErrClosed
	}
}

func (s *Session) endTurn() { <-s.turn }

func (s *Session) await(a awaited) {
	s.mu.Lock()
	s.queue = append(s.queue, a)
	s.mu.Unlock()
}

// oldest returns the request whose answer is due next.
func (s *Session) oldest() (awaited, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return awaited{}, false
	}
	return s.queue[0], true
}

func (s *Session) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if step := s.queue[0].step; step != nil {
		close(step)
	}
	s.queue[0] = awaited{}
	if s.queue = s.queue[1:]; len(s.queue) == 0 {
		s.queue = s.room[:0] // lets go of what the slice has grown to
	}
}

// flush writes the answers of rules whose turn has come. The turn is held.
func (s *Session) flush() error {
	for {
		a, ok := s.oldest()
		if !ok || !a.ready {
			return nil
		}
		err := s.complete(a.x)
		s.answered() // also by the last one, so that nobody answers again
		if err != nil {
			return err
		}
	}
}

// complete takes an answer past the rules and to the client. The turn is held.
func (s *Session) complete(x *Exchange) error {
	if x.login {
		return x.loggedIn()
	}
	if err := x.run(x.shown); err != nil {
		return err
	}
	if !x.Silent {
		if err := s.send(x); err != nil {
			return err
		}
	}
	if x.last {
		return errLast
	}
	return nil
}

// send writes an answer to the client. The turn is held.
func (s *Session) send(x *Exchange) error {
	frame, err := x.answerFrame()
	if err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	for _, r := range x.rules {
		if r.Sending != nil {
			r.Sending(x)
		}
	}
	_, err = s.client.Write(frame)
	return err
}
