package backuprequest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
)

var _ backuprequest.Publisher = (*adapter.Adapter)(nil)

func TestAccept_publishesWhatItReturns(t *testing.T) {
	p := &publisher{}
	accept := backuprequest.NewAcceptBackupRequest(p)
	accept.Now = func() time.Time { return clock().In(time.FixedZone("east", 3600)) }

	r, err := accept.Accept(t.Context(), submission())
	require.NoError(t, err)
	assert.Equal(t, accepted(), r)
	assert.Equal(t, []adapter.Event{backuprequest.NewBackupRequestAccepted(accepted())}, p.published)
}

func TestAccept_givesAnIDWhenThereIsNone(t *testing.T) {
	p := &publisher{}
	accept := backuprequest.NewAcceptBackupRequest(p)
	accept.NewID = func() string { return "made" }
	s := submission()
	s.BackupRequestID = ""

	r, err := accept.Accept(t.Context(), s)
	require.NoError(t, err)
	assert.Equal(t, "made", r.BackupRequestID)
	require.Len(t, p.published, 1)
	assert.Equal(t, "made", p.published[0].MessageKey())
}

func TestAccept_needsNoClockAndNoSourceOfIDs(t *testing.T) {
	accept := backuprequest.NewAcceptBackupRequest(&publisher{})
	s := submission()
	s.BackupRequestID = ""

	before := time.Now()
	first, err := accept.Accept(t.Context(), s)
	require.NoError(t, err)
	second, err := accept.Accept(t.Context(), s)
	require.NoError(t, err)
	after := time.Now()

	_, err = uuid.Parse(first.BackupRequestID)
	require.NoError(t, err)
	assert.NotEqual(t, first.BackupRequestID, second.BackupRequestID)
	assert.Equal(t, time.UTC, first.ReceivedTimestamp.Location())
	assert.WithinRange(t, first.ReceivedTimestamp, before.Round(0), after.Round(0))

	back, err := backuprequest.NewBackupRequestAccepted(first).Object().BackupRequest()
	require.NoError(t, err)
	assert.Equal(t, first, back, "the clock's monotonic reading is gone")
}

func TestAccept_publishesNothingForBadInput(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(s *backuprequest.Submission)
		fields []string
	}{
		{"id", func(s *backuprequest.Submission) { s.BackupRequestID = " " }, []string{"backupRequestId"}},
		{"job", func(s *backuprequest.Submission) { s.BackupJobID = "" }, []string{"backupJobId"}},
		{"no date", func(s *backuprequest.Submission) { s.DataDate = "" }, []string{"dataDate"}},
		{"date", func(s *backuprequest.Submission) { s.DataDate = "2026-02-30" }, []string{"dataDate"}},
		{"path name", func(s *backuprequest.Submission) { s.PreparedDataPathName = "\x7f" }, []string{"preparedDataPathName"}},
		{"requester", func(s *backuprequest.Submission) { s.RequesterID = "" }, []string{"requesterId"}},
		{"all", func(s *backuprequest.Submission) { *s = backuprequest.Submission{} }, []string{"dataDate", "backupJobId", "preparedDataPathName", "requesterId"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &publisher{}
			s := submission()
			test.change(&s)
			_, err := backuprequest.NewAcceptBackupRequest(p).Accept(t.Context(), s)
			require.ErrorIs(t, err, backuprequest.ErrInvalid)
			require.NotErrorIs(t, err, backuprequest.ErrDependency)
			var all backuprequest.InvalidErrors
			require.ErrorAs(t, err, &all)
			assert.Equal(t, test.fields, all.Fields())
			assert.Empty(t, p.published)
		})
	}
}

func TestAccept_holdsItsOwnClockAndIDsToTheRules(t *testing.T) {
	p := &publisher{}
	accept := backuprequest.NewAcceptBackupRequest(p)
	accept.NewID = func() string { return "" }
	accept.Now = func() time.Time { return time.Time{} }
	s := submission()
	s.BackupRequestID = ""
	_, err := accept.Accept(t.Context(), s)
	var all backuprequest.InvalidErrors
	require.ErrorAs(t, err, &all)
	assert.Equal(t, []string{"backupRequestId", "receivedTimestamp"}, all.Fields())
	assert.Empty(t, p.published)
}

func TestAccept_tellsAPublishersFailureFromBadInput(t *testing.T) {
	cause := errors.New("no leader")
	p := &publisher{next: []func(context.Context) error{fails(cause)}}
	accept := backuprequest.NewAcceptBackupRequest(p)
	accept.Now = clock

	r, err := accept.Accept(t.Context(), submission())
	require.ErrorIs(t, err, backuprequest.ErrDependency)
	require.ErrorIs(t, err, cause)
	require.NotErrorIs(t, err, backuprequest.ErrInvalid)
	var failed *backuprequest.DependencyError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, backuprequest.DependencyPublisher, failed.Dependency)
	require.EqualError(t, err, `publisher: cannot publish to backup-request-accepted that backup request "request-1" is Accepted: no leader`)
	assert.Equal(t, accepted(), r, "to be submitted again under its id")
}

func TestAccept_doneContextIsNeitherSuccessNorBadInput(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := &publisher{}
	_, err := backuprequest.NewAcceptBackupRequest(p).Accept(ctx, backuprequest.Submission{})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, backuprequest.ErrInvalid)
	require.NotErrorIs(t, err, backuprequest.ErrDependency)
	assert.Empty(t, p.published)
}

func TestAccept_contextThatEndsWhilePublishing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := &publisher{next: []func(context.Context) error{func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	}}}
	_, err := backuprequest.NewAcceptBackupRequest(p).Accept(ctx, submission())
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, backuprequest.ErrInvalid)
}
