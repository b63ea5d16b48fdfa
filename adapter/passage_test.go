package adapter

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPassage_letsInWhatFitsAndKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &passage{room: 100}
		ctx := t.Context()
		require.NoError(t, p.enter(ctx, 60))
		var in []int
		for _, n := range []int64{100, 10} { // the first does not fit, and the second waits for it
			go func() {
				if assert.NoError(t, p.enter(ctx, n)) {
					in = append(in, int(n))
				}
			}()
			synctest.Wait()
		}
		assert.Empty(t, in)
		p.leave(60)
		synctest.Wait()
		assert.Equal(t, []int{100}, in)
		p.leave(100)
		synctest.Wait()
		assert.Equal(t, []int{100, 10}, in)
		p.leave(10)
		assert.EqualValues(t, 100, p.room)
	})
}

func TestPassage_goesOnWithoutThoseWhoGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &passage{room: 100}
		require.NoError(t, p.enter(t.Context(), 60))
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error)
		go func() { gaveUp <- p.enter(ctx, 100) }()
		synctest.Wait()
		entered := make(chan error)
		go func() { entered <- p.enter(t.Context(), 40) }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-gaveUp, context.Canceled)
		require.NoError(t, <-entered)
		assert.Zero(t, p.room)
	})
}

// Somebody whose time is up at the moment in which it gets in must leave no room
// taken.
func TestPassage_neverLosesRoom(t *testing.T) {
	p := &passage{room: 100}
	for range 1000 {
		require.NoError(t, p.enter(t.Context(), 100))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if p.enter(ctx, 100) == nil {
				p.leave(100)
			}
		}()
		go cancel()
		p.leave(100)
		<-done
		assert.EqualValues(t, 100, p.room)
	}
}
