package backuprequest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"example.com/kafkatest/adapter"
)

// Publisher is what the use cases need of a message broker. *adapter.Adapter is one.
//
// It must be safe for concurrent use.
type Publisher interface {
	// Publish returns nil when every event is on its topic for good. With an error
	// some of them may be there, and those that failed may still get there.
	Publish(ctx context.Context, events ...adapter.Event) error
}

// Submission is what a requester asks for, unchecked.
type Submission struct {
	// BackupRequestID is empty for a request that has no id yet. Submitting
	// an id again is submitting the same request again.
	BackupRequestID      string `json:"backupRequestId,omitempty"`
	BackupJobID          string `json:"backupJobId"`
	DataDate             string `json:"dataDate"` // YYYY-MM-DD
	PreparedDataPathName string `json:"preparedDataPathName"`
	RequesterID          string `json:"requesterId"`
}

// AcceptBackupRequest is the use case that takes a request in. Make one with
// NewAcceptBackupRequest, and set what differs from the defaults before it is
// used. It is safe for concurrent use if its functions are.
type AcceptBackupRequest struct {
	// Now is the clock that timestamps come from. Nil is time.Now.
	Now func() time.Time
	// NewID makes the id of a request that comes without one. Nil is a
	// random UUID (version 4).
	NewID func() string

	publisher Publisher
}

// NewAcceptBackupRequest is the use case with that publisher.
func NewAcceptBackupRequest(publisher Publisher) *AcceptBackupRequest {
	return &AcceptBackupRequest{publisher: publisher}
}

// Accept validates what is asked for, gives it an id when it has none, the
// status Accepted and the time, and publishes BackupRequestAccepted. It returns
// the accepted request.
//
// Errors: an InvalidErrors for bad input, and then nothing was published; a
// DependencyError when publishing failed; the context's error when that is
// done already. With a DependencyError the request is returned as well: it is
// not known not to be on the topic, so whoever tries again should submit it
// under the same id.
func (a *AcceptBackupRequest) Accept(ctx context.Context, s Submission) (BackupRequest, error) {
	if err := ctx.Err(); err != nil {
		return BackupRequest{}, fmt.Errorf("accept backup request: %w", err)
	}
	r, err := a.request(s)
	if err != nil {
		return BackupRequest{}, err
	}
	if err := a.publisher.Publish(ctx, NewBackupRequestAccepted(r)); err != nil {
		return r, publishFailed(TopicBackupRequestAccepted, r, err)
	}
	return r, nil
}

// request is the accepted request, valid, or an InvalidErrors.
func (a *AcceptBackupRequest) request(s Submission) (BackupRequest, error) {
	now, newID := a.Now, a.NewID
	if now == nil {
		now = time.Now
	}
	if newID == nil {
		newID = uuid.NewString
	}
	var bad InvalidErrors
	date, err := ParseDate(s.DataDate)
	if err != nil {
		bad.add(fieldDataDate, dateProblem(err))
	}
	r := BackupRequest{
		BackupRequestID:      s.BackupRequestID,
		BackupJobID:          s.BackupJobID,
		DataDate:             date,
		PreparedDataPathName: s.PreparedDataPathName,
		StatusTypeCode:       StatusAccepted,
		ReceivedTimestamp:    now().UTC().Round(0), // no monotonic reading, so that it equals its text form
		RequesterID:          s.RequesterID,
	}
	if r.BackupRequestID == "" {
		r.BackupRequestID = newID()
	}
	r.check(&bad)
	return r, bad.err()
}

// dateProblem is ParseDate's complaint without its name for the field.
func dateProblem(err error) string {
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		return invalid.Problem
	}
	return err.Error()
}

func publishFailed(topic string, r BackupRequest, err error) error {
	return &DependencyError{
		Dependency: DependencyPublisher,
		Op:         fmt.Sprintf("publish to %s that backup request %q is %s", topic, r.BackupRequestID, r.StatusTypeCode),
		Err:        err,
	}
}
