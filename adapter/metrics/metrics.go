// Package metrics has what an adapter does, and what it is at, as Prometheus
// metrics. It is a module of its own, so that nobody else depends on Prometheus.
//
//	m, err := metrics.New(prometheus.DefaultRegisterer)
//	if err != nil {
//		return err
//	}
//	a, err := adapter.New(m.Config(adapter.Config{Brokers: brokers}))
//	if err != nil {
//		return err
//	}
//	m.Watch(a)
//
// All names begin with kafka_adapter_, those of the client below it with
// kafka_client_ (package kprom says which they are). Topics are the ones that a
// record was read from, so that retry topics have their own figures.
//
// Counters, all of records, with the labels group and topic:
//
//	published_total     that brokers have acknowledged; topic only
//	settled_total       that are done: committed, moved on, or given up
//	hops_total          that were moved to a retry topic
//	dead_letters_total  that were moved to a dead-letter topic
//	rejected_total      that OnReject took
//	fenced_total        whose partition was taken away before they were settled
//
// Histograms, with the labels group and topic:
//
//	handler_seconds     how long handlers ran; also by result: commit, retry,
//	                    reject, unavailable, panic, exit or timeout
//	attempts            how many attempts the records that are done have had
//
// Gauges, from Metrics.Watch on, with the label adapter, which is 0 for the first
// one watched:
//
//	connected           1 while a broker answers
//	ready               1 while nothing needs somebody to act
//	joined              1 while the group has taken the consumer in; also by group
//	gate_open           1 while the gate is open, or there is none; also by group
//	stuck_handlers      handlers that ignore their cancellation; also by group
//	fenced_handlers     handlers of partitions that were taken away; also by group
//
// and, also by group, topic and partition:
//
//	lag                 offsets from what is settled to the end of the partition;
//	                    0 in a share group, where only the brokers know it
//	queued_records      records fetched that wait for the handler
//	in_flight_records   records in the handler
//	held_records        records that wait for their next attempt
//	stalled_records     records that wait behind those
//	blocked             1 while a record cannot get where it is to go
//	full                1 while as many records are held as may be
package metrics

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"

	"example.com/kafkatest/adapter"
)

// Metrics are the metrics of one adapter, or of several together. It is safe for
// concurrent use.
type Metrics struct {
	client *client

	published, settled, hopped, deadLettered, rejected, fenced *prometheus.CounterVec
	handler, attempts                                          *prometheus.HistogramVec

	mu      sync.Mutex
	made    int // adapters watched so far, for their names
	watched []watched
}

// watched is an adapter whose levels are read.
type watched struct {
	name string // the label adapter: 0 for the first that was watched
	*adapter.Adapter
}

// New registers the metrics. It fails when another has registered them there.
func New(to prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &Metrics{
		published:    counter("published_total", "Events that brokers have acknowledged.", "topic"),
		settled:      counter("settled_total", "Records that are done: committed by the handler, moved on, or given up.", "group", "topic"),
		hopped:       counter("hops_total", "Records moved to a retry topic.", "group", "topic"),
		deadLettered: counter("dead_letters_total", "Records moved to a dead-letter topic.", "group", "topic"),
		rejected:     counter("rejected_total", "Records taken by OnReject.", "group", "topic"),
		fenced:       counter("fenced_total", "Records whose partition was taken away before they were settled: they are delivered again.", "group", "topic"),
		handler: histogram("handler_seconds", "How long handlers ran, by what they returned.",
			[]float64{.0001, .001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300}, "group", "topic", "result"),
		attempts: histogram("attempts", "How many attempts the records that are done have had.",
			[]float64{1, 2, 3, 5, 10, 20, 50, 100}, "group", "topic"),
	}
	own := []prometheus.Collector{m.published, m.settled, m.hopped, m.deadLettered, m.rejected, m.fenced, m.handler, m.attempts, levels{m}}
	for i, c := range own {
		if err := to.Register(c); err != nil {
			for _, c := range own[:i] {
				to.Unregister(c)
			}
			return nil, err
		}
	}
	m.client = &client{Metrics: kprom.NewMetrics("kafka_client", kprom.Registerer(to))}
	return m, nil
}

const namespace = "kafka_adapter"

// Config is a configuration whose adapter is counted here. What it has for
// Config.Trace goes on to be told everything, and first.
func (m *Metrics) Config(cfg adapter.Config) adapter.Config {
	cfg.Trace = adapter.JoinTraces(cfg.Trace, m.trace())
	cfg.ClientOptions = append(slices.Clone(cfg.ClientOptions), kgo.WithHooks(m.client))
	return cfg
}

// Watch has the levels of an adapter among the metrics from here on, until it is
// closed: its state, and of each partition the lag, and what is queued, in the
// handler, held, stalled, blocked and full.
func (m *Metrics) Watch(a *adapter.Adapter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watched = append(m.watched, watched{strconv.Itoa(m.made), a})
	m.made++
}

func (m *Metrics) trace() *adapter.Trace {
	count := func(of *prometheus.CounterVec, r *adapter.Message) { of.WithLabelValues(r.Group, r.Topic).Inc() }
	return &adapter.Trace{
		Published: func(_ context.Context, _ adapter.Event, r *adapter.Message) {
			m.published.WithLabelValues(r.Topic).Inc()
		},
		Returned: func(r *adapter.Message, result adapter.Result, took time.Duration) {
			m.handler.WithLabelValues(r.Group, r.Topic, resultName(result)).Observe(took.Seconds())
		},
		Hopped:       func(r *adapter.Message, _ error, _ adapter.Origin) { count(m.hopped, r) },
		DeadLettered: func(r *adapter.Message, _ error, _ adapter.Origin) { count(m.deadLettered, r) },
		Rejected:     func(r *adapter.Message, _ error) { count(m.rejected, r) },
		Fenced:       func(r *adapter.Message) { count(m.fenced, r) },
		Settled: func(rs []*adapter.Message) {
			for _, r := range rs {
				count(m.settled, r)
				m.attempts.WithLabelValues(r.Group, r.Topic).Observe(float64(r.Attempt))
			}
		},
	}
}

// resultName tells a panic, an exit, a timeout and an unavailable dependency from
// other retries.
func resultName(r adapter.Result) string {
	switch {
	case errors.Is(r.Err(), adapter.ErrHandlerPanicked):
		return "panic"
	case errors.Is(r.Err(), adapter.ErrHandlerExited):
		return "exit"
	case errors.Is(r.Err(), adapter.ErrHandlerTimeout):
		return "timeout"
	case r.Unavailable():
		return "unavailable"
	}
	return string(r.Type())
}

// levels are the metrics that are read when somebody asks.
type levels struct{ m *Metrics }

// level is one of them, of a partition, a consumer or an adapter.
func level(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

var (
	connected = level("connected", "1 while a broker answers.", "adapter")
	ready     = level("ready", "1 while nothing needs somebody to act: see Adapter.Readiness.", "adapter")

	joined = level("joined", "1 while the consumer is a member of its group.", "adapter", "group")
	gate   = level("gate_open", "1 while the gate is open, or there is none.", "adapter", "group")
	stuck  = level("stuck_handlers", "Handlers that ignore that their context was cancelled.", "adapter", "group")
	late   = level("fenced_handlers", "Handlers that run for partitions that were taken away.", "adapter", "group")

	of       = []string{"adapter", "group", "topic", "partition"}
	lag      = level("lag", "Offsets between what is settled and the end of the partition; 0 in a share group, where only the brokers know it.", of...)
	queued   = level("queued_records", "Records fetched that wait for the handler.", of...)
	inFlight = level("in_flight_records", "Records in the handler.", of...)
	held     = level("held_records", "Records that wait for their next attempt.", of...)
	stalled  = level("stalled_records", "Records that wait behind those.", of...)
	blocked  = level("blocked", "1 while a record cannot get where it is to go until somebody acts.", of...)
	full     = level("full", "1 while no more records are started, because as many are held as may be.", of...)
)

// Describe is prometheus.Collector's.
func (levels) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connected, ready, joined, gate, stuck, late, lag, queued, inFlight, held, stalled, blocked, full} {
		to <- d
	}
}

// Collect is prometheus.Collector's.
func (l levels) Collect(to chan<- prometheus.Metric) {
	l.m.mu.Lock()
	l.m.watched = slices.DeleteFunc(l.m.watched, func(w watched) bool { return w.State() == adapter.Closed })
	all := slices.Clone(l.m.watched)
	l.m.mu.Unlock()
	for _, w := range all {
		w.collect(func(d *prometheus.Desc, v float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{w.name}, labels...)...)
		})
	}
}

func (w watched) collect(send func(d *prometheus.Desc, v float64, labels ...string)) {
	send(connected, bit(w.State() == adapter.Connected))
	send(ready, bit(len(w.Readiness()) == 0))
	groups := map[string]adapter.Status{} // all consumers of a group together
	for _, c := range w.Consumers() {
		s := c.Status()
		if g, ok := groups[s.Group]; ok {
			s.Joined = s.Joined && g.Joined
			s.Gate = errors.Join(s.Gate, g.Gate)
			s.Stuck += g.Stuck
			s.Fenced += g.Fenced
			s.Partitions = append(s.Partitions, g.Partitions...)
		}
		groups[s.Group] = s
	}
	for group, s := range groups {
		send(joined, bit(s.Joined), group)
		send(gate, bit(s.Gate == nil), group)
		send(stuck, float64(s.Stuck), group)
		send(late, float64(s.Fenced), group)
		seen := map[string]bool{}
		for _, p := range s.Partitions {
			number := strconv.Itoa(int(p.Partition))
			if seen[p.Topic+"/"+number] {
				continue // on its way from one of the consumers to another
			}
			seen[p.Topic+"/"+number] = true
			for d, v := range map[*prometheus.Desc]float64{
				lag: float64(p.Lag()), queued: float64(p.Queued), inFlight: float64(p.InFlight), held: float64(p.Held),
				stalled: float64(p.Stalled), blocked: bit(p.Blocked != nil), full: bit(p.Full != nil),
			} {
				send(d, v, group, p.Topic, number)
			}
		}
	}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
