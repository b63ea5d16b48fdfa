package harness_test

import (
	"context"
	"errors"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// What the examples test: a library that lends books. Who wants one publishes
// loanRequested; a handler takes it off the shelf and publishes loanGranted.

type loanRequested struct {
	Loan   string `json:"loan"`
	Reader string `json:"reader"`
	Book   string `json:"book"`
}

func (loanRequested) TopicName() string    { return "loans.requested" }
func (l loanRequested) MessageKey() string { return l.Loan }
func (l loanRequested) MessageData() any   { return l }

type loanGranted struct {
	Loan string `json:"loan"`
}

func (loanGranted) TopicName() string    { return "loans.granted" }
func (l loanGranted) MessageKey() string { return l.Loan }
func (l loanGranted) MessageData() any   { return l }

var (
	errNoSuchBook = errors.New("no such book")
	errShelfDown  = errors.New("the shelf's database is down")
)

// shelf is what the use cases keep books in.
type shelf interface {
	Find(ctx context.Context, book string) (copies int, err error)
	Lend(ctx context.Context, loan loanRequested) error
}

// requestLoan is the use case of who wants a book.
func requestLoan(ctx context.Context, p harness.Publisher, l loanRequested) error {
	if l.Reader == "" {
		return errors.New("a loan needs a reader")
	}
	return p.Publish(ctx, l)
}

// grantLoan is the use case behind the handler.
type grantLoan struct {
	shelf     shelf
	publisher harness.Publisher
}

func (g grantLoan) grant(ctx context.Context, l loanRequested) error {
	copies, err := g.shelf.Find(ctx, l.Book)
	if err != nil {
		return err
	}
	if copies == 0 {
		return errNoSuchBook
	}
	if err := g.shelf.Lend(ctx, l); err != nil {
		return err
	}
	return g.publisher.Publish(ctx, loanGranted{l.Loan})
}

// handler decides what becomes of a record: it is no use to try again what is
// wrong with the record itself.
func (g grantLoan) handler() adapter.Handler {
	return adapter.JSON(func(ctx context.Context, l loanRequested, _ *adapter.Message) adapter.Result {
		switch err := g.grant(ctx, l); {
		case errors.Is(err, errNoSuchBook):
			return adapter.Reject(err)
		case err != nil:
			return adapter.Retry(err)
		}
		return adapter.Commit()
	})
}

// shelfDouble is a double of the shelf, made of what the harness has.
type shelfDouble struct {
	Finds harness.Stub[string, int]
	Lends harness.Spy[loanRequested]
}

func (s *shelfDouble) Find(ctx context.Context, book string) (int, error) {
	return s.Finds.Call(ctx, book)
}
func (s *shelfDouble) Lend(ctx context.Context, l loanRequested) error {
	return s.Lends.CallContext(ctx, l)
}

// readBatch is a batch handler that goes record by record, and heeds what it is
// told meanwhile.
func readBatch(ctx context.Context, b *adapter.Batch) error {
	for _, m := range b.Messages {
		if !b.IsRunning() || b.IsStale() {
			return nil
		}
		if len(m.Value) == 0 {
			b.RejectAt(m.Offset, errors.New("nothing in it"))
			continue
		}
		b.ResolveOffset(m.Offset)
		if err := b.Heartbeat(ctx); err != nil {
			return err
		}
	}
	return b.CommitOffsetsIfNecessary(ctx)
}
