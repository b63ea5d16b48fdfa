package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
)

// redriveCommand takes dead letters back to their group.
type redriveCommand struct {
	Topic string `arg:"" optional:"" name:"TOPIC" help:"Topic that the handler subscribes to. Without it, backup-request-accepted."`

	Group string `default:"backup-request" help:"Consumer group of the handler."`
	Apply bool   `help:"Take them back. Without it, only say what would be."`

	Error       string        `placeholder:"TEXT" help:"Only those whose error has this text."`
	Key         *string       `placeholder:"KEY" help:"Only those with this key."`
	MinAge      time.Duration `placeholder:"TIME" help:"Only those given up at least that long ago, such as 90m."`
	MaxAge      time.Duration `placeholder:"TIME" help:"Only those given up at most that long ago."`
	Partition   []int32       `placeholder:"N" help:"Only those of this partition; may be repeated."`
	FromOffset  int64         `placeholder:"N" help:"Only those from this offset of the dead-letter topic on."`
	UntilOffset int64         `placeholder:"N" help:"Only those before this offset of the dead-letter topic."`

	Limit       int  `placeholder:"N" help:"Take back that many at most."`
	MaxRedrives int  `default:"1" help:"How often one record may be taken back in all."`
	JSON        bool `name:"json" help:"Print the tally as one JSON object, as the last line of standard output."`

	Cluster clusterFlags `embed:"" group:"Cluster:"`
}

// spec is what the flags say. The adapter's own checks would name its fields.
func (c *redriveCommand) spec() (adapter.RedriveSpec, error) {
	s := adapter.RedriveSpec{
		Topic: c.Topic, Group: c.Group, Apply: c.Apply,
		Partitions: c.Partition, FromOffset: c.FromOffset, UntilOffset: c.UntilOffset,
		ErrorContains: c.Error, MinAge: c.MinAge, MaxAge: c.MaxAge,
		Limit: c.Limit, MaxRedrives: c.MaxRedrives,
	}
	if c.Topic == "" {
		s.Topic = backuprequest.TopicBackupRequestAccepted
	}
	if c.Key != nil {
		s.Key = []byte(*c.Key)
	}
	for _, p := range c.Partition {
		if p < 0 {
			return s, usagef("--partition is %d: give 0 or more", p)
		}
	}
	switch {
	case c.Group == "":
		return s, usagef("--group is empty: name a consumer group")
	case c.MinAge < 0:
		return s, usagef("--min-age is %v: give a time above zero", c.MinAge)
	case c.MaxAge < 0:
		return s, usagef("--max-age is %v: give a time above zero", c.MaxAge)
	case c.MaxAge != 0 && c.MaxAge < c.MinAge:
		return s, usagef("--max-age is %v and --min-age %v: nothing is both", c.MaxAge, c.MinAge)
	case c.FromOffset < 0:
		return s, usagef("--from-offset is %d: give 0 or more", c.FromOffset)
	case c.UntilOffset < 0:
		return s, usagef("--until-offset is %d: give 1 or more", c.UntilOffset)
	case c.UntilOffset != 0 && c.UntilOffset <= c.FromOffset:
		return s, usagef("--until-offset is %d and --from-offset %d: nothing is between them", c.UntilOffset, c.FromOffset)
	case c.Limit < 0:
		return s, usagef("--limit is %d: give 1 or more", c.Limit)
	case c.MaxRedrives < 1:
		return s, usagef("--max-redrives is %d: give 1 or more", c.MaxRedrives)
	}
	return s, nil
}

// Run runs the command. The first signal ends the taking; the next ones do to
// this program what they do to any other.
func (c *redriveCommand) Run(s streams) (err error) {
	spec, err := c.spec()
	if err != nil {
		return err
	}
	out := newConsole(s)
	settings, err := c.Cluster.required(slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, func() {
		stop() // first, so that whoever is told can send the next one
		out.notef("interrupted: waiting for what is under way")
	})()

	a, err := connect(ctx, settings)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted before anything was looked at")
		}
		return err
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = either(err, a.Close(last))
	}()
	spec.Each = func(l *adapter.DeadLetter, o adapter.RedriveOutcome) {
		out.result(letterLine(spec, l, o))
	}
	tally, failure := a.Redrive(ctx, spec)
	if ctx.Err() != nil {
		failure = errors.New("interrupted: run it again to go on")
	}
	if err := inItsTerms(failure, spec); err != nil {
		return err
	}
	out.last(c.tally(tally))
	if failure == nil && tally.TooLarge > 0 {
		failure = fmt.Errorf("%d dead letters are too large for topic %q: raise its max.message.bytes", tally.TooLarge, adapter.RedriveTopic(spec.Topic, spec.Group))
	}
	return either(failure, out.broken())
}

// inItsTerms is a failure that the command line knows a better text for, or nil. What
// it says itself is wrong usage; a topic may be missing on this cluster only.
func inItsTerms(failure error, s adapter.RedriveSpec) error {
	var unknown *adapter.UnknownTopicError
	var bad *adapter.ConfigError
	switch letters := adapter.DeadLetterTopic(s.Topic, s.Group); {
	case errors.As(failure, &unknown) && unknown.Topic == letters:
		return fmt.Errorf("group %q has no dead letters of topic %q: there is no topic %q", s.Group, s.Topic, letters)
	case errors.As(failure, &bad) && bad.Field == "RedriveSpec.Partitions":
		return usagef("--partition %s", bad.Problem)
	case errors.As(failure, &bad) && bad.Field == "RedriveSpec.Topic":
		return usagef("TOPIC %s", bad.Problem)
	}
	return nil
}

// letterLine is a dead letter as one line.
func letterLine(s adapter.RedriveSpec, l *adapter.DeadLetter, o adapter.RedriveOutcome) string {
	return fmt.Sprintf("%s %s[%d]@%d key=%s attempts=%d error=%s", o, adapter.DeadLetterTopic(s.Topic, s.Group), l.Partition, l.Offset,
		shown(l.Key, " "), l.Attempts, shown([]byte(l.Error), ""))
}

// tally is the tally for programs, or for people, as equations.
func (c *redriveCommand) tally(t adapter.RedriveTally) string {
	if c.JSON {
		data, err := json.Marshal(t)
		if err != nil { // numbers only
			return err.Error()
		}
		return string(data)
	}
	text := fmt.Sprintf("seen    %6d = %d unknown + %d filtered + %d matched\n", t.Seen, t.Unknown, t.Filtered, t.Matched) +
		fmt.Sprintf("matched %6d = %d redriven + %d already + %d capped + %d too large + %d to redrive", t.Matched, t.Redriven, t.Already, t.Capped, t.TooLarge, t.Would)
	if !c.Apply && t.Would > 0 {
		text += "\nthis was a dry run: --apply takes them back"
	}
	return text
}
