package adapter_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// hour is what an hour of records came to.
type hour struct {
	others  int             // of the keys that do not fail, handled by its end
	delays  []time.Duration // of those, from publishing
	blocked time.Duration   // until the first partition started no other record; zero for never
}

// hourOf has a thousand records a second for an hour, of a thousand keys and in four
// partitions, while some of the keys fail.
func hourOf(b *testing.B, failing int, change func(*adapter.Subscription)) (got hour) {
	b.Helper()
	const keys, burst, every = 1000, 100, 100 * time.Millisecond
	all := testing.InternalTest{Name: b.Name(), F: func(t *testing.T) {
		harness.Config{Partitions: 4, WithoutFates: true}.Run(t, func(t *testing.T, h *harness.Harness) {
			h.AllowPending()
			start := time.Now()
			down := map[string]bool{}
			for i := range failing {
				down[fmt.Sprint(i*keys/failing)] = true
			}
			var mu sync.Mutex
			s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
				if down[string(m.Key)] {
					return adapter.Retry(errDown)
				}
				mu.Lock()
				defer mu.Unlock()
				got.others++
				got.delays = append(got.delays, time.Since(m.Timestamp))
				return adapter.Commit()
			})
			change(&s)
			c := h.Subscribe(s)
			es := make([]adapter.Event, burst)
			for next := 0; time.Since(start) < time.Hour; time.Sleep(every) {
				for i := range es {
					es[i] = event{"t", fmt.Sprint(next % keys), ""}
					next++
				}
				h.PublishAll(es...)
				if got.blocked == 0 && slices.ContainsFunc(c.Status().Partitions, func(p adapter.PartitionStatus) bool { return p.Full != nil }) {
					got.blocked = time.Since(start)
					if s.OnHeldLimit == adapter.Block {
						return
					}
				}
			}
		})
	}}
	if !testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{all}) {
		b.Fatal("the test failed")
	}
	return got
}

func (h hour) delay(share float64) float64 {
	slices.Sort(h.delays)
	return float64(h.delays[int(share*float64(len(h.delays)-1))].Milliseconds())
}

// BenchmarkFailingKeys is one per cent of the keys failing for an hour of virtual
// time: what becomes of the others where what fails moves to retry topics, beside an
// hour in which none fails, and how long it takes to block where it stays.
func BenchmarkFailingKeys(b *testing.B) {
	for b.Loop() {
		none := hourOf(b, 0, func(*adapter.Subscription) {})
		hop := hourOf(b, 10, func(s *adapter.Subscription) {
			s.OnHeldLimit, s.Retry.Tiers, s.Retry.Attempts = adapter.Hop, []time.Duration{time.Minute, 10 * time.Minute}, 100
		})
		block := hourOf(b, 10, func(s *adapter.Subscription) { s.Retry.Attempts = 100 })
		b.ReportMetric(float64(hop.others)/(float64(none.others)*0.99), "others/none-failing")
		b.ReportMetric(none.delay(0.999), "ms-p999-none-failing")
		b.ReportMetric(hop.delay(0.999), "ms-p999-others")
		b.ReportMetric(block.blocked.Seconds(), "s-until-blocked")
		b.ReportMetric(0, "ns/op") // of three hours
	}
}
