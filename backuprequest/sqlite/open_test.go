package sqlite_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/backuprequest"
	"example.com/kafkatest/backuprequest/sqlite"
)

func TestOpen_twiceAppliesTheSchemaOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	first := open(t, path)
	save(t, first, "r-1")
	second := open(t, path)
	assertCount(t, second, 1)
	save(t, second, "r-2")
	assertCount(t, first, 2)
}

func TestOpen_manyAtOnceOnANewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	start := make(chan struct{})
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			<-start
			r, err := sqlite.Open(t.Context(), path, sqlite.BusyTimeout(time.Minute))
			if assert.NoError(t, err) {
				assert.NoError(t, r.Close())
			}
		})
	}
	close(start)
	wg.Wait()
	assertCount(t, open(t, path), 0)
}

func TestOpen_takesAnyFileName(t *testing.T) {
	for _, name := range []string{
		"with space.db", "what?.db", "100%.db", "%41.db", "a?mode=memory", "a#b.db", "a&b=c;d.db", "file:x.db", "+.db", "é.db", "'quoted'.db", "\xff.db",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			save(t, open(t, path), "r-1")
			assert.FileExists(t, path)
			assertCount(t, open(t, path), 1)
		})
	}
}

func TestOpen_keepsToItsFileWhenTheProcessChangesFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	r := open(t, "test.db")
	t.Chdir(t.TempDir())
	save(t, r, "r-1")
	assert.FileExists(t, filepath.Join(dir, "test.db"))
}

func TestOpen_refusesWhatCannotWork(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		name, path, problem string
		options             []sqlite.Option
	}{
		{"no path", "", "name a file", nil},
		{"memory", ":memory:", "name a file", nil},
		{"NUL", filepath.Join(dir, "a\x00b"), "NUL", nil},
		{"negative timeout", filepath.Join(dir, "a"), "busy timeout is -1s", []sqlite.Option{sqlite.BusyTimeout(-time.Second)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := sqlite.Open(t.Context(), test.path, test.options...)
			require.ErrorContains(t, err, test.problem)
			require.NotErrorIs(t, err, backuprequest.ErrUnavailable)
		})
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries, "no file is left behind")
}

func TestOpen_whatCannotBeOpenedIsUnavailable(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{
		"no such folder": filepath.Join(dir, "missing", "test.db"),
		"a folder":       dir,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sqlite.Open(t.Context(), path)
			require.ErrorIs(t, err, backuprequest.ErrUnavailable)
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, "unable to open database file")
		})
	}
}

func TestOpen_lockedFileIsUnavailableWithinTheBusyTimeout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	release := lock(t, path) // of a file without our schema yet
	start := time.Now()
	_, err := sqlite.Open(t.Context(), path, sqlite.BusyTimeout(50*time.Millisecond))
	require.ErrorIs(t, err, backuprequest.ErrUnavailable)
	assert.Less(t, time.Since(start), 2*time.Second)
	release()
	open(t, path)
}

func TestOpen_doneContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "test.db"))
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, backuprequest.ErrUnavailable)
}

func TestOpen_leavesFilesAloneThatAreNotItsOwn(t *testing.T) {
	ours := func(t *testing.T, path string) {
		r, err := sqlite.Open(t.Context(), path)
		require.NoError(t, err)
		save(t, r, "r-1")
		require.NoError(t, r.Close())
	}
	run := func(statement string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			_, err := raw(t, path).ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
	}
	both := func(one, two func(*testing.T, string)) func(*testing.T, string) {
		return func(t *testing.T, path string) { one(t, path); two(t, path) }
	}
	for _, test := range []struct {
		name string
		make func(t *testing.T, path string)
		want error
	}{
		{"text", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("not a database\n", 100)), 0o600))
		}, sqlite.ErrDamaged},
		{"a header and nothing more", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, append([]byte("SQLite format 3\x00"), bytes.Repeat([]byte{0xff}, 4096)...), 0o600))
		}, sqlite.ErrDamaged},
		{"another program's tables", run("CREATE TABLE other (x)"), sqlite.ErrForeignFile},
		{"another program's mark", run("PRAGMA application_id = 7"), sqlite.ErrForeignFile},
		{"another program's version", run("PRAGMA user_version = 1"), sqlite.ErrForeignFile},
		{"a newer version", both(ours, run("PRAGMA user_version = 2")), sqlite.ErrNewerSchema},
		{"a version that never was", both(ours, run("PRAGMA user_version = -1")), sqlite.ErrForeignFile},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			t.Run("make", func(t *testing.T) { test.make(t, path) }) // whose cleanups close what it opened
			before, err := os.ReadFile(path)
			require.NoError(t, err)

			_, err = sqlite.Open(t.Context(), path)
			require.ErrorIs(t, err, test.want)
			require.NotErrorIs(t, err, backuprequest.ErrUnavailable, "waiting does not help")
			require.ErrorContains(t, err, path)

			after, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, before, after)
		})
	}
}
