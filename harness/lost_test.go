package harness

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
)

type note struct{}

func (note) TopicName() string  { return "t" }
func (note) MessageKey() string { return "" }
func (note) MessageData() any   { return "note" }

// The adapter loses nothing, so this one is told that it has.
func TestFate_lostWhereAMemberCommittedPastWhatItHasNotSettled(t *testing.T) {
	Run(t, func(t *testing.T, h *Harness) {
		recs := h.PublishAll(note{}, note{}, note{})
		c := h.Subscribe(adapter.Subscription{Topics: []string{"t"}, Group: "g", Handler: adapter.HandlerFunc(
			func(context.Context, *adapter.Message) adapter.Result { return adapter.Commit() },
		)})
		h.Settle()
		require.NoError(t, c.Close(t.Context()))

		h.watch.mu.Lock()
		all := h.watch.partition("g", "t", 0).stories
		all.edit(0)
		all.forget(0)               // never delivered
		all.edit(1).settled = false // delivered, and not settled
		h.watch.mu.Unlock()
		assert.Equal(t, "t[0]@0 in group g: lost: the group's committed offset passed it, and no handler settled it, never delivered", h.Fate(recs[0]).String())
		assert.Equal(t, Lost, h.Fate(recs[1]).Kind)
		assert.Equal(t, Committed, h.Fate(recs[2]).Kind)

		assert.Len(t, h.unfinished(), 2)
		h.AllowPending()
		assert.Len(t, h.unfinished(), 2, "a lost record is not a pending one")

		// So that this test ends well.
		h.watch.mu.Lock()
		all.edit(0).settled = true
		all.edit(1).settled = true
		h.watch.mu.Unlock()
	})
}
