package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// applicationID marks a file as ours, in the header field that SQLite has for
// that (PRAGMA application_id). It spells BkRq.
const applicationID = 0x426b5271

// migrations take the schema from one version to the next. A database's
// version is how many of them it has seen (PRAGMA user_version). What is here
// was run on databases that exist: add to it, and change nothing.
//
// Dates are YYYY-MM-DD and timestamps RFC 3339 in UTC, to the nanosecond, as
// on the topics.
func migrations() []string {
	return []string{
		`CREATE TABLE backup_request (
			backup_request_id       TEXT NOT NULL PRIMARY KEY,
			backup_job_id           TEXT NOT NULL,
			data_date               TEXT NOT NULL,
			prepared_data_path_name TEXT NOT NULL,
			status_type_code        TEXT NOT NULL,
			received_timestamp      TEXT NOT NULL,
			requester_id            TEXT NOT NULL
		) STRICT, WITHOUT ROWID`,
	}
}

// header is what tells whose database it is.
type header struct{ application, version, tables int }

func (h header) current() bool {
	return h.application == applicationID && h.version == len(migrations())
}

// check is nil for a database that is new, or ours and not from the future.
func (h header) check() error {
	switch {
	case h == header{}:
		return nil
	case h.application != applicationID || h.version < 1:
		return fmt.Errorf("%w: choose another file", ErrForeignFile)
	case h.version > len(migrations()):
		return fmt.Errorf("%w: it has version %d, and this program knows up to %d: use a newer program", ErrNewerSchema, h.version, len(migrations()))
	default:
		return nil
	}
}

func readHeader(ctx context.Context, q interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (h header, err error) {
	err = q.QueryRowContext(ctx, `SELECT
		(SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_schema)`).Scan(&h.application, &h.version, &h.tables)
	return h, err
}

// applySchema brings the database to the current version. It writes nothing to
// one that has it, nor to one that is not ours.
func applySchema(ctx context.Context, db *sql.DB) error {
	h, err := readHeader(ctx, db)
	if err != nil || h.current() {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := migrate(ctx, tx); err != nil {
		// What matters is why; a rollback that fails ends with the connection.
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// migrate looks again, now that it holds the write lock: another process may
// have been faster.
func migrate(ctx context.Context, tx *sql.Tx) error {
	h, err := readHeader(ctx, tx)
	if err != nil {
		return err
	}
	if err := h.check(); err != nil {
		return err
	}
	for _, statement := range migrations()[h.version:] {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(migrations())))
	return err
}
