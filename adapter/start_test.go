package adapter_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

func TestStartFrom(t *testing.T) {
	for _, c := range []struct {
		from adapter.StartOffset
		want []string
	}{
		{adapter.FromEarliest, []string{"before", "between", "after"}},
		{adapter.FromLatest, []string{"between", "after"}},
	} {
		t.Run(c.want[0], func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				var got list[string]
				s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
					got.add(string(m.Value))
					return adapter.Commit()
				})
				s.StartFrom = c.from
				before := h.Publish(event{"t", "", "before"})
				first := h.Subscribe(s)
				h.Settle()
				require.NoError(t, first.Close(t.Context()))
				// Nobody consumes, and the group has a place in the partition.
				require.NoError(t, h.Adapter().Publish(t.Context(), event{"t", "", "between"}))
				h.Subscribe(s)
				h.Publish(event{"t", "", "after"})
				h.Settle()
				assert.Equal(t, c.want, got.all())
				if c.from == adapter.FromLatest {
					assert.Equal(t, harness.Skipped, h.Fate(before).Kind)
				}
			})
		})
	}
}

// The start is found, and the commit of it fails until the group is rebalanced.
func TestStartFrom_latestIsPinnedWhenFound(t *testing.T) {
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		var got list[string]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			got.add(string(m.Value))
			return adapter.Commit()
		})
		s.StartFrom = adapter.FromLatest
		h.CreateTopics("t")
		one := h.NewAdapter()
		subscribe(t, one, s)
		h.Settle()
		assert.EqualValues(t, 0, committed(h, 0), "committed before there was a record")
		require.NoError(t, one.Close(t.Context()))
		publisher := h.NewAdapter()
		require.NoError(t, publisher.Publish(t.Context(), event{"t", "", "while it was away"}))
		subscribe(t, publisher, s)
		h.Settle()
		assert.Equal(t, []string{"while it was away"}, got.all())
	})
}
