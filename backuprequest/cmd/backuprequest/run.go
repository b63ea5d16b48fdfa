package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/kafkatest/adapter"
)

// runCommand takes requests through the whole flow.
type runCommand struct {
	File string `arg:"" name:"FILE" help:"Requests as JSON Lines, or - for standard input."`

	DB           string        `name:"db" default:"backup-requests.db" placeholder:"FILE" help:"SQLite database to save to, made when there is none (${default})."`
	DBTimeout    time.Duration `name:"db-timeout" default:"5s" help:"How long to wait for a locked database before the record is tried again later."`
	Group        string        `default:"backup-request" help:"Consumer group of the handler."`
	Partitions   int32         `default:"4" help:"Partitions of topics that have to be created."`
	Attempts     int           `default:"10" help:"How often a record is tried before it is dead-lettered."`
	Timeout      time.Duration `default:"5m" help:"Time limit of the whole run; 0 for none. What a silent broker has been sent by then may take half a minute more."`
	DrainTimeout time.Duration `default:"30s" help:"How long to wait, when interrupted, for what was accepted."`
	JSON         bool          `name:"json" help:"Print the tally as one JSON object, as the last line of standard output."`
	LogLevel     string        `default:"error" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"Log what is at least as grave as this: ${enum} (${default})."`

	Cluster clusterFlags `embed:"" group:"Cluster (without --brokers, run brings its own broker):"`
}

func (c *runCommand) check() error {
	switch {
	case c.Partitions < 1:
		return usagef("--partitions is %d: give 1 or more", c.Partitions)
	case c.Attempts < 1:
		return usagef("--attempts is %d: give 1 or more", c.Attempts)
	case c.Timeout < 0:
		return usagef("--timeout is %v: give a time above zero, or 0 for no limit", c.Timeout)
	case c.DBTimeout <= 0:
		return usagef("--db-timeout is %v: give a time above zero", c.DBTimeout)
	case c.DrainTimeout < 0:
		return usagef("--drain-timeout is %v: give a time of zero or more", c.DrainTimeout)
	case c.Group == "":
		return usagef("--group is empty: name a consumer group")
	}
	return nil
}

// Why a run ends before its input does, or before everything has its outcome.
var (
	errInterrupted = errors.New("interrupted")
	errTimeLimit   = errors.New("the time limit has passed; --timeout sets it")
	errDrainLimit  = errors.New("interrupted, and the time to drain has passed; --drain-timeout sets it")
)

// Run runs the command.
func (c *runCommand) Run(s streams) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	// The first signal ends the reading; the next ones do to this program what
	// they do to any other.
	signaled, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	interrupted, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	defer context.AfterFunc(signaled, func() {
		stop() // first, so that whoever is told can send the next one
		interrupt()
	})()

	// What the time limit, or a failure that makes going on useless, puts an
	// end to. The cause tells which.
	working, fail := context.WithCancelCause(context.Background())
	defer fail(nil)
	if c.Timeout > 0 {
		limit := time.AfterFunc(c.Timeout, func() { fail(errTimeLimit) })
		defer limit.Stop()
	}

	r := newReporter(s, c.JSON)
	settings, err := c.settings(r.console)
	if err != nil {
		return err
	}
	input, err := openInput(c.File, s.in)
	if err != nil {
		return err
	}
	defer func() { err = either(err, input.Close()) }()
	repository, err := openDatabase(working, c.DB, c.DBTimeout)
	if err != nil {
		return because(working, err)
	}
	defer func() { err = either(err, repository.Close()) }()

	starting, cancel := context.WithCancel(working)
	defer cancel()
	defer context.AfterFunc(interrupted, cancel)()
	p, err := startPipeline(starting, c, settings, repository, r)
	switch {
	case err != nil && interrupted.Err() != nil:
		r.console.notef("interrupted before the first line was read")
		return r.finish(nil)
	case err != nil:
		return because(working, err)
	}
	f := flow{pipeline: p, reporter: r, drain: c.DrainTimeout, fail: fail}
	failure := f.run(working, interrupted, input)
	return r.finish(errors.Join(failure, p.close()))
}

// settings are the adapter's. Without brokers, the embedded one is meant.
func (c *runCommand) settings(logs io.Writer) (adapter.Config, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return adapter.Config{}, usageError{err}
	}
	logger := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: level}))
	settings, err := c.Cluster.config(logger)
	if flag := c.Cluster.needsBrokers(); err == nil && flag != "" && len(settings.Brokers) == 0 {
		err = usagef("%s is for a cluster: name its brokers with --brokers HOST:PORT", flag)
	}
	return settings, err
}

// because is err, with the reason why ctx ended in front of it, if it did.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return errors.Join(cause, err)
	}
	return err
}

// either is the first of two errors: that of closing something matters when
// nothing else went wrong.
func either(err, closing error) error {
	if err != nil {
		return err
	}
	return closing
}
