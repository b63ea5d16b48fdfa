package adapter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	reconnectMin = 100 * time.Millisecond
	reconnectMax = 5 * time.Second
)

// connection keeps the state of an adapter's connection true: it asks the
// brokers when it starts, when a client has trouble with one, and when
// somebody needs the connection.
type connection struct {
	cfg     Config
	cl      *kgo.Client
	state   *watchedState
	trouble chan struct{} // a client could not connect, write or read
	wanted  chan struct{} // somebody waits for the connection

	answered int // the seed that answered last, counted from 1; keep's own
}

func newConnection(cfg Config) *connection {
	return &connection{
		cfg:     cfg,
		state:   newWatchedState(),
		trouble: make(chan struct{}, 1),
		wanted:  make(chan struct{}, 1),
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// The hooks of every client of the adapter. A connection that is closed for
// being idle is none of them.
func (c *connection) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	c.suspect(err)
}

func (c *connection) OnBrokerWrite(_ kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	c.suspect(err)
}

func (c *connection) OnBrokerRead(_ kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	c.suspect(err)
}

func (c *connection) suspect(err error) {
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, kgo.ErrClientClosed) {
		notify(c.trouble)
	}
}

// keep runs until ctx ends.
func (c *connection) keep(ctx context.Context) {
	ever := false
	calm := reconnectMin // before asking again when a client has trouble
	for tries, backoff := 0, reconnectMin; ctx.Err() == nil; {
		err := c.ping(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			if c.state.view().State != Connected {
				c.cfg.Logger.Info("connected to kafka", "brokers", c.brokers())
			}
			ever, tries, backoff = true, 0, reconnectMin
			c.state.set(Connected, nil, 0, false)
			since := time.Now()
			select {
			case <-c.trouble:
			case <-ctx.Done():
			}
			// One broker that is down among others keeps troubling clients.
			if time.Since(since) > reconnectMax {
				calm = reconnectMin
			}
			sleep(ctx, calm)
			calm = min(2*calm, reconnectMax)
			continue
		}
		tries++
		if c.state.view().State == Connected {
			c.cfg.Logger.Warn("lost the connection to kafka", "brokers", c.brokers(), "error", err)
		}
		switch {
		case !ever && tries >= c.cfg.ConnectTries:
			c.cfg.Logger.Error("giving up connecting to kafka until it is needed", "brokers", c.brokers(), "tries", tries, "error", err)
			c.state.set(Disconnected, err, tries, true)
			select {
			case <-c.wanted:
			case <-ctx.Done():
			}
			tries, backoff = 0, reconnectMin
			continue
		case ever:
			c.state.set(Disconnected, err, tries, false)
		default:
			c.state.set(Connecting, err, tries, false)
		}
		wait := time.NewTimer(backoff)
		select {
		case <-wait.C:
		case <-c.wanted: // but a crowd of publishers must not become a storm of tries
			select {
			case <-time.After(reconnectMin):
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		wait.Stop()
		backoff = min(2*backoff, reconnectMax)
	}
}

// ping asks the brokers that the client starts from, and is content with one
// answer. The one that answered last is asked first: asking the others would
// find those that are down.
func (c *connection) ping(ctx context.Context) error {
	limit := min(c.cfg.ConnectTimeout/2, reconnectMax)
	seeds := c.cl.SeedBrokers()
	if c.answered > 0 {
		first, cancel := context.WithTimeout(ctx, limit/2)
		err := ask(first, seeds[c.answered-1])
		cancel()
		if err == nil {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	type answer struct {
		seed int
		err  error
	}
	answers := make(chan answer, len(seeds))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	for i, b := range seeds {
		asking.Go(func() { answers <- answer{i, ask(ctx, b)} })
	}
	var last error
	for range seeds {
		a := <-answers
		if a.err == nil {
			c.answered = a.seed + 1
			return nil
		}
		if last == nil || !errors.Is(a.err, context.Canceled) {
			last = a.err
		}
	}
	if errors.Is(last, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: %w", limit, last)
	}
	return last
}

// ask asks a broker for something that every broker can answer, once.
func ask(ctx context.Context, b *kgo.Broker) error {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // none, where nil means all
	_, err := b.Request(ctx, req)
	return err
}

// await returns nil when connected, and waits for it no longer than ctx and
// ConnectTimeout allow.
func (c *connection) await(ctx context.Context) error {
	v := c.state.view()
	switch v.State {
	case Connected:
		return nil
	case Closed:
		return ErrClosed
	}
	notify(c.wanted)
	limit := time.NewTimer(c.cfg.ConnectTimeout)
	defer limit.Stop()
	for {
		select {
		case <-v.changed:
		case <-ctx.Done():
			return c.notConnected(errors.Join(v.Cause, ctx.Err()))
		case <-limit.C:
			return c.notConnected(v.Cause)
		}
		v = c.state.view()
		switch {
		case v.State == Connected:
			return nil
		case v.State == Closed:
			return ErrClosed
		case isAuthentication(v.Cause): // an answer, and a final one
			return c.notConnected(v.Cause)
		}
	}
}

// ready is await without a limit of its own, except that it does not outlast
// the first tries, nor a refusal of the credentials.
func (c *connection) ready(ctx context.Context) error {
	for {
		v := c.state.view()
		switch {
		case v.State == Connected:
			return nil
		case v.State == Closed:
			return ErrClosed
		case v.gaveUp, isAuthentication(v.Cause):
			return c.notConnected(v.Cause)
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return c.notConnected(errors.Join(v.Cause, ctx.Err()))
		}
	}
}

func (c *connection) notConnected(cause error) error {
	return &NotConnectedError{Brokers: c.brokers(), Cause: cause}
}

func (c *connection) brokers() []string {
	seeds, _ := c.cl.OptValue(kgo.SeedBrokers).([]string)
	return seeds
}
