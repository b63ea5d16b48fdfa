// Package tracing follows records with OpenTelemetry: from the publish, through
// every attempt and every hop, to what became of them, in one trace. It is a module
// of its own, so that nobody else depends on OpenTelemetry.
//
//	a, err := adapter.New(tracing.New(tracing.Config{}).Config(adapter.Config{Brokers: brokers}))
//
// A record that is published in a span carries it in its headers, as W3C Trace
// Context by default; retry, dead-letter and redrive topics have it with the record's
// other headers. Spans are named and described by OpenTelemetry's conventions for
// messaging: "orders publish" for a producer, "orders process" for an attempt, and
// "orders settle" when a record is done, which says as what.
package tracing

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kotel"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"example.com/kafkatest/adapter"
)

// Config is where spans go.
type Config struct {
	// Provider makes the spans. Nil means otel.GetTracerProvider().
	Provider trace.TracerProvider
	// Propagator writes and reads headers. Nil means W3C Trace Context.
	Propagator propagation.TextMapPropagator
}

// Tracing makes spans of what adapters do. It is safe for concurrent use.
type Tracing struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator

	running sync.Map // the spans of attempts under way, by *adapter.Message
	fates   sync.Map // what became of records that are not settled yet, by *adapter.Message
}

// New makes no span by itself: see Tracing.Config.
func New(cfg Config) *Tracing {
	if cfg.Provider == nil {
		cfg.Provider = otel.GetTracerProvider()
	}
	if cfg.Propagator == nil {
		cfg.Propagator = propagation.TraceContext{}
	}
	return &Tracing{tracer: cfg.Provider.Tracer("example.com/kafkatest/adapter/tracing"), propagator: cfg.Propagator}
}

// Config is a configuration whose adapter makes spans. What it has for Config.Trace
// is told everything, too, and first.
func (t *Tracing) Config(cfg adapter.Config) adapter.Config {
	cfg.Trace = adapter.JoinTraces(cfg.Trace, t.trace())
	cfg.ClientOptions = append(slices.Clone(cfg.ClientOptions), kgo.WithHooks(publishing{t}))
	return cfg
}

// publishing makes a span of each record that is published, and none of a record
// that moves: it carries the one it had.
type publishing struct{ *Tracing }

type publishKey struct{}

// OnProduceRecordBuffered is kgo's hook.
func (p publishing) OnProduceRecordBuffered(r *kgo.Record) {
	carrier := kotel.NewRecordCarrier(r)
	if slices.ContainsFunc(p.propagator.Fields(), func(f string) bool { return carrier.Get(f) != "" }) {
		return
	}
	ctx, span := p.tracer.Start(r.Context, r.Topic+" publish", trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(system, attribute.String("messaging.operation.type", "publish"), destination(r.Topic)))
	p.propagator.Inject(ctx, carrier)
	r.Context = context.WithValue(r.Context, publishKey{}, span)
}

// OnProduceRecordUnbuffered is kgo's hook.
func (p publishing) OnProduceRecordUnbuffered(r *kgo.Record, err error) {
	span, ok := r.Context.Value(publishKey{}).(trace.Span)
	if !ok {
		return
	}
	if err != nil {
		fail(span, err)
	} else {
		span.SetAttributes(partition(r.Partition), offset(r.Offset))
	}
	span.End()
}

var system = attribute.String("messaging.system", "kafka")

func destination(topic string) attribute.KeyValue {
	return attribute.String("messaging.destination.name", topic)
}

func partition(p int32) attribute.KeyValue {
	return attribute.String("messaging.destination.partition.id", strconv.Itoa(int(p)))
}

func offset(o int64) attribute.KeyValue { return attribute.Int64("messaging.kafka.offset", o) }

func fail(span trace.Span, err error) {
	span.RecordError(err)
	span.SetStatus(codes.Error, err.Error())
}

// headers reads what a message carries.
type headers struct{ m *adapter.Message }

// Get is propagation.TextMapCarrier's.
func (h headers) Get(key string) string {
	v, _ := h.m.Header(key)
	return string(v)
}

// Set is propagation.TextMapCarrier's, and does nothing: a message is only read.
func (h headers) Set(string, string) {}

// Keys is propagation.TextMapCarrier's.
func (h headers) Keys() []string {
	var keys []string
	for _, header := range h.m.Headers {
		keys = append(keys, header.Key)
	}
	return keys
}

// start begins a span about a message, in the trace of the record.
func (t *Tracing) start(ctx context.Context, m *adapter.Message, what, operation string) (context.Context, trace.Span) {
	ctx = t.propagator.Extract(ctx, headers{m})
	return t.tracer.Start(ctx, m.Topic+" "+what, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		system, attribute.String("messaging.operation.type", operation), destination(m.Topic), partition(m.Partition), offset(m.Offset),
		attribute.String("messaging.consumer.group.name", m.Group),
		attribute.String("messaging.message.id", m.ID()),
		attribute.Int("kafkatest.attempt", m.Attempt),
	))
}

// fate is what became of a record.
type fate struct {
	what  string
	cause error
	at    *adapter.Origin
}

func (t *Tracing) trace() *adapter.Trace {
	return &adapter.Trace{
		Delivered: func(ctx context.Context, m *adapter.Message) context.Context {
			ctx, span := t.start(ctx, m, "process", "process")
			t.running.Store(m, span)
			return ctx
		},
		Returned: func(m *adapter.Message, r adapter.Result, _ time.Duration) {
			v, ok := t.running.LoadAndDelete(m)
			if !ok {
				return
			}
			span := v.(trace.Span)
			span.SetAttributes(attribute.String("kafkatest.result", string(r.Type())))
			if err := r.Err(); err != nil {
				fail(span, err)
			}
			span.End()
		},
		Hopped: func(m *adapter.Message, cause error, at adapter.Origin) { t.fates.Store(m, fate{"hopped", cause, &at}) },
		DeadLettered: func(m *adapter.Message, cause error, at adapter.Origin) {
			t.fates.Store(m, fate{"dead-lettered", cause, &at})
		},
		Rejected: func(m *adapter.Message, cause error) { t.fates.Store(m, fate{"rejected", cause, nil}) },
		Settled: func(ms []*adapter.Message) {
			for _, m := range ms {
				f := fate{what: "committed"}
				if v, ok := t.fates.LoadAndDelete(m); ok {
					f = v.(fate)
				}
				t.settled(m, f)
			}
		},
		Fenced: func(m *adapter.Message) {
			t.fates.Delete(m)
			t.settled(m, fate{what: "fenced"})
		},
	}
}

func (t *Tracing) settled(m *adapter.Message, f fate) {
	_, span := t.start(context.Background(), m, "settle", "settle")
	span.SetAttributes(attribute.String("kafkatest.fate", f.what))
	if f.at != nil {
		span.SetAttributes(attribute.String("kafkatest.moved_to", f.at.String()))
	}
	if f.cause != nil {
		fail(span, f.cause)
	}
	span.End()
}
