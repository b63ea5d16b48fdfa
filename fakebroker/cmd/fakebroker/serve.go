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
		return inFlags(err)
	}
	if err := announce(stdout, b, s.JSON); err != nil {
		return errors.Join(fmt.Errorf("announcing the address: %w", err), b.Close())
	}
	<-ctx.Done()
	return b.Close()
}
