package wire

// passing is a request that is passed on as it arrives, and that rules look at when
// there is an answer.
type passing struct {
	x    *Exchange
	lent []byte // the broker's memory for the frame without its length, nil when it has none of that size
	own  []byte // a copy of the frame so far, where nothing is lent
}

// keep takes the next n bytes of the frame, which have been read into p.
func (s *Session) keep(p []byte, n int) {
	k := s.passing
	if k == nil {
		return
	}
	if size := s.toBroker; s.cfg.Lends && k.lent == nil && len(k.own) == frameSize && len(p) >= size {
		k.lent = p[:size:size]
	}
	if k.lent == nil {
		k.own = append(k.own, p[:n]...)
	}
}

// passed ends the frame: the broker has the whole of it.
func (s *Session) passed() {
	k := s.passing
	s.passing = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.x.frame = k.own; k.lent != nil {
		k.x.frame = k.lent
		k.x.body -= frameSize
	}
	for i := range s.queue {
		if s.queue[i].x == k.x {
			s.queue[i].arriving = false
		}
	}
}
