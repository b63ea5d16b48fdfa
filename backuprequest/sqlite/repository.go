package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"example.com/kafkatest/backuprequest"
)

var _ backuprequest.Repository = (*Repository)(nil)

// Repository is a backuprequest.Repository on SQLite. Make one with Open. It is
// safe for concurrent use.
//
// Operations take turns: SQLite has one writer at a time anyway, and a queue
// in the process is fairer and quicker than its polling for the lock. Waiting
// for the turn, for other processes and for the disk together is bounded by the
// busy timeout, and by the context.
//
// A file that is removed or replaced while it is open is noticed: SQLite would
// go on to write to what no path leads to. Until there is a database at the
// path again, operations fail as unavailable, and then go on with it. None is
// created in its place.
type Repository struct {
	path string
	busy time.Duration

	turn chan struct{} // holds one token while somebody uses what follows
	db   *sql.DB       // nil when closed
	file os.FileInfo   // of the file that db has open
}

// Save keeps r, unless there is a request with its id. See
// backuprequest.Repository. r is expected to be valid.
func (r *Repository) Save(ctx context.Context, request backuprequest.BackupRequest) (created bool, err error) {
	err = r.do(ctx, "save backup request", func(ctx context.Context) error {
		result, err := r.db.ExecContext(ctx, `
			INSERT INTO backup_request (
				backup_request_id, backup_job_id, data_date, prepared_data_path_name,
				status_type_code, received_timestamp, requester_id
			) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (backup_request_id) DO NOTHING`,
			request.BackupRequestID, request.BackupJobID, request.DataDate.String(), request.PreparedDataPathName,
			string(request.StatusTypeCode), request.ReceivedTimestamp.UTC().Format(time.RFC3339Nano), request.RequesterID,
		)
		if err != nil {
			return err
		}
		rows, err := result.RowsAffected()
		created = rows == 1
		return err
	})
	return created && err == nil, err
}

// Find is the request with that id, or an error that wraps
// backuprequest.ErrNotFound. See backuprequest.Repository.
func (r *Repository) Find(ctx context.Context, id string) (backuprequest.BackupRequest, error) {
	var found backuprequest.BackupRequest
	err := r.do(ctx, "find backup request", func(ctx context.Context) error {
		var date, received string
		err := r.db.QueryRowContext(ctx, `
			SELECT backup_request_id, backup_job_id, data_date, prepared_data_path_name,
				status_type_code, received_timestamp, requester_id
			FROM backup_request WHERE backup_request_id = ?`, id,
		).Scan(&found.BackupRequestID, &found.BackupJobID, &date, &found.PreparedDataPathName,
			&found.StatusTypeCode, &received, &found.RequesterID)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: %q", backuprequest.ErrNotFound, id)
		}
		if err != nil {
			return err
		}
		if found.DataDate, err = backuprequest.ParseDate(date); err != nil {
			return fmt.Errorf("%w: data_date of %q: %s", ErrDamaged, id, err.Error())
		}
		if found.ReceivedTimestamp, err = time.Parse(time.RFC3339Nano, received); err != nil {
			return fmt.Errorf("%w: received_timestamp of %q: %w", ErrDamaged, id, err)
		}
		return nil
	})
	if err != nil {
		return backuprequest.BackupRequest{}, err
	}
	return found, nil
}

// Count is how many requests are kept.
func (r *Repository) Count(ctx context.Context) (int, error) {
	var n int
	err := r.do(ctx, "count backup requests", func(ctx context.Context) error {
		return r.db.QueryRowContext(ctx, "SELECT count(*) FROM backup_request").Scan(&n)
	})
	return n, err
}

// Close waits for the operation that has its turn, and closes the database.
// What comes later fails with ErrClosed. Closing again changes nothing.
func (r *Repository) Close() error {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	if r.db == nil {
		return nil
	}
	db := r.db
	r.db = nil
	if err := db.Close(); err != nil {
		return fmt.Errorf("close database %s: %w", r.path, err)
	}
	return nil
}

// do runs fn in its turn, on the file that the path leads to, and makes sure
// afterwards that it still does: what went into another file is not saved.
func (r *Repository) do(ctx context.Context, op string, fn func(ctx context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, r.busy)
	defer cancel()
	err := limited.Err()
	if err == nil {
		err = r.inTurn(limited, fn)
	}
	if err != nil {
		return describe(ctx, limited, op, r.path, r.busy, err)
	}
	return nil
}

func (r *Repository) inTurn(ctx context.Context, fn func(ctx context.Context) error) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.db == nil {
		return ErrClosed
	}
	if r.replaced() {
		if err := r.reconnect(ctx); err != nil {
			return err
		}
	}
	if err := fn(ctx); err != nil {
		return err
	}
	if r.replaced() {
		return errReplaced
	}
	return nil
}

// replaced reports whether the path no longer leads to the open file.
func (r *Repository) replaced() bool {
	file, err := os.Stat(r.path)
	return err != nil || !os.SameFile(file, r.file)
}

// reconnect opens what is at the path now, if anything, and lets go of what was
// open. Whatever is wrong with it, the database is not where it was.
func (r *Repository) reconnect(ctx context.Context) error {
	old := r.db
	if err := r.connect(ctx, "rw"); err != nil {
		return fmt.Errorf("%w: %w", errReplaced, err)
	}
	_ = old.Close() // of a file that no path leads to: what it has to say concerns nobody
	return nil
}
