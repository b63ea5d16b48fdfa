package backuprequesttest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/backuprequest"
)

// Store is a repository that can be counted, which the contract needs in order
// to see what was not saved.
type Store interface {
	backuprequest.Repository
	// Count is how many requests are kept.
	Count(ctx context.Context) (int, error)
}

// Request is a valid request with that id, a different value in every field,
// and the status Received.
func Request(id string) backuprequest.BackupRequest {
	received := time.Date(2026, time.March, 1, 4, 5, 6, 789012345, time.UTC)
	return backuprequest.BackupRequest{
		BackupRequestID:      id,
		BackupJobID:          "job of " + id,
		DataDate:             backuprequest.DateOf(received.AddDate(0, 0, -1)),
		PreparedDataPathName: "/prepared/" + id,
		StatusTypeCode:       backuprequest.StatusReceived,
		ReceivedTimestamp:    received,
		RequesterID:          "requester of " + id,
	}
}

// TestRepository holds a repository to the contract of backuprequest.Repository,
// in subtests. Each gets an empty one of its own from open, which sees to
// closing it.
func TestRepository(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for _, behaviour := range []struct {
		name string
		test func(t *testing.T, s Store)
	}{
		{"empty at first", testEmpty},
		{"what was saved is found", testFound},
		{"the timestamp comes back in UTC", testUTC},
		{"the first one saved wins", testFirstWins},
		{"ids are compared exactly", testExactIDs},
		{"every valid character is kept", testCharacters},
		{"one of many concurrent saves creates", testConcurrent},
		{"a done context does nothing", testDoneContext},
	} {
		t.Run(behaviour.name, func(t *testing.T) { behaviour.test(t, open(t)) })
	}
}

func testEmpty(t *testing.T, s Store) {
	_, err := s.Find(t.Context(), "nobody")
	require.ErrorIs(t, err, backuprequest.ErrNotFound)
	assert.Contains(t, err.Error(), "nobody")
	assert.False(t, backuprequest.IsUnavailable(err), "that there is none is an answer")
	assertCount(t, s, 0)
}

func testFound(t *testing.T, s Store) {
	for _, id := range []string{"r-1", "r-2"} {
		created, err := s.Save(t.Context(), Request(id))
		require.NoError(t, err)
		assert.True(t, created)
	}
	for _, id := range []string{"r-1", "r-2"} {
		found, err := s.Find(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, Request(id), found)
	}
	assertCount(t, s, 2)
}

func testUTC(t *testing.T, s Store) {
	request := Request("r-1")
	want := request.ReceivedTimestamp
	request.ReceivedTimestamp = want.In(time.FixedZone("five hours east", 5*60*60))
	_, err := s.Save(t.Context(), request)
	require.NoError(t, err)
	found, err := s.Find(t.Context(), "r-1")
	require.NoError(t, err)
	assert.Equal(t, want, found.ReceivedTimestamp, "to the nanosecond")
}

func testFirstWins(t *testing.T, s Store) {
	first := Request("r-1")
	second := Request("r-2")
	second.BackupRequestID = first.BackupRequestID

	_, err := s.Save(t.Context(), first)
	require.NoError(t, err)
	for _, again := range []backuprequest.BackupRequest{first, second} {
		created, err := s.Save(t.Context(), again)
		require.NoError(t, err)
		assert.False(t, created)
	}
	found, err := s.Find(t.Context(), first.BackupRequestID)
	require.NoError(t, err)
	assert.Equal(t, first, found)
	assertCount(t, s, 1)
}

func testExactIDs(t *testing.T, s Store) {
	ids := []string{
		"a", "A", " a", "a ", "a%", "a_", "1", "1.0", "01",
		"\u00e9", "e\u0301", // the same to the eye, and not the same text
	}
	for _, id := range ids {
		created, err := s.Save(t.Context(), Request(id))
		require.NoError(t, err)
		assert.True(t, created, "%q", id)
	}
	assertCount(t, s, len(ids))
}

func testCharacters(t *testing.T, s Store) {
	for _, text := range []string{
		`'; DROP TABLE backup_request; --`,
		`"quoted" \ and <tagged> & ? :name @name $name %s`,
		strings.Repeat("\U0001d11e", backuprequest.MaxLength), // four bytes each
	} {
		request := Request(text)
		request.BackupJobID, request.PreparedDataPathName, request.RequesterID = text, text, text
		require.NoError(t, request.Validate())
		_, err := s.Save(t.Context(), request)
		require.NoError(t, err)
		found, err := s.Find(t.Context(), text)
		require.NoError(t, err)
		assert.Equal(t, request, found)
	}
}

func testConcurrent(t *testing.T, s Store) {
	const savers, ids = 8, 5
	var (
		wg      sync.WaitGroup
		created atomic.Int32
	)
	for saver := range savers {
		wg.Go(func() {
			for i := range ids {
				request := Request(fmt.Sprint("r-", i))
				request.RequesterID = fmt.Sprint("requester-", saver)
				isNew, err := s.Save(t.Context(), request)
				if assert.NoError(t, err) && isNew {
					created.Add(1)
				}
				if found, err := s.Find(t.Context(), request.BackupRequestID); assert.NoError(t, err) && isNew {
					assert.Equal(t, request, found, "whose save created it")
				}
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, ids, created.Load())
	assertCount(t, s, ids)
}

func testDoneContext(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	created, err := s.Save(ctx, Request("r-1"))
	require.ErrorIs(t, err, context.Canceled)
	assert.False(t, created)
	_, err = s.Find(ctx, "r-1")
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, backuprequest.ErrNotFound)
	_, err = s.Count(ctx)
	require.ErrorIs(t, err, context.Canceled)
	assertCount(t, s, 0)
}

func assertCount(t *testing.T, s Store, want int) {
	t.Helper()
	n, err := s.Count(t.Context())
	require.NoError(t, err)
	assert.Equal(t, want, n)
}
