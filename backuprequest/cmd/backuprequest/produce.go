package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
)

// produceCommand publishes a few events.
type produceCommand struct {
	File  string `arg:"" optional:"" name:"FILE" help:"Requests as JSON Lines, or - for standard input. Without it, requests are made up."`
	Count int    `placeholder:"N" help:"How many requests to make up (3)."`

	Cluster clusterFlags `embed:"" group:"Cluster:"`
}

const defaultCount = 3

// Run runs the command. A signal ends it at once: each event is acknowledged
// before the next one is sent.
func (c *produceCommand) Run(s streams) (err error) {
	switch {
	case c.Count < 0:
		return usagef("--count is %d: give 1 or more", c.Count)
	case c.Count > 0 && c.File != "":
		return usagef("--count and FILE exclude each other: leave one of them out")
	case c.Count == 0:
		c.Count = defaultCount
	}
	settings, err := c.Cluster.required(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	entries := made(c.Count, backuprequest.DateOf(time.Now()))
	if c.File != "" {
		file, err := openInput(c.File, s.in)
		if err != nil {
			return err
		}
		defer func() { err = either(err, file.Close()) }()
		entries = readEntries(file)
	}

	out := newConsole(s)
	settings.Trace = &adapter.Trace{Published: func(_ context.Context, _ adapter.Event, m *adapter.Message) {
		out.result("sent " + messageLine(m))
	}}
	ctx := context.Background()
	a, err := connect(ctx, settings)
	if err != nil {
		return err
	}
	defer func() {
		last, cancel := context.WithTimeout(ctx, closeTimeout)
		defer cancel()
		err = either(err, a.Close(last))
	}()
	if err := mustExist(ctx, settings, backuprequest.TopicBackupRequestAccepted); err != nil {
		return err
	}
	return c.accept(ctx, a, out, entries)
}

// accept runs the use case for one entry after another. What is not right is
// reported and left out, as run does.
func (c *produceCommand) accept(ctx context.Context, a *adapter.Adapter, out *console, entries iter.Seq2[entry, error]) error {
	use := backuprequest.NewAcceptBackupRequest(a)
	for e, err := range entries {
		if err != nil {
			return err
		}
		if err = e.err; err == nil {
			_, err = use.Accept(ctx, e.submission)
		}
		if err != nil && !rejects(err, e) {
			return fmt.Errorf("line %d: %w", e.line, err)
		}
		if err != nil {
			out.notef("line %d: rejected: %s", e.line, oneLine(err))
			continue
		}
		out.flush()
		if out.outErr != nil {
			return out.broken()
		}
	}
	return nil
}

// made are requests made up for the purpose.
func made(count int, date backuprequest.Date) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for i := range count {
			e := entry{line: i + 1, submission: backuprequest.Submission{
				BackupJobID:          fmt.Sprintf("job-%d", i+1),
				DataDate:             date.String(),
				PreparedDataPathName: fmt.Sprintf("/prepared/%s/part-%d.tar", date, i+1),
				RequesterID:          "backuprequest-produce",
			}}
			if !yield(e, nil) {
				return
			}
		}
	}
}
