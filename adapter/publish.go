package adapter

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		failed = append(failed, &PublishError{Index: i, Event: events[i], Topic: records[i].Topic, Err: err})
	}
	for i, e := range events {
		records[i] = &kgo.Record{}
		if err := a.fill(records[i], e); err != nil {
			fail(i, err)
		}
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
	for i, err := range a.send(ctx, records...).wait(ctx) {
		if err != nil {
			fail(i, err)
		} else if f := a.cfg.Trace.Published; f != nil {
			m := published(records[i])
			f(ctx, events[i], &m)
		}
	}
	if failed != nil {
		return failed
	}
	return nil
}

// fill makes the event a record, without a context unless the event names its
// partition. A panic of the event's, or of a marshaler, is an error like any
// other.
func (a *Adapter) fill(r *kgo.Record, e Event) (err error) {
	if e == nil {
		return &SerializeError{Type: "nil", Err: errors.New("the event is nil")}
	}
	defer func() {
		if p := recover(); p != nil {
			err = &SerializeError{Type: fmt.Sprintf("%T", e), Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	if r.Topic = e.TopicName(); r.Topic == "" {
		return &UnknownTopicError{Err: errors.New("the event's TopicName is empty")}
	}
	if r.Value, err = a.cfg.Serializer(e.MessageData()); err != nil {
		return &SerializeError{Type: fmt.Sprintf("%T", e), Err: err}
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
	return nil
}

// published is an acknowledged record as a message. No group has it yet.
func published(r *kgo.Record) (m Message) {
	m.publish(r)
	return m
}

// publish fills in what a record says, of a message that has nothing yet.
func (m *Message) publish(r *kgo.Record) {
	m.Topic, m.Partition, m.Offset = r.Topic, r.Partition, r.Offset
	m.Key, m.Value, m.Headers, m.Timestamp = r.Key, r.Value, headers(r), r.Timestamp
	m.Origin = Origin{r.Topic, r.Partition, r.Offset}
	m.timestampType = r.Attrs.TimestampType()
}

func headers(r *kgo.Record) []Header {
	var hs []Header
	for _, h := range r.Headers {
		hs = append(hs, Header{Key: h.Key, Value: h.Value})
	}
	return hs
}

// sending is records on their way to the brokers.
type sending struct {
	a        *Adapter
	records  []*kgo.Record
	errs     []error // a nil error is an acknowledged record, unless it is waited for
	outcomes chan outcome
	waiting  map[int]bool
	start    time.Time
}

type outcome struct {
	i   int
	err error
}

// send hands records to the client. ctx bounds the wait for room in its buffer.
func (a *Adapter) send(ctx context.Context, records ...*kgo.Record) *sending {
	return a.sendThen(ctx, func() {}, records...)
}

// sendThen is send, and calls then for each record that is no longer under way.
func (a *Adapter) sendThen(ctx context.Context, then func(), records ...*kgo.Record) *sending {
	s := &sending{
		a: a, records: records,
		errs:     make([]error, len(records)),
		outcomes: make(chan outcome, len(records)),
		waiting:  make(map[int]bool, len(records)),
		start:    time.Now(),
	}
	limit := time.NewTimer(a.cfg.PublishTimeout)
	defer limit.Stop()
	var full error
	for i, r := range records {
		if full == nil {
			full = s.awaitRoom(ctx, limit.C)
		}
		if full != nil {
			then()
			s.errs[i] = full
			continue
		}
		// The end of what kgo.Produce is given as context fails every record
		// buffered for the partition, so the caller's end is kept from it.
		rctx := context.WithoutCancel(ctx)
		if p, ok := chosen(r); ok {
			rctx = withPartition(rctx, int32(p))
		}
		r.Context = rctx
		s.waiting[i] = true
		a.cl.Produce(rctx, r, func(_ *kgo.Record, err error) {
			<-a.room
			then()
			s.outcomes <- outcome{i, err}
		})
	}
	return s
}

// awaitRoom takes a place in the client's buffer. The client itself would wait
// for one without an end.
func (s *sending) awaitRoom(ctx context.Context, limit <-chan time.Time) error {
	if s.a.flushing.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return &TimeoutError{Err: err}
	}
	select {
	case s.a.room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &TimeoutError{Err: ctx.Err()}
	case <-limit:
		return &TimeoutError{After: s.took(), Err: errors.New("too many records wait to be sent")}
	}
}

func (s *sending) took() time.Duration { return time.Since(s.start).Round(time.Millisecond) }

// ended reports whether the outcome of every record is known.
func (s *sending) ended() bool { return len(s.waiting) == 0 }

// wait waits for the outcome of each record. After a TimeoutError the outcome
// may still be to come: see ended.
func (s *sending) wait(ctx context.Context) []error {
	limit := time.NewTimer(s.a.cfg.publishLimit())
	defer limit.Stop()
	giveUp := func(err error) []error {
		errs := slices.Clone(s.errs)
		for i := range s.waiting {
			errs[i] = err
		}
		return errs
	}
	for !s.ended() {
		select { // what is known counts, even when time is up
		case o := <-s.outcomes:
			s.know(o)
			continue
		default:
		}
		select {
		case o := <-s.outcomes:
			s.know(o)
		case <-ctx.Done():
			return giveUp(&TimeoutError{Err: ctx.Err()})
		case <-limit.C:
			return giveUp(&TimeoutError{After: s.took(), Err: s.a.conn.state.view().Cause})
		}
	}
	return s.errs
}

func (s *sending) know(o outcome) {
	delete(s.waiting, o.i)
	s.errs[o.i] = s.a.publishError(s.records[o.i], o.err, s.took())
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
		return &TimeoutError{After: took, Err: err}
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
