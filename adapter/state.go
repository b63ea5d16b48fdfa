package adapter

import (
	"fmt"
	"sync"
	"time"
)

// State is what is known of the connection to Kafka.
type State int

// The states of an adapter.
const (
	// Connecting: no broker has answered yet, and the adapter keeps trying.
	Connecting State = iota
	// Connected: a broker answered.
	Connected
	// Disconnected: no broker answers. After a first success the adapter
	// keeps trying; after the last of the first tries it waits to be asked.
	Disconnected
	// Closed: Close was called.
	Closed
)

var stateNames = [...]string{"connecting", "connected", "disconnected", "closed"}

// String is the state's name in lower case.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return stateNames[s]
}

// StateChange is a new state.
type StateChange struct {
	State State
	Cause error     // why no broker could be reached; nil when Connected or Closed
	At    time.Time // when it began, by this process's clock
}

// watchedState is a state that can be waited for.
type watchedState struct {
	mu       sync.Mutex
	now      StateChange
	tries    int           // failed tries to connect since the last success
	gaveUp   bool          // the first tries are used up
	changed  chan struct{} // closed at the next change
	watchers []chan StateChange
}

func newWatchedState() *watchedState {
	return &watchedState{now: StateChange{State: Connecting, At: time.Now()}, changed: make(chan struct{})}
}

// stateView is a state with what waiting for it needs.
type stateView struct {
	StateChange
	tries   int
	gaveUp  bool
	changed <-chan struct{}
}

func (w *watchedState) view() stateView {
	w.mu.Lock()
	defer w.mu.Unlock()
	return stateView{w.now, w.tries, w.gaveUp, w.changed}
}

// set changes the state, unless it is Closed already: nothing comes after
// that. tries and gaveUp describe a failed try, and wake those who wait even
// when the state stays as it is.
func (w *watchedState) set(s State, cause error, tries int, gaveUp bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now.State == Closed {
		return
	}
	was := w.now.State
	w.now = StateChange{State: s, Cause: cause, At: time.Now()}
	w.tries, w.gaveUp = tries, gaveUp
	close(w.changed)
	w.changed = make(chan struct{})
	if was == s {
		return
	}
	for _, c := range w.watchers {
		select {
		case c <- w.now:
		default: // a slow reader loses the oldest, never the newest
			select {
			case <-c:
			default:
			}
			c <- w.now
		}
	}
	if s == Closed {
		for _, c := range w.watchers {
			close(c)
		}
		w.watchers = nil
	}
}

func (w *watchedState) watch() <-chan StateChange {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan StateChange, 16)
	if w.now.State == Closed {
		c <- w.now
		close(c)
		return c
	}
	w.watchers = append(w.watchers, c)
	return c
}
