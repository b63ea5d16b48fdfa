package harness_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// A double of a port is a Spy for each of its methods.
func ExampleSpy() {
	library := &shelfDouble{}
	library.Lends.FailNext(1, errors.New("the shelf's database is down"))
	ctx := context.Background()
	fmt.Println(library.Lend(ctx, loanRequested{"loan-1", "ann", "Dune"}))
	fmt.Println(library.Lend(ctx, loanRequested{"loan-1", "ann", "Dune"}))
	fmt.Println(library.Lends.Count(), library.Lends.Calls())
	// Output:
	// the shelf's database is down
	// <nil>
	// 2 [{loan-1 ann Dune} {loan-1 ann Dune}]
}

// A method that returns a value is a Stub: it fails once, has one copy, and from
// then on none.
func ExampleStub() {
	library := &shelfDouble{}
	library.Finds.Calls.FailNext(1, errors.New("the shelf's database is down"))
	library.Finds.ReturnNext(1)
	library.Finds.ReturnAlways(0)
	for range 4 {
		fmt.Println(library.Find(context.Background(), "Dune"))
	}
	// Output:
	// 0 the shelf's database is down
	// 1 <nil>
	// 0 <nil>
	// 0 <nil>
}

// The database is down for two hours: nothing is lost, nothing is given up, and
// the test takes milliseconds.
func TestExample_aDatabaseThatIsDownForTwoHours(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		library := &shelfDouble{}
		library.Finds.ReturnAlways(1)
		library.Lends.FailUntil(time.Now().Add(2*time.Hour), errShelfDown)
		h.CreateTopics("loans.granted")
		h.Subscribe(adapter.Subscription{
			Topics: []string{"loans.requested"}, Group: "library",
			Handler: grantLoan{library, h.Adapter()}.handler(),
			Retry:   adapter.RetryPolicy{Attempts: 1000},
		})
		loan := h.Publish(loanRequested{"loan-1", "ann", "Dune"})
		h.Settle()

		assertKind(t, harness.Committed, h.Fate(loan))
		calls := library.Lends.Log()
		last := calls[len(calls)-1]
		assert.GreaterOrEqual(t, last.At.Sub(calls[0].At), 2*time.Hour)
		assert.NoError(t, last.Err)
		assert.ErrorIs(t, calls[0].Err, errShelfDown)
		assert.Equal(t, []loanGranted{{"loan-1"}}, harness.Values[loanGranted](h.Topic("loans.granted")))
	})
}

// A handler is caught in the middle of its work, and goes on when it is told to.
func TestExample_aHandlerThatIsHeldInTheMiddle(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		library := &shelfDouble{}
		library.Finds.ReturnAlways(1)
		release := library.Lends.Block()
		h.CreateTopics("loans.granted")
		h.Subscribe(adapter.Subscription{
			Topics: []string{"loans.requested"}, Group: "library", Handler: grantLoan{library, h.Adapter()}.handler(),
		})
		loan := h.Publish(loanRequested{"loan-1", "ann", "Dune"})
		h.Until(func() bool { return library.Lends.Waiting() == 1 })
		assertKind(t, harness.Pending, h.Fate(loan))
		assert.Empty(t, h.Topic("loans.granted").Records())

		release()
		h.Settle()
		assertKind(t, harness.Committed, h.Fate(loan))
	})
}
