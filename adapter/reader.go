package adapter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// readIdle is how long nothing may come before a reader looks whether anything is
// still to come: records may be deleted while they are read.
const readIdle = 5 * time.Second

// reader reads extents of partitions, one after another, without a group.
type reader struct {
	a  *Adapter
	cl *kgo.Client
}

func (a *Adapter) newReader() (*reader, error) {
	opts, err := a.cfg.clientOptions(a.conn)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that the end behind a transaction is seen
		kgo.FetchMaxWait(500 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		return nil, &ConfigError{Field: "Config.ClientOptions", Problem: err.Error()}
	}
	return &reader{a, cl}, nil
}

// read hands the records of an extent to each, until that reports false or fails.
func (r *reader) read(ctx context.Context, topic string, partition int32, s extent, each func(*kgo.Record) (bool, error)) error {
	if s.from >= s.to {
		return nil
	}
	r.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(s.from)}})
	defer r.cl.RemoveConsumePartitions(map[string][]int32{topic: {partition}})
	for s.from < s.to {
		poll, cancel := context.WithTimeout(ctx, readIdle)
		fetches := r.cl.PollFetches(poll)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := r.refused(fetches); err != nil {
			return err
		}
		for records := fetches.RecordIter(); !records.Done(); {
			rec := records.Next()
			if rec.Topic != topic || rec.Partition != partition || rec.Offset < s.from {
				continue
			}
			past := rec.Offset >= s.to
			s.from = rec.Offset + 1
			if past || rec.Attrs.IsControl() {
				continue
			}
			if goOn, err := each(rec); err != nil || !goOn {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if fetches.NumRecords() == 0 {
			now, err := r.a.extents(ctx, topic)
			switch {
			case err != nil && !Retryable(err):
				return err
			case err == nil:
				s.from = max(s.from, now[partition].from) // what was deleted does not come any more
			}
		}
	}
	return nil
}

// refused is why reading cannot go on, or nil. What can be tried again is: the
// client does.
func (r *reader) refused(fetches kgo.Fetches) error {
	var refused error
	fetches.EachError(func(topic string, partition int32, err error) {
		var protocol *kerr.Error
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		case errors.As(err, &protocol) && isFatal(protocol):
			refused = fmt.Errorf("read topic %q partition %d: %w", topic, partition,
				&RefusedError{Code: protocol.Code, Name: protocol.Message, Err: err})
		default:
			r.a.cfg.Logger.Warn("trouble while reading", "topic", topic, "partition", partition, "error", err)
		}
	})
	return refused
}
