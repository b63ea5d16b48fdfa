package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

// DefaultBusyTimeout is how long an operation waits for its turn and for other
// processes' locks, unless BusyTimeout says otherwise.
const DefaultBusyTimeout = 5 * time.Second

// Option is a setting of Open.
type Option func(*Repository)

// BusyTimeout bounds how long an operation waits for its turn and for other
// processes' locks before it fails as unavailable. Zero is DefaultBusyTimeout.
// Open refuses one that is below zero.
func BusyTimeout(d time.Duration) Option {
	return func(r *Repository) { r.busy = d }
}

// Open opens the database in the file path, creates it when there is none (its
// folder must exist), and applies the schema, which changes nothing when it is
// there. Any character may be in path; it always names a file, so that
// ":memory:" is refused.
//
// Errors: ErrForeignFile, ErrDamaged and ErrNewerSchema for a file that is not
// to be written to, which it is not; one that wraps backuprequest.ErrUnavailable
// when the file is locked for longer than the busy timeout or cannot be opened
// or written; the context's. ctx bounds the opening only.
//
// In a testing/synctest bubble, open and close inside the bubble.
func Open(ctx context.Context, path string, options ...Option) (*Repository, error) {
	r := &Repository{turn: make(chan struct{}, 1)}
	for _, option := range options {
		option(r)
	}
	switch {
	case path == "" || path == ":memory:":
		return nil, fmt.Errorf("open database: path is %q: name a file", path)
	case strings.ContainsRune(path, 0):
		return nil, fmt.Errorf("open database: path %q has a NUL: name a file without one", path)
	case r.busy < 0:
		return nil, fmt.Errorf("open database %s: busy timeout is %v: want zero (for %v) or more", path, r.busy, DefaultBusyTimeout)
	case r.busy == 0:
		r.busy = DefaultBusyTimeout
	}
	absolute, err := filepath.Abs(path) // the process may change its folder
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	r.path = absolute

	limited, cancel := context.WithTimeout(ctx, r.busy)
	defer cancel()
	if err := r.connect(limited, "rwc"); err != nil {
		return nil, describe(ctx, limited, "open", path, r.busy, err)
	}
	return r, nil
}

// connect sets r.db and r.file. The mode is SQLite's: rwc creates the file when
// there is none, rw does not.
func (r *Repository) connect(ctx context.Context, mode string) error {
	connector, err := driver.NewConnector(dataSource(r.path, mode, r.busy))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	file, err := prepare(ctx, db, r.path)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	r.db, r.file = db, file
	return nil
}

// prepare makes an opened database ready for use, and tells which file it is.
func prepare(ctx context.Context, db *sql.DB, path string) (os.FileInfo, error) {
	if err := applySchema(ctx, db); err != nil {
		return nil, err
	}
	if err := writeAhead(ctx, db); err != nil {
		return nil, err
	}
	return os.Stat(path)
}

// writeAhead switches the database to a write-ahead log, which stays in the
// file: the first to open it pays. When several switch at once, SQLite tells
// all but one that it is busy, at once and whatever the busy timeout is, since
// none would give way: so the waiting is done here.
func writeAhead(ctx context.Context, db *sql.DB) error {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		var mode string
		err := db.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		switch {
		case err == nil && mode == "wal":
			return nil
		case err == nil:
			return fmt.Errorf("journal mode is %q and cannot be WAL: put the file on a local disk", mode)
		case primary(err) != codes.SQLITE_BUSY:
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

// dataSource is the URI of a file, with the settings that belong to a
// connection. As a URI because a plain name ends at its first question mark.
func dataSource(path, mode string, busy time.Duration) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/...
	}
	settings := url.Values{
		"mode": {mode},
		"_pragma": {
			fmt.Sprintf("busy_timeout(%d)", max(busy.Milliseconds(), 1)),
			"synchronous(FULL)",
		},
		"_txlock":   {"immediate"}, // a transaction here always writes
		"_dqs":      {"0"},
		"_error_rc": {"1"}, // an error's text is about that error
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: settings.Encode()}).String()
}
