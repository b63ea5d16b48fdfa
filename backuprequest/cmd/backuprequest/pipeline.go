package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
	"example.com/kafkatest/fakebroker"
)

const (
	// sessionTimeout is when the group gives up a member that was killed. It
	// is the shortest that Kafka allows by default
	// (group.min.session.timeout.ms): the next run waits for it.
	sessionTimeout    = 6 * time.Second
	heartbeatInterval = 2 * time.Second
	// fetchMaxWait is how long a broker holds a fetch that brings nothing. The
	// client has one fetch at a time for a broker, so that a partition whose
	// offset is known later than another's waits for that long, too. It is
	// Apache Kafka's default; the client's is ten times that.
	fetchMaxWait = 500 * time.Millisecond
	// closeTimeout is how long a handler may take to end at the end.
	closeTimeout = 15 * time.Second
)

// pipeline is what is between the input and the console: a broker where there
// is none, the topics, the handler, and somebody who watches what comes of it.
type pipeline struct {
	broker   *fakebroker.Broker // nil on a real cluster
	adapter  *adapter.Adapter
	consumer *adapter.Consumer
	watcher  *watcher
}

func startPipeline(ctx context.Context, c *runCommand, settings adapter.Config, repository backuprequest.Repository, r *reporter) (p *pipeline, err error) {
	p = new(pipeline)
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if len(settings.Brokers) == 0 {
		p.broker, err = fakebroker.Start(fakebroker.Config{Network: fakebroker.InMemory})
		if err != nil {
			return p, err
		}
		settings.ClientOptions = p.broker.ClientOptions()
	}
	plain := clientOptions(settings)
	settings.ClientOptions = append(settings.ClientOptions,
		kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(heartbeatInterval), kgo.FetchMaxWait(fetchMaxWait))
	settings.Trace = r.trace()
	if p.adapter, err = connect(ctx, settings); err != nil {
		return p, err
	}
	if err := createTopics(ctx, p.adapter, c.Partitions, r.console); err != nil {
		return p, err
	}
	handler := backuprequest.NewAcceptedHandler(backuprequest.NewReceiveBackupRequest(repository, p.adapter), settings.Logger)
	p.consumer, err = p.adapter.Subscribe(ctx, adapter.Subscription{
		Topics:  []string{backuprequest.TopicBackupRequestAccepted},
		Group:   c.Group,
		Handler: handler,
		Retry:   adapter.RetryPolicy{Attempts: c.Attempts},
		Redrive: p.broker == nil, // a broker of its own ends with the run
	})
	if err != nil {
		return p, err
	}
	// Both topics exist now. What is on them already is of other runs.
	r.deadLetterTopic = adapter.DeadLetterTopic(backuprequest.TopicBackupRequestAccepted, c.Group)
	p.watcher, err = newWatcher(ctx, plain, backuprequest.TopicBackupRequestReceived, r.deadLetterTopic)
	return p, err
}

// createTopics creates what is missing. Topics that exist are taken as they
// are: the number of partitions is the cluster's business.
func createTopics(ctx context.Context, a *adapter.Adapter, partitions int32, c *console) error {
	err := a.EnsureTopics(ctx,
		adapter.TopicSpec{Name: backuprequest.TopicBackupRequestAccepted, Partitions: partitions},
		adapter.TopicSpec{Name: backuprequest.TopicBackupRequestReceived, Partitions: partitions})
	var mismatch *adapter.TopicMismatchError
	if errors.As(err, &mismatch) {
		c.notef("topic %s stays as it is, with %s %s", mismatch.Topic, mismatch.Field, mismatch.Have)
		return nil
	}
	return err
}

// close ends the handler first, so that what it finished is committed. It may
// be called for a pipeline that did not come to be complete.
func (p *pipeline) close() error {
	var errs []error
	if p.adapter != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := p.adapter.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("ending the handler: %w", err))
		}
	}
	if p.watcher != nil {
		p.watcher.client.Close()
	}
	if p.broker != nil {
		errs = append(errs, p.broker.Close())
	}
	return errors.Join(errs...)
}
