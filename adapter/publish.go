package adapter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// PublishErrors are the events of one call to Publish that were not published,
// or not known to be, in the order of Publish's arguments. errors.Is and
// errors.As look into each of them.
type PublishErrors []*PublishError

func (es PublishErrors) Error() string {
	if len(es) == 1 {
		return es[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d events not published: %v", len(es), es[0])
	for i, e := range es[1:] {
		if i == 4 {
			fmt.Fprintf(&b, "; and %d more", len(es)-5)
			break
		}
		fmt.Fprintf(&b, "; event %d: %v", e.Index, e.Err)
	}
	return b.String()
}

// Unwrap is for errors.Is and errors.As.
func (es PublishErrors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

// Retryable reports whether publishing these events again can help all of
// them.
func (es PublishErrors) Retryable() bool {
	for _, e := range es {
		if !Retryable(e.Err) {
			return false
		}
	}
	return true
}

// Publish puts events on their topics and waits until the brokers have
// acknowledged all of them. It connects when the adapter is not connected.
// Events with the same key keep their order.
//
// When something fails, the error is PublishErrors with one PublishError for
// each event that failed, and those not named are published. Each holds one of
// SerializeError, NotConnectedError, TooLargeError, UnknownTopicError,
// RefusedError, TimeoutError or ErrClosed. Unless all events can be
// serialized, none is sent.
//
// The end of ctx ends the waiting, with a TimeoutError, and not the sending:
// one caller who is in a hurry must not fail what others publish to the same
// partition. Such an event may still be published, until
// Config.PublishTimeout.
func (a *Adapter) Publish(ctx context.Context, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	records := make([]*kgo.Record, len(events))
	var failed PublishErrors
	fail := func(i int, err error) {
		failed = append(failed, &PublishError{Index: i, Event: events[i], Topic: topicOf(events[i]), Err: err})
	}
	for i, e := range events {
		r, err := a.record(e)
		if err != nil {
			fail(i, err)
		}
		records[i] = r
	}
	if failed != nil {
		return failed
	}
	if err := a.conn.await(ctx); err != nil {
		for i := range events {
			fail(i, err)
		}
		return failed
	}
	for i, err := range a.produce(ctx, records...) {
		if err != nil {
			fail(i, err)
		} else if f := a.cfg.Trace.Published; f != nil {
			f(ctx, events[i], published(records[i]))
		}
	}
	if failed != nil {
		return failed
	}
	return nil
}

func topicOf(e Event) string {
	if e == nil {
		return ""
	}
	return e.TopicName()
}

// record is the event as a record, without a context unless the event names
// its partition.
func (a *Adapter) record(e Event) (*kgo.Record, error) {
	if e == nil {
		return nil, &SerializeError{Type: "nil", Err: errors.New("the event is nil")}
	}
	value, err := serialize(a.cfg.Serializer, e.MessageData())
	if err != nil {
		return nil, &SerializeError{Type: fmt.Sprintf("%T", e), Err: err}
	}
	r := &kgo.Record{Topic: e.TopicName(), Value: value}
	if r.Topic == "" {
		return nil, &UnknownTopicError{Err: errors.New("the event's TopicName is empty")}
	}
	if k, ok := e.(MessageKeyer); ok {
		r.Key = k.MessageKeyBytes()
	} else if k := e.MessageKey(); k != "" {
		r.Key = []byte(k)
	}
	if h, ok := e.(MessageHeaderer); ok {
		for _, h := range h.MessageHeaders() {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	if p, ok := e.(MessagePartitioner); ok {
		r.Context = withPartition(context.Background(), p.MessagePartition())
	}
	return r, nil
}

// published is an acknowledged record as a message. No group has it yet.
func published(r *kgo.Record) *Message {
	return &Message{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
		Key: r.Key, Value: r.Value, Headers: headers(r), Timestamp: r.Timestamp,
		Origin: Origin{r.Topic, r.Partition, r.Offset},
	}
}

func headers(r *kgo.Record) []Header {
	var hs []Header
	for _, h := range r.Headers {
		hs = append(hs, Header{Key: h.Key, Value: h.Value})
	}
	return hs
}

// produce sends records and waits for the outcome of each. A nil error in the
// result is an acknowledged record.
func (a *Adapter) produce(ctx context.Context, records ...*kgo.Record) []error {
	// What kgo.Produce is given as context fails every record buffered for
	// the partition when it ends, so the caller's end is kept from it.
	type outcome struct {
		i   int
		err error
	}
	outcomes := make(chan outcome, len(records))
	start := time.Now()
	for i, r := range records {
		rctx := context.WithoutCancel(ctx)
		if p, ok := chosen(r); ok {
			rctx = withPartition(rctx, int32(p))
		}
		r.Context = rctx
		a.cl.Produce(rctx, r, func(r *kgo.Record, err error) { outcomes <- outcome{i, err} })
	}
	errs := make([]error, len(records))
	waiting := make(map[int]bool, len(records))
	for i := range records {
		waiting[i] = true
	}
	// The client fails a record after PublishTimeout, unless the broker may
	// have it already: then it waits for the broker's word, and we do not.
	limit := time.NewTimer(a.cfg.PublishTimeout + a.cfg.PublishTimeout/10)
	defer limit.Stop()
	giveUp := func(cause error) []error {
		for i := range waiting {
			errs[i] = &TimeoutError{After: time.Since(start).Round(time.Millisecond), Err: cause}
		}
		return errs
	}
	for len(waiting) > 0 {
		select {
		case o := <-outcomes:
			delete(waiting, o.i)
			r := records[o.i]
			errs[o.i] = a.publishError(r, o.err, time.Since(start))
		case <-ctx.Done():
			return giveUp(ctx.Err())
		case <-limit.C:
			return giveUp(a.conn.state.view().Cause)
		}
	}
	return errs
}

// publishError says what became of a record in this package's terms.
func (a *Adapter) publishError(r *kgo.Record, err error, took time.Duration) error {
	var protocol *kerr.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kgo.ErrClientClosed), errors.Is(err, kgo.ErrAborting):
		return ErrClosed
	case errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, kgo.ErrRecordRetries), errors.Is(err, context.DeadlineExceeded):
		v := a.conn.state.view()
		if v.State != Connected {
			err = a.conn.notConnected(v.Cause)
		}
		return &TimeoutError{After: took.Round(time.Millisecond), Err: err}
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return &TooLargeError{Topic: r.Topic, Err: err}
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return &UnknownTopicError{Topic: r.Topic, Err: err}
	case errors.As(err, &protocol):
		return &RefusedError{Code: protocol.Code, Name: protocol.Message, Err: err, retry: protocol.Retriable}
	}
	if p, ok := chosen(r); ok && strings.Contains(err.Error(), "invalid record partitioning choice") {
		return &UnknownTopicError{Topic: r.Topic, Err: fmt.Errorf("it has no partition %d: %w", p, err)}
	}
	return &RefusedError{Code: -1, Err: err}
}
