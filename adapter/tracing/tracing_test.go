package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/adapter/tracing"
	"example.com/kafkatest/harness"
)

type order struct{ topic, value string }

func (o order) TopicName() string  { return o.topic }
func (o order) MessageKey() string { return "k" }
func (o order) MessageData() any   { return o.value }

// lines tell of spans: the name, who is above it, and what it says.
func lines(spans tracetest.SpanStubs) []string {
	names := map[string]string{}
	for _, s := range spans {
		names[s.SpanContext.SpanID().String()] = s.Name
	}
	var out []string
	for _, s := range spans {
		line := s.Name
		if parent := names[s.Parent.SpanID().String()]; parent != "" {
			line += " in " + parent
		}
		for _, a := range s.Attributes {
			switch a.Key {
			case "kafkatest.attempt", "kafkatest.result", "kafkatest.fate", "kafkatest.moved_to":
				line += ", " + a.Value.String()
			}
		}
		if s.Status.Code == codes.Error {
			line += ": " + s.Status.Description
		}
		out = append(out, line)
	}
	return out
}

func TestTracing_followsARecordThroughEveryHopToItsFate(t *testing.T) {
	recorder := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(recorder))
	tr := tracing.New(tracing.Config{Provider: provider})
	cfg := harness.Config{Adapter: func(c *adapter.Config) { *c = tr.Config(*c) }}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		s := adapter.Subscription{
			Topics: []string{"t"}, Group: "g", Order: adapter.Unordered,
			Handler: adapter.HandlerFunc(func(ctx context.Context, m *adapter.Message) adapter.Result {
				if m.Attempt == 2 {
					if err := h.Adapter().Publish(ctx, order{"next", ""}); err != nil {
						return adapter.Retry(err)
					}
				}
				if m.Attempt < 3 {
					return adapter.Retry(errors.New("down"))
				}
				return adapter.Reject(errors.New("bad"))
			}),
		}
		s.Retry.Tiers, s.Retry.InPlace = []time.Duration{time.Minute}, 1
		h.CreateTopics("next")
		h.Subscribe(s)
		ctx, root := provider.Tracer("test").Start(t.Context(), "request")
		require.NoError(t, h.Adapter().Publish(ctx, order{"t", "v"}))
		root.End()
		h.Settle()
	})
	spans := recorder.GetSpans()
	assert.Equal(t, []string{
		"t publish in request",
		"request",
		"t process in t publish, 1, retry: down",
		"t settle in t publish, 1, hopped, t.g.retry.1m/0/0: down",
		"next publish in t.g.retry.1m process",
		"t.g.retry.1m process in t publish, 2, retry: down",
		"t.g.retry.1m settle in t publish, 2, hopped, t.g.retry.1m/0/1: down",
		"t.g.retry.1m process in t publish, 3, reject: bad",
		"t.g.retry.1m settle in t publish, 3, dead-lettered, t.g.dlt/0/0: bad",
	}, lines(spans))
	for _, s := range spans {
		assert.Equal(t, spans[0].SpanContext.TraceID(), s.SpanContext.TraceID(), "one trace: %s", s.Name)
	}
}

func TestTracing_ofARecordWithoutASpanStartsATrace(t *testing.T) {
	recorder := tracetest.NewInMemoryExporter()
	tr := tracing.New(tracing.Config{Provider: sdk.NewTracerProvider(sdk.WithSyncer(recorder))})
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Publish(order{"t", "v"}) // by somebody who traces nothing
		a, err := adapter.New(tr.Config(adapter.Config{ClientOptions: h.ClientOptions("traced")}))
		require.NoError(t, err)
		c, err := a.Subscribe(t.Context(), adapter.Subscription{
			Topics: []string{"t"}, Group: "g",
			Handler: adapter.HandlerFunc(func(context.Context, *adapter.Message) adapter.Result { return adapter.Commit() }),
		})
		require.NoError(t, err)
		for c.Status().Partitions == nil || c.Status().Partitions[0].Committed < 1 {
			time.Sleep(time.Second)
		}
		require.NoError(t, a.Close(t.Context()))
	})
	assert.Equal(t, []string{"t process, 1, commit", "t settle, 1, committed"}, lines(recorder.GetSpans()))
	assert.Contains(t, fmt.Sprint(recorder.GetSpans()[0].Attributes), "t/0/0/g")
}
