package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/kafkatest/fakebroker"
)

// grace is how long a start may take to end that was told to stop.
const grace = time.Second

// serve runs the cluster until a signal comes.
func serve(s settings, stdout, stderr io.Writer) error {
	// Before anything is announced, so that whoever reads the announcement can
	// stop the process.
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore) // a second signal ends the process at once

	type outcome struct {
		stop func() error
		err  error
	}
	started := make(chan outcome, 1)
	go func() {
		stop, err := start(ctx, s, stdout, stderr)
		started <- outcome{stop, err}
	}()
	var o outcome
	select {
	case o = <-started:
	case <-ctx.Done():
		// It may wait for what never comes, such as a pipe that nobody writes to.
		// Then it ends with the process.
		select {
		case o = <-started:
		case <-time.After(grace):
			return nil
		}
	}
	if o.err != nil {
		if ctx.Err() != nil { // it was told to stop meanwhile
			return nil
		}
		return o.err
	}
	<-ctx.Done()
	return o.stop()
}

// start starts what the settings ask for and says where. On an error nothing is
// left running.
func start(ctx context.Context, s settings, stdout, stderr io.Writer) (stop func() error, err error) {
	c, err := s.config()
	if err != nil {
		return nil, err
	}
	c.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b, err := fakebroker.Start(c)
	if err != nil {
		return nil, s.inSettings(err)
	}
	if err := s.load(ctx, b); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	controlled, err := s.startControl(b)
	if err != nil {
		return nil, errors.Join(s.inSettings(err), b.Close())
	}
	stop = func() error {
		if controlled == nil {
			return b.Close()
		}
		return errors.Join(controlled.Close(), b.Close())
	}
	if err := announce(stdout, b, controlled, s); err != nil {
		return nil, errors.Join(fmt.Errorf("announcing the address: %w", err), stop())
	}
	return stop, nil
}

// load writes the records of files, one file after the other.
func (s settings) load(ctx context.Context, b *fakebroker.Broker) error {
	for _, name := range s.Load {
		err := loadFile(ctx, b, name)
		var line *fakebroker.LoadError
		switch {
		case errors.As(err, &line):
			return s.wrong("load", "%s:%d: %w", name, line.Line, line.Err)
		case err != nil:
			return s.wrong("load", "%s: %w", name, err)
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
	_ = os.Remove(all.Name()) // at once where that is possible, should nobody be there later
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
