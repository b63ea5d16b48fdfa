package harness_test

import (
	"context"
	"errors"
	"fmt"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// A handler is called on a message as it is, without a consumer around it. The
// event makes the message: nobody turns text into bytes by hand.
func ExampleHandle() {
	library := &shelfDouble{}
	library.Finds.ReturnNext(1, 0)
	handler := grantLoan{library, &harness.PublisherSpy{}}.handler()
	ctx := context.Background()

	dune := harness.NewMessage(loanRequested{"loan-1", "ann", "Dune"})
	fmt.Println(harness.Handle(ctx, handler, dune))
	emma := harness.NewMessage(loanRequested{"loan-2", "ben", "Emma"})
	fmt.Println(harness.Handle(ctx, handler, emma))
	fmt.Println(harness.Handle(ctx, handler, &adapter.Message{Value: []byte("no JSON")}).Type())
	fmt.Println(library.Lends.Calls())
	// Output:
	// commit
	// reject: no such book
	// reject
	// [{loan-1 ann Dune}]
}

// A batch needs a topic and messages. Offsets, the high watermark and the
// controls are there without being asked for.
func ExampleNewBatch() {
	b := harness.NewBatch("loans", []*adapter.Message{
		harness.NewMessage(text{"loans", "loan-1", "Dune"}),
		harness.NewMessage(text{"loans", "loan-2", "Emma"}),
	}, harness.BatchConfig{})
	fmt.Println("offsets", b.FirstOffset(), "to", b.LastOffset(), "below", b.HighWatermark)
	fmt.Println("lag", b.OffsetLag(), "low", b.OffsetLagLow(), "empty", b.IsEmpty())
	fmt.Println("running", b.IsRunning(), "stale", b.IsStale(), "uncommitted", b.UncommittedOffsets())
	// Output:
	// offsets 0 to 1 below 2
	// lag 0 low 1 empty false
	// running true stale false uncommitted map[]
}

// Whatever a test is about is said in the configuration; the rest follows from
// it. What messages have in common is said once.
func ExampleNewBatch_configured() {
	b := harness.NewBatch("loans",
		[]*adapter.Message{{Value: []byte("Dune")}, {Offset: 107, Value: []byte("Emma"), Attempt: 1}},
		harness.BatchConfig{
			Partition: 3, FirstOffset: 100, HighWatermark: 200,
			Defaults: adapter.Message{Key: []byte("shelf-1"), Attempt: 2},
			Members:  adapter.BatchFuncs{Heartbeat: func(context.Context) error { return errors.New("rebalancing") }},
		})
	for _, m := range b.Messages {
		fmt.Println(m, string(m.Key), string(m.Value))
	}
	fmt.Println("lag", b.OffsetLag(), "low", b.OffsetLagLow())
	fmt.Println(b.Heartbeat(context.Background()))
	// Output:
	// loans[3]@100 attempt 2 shelf-1 Dune
	// loans[3]@107 attempt 1 shelf-1 Emma
	// lag 92 low 99
	// rebalancing
}

// A batch handler is run on the batch, and what it called is there to be
// compared.
func ExampleHandleBatch() {
	b := harness.NewBatch("loans",
		[]*adapter.Message{{Value: []byte("Dune")}, {}, {Value: []byte("Emma")}},
		harness.BatchConfig{FirstOffset: 100})
	calls, err := harness.HandleBatch(context.Background(), adapter.BatchHandlerFunc(readBatch), b)
	fmt.Println(err)
	fmt.Println("resolved", calls.Resolved, "rejected", calls.Rejected, "committed", calls.Commits)
	fmt.Println(calls)
	// Output:
	// <nil>
	// resolved [100 102] rejected [{101 nothing in it}] committed [101]
	// ResolveOffset(100), Heartbeat, RejectAt(101): nothing in it, ResolveOffset(102), Heartbeat, CommitOffsetsIfNecessary(101)
}

// The partition is taken away in the middle of a batch: the handler is to stop.
func ExampleAfterMessages() {
	b := harness.NewBatch("loans",
		[]*adapter.Message{{Value: []byte("Dune")}, {Value: []byte("Emma")}, {Value: []byte("Ulysses")}},
		harness.BatchConfig{Stale: harness.AfterMessages(2)})
	calls, err := harness.HandleBatch(context.Background(), adapter.BatchHandlerFunc(readBatch), b)
	fmt.Println(calls.Resolved, err)
	// Output: [0 1] the partition is no longer assigned to this member
}
