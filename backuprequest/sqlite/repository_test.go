package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/backuprequest"
	"example.com/kafkatest/backuprequest/backuprequesttest"
	"example.com/kafkatest/backuprequest/sqlite"
)

func open(t *testing.T, path string, options ...sqlite.Option) *sqlite.Repository {
	t.Helper()
	r, err := sqlite.Open(t.Context(), path, options...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// raw is a connection of somebody else's to the file.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// lock takes the write lock as another program would, until release.
func lock(t *testing.T, path string) (release func()) {
	t.Helper()
	conn, err := raw(t, path).Conn(t.Context())
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	return sync.OnceFunc(func() {
		_, err := conn.ExecContext(context.WithoutCancel(t.Context()), "ROLLBACK")
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	})
}

func save(t *testing.T, r *sqlite.Repository, id string) {
	t.Helper()
	created, err := r.Save(t.Context(), backuprequesttest.Request(id))
	require.NoError(t, err)
	require.True(t, created)
}

func assertCount(t *testing.T, r *sqlite.Repository, want int) {
	t.Helper()
	n, err := r.Count(t.Context())
	require.NoError(t, err)
	assert.Equal(t, want, n)
}

func TestSave_isThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	r, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	save(t, r, "r-1")
	require.NoError(t, r.Close())

	r = open(t, path)
	found, err := r.Find(t.Context(), "r-1")
	require.NoError(t, err)
	assert.Equal(t, backuprequesttest.Request("r-1"), found)
}

func TestSave_storesTextThatOtherProgramsCanRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	save(t, open(t, path), "r-1")
	var date, timestamp, status string
	require.NoError(t, raw(t, path).QueryRowContext(t.Context(),
		`SELECT data_date, received_timestamp, status_type_code FROM backup_request`).Scan(&date, &timestamp, &status))
	assert.Equal(t, "2026-02-28", date)
	assert.Equal(t, "2026-03-01T04:05:06.789012345Z", timestamp)
	assert.Equal(t, "Received", status)
}

func TestSave_waitsForTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	r := open(t, path)
	journal, synchronous, busy := sqlite.Settings(t, r)
	assert.Equal(t, "wal", journal)
	assert.Equal(t, 2, synchronous, "FULL")
	assert.Equal(t, 5000, busy)
}

func TestSave_uniqueIDUnderConcurrencyOfHandles(t *testing.T) {
	const handles, savers, ids = 3, 3, 10
	path := filepath.Join(t.TempDir(), "test.db")
	var (
		wg      sync.WaitGroup
		created atomic.Int32
	)
	for range handles {
		r := open(t, path, sqlite.BusyTimeout(time.Minute))
		for range savers {
			wg.Go(func() {
				for i := range ids {
					isNew, err := r.Save(t.Context(), backuprequesttest.Request(fmt.Sprint("r-", i)))
					if assert.NoError(t, err) && isNew {
						created.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	assert.EqualValues(t, ids, created.Load())
	assertCount(t, open(t, path), ids)
}

func TestSave_lockedDatabaseIsUnavailableWithinTheBusyTimeoutAndWorksAfterwards(t *testing.T) {
	const busy = 100 * time.Millisecond
	path := filepath.Join(t.TempDir(), "test.db")
	r := open(t, path, sqlite.BusyTimeout(busy))
	release := lock(t, path)

	start := time.Now()
	var wg sync.WaitGroup
	for i := range 5 { // those who wait behind others have no longer to wait
		wg.Go(func() {
			created, err := r.Save(t.Context(), backuprequesttest.Request(fmt.Sprint("r-", i)))
			assert.ErrorIs(t, err, backuprequest.ErrUnavailable)
			assert.True(t, backuprequest.IsUnavailable(err))
			assert.False(t, created)
			assert.ErrorContains(t, err, path)
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	assert.GreaterOrEqual(t, elapsed, busy, "waits for the lock")
	assert.Less(t, elapsed, busy+2*time.Second, "and no longer than it was told to")

	release()
	save(t, r, "r-1")
	assertCount(t, r, 1)
}

func TestSave_waitsForALockThatIsReleasedInTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	r := open(t, path, sqlite.BusyTimeout(time.Minute))
	release := lock(t, path)
	saved := make(chan error, 1)
	go func() {
		_, err := r.Save(t.Context(), backuprequesttest.Request("r-1"))
		saved <- err
	}()
	release()
	require.NoError(t, <-saved)
	assertCount(t, r, 1)
}

func TestSave_locksOfOthersCostNoRealTimeInABubble(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	open(t, path)
	release := lock(t, path)
	defer release()
	before := time.Now()
	synctest.Test(t, func(t *testing.T) {
		r, err := sqlite.Open(t.Context(), path)
		require.NoError(t, err)
		start := time.Now()
		_, err = r.Save(t.Context(), backuprequesttest.Request("r-1"))
		require.ErrorIs(t, err, backuprequest.ErrUnavailable)
		assert.Equal(t, sqlite.DefaultBusyTimeout, time.Since(start).Round(100*time.Millisecond))
		require.NoError(t, r.Close())
	})
	assert.Less(t, time.Since(before), sqlite.DefaultBusyTimeout)
}

func TestSave_endsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	r := open(t, path, sqlite.BusyTimeout(time.Minute))
	release := lock(t, path)
	for name, test := range map[string]struct {
		end  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 20*time.Millisecond)
		}, context.DeadlineExceeded},
		"cancelled": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(20*time.Millisecond, cancel)
			return ctx, cancel
		}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := test.end(t.Context())
			defer cancel()
			start := time.Now()
			_, err := r.Save(ctx, backuprequesttest.Request("r-1"))
			require.ErrorIs(t, err, test.want)
			require.NotErrorIs(t, err, backuprequest.ErrUnavailable, "the caller's doing")
			assert.Less(t, time.Since(start), 30*time.Second)
		})
	}
	release()
	assertCount(t, r, 0)
}

func TestFind_readsWhileAnotherProcessWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	r := open(t, path)
	save(t, r, "r-1")
	release := lock(t, path)
	defer release()
	_, err := r.Find(t.Context(), "r-1")
	require.NoError(t, err)
}

func TestFind_saysWhatIsWrongWithAValueThatSomebodyChanged(t *testing.T) {
	for column, value := range map[string]string{"data_date": "2026-02-30", "received_timestamp": "noon"} {
		t.Run(column, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			r := open(t, path)
			save(t, r, "r-1")
			_, err := raw(t, path).ExecContext(t.Context(), "UPDATE backup_request SET "+column+" = ?", value)
			require.NoError(t, err)
			_, err = r.Find(t.Context(), "r-1")
			require.ErrorIs(t, err, sqlite.ErrDamaged)
			require.NotErrorIs(t, err, backuprequest.ErrInvalid, "it is not the message that is bad")
			require.NotErrorIs(t, err, backuprequest.ErrNotFound)
			assert.ErrorContains(t, err, column)
		})
	}
}

func TestRepository_databaseGoneIsUnavailableUntilItIsBack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	r := open(t, path)
	save(t, r, "r-1")

	require.NoError(t, os.Rename(path, path+".away"))
	_, err := r.Save(t.Context(), backuprequesttest.Request("r-2"))
	require.ErrorIs(t, err, backuprequest.ErrUnavailable)
	_, err = r.Find(t.Context(), "r-1")
	require.ErrorIs(t, err, backuprequest.ErrUnavailable)
	_, err = r.Count(t.Context())
	require.ErrorIs(t, err, backuprequest.ErrUnavailable)
	assert.NoFileExists(t, path, "none is created in its place")

	require.NoError(t, os.Rename(path+".away", path))
	assertCount(t, r, 1)
	save(t, r, "r-2")
	assertCount(t, r, 2)
}

func TestRepository_whatWentIntoAFileThatIsGoneIsNotSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	r := open(t, path)
	err := sqlite.During(t, r, func() { require.NoError(t, os.Rename(path, path+".away")) })
	require.ErrorIs(t, err, backuprequest.ErrUnavailable)
	require.NoError(t, os.Rename(path+".away", path))
	require.NoError(t, sqlite.During(t, r, func() {}))
}

func TestRepository_goesOnWithTheFileThatReplacesItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	r := open(t, path)
	save(t, r, "r-1")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		require.NoError(t, os.Remove(path+suffix))
	}
	require.NoError(t, os.WriteFile(path, []byte("this is no database, and never was one"), 0o600))
	_, err := r.Save(t.Context(), backuprequesttest.Request("r-2"))
	require.ErrorIs(t, err, backuprequest.ErrUnavailable, "whoever did this can undo it")

	require.NoError(t, os.Remove(path))
	other := open(t, path)
	save(t, other, "r-3")
	assertCount(t, r, 1)
	save(t, r, "r-2")
	assertCount(t, other, 2)
}

func TestClose_letsNothingThroughAfterwards(t *testing.T) {
	r, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NoError(t, r.Close(), "again")

	_, err = r.Save(t.Context(), backuprequesttest.Request("r-1"))
	require.ErrorIs(t, err, sqlite.ErrClosed)
	require.ErrorIs(t, err, backuprequest.ErrUnavailable)
	_, err = r.Find(t.Context(), "r-1")
	require.ErrorIs(t, err, sqlite.ErrClosed)
	_, err = r.Count(t.Context())
	require.ErrorIs(t, err, sqlite.ErrClosed)
}

func BenchmarkSave(b *testing.B) {
	r, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "bench.db"))
	require.NoError(b, err)
	b.Cleanup(func() { _ = r.Close() })
	var i int
	for b.Loop() {
		i++
		if _, err := r.Save(b.Context(), backuprequesttest.Request(fmt.Sprint("r-", i))); err != nil {
			b.Fatal(err)
		}
	}
}
