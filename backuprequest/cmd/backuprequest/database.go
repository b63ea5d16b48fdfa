package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"example.com/kafkatest/backuprequest"
	"example.com/kafkatest/backuprequest/sqlite"
)

// openDatabase opens the database, and tells a path that cannot be used from a
// database that is locked.
func openDatabase(ctx context.Context, path string, busy time.Duration) (*sqlite.Repository, error) {
	repository, err := sqlite.Open(ctx, path, sqlite.BusyTimeout(busy))
	if err == nil {
		return repository, nil
	}
	err = fmt.Errorf("--db: %w", err)
	if ctx.Err() != nil {
		return nil, err
	}
	if !errors.Is(err, backuprequest.ErrUnavailable) {
		return nil, usageError{err} // a database of something else, say
	}
	if problem := unusable(path); problem != nil {
		return nil, usagef("--db: %w: choose another file", problem)
	}
	return nil, err
}

// unusable is why a file can be neither opened nor created, or nil.
func unusable(path string) error {
	folder, err := os.Stat(filepath.Dir(path))
	if err == nil && !folder.IsDir() {
		return fmt.Errorf("%s is not a folder", filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		return file.Close()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s cannot be created", path)
	}
	return err
}
