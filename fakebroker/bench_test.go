package fakebroker_test

import (
	"context"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/wire"
)

// BenchmarkStart is how long it takes from nothing to the first answer, and to
// stop again.
func BenchmarkStart(b *testing.B) {
	for name, c := range map[string]fakebroker.Config{"brokers=1": {}, "brokers=3": {Brokers: 3}} {
		c.Topics = []fakebroker.Topic{{Name: "orders", Partitions: 3}}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				broker := start(b, c)
				for _, addr := range broker.Addrs() {
					ready(b, addr)
				}
				if err := broker.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkClusters runs a hundred clusters of three brokers at once, with a
// record in each.
func BenchmarkClusters(b *testing.B) {
	const clusters = 100
	c := fakebroker.Config{Brokers: 3, Topics: []fakebroker.Topic{{Name: "orders", Partitions: 3}}}
	for b.Loop() {
		before := heap()
		all := make([]*fakebroker.Broker, clusters)
		for i := range all {
			all[i] = start(b, c)
		}
		b.ReportMetric(float64(heap()-before)/clusters, "B/cluster")
		for _, broker := range all {
			write(b, broker.ClientOptions(), 1)
		}
		for _, broker := range all {
			if err := broker.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkMemory is what records of a hundred bytes take.
func BenchmarkMemory(b *testing.B) {
	const records = 1_000_000
	for b.Loop() {
		broker := start(b, orders(1))
		before := heap()
		write(b, broker.ClientOptions(), records)
		b.ReportMetric(float64(heap()-before)/records, "B/record")
		runtime.KeepAlive(broker)
		if err := broker.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkThroughput writes and reads the same records on kfake as it is, on a
// broker, and on a broker that is observed, by turns and each on a cluster of its
// own. What counts is the ratio: the median of those of all turns.
func BenchmarkThroughput(b *testing.B) {
	const records, turns = 500_000, 15
	brokers := []struct {
		name  string
		start func(*testing.B) (opts []kgo.Opt, stop func())
	}{
		{"bare", bare},
		{"wire", func(b *testing.B) ([]kgo.Opt, func()) { return alone(b, fakebroker.Observer{}) }},
		{"observed", observed},
	}
	for b.Loop() {
		var speed, ratio series
		for range turns {
			var produced, consumed float64 // by kfake
			for _, k := range brokers {
				runtime.GC() // of what others have left
				opts, stop := k.start(b)
				p, c := records/write(b, opts, records).Seconds(), records/read(b, opts, records).Seconds()
				stop()
				if k.name == "bare" {
					produced, consumed = p, c
					speed.add("produce-bare/s", p)
					speed.add("consume-bare/s", c)
					continue
				}
				ratio.add("produce-"+k.name+"/bare", p/produced)
				ratio.add("consume-"+k.name+"/bare", c/consumed)
			}
		}
		for _, s := range []series{speed, ratio} {
			for what, all := range s {
				slices.Sort(all)
				b.ReportMetric(all[len(all)/2], what)
			}
		}
	}
}

// series are figures by name.
type series map[string][]float64

func (s *series) add(what string, figure float64) {
	if *s == nil {
		*s = series{}
	}
	(*s)[what] = append((*s)[what], figure)
}

func start(b *testing.B, c fakebroker.Config) *fakebroker.Broker {
	b.Helper()
	broker, err := fakebroker.Start(c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = broker.Close() }) // again, when the benchmark has closed it
	return broker
}

// alone is a broker for one turn.
func alone(b *testing.B, o fakebroker.Observer) ([]kgo.Opt, func()) {
	b.Helper()
	broker, err := fakebroker.Start(orders(1))
	if err != nil {
		b.Fatal(err)
	}
	if o.Produced != nil {
		broker.Observe(o)
	}
	return broker.ClientOptions(), func() {
		if err := broker.Close(); err != nil {
			b.Error(err)
		}
	}
}

// observed is a broker somebody looks over the shoulder of.
func observed(b *testing.B) ([]kgo.Opt, func()) {
	b.Helper()
	var seen atomic.Int64
	opts, stop := alone(b, fakebroker.Observer{
		Produced: func(p fakebroker.Produced) { seen.Add(1) },
		Fetched:  func(f fakebroker.Fetched) { seen.Add(1) },
	})
	return opts, func() {
		stop()
		if seen.Load() == 0 {
			b.Error("the observer has seen nothing")
		}
	}
}

// bare is kfake without anything of ours.
func bare(b *testing.B) ([]kgo.Opt, func()) {
	b.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		b.Fatal(err)
	}
	return []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}, c.Close
}

func ready(b *testing.B, addr string) {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := wire.Ask(context.Background(), conn, "ready", kmsg.NewPtrApiVersionsRequest()); err != nil {
		b.Fatal(err)
	}
}

// write produces records to a topic and returns how long that took.
func write(b *testing.B, opts []kgo.Opt, records int) time.Duration {
	b.Helper()
	cl, err := kgo.NewClient(append(slices.Clone(opts), kgo.DefaultProduceTopic("orders"), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(100_000))...)
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	if err := cl.Ping(b.Context()); err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 100)
	var failed error
	began := time.Now()
	for range records {
		cl.Produce(b.Context(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	if err := cl.Flush(b.Context()); err != nil || failed != nil {
		b.Fatal(err, failed)
	}
	return time.Since(began)
}

// read consumes the first records and returns how long that took, connecting
// included: a client fetches before it is asked to.
func read(b *testing.B, opts []kgo.Opt, records int) time.Duration {
	b.Helper()
	began := time.Now()
	cl, err := kgo.NewClient(append(slices.Clone(opts), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	for n := 0; n < records; {
		fetches := cl.PollFetches(b.Context())
		if err := fetches.Err(); err != nil {
			b.Fatal(err)
		}
		n += fetches.NumRecords()
	}
	return time.Since(began)
}
