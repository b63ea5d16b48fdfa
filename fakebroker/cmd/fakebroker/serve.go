package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"example.com/kafkatest/fakebroker"
)

// serve runs the cluster until a signal comes.
func serve(s settings, stdout io.Writer) error {
	// Before anything is announced, so that whoever reads the announcement can
	// stop the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	c, err := s.config()
	if err != nil {
		return err
	}
	b, err := fakebroker.Start(c)
	if err != nil {
		return s.inFlags(err)
	}
	if err := load(ctx, b, s.Load); err != nil {
		if ctx.Err() != nil { // it was told to stop meanwhile
			return b.Close()
		}
		return errors.Join(err, b.Close())
	}
	controlled, err := s.startControl(b)
	if err != nil {
		return errors.Join(s.inFlags(err), b.Close())
	}
	stopAll := func() error {
		if controlled == nil {
			return b.Close()
		}
		return errors.Join(controlled.Close(), b.Close())
	}
	if err := announce(stdout, b, controlled, s); err != nil {
		return errors.Join(fmt.Errorf("announcing the address: %w", err), stopAll())
	}
	<-ctx.Done()
	return stopAll()
}

// load writes the records of files, one file after the other.
func load(ctx context.Context, b *fakebroker.Broker, files []string) error {
	for _, name := range files {
		err := loadFile(ctx, b, name)
		var line *fakebroker.LoadError
		switch {
		case errors.As(err, &line):
			return fmt.Errorf("--load: %s:%d: %w", name, line.Line, line.Err)
		case err != nil:
			return fmt.Errorf("--load: %s: %w", name, err)
		}
	}
	return nil
}

func loadFile(ctx context.Context, b *fakebroker.Broker, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	if _, err := f.Seek(0, io.SeekStart); err == nil {
		_, err = b.Load(ctx, f)
		return err
	}
	// A pipe can be read only once.
	all, err := os.CreateTemp("", "fakebroker-load-")
	if err != nil {
		return err
	}
	defer func() {
		_ = all.Close()
		_ = os.Remove(all.Name())
	}()
	if _, err := io.Copy(all, f); err != nil {
		return err
	}
	if _, err := all.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = b.Load(ctx, all)
	return err
}
