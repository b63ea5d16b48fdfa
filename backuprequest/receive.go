package backuprequest

import (
	"context"
	"fmt"
)

// Repository is where requests are kept. It must be safe for concurrent use.
// A Repository that cannot be reached says so with an error that wraps
// ErrUnavailable; when the context is done, the error wraps the context's.
//
// The package backuprequesttest holds implementations to this contract.
type Repository interface {
	// Save keeps r, unless there is a request with its id: the first one
	// wins, nothing is changed, and created is false. When it returns
	// true, the request survives whatever happens next. An error says that
	// it is not known whether r is kept.
	Save(ctx context.Context, r BackupRequest) (created bool, err error)
	// Find is the request with that id, its timestamp in UTC, or an error
	// that wraps ErrNotFound.
	Find(ctx context.Context, id string) (BackupRequest, error)
}

// Receipt is what became of one accepted request.
type Receipt struct {
	// Request is the one that is saved under the id.
	Request BackupRequest
	// New is false when it was saved before: the message was delivered
	// again, or the request was submitted again.
	New bool
	// Differing names the fields in which the accepted request asks for
	// something else than the one that was saved before, which stays as it
	// is. It is empty when they ask for the same.
	Differing []string
}

// ReceiveBackupRequest is the use case that saves an accepted request. Make
// one with NewReceiveBackupRequest. It is safe for concurrent use.
type ReceiveBackupRequest struct {
	repository Repository
	publisher  Publisher
}

// NewReceiveBackupRequest is the use case with that repository and publisher.
func NewReceiveBackupRequest(repository Repository, publisher Publisher) *ReceiveBackupRequest {
	return &ReceiveBackupRequest{repository: repository, publisher: publisher}
}

// Receive validates what was accepted, saves it with the status Received, and
// publishes BackupRequestReceived.
//
// It may run again for the same request. Then nothing is saved, and Received
// is published again: the run that saved may have ended before it published.
//
// Errors: an InvalidErrors for bad input, and then nothing was done; a
// DependencyError when the repository or the publisher failed; the context's
// error when that is done already. With a publisher's DependencyError the
// Receipt is returned as well, since the request is saved.
func (u *ReceiveBackupRequest) Receive(ctx context.Context, accepted AcceptedObject) (Receipt, error) {
	if err := ctx.Err(); err != nil {
		return Receipt{}, fmt.Errorf("receive backup request: %w", err)
	}
	r, err := accepted.BackupRequest()
	if err != nil {
		return Receipt{}, err
	}
	if r.StatusTypeCode != StatusAccepted {
		return Receipt{}, InvalidErrors{{Field: fieldStatusTypeCode, Problem: statusProblem(r.StatusTypeCode, StatusAccepted)}}
	}
	r.StatusTypeCode = StatusReceived

	receipt, err := u.save(ctx, r)
	if err != nil {
		return Receipt{}, err
	}
	if err := u.publisher.Publish(ctx, NewBackupRequestReceived(receipt.Request)); err != nil {
		return receipt, publishFailed(TopicBackupRequestReceived, receipt.Request, err)
	}
	return receipt, nil
}

func (u *ReceiveBackupRequest) save(ctx context.Context, r BackupRequest) (Receipt, error) {
	failed := func(verb string, err error) error {
		return &DependencyError{
			Dependency: DependencyRepository,
			Op:         fmt.Sprintf("%s backup request %q", verb, r.BackupRequestID),
			Err:        err,
		}
	}
	created, err := u.repository.Save(ctx, r)
	if err != nil {
		return Receipt{}, failed("save", err)
	}
	if created {
		return Receipt{Request: r, New: true}, nil
	}
	first, err := u.repository.Find(ctx, r.BackupRequestID)
	if err != nil {
		return Receipt{}, failed("find", err)
	}
	return Receipt{Request: first, Differing: differences(first, r)}, nil
}
