package metrics_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/adapter/metrics"
	"example.com/kafkatest/harness"
)

type order struct{ key, value string }

func (o order) TopicName() string  { return "t" }
func (o order) MessageKey() string { return o.key }
func (o order) MessageData() any   { return o.value }

var errDown = errors.New("down")

// figures are the metrics of a family, as lines of Prometheus's own text.
func figures(t *testing.T, r prometheus.Gatherer, name string) []string {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	var text bytes.Buffer
	for _, f := range families {
		if f.GetName() == name {
			_, err := expfmt.MetricFamilyToText(&text, f)
			require.NoError(t, err)
		}
	}
	var lines []string
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestMetrics_countWhatBecomesOfRecords(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m, err := metrics.New(registry)
	require.NoError(t, err)
	told := 0
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.Trace = &adapter.Trace{Settled: func(ms []*adapter.Message) { told += len(ms) }}
		*c = m.Config(*c)
	}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		m.Watch(h.Adapter())
		release := make(chan struct{})
		s := adapter.Subscription{
			Topics: []string{"t"}, Group: "g", Order: adapter.Unordered,
			Handler: adapter.HandlerFunc(func(_ context.Context, r *adapter.Message) adapter.Result {
				switch string(r.Value) {
				case "hops":
					if r.Attempt == 1 {
						return adapter.RetryAfter(errDown, time.Hour)
					}
				case "bad":
					return adapter.Reject(errDown)
				case "panics":
					if r.Attempt == 1 {
						panic("oh no")
					}
				case "runs":
					<-release
				}
				return adapter.Commit()
			}),
		}
		s.Retry.Tiers = []time.Duration{time.Hour}
		h.Subscribe(s)
		for _, v := range []string{"hops", "bad", "panics", "runs"} {
			h.Publish(order{"k", v})
		}
		h.Advance(time.Minute)
		assert.Equal(t, []string{`kafka_adapter_in_flight_records{adapter="0",group="g",partition="0",topic="t"} 1`, `kafka_adapter_in_flight_records{adapter="0",group="g",partition="0",topic="t.g.retry.1h"} 0`},
			figures(t, registry, "kafka_adapter_in_flight_records"))
		assert.Equal(t, []string{`kafka_adapter_lag{adapter="0",group="g",partition="0",topic="t"} 1`, `kafka_adapter_lag{adapter="0",group="g",partition="0",topic="t.g.retry.1h"} 1`},
			figures(t, registry, "kafka_adapter_lag"))
		assert.Equal(t, []string{`kafka_adapter_ready{adapter="0"} 1`}, figures(t, registry, "kafka_adapter_ready"))
		close(release)
		h.Settle()
		assert.Equal(t, []string{`kafka_adapter_hops_total{group="g",topic="t"} 1`}, figures(t, registry, "kafka_adapter_hops_total"))
		assert.Equal(t, []string{`kafka_adapter_dead_letters_total{group="g",topic="t"} 1`}, figures(t, registry, "kafka_adapter_dead_letters_total"))
		assert.Equal(t, []string{`kafka_adapter_published_total{topic="t"} 4`}, figures(t, registry, "kafka_adapter_published_total"))
		assert.Equal(t, []string{`kafka_adapter_settled_total{group="g",topic="t"} 4`, `kafka_adapter_settled_total{group="g",topic="t.g.retry.1h"} 1`},
			figures(t, registry, "kafka_adapter_settled_total"))
		handlers := strings.Join(figures(t, registry, "kafka_adapter_handler_seconds"), "\n")
		for _, line := range []string{
			`kafka_adapter_handler_seconds_count{group="g",result="panic",topic="t"} 1`,
			`kafka_adapter_handler_seconds_count{group="g",result="reject",topic="t"} 1`,
			`kafka_adapter_handler_seconds_count{group="g",result="retry",topic="t"} 1`,
			`kafka_adapter_handler_seconds_count{group="g",result="commit",topic="t.g.retry.1h"} 1`,
		} {
			assert.Contains(t, handlers, line)
		}
		assert.Equal(t, 5, told, "the trace that was there hears of everything, too")
		assert.NotEmpty(t, figures(t, registry, "kafka_client_connects_total"))

		another := h.NewAdapter()
		m.Watch(another)
		require.NoError(t, another.Ready(t.Context()))
		assert.Equal(t, []string{`kafka_adapter_connected{adapter="0"} 1`, `kafka_adapter_connected{adapter="1"} 1`}, figures(t, registry, "kafka_adapter_connected"))
		require.NoError(t, another.Close(t.Context()))
		assert.Len(t, figures(t, registry, "kafka_adapter_connected"), 1, "of an adapter that is closed nothing is told")
	})
}

func TestNew_twiceIsRefused(t *testing.T) {
	registry := prometheus.NewRegistry()
	_, err := metrics.New(registry)
	require.NoError(t, err)
	_, err = metrics.New(registry)
	require.ErrorAs(t, err, new(prometheus.AlreadyRegisteredError))
}
