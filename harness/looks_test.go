package harness

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.com/kafkatest/adapter"
)

// What happens between the two looks counts, though either finds all done.
func TestSettle_looksTwice(t *testing.T) {
	Run(t, func(t *testing.T, h *Harness) {
		handled := 0
		h.Subscribe(adapter.Subscription{Topics: []string{"t"}, Group: "g", Handler: adapter.HandlerFunc(
			func(context.Context, *adapter.Message) adapter.Result { handled++; return adapter.Commit() },
		)})
		h.Settle()
		idle, idles := h.clock.idle, 0
		h.clock.idle = func() {
			if idles++; idles == 2 { // the first look is over
				h.Publish(note{})
			}
			idle()
		}
		h.Settle()
		assert.Greater(t, idles, 2, "the looks begin again")
		assert.Equal(t, 1, handled)
	})
}
