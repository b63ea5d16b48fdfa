package adapter

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// What counts since a time is what the gate was closed since then, and what was known
// before.
func TestGate_idleOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		at := func(hours float64) time.Time { return start.Add(time.Duration(hours * float64(time.Hour))) }
		g := &gate{}
		answer := func(err error) {
			if g.answer == nil {
				g.answer = make(chan struct{})
			}
			_ = g.know(err)
		}
		for range 2 { // closed from 1 to 2, from 3 to 4, and from 5 on
			time.Sleep(time.Hour)
			answer(errors.New("down"))
			time.Sleep(time.Hour)
			answer(nil)
		}
		time.Sleep(time.Hour)
		answer(errors.New("down"))
		time.Sleep(time.Hour)
		m := &Message{FirstFailed: start}
		for to, want := range map[float64]float64{-1: 3, 0: 3, 1.5: 2.5, 2: 2, 2.5: 2, 3.25: 1.75, 4: 1, 4.5: 1, 5.5: 0.5, 6: 0, 7: 0} {
			m.idle = g.idleOf(time.Minute, at(to))
			assert.Equal(t, at(want).Sub(start)+time.Minute, g.idleFor(m), "since %v", to)
		}
		time.Sleep(30 * time.Minute)
		m.idle = g.idleOf(0, at(6))
		time.Sleep(30 * time.Minute)
		answer(nil)
		time.Sleep(time.Hour)
		assert.Equal(t, time.Hour, g.idleFor(m))
		g.failedFirst(m, time.Now())
		assert.Zero(t, g.idleFor(m))
		assert.Zero(t, g.idleFor(&Message{}))
	})
}

func TestGate_remembersTheLastTimesItWasClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		start := time.Now()
		for range maxSpells + 10 {
			for _, err := range []error{errors.New("down"), nil} {
				if g.answer == nil {
					g.answer = make(chan struct{})
				}
				_ = g.know(err)
				time.Sleep(time.Second)
			}
		}
		m := &Message{FirstFailed: start}
		m.idle = g.idleOf(0, start)
		assert.Equal(t, maxSpells*time.Second, g.idleFor(m))
		assert.Len(t, g.spells, maxSpells)
	})
}
