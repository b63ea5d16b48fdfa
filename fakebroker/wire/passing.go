package wire

import "sync"

// passing is a request on its way into the broker's memory. Rules look at it there
// afterwards, where that is lent (see [Config]): so a large request is kept once.
type passing struct {
	x      *Exchange // nil when no rule looks at the request any more
	size   int       // of the frame, its length included
	passed int       // how much of it the broker has
	whole  []byte    // the frame, when it was read whole before
	copied []byte    // what has passed of one that was not, unless memory is lent
	lent   []byte    // the broker's memory for the frame without its length
}

// took notes that the broker was handed the next n bytes of the frame, in p, and
// reports whether it has all of it.
func (k *passing) took(p []byte, n int, lends bool) (all bool) {
	if rest := k.size - k.passed; lends && k.passed == frameSize && len(p) >= rest {
		k.lent = p[:rest:rest]
	}
	if k.whole == nil && k.lent == nil {
		k.copied = append(k.copied, p[:n]...)
	}
	k.passed += n
	return k.passed == k.size
}

// pass is called when the broker has all of the request: it can be answered now, and
// looked at.
func (s *Session) pass() {
	k := s.passing
	s.passing = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.x != nil {
		switch {
		case k.lent != nil:
			k.x.frame, k.x.body, k.x.req = k.lent, k.x.body-frameSize, nil
		case k.whole == nil:
			k.x.frame = k.copied
		}
		for i := range s.queue {
			if s.queue[i].x == k.x {
				s.queue[i].arriving = false
			}
		}
	}
	if k.lent != nil && k.whole != nil {
		whole := k.whole // alone, and not what else is known of it
		frames.Put(&whole)
	}
}

// passWhole begins the way of a request that was read whole. Nobody looks at what it
// was read into afterwards, unless a rule has changed it or kept something of it.
func (s *Session) passWhole(x *Exchange) {
	if s.cfg.Lends && len(x.frame) >= reused && !x.dirty && x.kept == nil {
		s.passing = &passing{size: len(x.frame), whole: x.frame}
	}
}

// frames are memory for requests that are read whole, as all are that have records.
var frames = sync.Pool{New: func() any { return new([]byte) }}

// reused is how long a frame is at least whose memory is worth using again.
const reused = 32 << 10

// newFrame is memory for a frame of that size.
func (s *Session) newFrame(size int) []byte {
	if size < reused || !s.cfg.Lends {
		return make([]byte, 0, size)
	}
	f := *frames.Get().(*[]byte)
	if cap(f) < size {
		f = make([]byte, 0, size)
	}
	return f[:0]
}
