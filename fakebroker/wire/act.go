package wire

import "net"

// act lets rules do what the broker is asked for, in its turn: see [Rule].
func (s *Session) act(x *Exchange) error {
	for _, r := range x.rules {
		if r.Act == nil {
			continue
		}
		if x.replied {
			return nil
		}
		if err := s.drain(); err != nil {
			return err
		}
		r.Act(x)
	}
	return nil
}

// drain waits until all earlier requests of the connection are answered.
func (s *Session) drain() error {
	step := s.lastStep()
	if step == nil {
		return nil
	}
	select {
	case <-step:
		return nil
	case <-s.ctx.Done():
		return net.ErrClosed
	}
}

// lastStep is closed when the request before the next one is answered; nil when
// none is to be.
func (s *Session) lastStep() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil
	}
	last := &s.queue[len(s.queue)-1]
	if last.step == nil {
		last.step = make(chan struct{})
	}
	return last.step
}
