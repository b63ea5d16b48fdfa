package harness_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// What a client says of its connection comes from a connection: the broker goes
// away and comes back, and nothing is made up for the test.
func TestExample_theAdapterSaysHowItIsConnected(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		a := h.NewAdapter()
		require.NoError(t, a.Ready(t.Context()))
		changes := a.StateChanges()
		outage := h.Broker().TakeDown(0)
		h.Until(func() bool { return a.State() == adapter.Disconnected })
		outage.Clear()
		h.Until(func() bool { return a.State() == adapter.Connected })
		require.NoError(t, a.Close(t.Context()))

		var states []adapter.State
		for c := range changes {
			states = append(states, c.State)
		}
		assert.Equal(t, []adapter.State{adapter.Disconnected, adapter.Connected, adapter.Closed}, states)
	})
}

// Topics are created and events published by the code that does it in
// production, and nothing had to be installed or started for it.
func TestExample_topicsAndEventsWithoutAContainer(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		a := h.Adapter()
		require.NoError(t, a.EnsureTopics(t.Context(), adapter.TopicSpec{Name: "loans.requested", Partitions: 3}))
		require.NoError(t, requestLoan(t.Context(), a, loanRequested{"loan-1", "ann", "Dune"}))
		assert.Equal(t, []loanRequested{{"loan-1", "ann", "Dune"}}, harness.Values[loanRequested](h.Topic("loans.requested")))
		assert.EqualError(t, requestLoan(t.Context(), a, loanRequested{}), "a loan needs a reader")
	})
}

// The consumer joins a group, is assigned partitions, fetches and commits, and
// calls the handler: nobody has to get hold of the handler behind its back.
func TestExample_aHandlerBehindARealConsumerGroup(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		handler := &harness.HandlerSpy{}
		h.Subscribe(adapter.Subscription{Topics: []string{"loans.requested"}, Group: "library", Handler: handler})
		loan := h.Publish(loanRequested{"loan-1", "ann", "Dune"})
		h.Settle()
		assert.Equal(t, 1, handler.Calls.Count())
		assertKind(t, harness.Committed, h.Fate(loan))
		group, _ := h.Broker().Group("library")
		assert.Equal(t, "Stable", group.State)
		assert.Equal(t, int64(1), group.Offsets[0].Committed)
	})
}

// From the request to the second topic: publish is called as often as it
// should, the handler runs, the use case runs, the shelf lends, and a console on
// the second topic sees the message.
func TestExample_fromOneUseCaseThroughTheOther(t *testing.T) {
	onBothClocks(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		publisher := &harness.PublisherSpy{Next: h.Adapter()}
		library := &shelfDouble{}
		library.Finds.ReturnAlways(1)
		handler := &harness.HandlerSpy{Next: grantLoan{library, publisher}.handler()}
		var console []string
		h.Subscribe(adapter.Subscription{Topics: []string{"loans.requested"}, Group: "library", Handler: handler})
		subscribe(h, "console", "loans.granted", func(_ context.Context, m *adapter.Message) adapter.Result {
			console = append(console, string(m.Key)+" "+string(m.Value))
			return adapter.Commit()
		})

		want := loanRequested{"loan-1", "ann", "Dune"}
		require.NoError(t, requestLoan(t.Context(), publisher, want))
		h.Settle()

		assert.Equal(t, []adapter.Event{want, loanGranted{"loan-1"}}, publisher.Calls.Calls(), "published")
		assert.Equal(t, 1, handler.Calls.Count(), "the handler runs")
		assert.Equal(t, []string{"Dune"}, library.Finds.Calls.Calls(), "the use case runs")
		assert.Equal(t, []loanRequested{want}, library.Lends.Calls(), "the shelf lends")
		assert.Equal(t, []string{`loan-1 {"loan":"loan-1"}`}, console)
	})
}

// What is there before the service starts is said plainly: a topic, records, one
// of them old and broken, and where the group was left.
func TestExample_aServiceThatStartsInTheMiddle(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		requests := h.Topic("loans.requested").Create(1, "retention.ms=-1")
		requests.Append(
			harness.NewRecord(loanRequested{"loan-1", "ann", "Dune"}),
			harness.NewRecord(loanRequested{"loan-2", "ben", "Emma"}),
			harness.Record{Value: []byte("no JSON"), Timestamp: time.Now().Add(-24 * time.Hour)},
		)
		h.Group("library").Commit("loans.requested", 0, 1)

		library := &shelfDouble{}
		library.Finds.ReturnAlways(1)
		h.CreateTopics("loans.granted")
		h.Subscribe(adapter.Subscription{
			Topics: []string{"loans.requested"}, Group: "library", Handler: grantLoan{library, h.Adapter()}.handler(),
		})
		h.Settle()

		assert.Equal(t, []loanGranted{{"loan-2"}}, harness.Values[loanGranted](h.Topic("loans.granted")))
		h.Golden("loans", "loans.granted", "loans.requested.library.dlt")
	})
}
