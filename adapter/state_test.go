package adapter

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestState_hasANameForEach(t *testing.T) {
	for s, want := range map[State]string{Connecting: "connecting", Connected: "connected", Disconnected: "disconnected", Closed: "closed", 7: "State(7)", -1: "State(-1)"} {
		assert.Equal(t, want, s.String())
	}
}

func TestStateChanges_aSlowReaderLosesTheOldest(t *testing.T) {
	w := newWatchedState()
	c := w.watch()
	cause := errors.New("gone")
	for range 20 {
		w.set(Connected, nil, 0, false)
		w.set(Connected, nil, 0, false) // no change, nothing to read
		w.set(Disconnected, cause, 1, false)
	}
	w.set(Closed, nil, 0, false)
	w.set(Connected, nil, 0, false) // nothing comes after Closed
	var got []StateChange
	for s := range c {
		got = append(got, s)
	}
	assert.Len(t, got, 16)
	assert.Equal(t, Closed, got[15].State)
	assert.Equal(t, Disconnected, got[14].State)
	assert.Equal(t, cause, got[14].Cause)
	assert.Equal(t, Connected, got[13].State)
	assert.NoError(t, got[13].Cause)
}

func TestStateChanges_afterTheCloseSayOnlyThat(t *testing.T) {
	w := newWatchedState()
	w.set(Closed, nil, 0, false)
	c := w.watch()
	assert.Equal(t, Closed, (<-c).State)
	_, open := <-c
	assert.False(t, open)
}
