package harness

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness/internal/report"
)

func TestVerdict_countsRedrivenRecordsThatNobodyHandled(t *testing.T) {
	for name, takesBack := range map[string]bool{"closed": true, "a subscription without Redrive": false} {
		t.Run(name, func(t *testing.T) {
			Run(t, func(t *testing.T, h *Harness) {
				c := h.Subscribe(adapter.Subscription{Topics: []string{"t"}, Group: "g", Redrive: takesBack, Handler: adapter.HandlerFunc(
					func(context.Context, *adapter.Message) adapter.Result { return adapter.Reject(errors.New("down")) },
				)})
				h.Publish(note{})
				h.Settle()
				require.NoError(t, c.Close(t.Context()))
				_, err := h.Adapter().Redrive(t.Context(), adapter.RedriveSpec{Topic: "t", Group: "g", Apply: true})
				require.NoError(t, err)

				fates := h.unfinished()
				require.Len(t, fates, 1)
				assert.Equal(t, fates[0], h.Fate(fates[0].Record))
				assert.Equal(t, "t.g.redrive[0]@0, redriven from t[0]@0, in group g: pending, never delivered", fates[0].String())
				h.AllowPending()
				assert.Empty(t, h.unfinished())
			})
		})
	}
}

func TestReport_leadsFromARedrivenRecordToWhereItWent(t *testing.T) {
	e := event{kind: evRedriven, group: "g", client: "adapter 2", place: place{"t", 0, 3}, to: place{"t.g.redrive", 0, 0}}
	assert.Equal(t, report.Event{
		Kind: "redriven", Text: "t[0]@3 redriven as t.g.redrive[0]@0 by adapter 2", Client: "adapter 2", Group: "g",
		Lane: "t[0]", Place: "t[0]@3", To: "t.g.redrive[0]@0", ToLane: "t.g.redrive[0]",
	}, e.report())
}

func TestRedrives_theNextIsTheLatestOfTheSameTime(t *testing.T) {
	w := newWatch(time.Now(), false, 1, 1)
	origin := adapter.Origin{Topic: "t", Offset: 3}
	at := func(offset int64) place { return place{"t.g.redrive", 0, offset} }
	for offset, times := range []int{1, 1, 3, 2, 2} { // two runs of Redrive at once, twice
		assert.True(t, w.foundRedriven(way{origin, times}, at(int64(offset))))
	}
	assert.False(t, w.foundRedriven(way{origin, 1}, at(0)), "known already")
	all := w.redrivesOf("t.g.redrive")
	for redriven, want := range []redrive{{1, at(1)}, {2, at(4)}, {3, at(2)}} {
		next, ok := all.next(way{origin, redriven})
		assert.True(t, ok)
		assert.Equal(t, want, next)
	}
	_, ok := all.next(way{origin, 3})
	assert.False(t, ok)
	_, ok = all.next(way{adapter.Origin{Topic: "t"}, 0})
	assert.False(t, ok)
}
