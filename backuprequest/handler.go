package backuprequest

import (
	"context"
	"errors"
	"log/slog"

	"example.com/kafkatest/adapter"
)

// Receiver is the use case that AcceptedHandler runs. *ReceiveBackupRequest is
// one. It must be safe for concurrent use.
type Receiver interface {
	// Receive saves an accepted request and publishes that it was received. It may be
	// called again for the same one. The errors are those of ReceiveBackupRequest.
	Receive(ctx context.Context, accepted AcceptedObject) (Receipt, error)
}

var (
	_ Receiver        = (*ReceiveBackupRequest)(nil)
	_ adapter.Handler = (*AcceptedHandler)(nil)
)

// AcceptedHandler handles the messages of TopicBackupRequestAccepted: it
// decodes them, runs the use case, logs what came of it, and decides.
//
//	what happened                             result        level
//	done, now or before                       commit        info
//	value does not decode, or is bad input    reject        error
//	a dependency cannot be reached            unavailable   warn
//	anything else failed                      retry         warn
//
// What counts as not reached is IsUnavailable's to say. A Received that the
// broker refuses for good (not authorized, say) is a retry and no reject: the
// request is good, and by then saved, and what is wrong is a setting that
// somebody can put right. The retry policy bounds it.
//
// Every line has the keys topic, partition, offset, group and attempt, and
// backupRequestId when it is known. Of what the message says, nothing but that
// id is logged when all is well; an error may quote the value that it is about,
// cut short. A request that was saved before with other content is a further
// line, a warning, with the names of the differing fields: the handler is the
// one that logs, the use case only tells it. Both requests are left alone.
//
// It is safe for concurrent use.
type AcceptedHandler struct {
	receiver Receiver
	log      *slog.Logger
}

// NewAcceptedHandler is a handler that runs that use case. A nil logger is
// slog.Default.
func NewAcceptedHandler(receiver Receiver, logger *slog.Logger) *AcceptedHandler {
	if logger == nil {
		logger = slog.Default()
	}
	return &AcceptedHandler{receiver: receiver, log: logger}
}

// Handle implements adapter.Handler.
func (h *AcceptedHandler) Handle(ctx context.Context, m *adapter.Message) adapter.Result {
	log := h.log.With("topic", m.Topic, "partition", m.Partition, "offset", m.Offset, "group", m.Group, "attempt", m.Attempt)
	result := adapter.JSON(func(ctx context.Context, accepted BackupRequestAccepted, _ *adapter.Message) adapter.Result {
		object := accepted.Object()
		if textProblem(object.BackupRequestID) == "" {
			log = log.With("backupRequestId", object.BackupRequestID)
		}
		receipt, err := h.receiver.Receive(ctx, object)
		if len(receipt.Differing) > 0 {
			log.WarnContext(ctx, "backup request was saved before with other content, which stays", "differing", receipt.Differing)
		}
		if err == nil {
			log.InfoContext(ctx, "backup request received", "new", receipt.New)
		}
		return decide(err)
	}).Handle(ctx, m)

	switch err := result.Err(); {
	case result.Type() == adapter.ResultReject:
		log.ErrorContext(ctx, "backup request cannot be processed", "error", err)
	case result.Unavailable():
		log.WarnContext(ctx, "backup request has to wait: a dependency cannot be reached", "error", err)
	case result.Type() == adapter.ResultRetry:
		log.WarnContext(ctx, "backup request failed and will be tried again", "error", err)
	}
	return result
}

// decide rejects only what is known to be bad input: what is not understood is
// not thrown away.
func decide(err error) adapter.Result {
	switch {
	case err == nil:
		return adapter.Commit()
	case IsUnavailable(err):
		return adapter.Unavailable(err)
	case errors.Is(err, ErrInvalid) && !errors.Is(err, ErrDependency):
		return adapter.Reject(err)
	default:
		return adapter.Retry(err)
	}
}
