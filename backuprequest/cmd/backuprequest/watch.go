package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// watcher reads topics from where they end when it is made, without a consumer
// group: it sees what comes after, and leaves nothing behind.
type watcher struct {
	client *kgo.Client
	topics []string
	moved  chan struct{} // the positions have changed

	mu        sync.Mutex
	positions map[string]map[int32]int64 // the offset after the last one read
}

func newWatcher(ctx context.Context, options []kgo.Opt, topics ...string) (*watcher, error) {
	w := &watcher{topics: topics, moved: make(chan struct{}, 1), positions: map[string]map[int32]int64{}}
	ends, err := endOffsets(ctx, options, topics)
	if err != nil {
		return nil, err
	}
	from := map[string]map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		if from[o.Topic] == nil {
			from[o.Topic] = map[int32]kgo.Offset{}
			w.positions[o.Topic] = map[int32]int64{}
		}
		from[o.Topic][o.Partition] = kgo.NewOffset().At(o.Offset)
		w.positions[o.Topic][o.Partition] = o.Offset
	})
	w.client, err = kgo.NewClient(append(readerOptions(from), options...)...)
	return w, err
}

// readerOptions are those of a client that reads partitions from given offsets.
func readerOptions(from map[string]map[int32]kgo.Offset) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumePartitions(from),
		kgo.FetchMaxWait(fetchMaxWait),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepControlRecords(), // so that positions reach the end behind a transaction
	}
}

// endsPatience is how long the leader of a partition may take to hear that it is one:
// until then it does not know a topic that was made just now.
const endsPatience = 10 * time.Second

// endOffsets asks with a client of its own, because one that consumes is given
// its offsets when it is made.
func endOffsets(ctx context.Context, options []kgo.Opt, topics []string) (kadm.ListedOffsets, error) {
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	giveUp := time.Now().Add(endsPatience)
	for backoff := 10 * time.Millisecond; ; backoff = min(2*backoff, time.Second) {
		ends, err := admin.ListEndOffsets(ctx, topics...)
		if err == nil {
			err = ends.Error()
		}
		switch {
		case err == nil:
			return ends, nil
		case !kerr.IsRetriable(err) || time.Now().After(giveUp):
			return nil, fmt.Errorf("find the ends of the topics: %w", err)
		}
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return nil, fmt.Errorf("find the ends of the topics: %w (the last answer: %w)", ctx.Err(), err)
		}
	}
}

// run hands every record to see, until ctx ends or reading is not allowed.
func (w *watcher) run(ctx context.Context, see func(*kgo.Record), batchEnd func()) error {
	for ctx.Err() == nil {
		fetches := w.client.PollFetches(ctx)
		var refused error
		fetches.EachError(func(topic string, _ int32, err error) {
			if final(err) {
				refused = fmt.Errorf("reading topic %q: %w", topic, err)
			}
		})
		if refused != nil {
			return refused
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				see(r)
			}
		})
		batchEnd()
		w.move(fetches)
	}
	return nil
}

// move notes how far was read, and tells who waits for it.
func (w *watcher) move(fetches kgo.Fetches) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fetches.EachRecord(func(r *kgo.Record) { w.positions[r.Topic][r.Partition] = r.Offset + 1 })
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

// catchUp waits until all is seen that is on the topics now.
func (w *watcher) catchUp(ctx context.Context) error {
	ends, err := kadm.NewClient(w.client).ListEndOffsets(ctx, w.topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return err
	}
	for !w.reached(ends) {
		select {
		case <-w.moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (w *watcher) reached(ends kadm.ListedOffsets) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := true
	ends.Each(func(o kadm.ListedOffset) {
		// A partition that was added meanwhile is not read.
		if position, read := w.positions[o.Topic][o.Partition]; read && position < o.Offset {
			all = false
		}
	})
	return all
}

// final reports whether an error of reading will come again however often it is
// tried.
func final(err error) bool {
	for _, e := range []error{
		kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.SaslAuthenticationFailed,
		kerr.UnsupportedSaslMechanism, kerr.UnsupportedVersion,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
