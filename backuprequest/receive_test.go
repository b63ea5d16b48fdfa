package backuprequest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
)

func receivedEvent() adapter.Event { return backuprequest.NewBackupRequestReceived(received()) }

func TestReceive_savesThenPublishes(t *testing.T) {
	repo := &repository{}
	p := &publisher{}
	receipt, err := backuprequest.NewReceiveBackupRequest(repo, p).Receive(t.Context(), acceptedObject())
	require.NoError(t, err)
	assert.Equal(t, backuprequest.Receipt{Request: received(), New: true}, receipt)

	saved, err := repo.Find(t.Context(), "request-1")
	require.NoError(t, err)
	assert.Equal(t, received(), saved, "with the status Received")
	assert.Equal(t, []adapter.Event{receivedEvent()}, p.published)
}

func TestReceive_secondRunSavesNothingAndPublishesAgain(t *testing.T) {
	repo := &repository{}
	p := &publisher{}
	receive := backuprequest.NewReceiveBackupRequest(repo, p)
	_, err := receive.Receive(t.Context(), acceptedObject())
	require.NoError(t, err)

	receipt, err := receive.Receive(t.Context(), acceptedObject())
	require.NoError(t, err)
	assert.Equal(t, backuprequest.Receipt{Request: received()}, receipt)
	assertSavedOnce(t, repo)
	assert.Equal(t, []adapter.Event{receivedEvent(), receivedEvent()}, p.published)
}

func TestReceive_firstOneSavedWinsAndTheDifferingFieldsAreNamed(t *testing.T) {
	other, err := backuprequest.ParseDate("2020-01-01")
	require.NoError(t, err)
	for _, test := range []struct {
		name      string
		change    func(r *backuprequest.BackupRequest)
		differing []string
	}{
		{"job", func(r *backuprequest.BackupRequest) { r.BackupJobID = "other" }, []string{"backupJobId"}},
		{"date", func(r *backuprequest.BackupRequest) { r.DataDate = other }, []string{"dataDate"}},
		{"path name", func(r *backuprequest.BackupRequest) { r.PreparedDataPathName = "other" }, []string{"preparedDataPathName"}},
		{"requester", func(r *backuprequest.BackupRequest) { r.RequesterID = "other" }, []string{"requesterId"}},
		{"several", func(r *backuprequest.BackupRequest) { r.RequesterID, r.BackupJobID = "other", "other" }, []string{"backupJobId", "requesterId"}},
		{"submitted later, otherwise the same", func(r *backuprequest.BackupRequest) { r.ReceivedTimestamp = r.ReceivedTimestamp.Add(time.Hour) }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := &repository{}
			p := &publisher{}
			receive := backuprequest.NewReceiveBackupRequest(repo, p)
			_, err := receive.Receive(t.Context(), acceptedObject())
			require.NoError(t, err)

			second := accepted()
			test.change(&second)
			receipt, err := receive.Receive(t.Context(), backuprequest.NewBackupRequestAccepted(second).Object())
			require.NoError(t, err)
			assert.Equal(t, backuprequest.Receipt{Request: received(), Differing: test.differing}, receipt)
			saved, err := repo.Find(t.Context(), "request-1")
			require.NoError(t, err)
			assert.Equal(t, received(), saved)
			assert.Len(t, p.published, 2)
		})
	}
}

// A process that ends between the save and the publish leaves a saved request
// that nobody was told about. The redelivery has to make up for it.
func TestReceive_afterACrashBetweenSaveAndPublishTheRedeliveryPublishes(t *testing.T) {
	for _, test := range []struct {
		name  string
		crash func(context.Context) error
	}{
		{"publish fails", fails(adapter.ErrNotConnected)},
		{"publish panics", func(context.Context) error { panic("killed here") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := &repository{}
			p := &publisher{next: []func(context.Context) error{test.crash}}
			receive := backuprequest.NewReceiveBackupRequest(repo, p)

			func() {
				defer func() { _ = recover() }()
				_, err := receive.Receive(t.Context(), acceptedObject())
				require.Error(t, err)
			}()
			assertSavedOnce(t, repo)
			require.Empty(t, p.published, "the crash came before")

			receipt, err := receive.Receive(t.Context(), acceptedObject())
			require.NoError(t, err)
			assert.False(t, receipt.New)
			assertSavedOnce(t, repo)
			assert.Equal(t, []adapter.Event{receivedEvent()}, p.published)
		})
	}
}

func TestReceive_doesNothingForBadInput(t *testing.T) {
	for _, test := range []struct {
		name, field string
		change      func(o *backuprequest.AcceptedObject)
	}{
		{"id", "backupRequestId", func(o *backuprequest.AcceptedObject) { o.BackupRequestID = "" }},
		{"job", "backupJobId", func(o *backuprequest.AcceptedObject) { o.BackupJobID = "" }},
		{"date", "dataDate", func(o *backuprequest.AcceptedObject) { o.DataDate = "2026-02-30" }},
		{"path name", "preparedDataPathName", func(o *backuprequest.AcceptedObject) { o.PreparedDataPathName = "a\x00" }},
		{"unknown status", "statusTypeCode", func(o *backuprequest.AcceptedObject) { o.StatusTypeCode = "Refused" }},
		{"a later status", "statusTypeCode", func(o *backuprequest.AcceptedObject) { o.StatusTypeCode = "Received" }},
		{"no timestamp", "receivedTimestamp", func(o *backuprequest.AcceptedObject) { o.ReceivedTimestamp = "" }},
		{"timestamp", "receivedTimestamp", func(o *backuprequest.AcceptedObject) { o.ReceivedTimestamp = "2026-03-01" }},
		{"requester", "requesterId", func(o *backuprequest.AcceptedObject) { o.RequesterID = "" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := &repository{}
			p := &publisher{}
			object := acceptedObject()
			test.change(&object)
			receipt, err := backuprequest.NewReceiveBackupRequest(repo, p).Receive(t.Context(), object)
			assertInvalid(t, err, test.field, " ")
			assert.Zero(t, receipt)
			assert.Zero(t, repo.saves)
			assert.Empty(t, p.published)
		})
	}
}

func TestReceive_namesTheDependencyThatFailed(t *testing.T) {
	cause := errors.New("cause")
	for _, test := range []struct {
		name       string
		before     int // how often it went well before
		saveErr    error
		findErr    error
		publishErr error
		dependency string
		op         string
	}{
		{name: "save", saveErr: cause, dependency: "repository", op: `save backup request "request-1"`},
		{name: "find", before: 1, findErr: cause, dependency: "repository", op: `find backup request "request-1"`},
		{name: "publish", publishErr: cause, dependency: "publisher", op: `publish to backup-request-received that backup request "request-1" is Received`},
		{name: "publish again", before: 1, publishErr: cause, dependency: "publisher", op: `publish to backup-request-received that backup request "request-1" is Received`},
		{name: "save says that the request is bad", saveErr: fmt.Errorf("%w: %w", backuprequest.ErrInvalid, cause), dependency: "repository", op: `save backup request "request-1"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := &repository{}
			p := &publisher{}
			receive := backuprequest.NewReceiveBackupRequest(repo, p)
			for range test.before {
				_, err := receive.Receive(t.Context(), acceptedObject())
				require.NoError(t, err)
			}
			p.published = nil
			repo.saveErr, repo.findErr = test.saveErr, test.findErr
			if test.publishErr != nil {
				p.next = append(p.next, fails(test.publishErr))
			}

			receipt, err := receive.Receive(t.Context(), acceptedObject())
			require.ErrorIs(t, err, backuprequest.ErrDependency)
			var failed *backuprequest.DependencyError
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, test.dependency, failed.Dependency)
			assert.Equal(t, test.op, failed.Op)
			require.ErrorIs(t, err, cause)
			assert.Empty(t, p.published)
			if test.publishErr != nil {
				assert.Equal(t, received(), receipt.Request, "it is saved")
			} else {
				assert.Zero(t, receipt)
			}
		})
	}
}

func TestReceive_doneContextIsNeitherSuccessNorBadInput(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	repo := &repository{}
	p := &publisher{}
	_, err := backuprequest.NewReceiveBackupRequest(repo, p).Receive(ctx, backuprequest.AcceptedObject{})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, backuprequest.ErrInvalid)
	assert.Zero(t, repo.saves)
	assert.Empty(t, p.published)
}

func TestReceive_contextThatEndsBetweenSaveAndPublish(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	repo := &repository{}
	p := &publisher{next: []func(context.Context) error{func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	}}}
	receive := backuprequest.NewReceiveBackupRequest(repo, p)
	_, err := receive.Receive(ctx, acceptedObject())
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, backuprequest.ErrInvalid)
	assertSavedOnce(t, repo)

	_, err = receive.Receive(t.Context(), acceptedObject())
	require.NoError(t, err)
	assert.Equal(t, []adapter.Event{receivedEvent()}, p.published)
}

func TestReceive_concurrentRunsSaveOnce(t *testing.T) {
	repo := &repository{}
	p := &publisher{}
	receive := backuprequest.NewReceiveBackupRequest(&repo.Repository, p)
	const runs = 16
	var wg sync.WaitGroup
	for range runs {
		wg.Go(func() {
			_, err := receive.Receive(t.Context(), acceptedObject())
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	assertSavedOnce(t, repo)
	assert.Len(t, p.published, runs)
}

func assertSavedOnce(t *testing.T, repo *repository) {
	t.Helper()
	n, err := repo.Count(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, n)
}
