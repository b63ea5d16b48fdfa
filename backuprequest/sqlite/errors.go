package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"example.com/kafkatest/backuprequest"
)

// What can be wrong with a file, found by errors.Is.
var (
	// ErrForeignFile: the file is a database, and not one of backup requests.
	ErrForeignFile = errors.New("not a database of backup requests")
	// ErrDamaged: the file is no database, or what is left of one.
	ErrDamaged = errors.New("not a SQLite database, or damaged")
	// ErrNewerSchema: the database was written by a newer version of this
	// package.
	ErrNewerSchema = errors.New("the database is newer than this program")
	// ErrClosed: the Repository is closed. It wraps
	// backuprequest.ErrUnavailable.
	ErrClosed = fmt.Errorf("%w: the repository is closed", backuprequest.ErrUnavailable)
)

// errReplaced: the path no longer leads to the file that is open.
var errReplaced = errors.New("the database file was removed or replaced")

// primary is SQLite's result code without what extended codes add to it, and
// SQLITE_OK for an error that is not SQLite's.
func primary(err error) int {
	var e *driver.Error
	if !errors.As(err, &e) {
		return codes.SQLITE_OK
	}
	return e.Code() & 0xff
}

// unreachable reports whether the database could not be reached, through no
// fault of what was asked of it: somebody else has it, or the file or the disk
// under it does not let us.
func unreachable(err error) bool {
	if errors.Is(err, errReplaced) {
		return true
	}
	switch primary(err) {
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_PROTOCOL,
		codes.SQLITE_CANTOPEN, codes.SQLITE_IOERR, codes.SQLITE_READONLY,
		codes.SQLITE_PERM, codes.SQLITE_FULL:
		return true
	default:
		return false
	}
}

// describe puts a failure in the domain's words. ctx is the caller's, and
// limited the one that the busy timeout bounds.
func describe(ctx, limited context.Context, op, path string, busy time.Duration, err error) error {
	switch code := primary(err); {
	case ctx.Err() != nil:
		err = ctx.Err()
	case limited.Err() != nil:
		err = fmt.Errorf("%w: no access within %v: another process may hold its lock", backuprequest.ErrUnavailable, busy)
	case unreachable(err):
		err = fmt.Errorf("%w: %w", backuprequest.ErrUnavailable, err)
	case code == codes.SQLITE_NOTADB, code == codes.SQLITE_CORRUPT:
		err = fmt.Errorf("%w: restore it, or choose another file: %w", ErrDamaged, err)
	}
	return fmt.Errorf("%s: database %s: %w", op, path, err)
}
