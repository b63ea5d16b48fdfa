package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
)

// consumeCommand prints the records of a topic.
type consumeCommand struct {
	Topic  string `arg:"" optional:"" name:"TOPIC" help:"Topic to read. Without it, backup-request-received."`
	From   string `default:"beginning" placeholder:"WHERE" help:"Where to start: beginning, end, an offset, or a time in RFC 3339 (${default})."`
	Follow bool   `short:"f" help:"Go on with what is yet to come. Without it, reading ends where the topic ended at the start."`
	Max    int    `placeholder:"N" help:"Stop after that many records."`

	Cluster clusterFlags `embed:"" group:"Cluster:"`
}

// Run runs the command. SIGINT and SIGTERM end it.
func (c *consumeCommand) Run(s streams) (err error) {
	if c.Topic == "" {
		c.Topic = backuprequest.TopicBackupRequestReceived
	}
	if c.Max < 0 {
		return usagef("--max is %d: give 1 or more", c.Max)
	}
	from, err := parseStart(c.From)
	if err != nil {
		return err
	}
	settings, err := c.Cluster.required(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer func() {
		if ctx.Err() != nil {
			err = nil // what was asked for
		}
	}()

	// The adapter is what says why no broker can be reached.
	a, err := connect(ctx, settings)
	if err != nil {
		return err
	}
	if err := a.Close(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if err := mustExist(ctx, settings, c.Topic); err != nil {
		return err
	}
	return c.read(ctx, settings, from, newConsole(s))
}

// idle is how long nothing may come before consume looks whether anything is
// still to come: records may be deleted while they are read.
const idle = 5 * time.Second

func (c *consumeCommand) read(ctx context.Context, settings adapter.Config, from start, out *console) error {
	options := clientOptions(settings)
	admin, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer admin.Close()
	spans, err := c.spans(ctx, settings, from, admin)
	if err != nil {
		return err
	}
	offsets := map[int32]kgo.Offset{}
	for p, s := range spans {
		offsets[p] = kgo.NewOffset().At(s.from)
	}
	client, err := kgo.NewClient(append(readerOptions(map[string]map[int32]kgo.Offset{c.Topic: offsets}), options...)...)
	if err != nil {
		return err
	}
	defer client.Close()

	printed := 0
	for c.Follow || remaining(spans) {
		poll, cancel := context.WithTimeout(ctx, idle)
		fetches := client.PollFetches(poll)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err := c.refused(fetches); err != nil {
			return err
		}
		for records := fetches.RecordIter(); !records.Done(); {
			r := records.Next()
			s := spans[r.Partition]
			past := !c.Follow && r.Offset >= s.to
			s.from = max(s.from, r.Offset+1)
			spans[r.Partition] = s
			if past || r.Attrs.IsControl() {
				continue
			}
			out.result(recordLine(r))
			if printed++; printed == c.Max {
				out.flush()
				return out.broken()
			}
		}
		out.flush()
		if out.outErr != nil {
			return out.broken()
		}
		if fetches.NumRecords() == 0 && !c.Follow {
			now, err := c.spans(ctx, settings, start{}, admin)
			if err != nil {
				return err
			}
			for p, s := range spans {
				s.from = max(s.from, now[p].from) // what was deleted does not come any more
				spans[p] = s
			}
		}
	}
	return nil
}

// spans asks the brokers, and does not wait for ever for their answer.
func (c *consumeCommand) spans(ctx context.Context, settings adapter.Config, from start, client *kgo.Client) (map[int32]span, error) {
	ctx, cancel := context.WithTimeout(ctx, settings.ConnectTimeout)
	defer cancel()
	return from.spans(ctx, kadm.NewClient(client), c.Topic)
}

// refused is why reading cannot go on, or nil. What can be tried again is: the
// client does.
func (c *consumeCommand) refused(fetches kgo.Fetches) error {
	var errs []error
	fetches.EachError(func(_ string, partition int32, err error) {
		if final(err) {
			errs = append(errs, fmt.Errorf("read topic %q partition %d: %w", c.Topic, partition, err))
		}
	})
	return errors.Join(errs...)
}

// remaining reports whether there is anything left to read.
func remaining(spans map[int32]span) bool {
	for _, s := range spans {
		if s.from < s.to {
			return true
		}
	}
	return false
}
