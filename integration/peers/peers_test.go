// Package peers_test compares the adapter with other consumers, each as its users
// write it, on the same broker.
package peers_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
)

const (
	topic      = "orders"
	records    = 200_000
	size       = 200
	partitions = 4
	keys       = 10_000
)

// run is one consumer at work: from the first record that is handled to the last.
// What is counted is counted by partition, so that those who handle several at once
// do not wait for each other to count.
type run struct {
	left        [partitions]counter // records to come
	open        atomic.Int32        // partitions that have some
	first, last time.Time
	begun       sync.Once
	done        chan struct{}
}

// counter has a line of the processors' caches to itself.
type counter struct {
	atomic.Int64
	_ [56]byte
}

func newRun(c *kfake.Cluster) *run {
	r := &run{done: make(chan struct{})}
	for _, p := range c.PartitionInfos(topic) {
		if r.left[p.Partition].Store(p.HighWatermark); p.HighWatermark > 0 {
			r.open.Add(1)
		}
	}
	return r
}

// record is called when a record was handled.
func (r *run) record(partition int32) {
	r.begun.Do(func() { r.first = time.Now() })
	if r.left[partition].Add(-1) == 0 && r.open.Add(-1) == 0 {
		r.last = time.Now()
		close(r.done)
	}
}

func (r *run) isDone() bool { return r.open.Load() == 0 }

// consumer handles all records of the topic with a handler that does nothing but
// tell the run, and stops when that is done.
type consumer func(tb testing.TB, addrs []string, group string, r *run)

var consumers = []struct {
	name string
	consumer
}{
	{"franz-go", bare},
	{"ByPartition", ordered(adapter.ByPartition)},
	{"ByKey", ordered(adapter.ByKey)},
	{"Unordered", ordered(adapter.Unordered)},
	{"kafka-go", kafkaGo},
	{"sarama", saramaGroup},
	{"watermill", watermillKafka},
}

// BenchmarkConsume has each consumer take the same records by turns, and reports
// the median of how many it takes a second, beside that of the bare franz-go loop
// of the same turn, and what is allocated for each record.
func BenchmarkConsume(b *testing.B) {
	broker := filled(b)
	speed, allocs, ratio := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	turn := 0
	for b.Loop() {
		turn++
		took := map[string]float64{}
		for i := range consumers {
			c := consumers[(i+turn)%len(consumers)] // nobody is always the first
			r := newRun(broker)
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c.consumer(b, broker.ListenAddrs(), c.name+strconv.Itoa(turn), r)
			runtime.ReadMemStats(&after)
			took[c.name] = r.last.Sub(r.first).Seconds()
			speed[c.name] = append(speed[c.name], records/took[c.name])
			allocs[c.name] = append(allocs[c.name], float64(after.Mallocs-before.Mallocs)/records)
		}
		for _, c := range consumers {
			ratio[c.name] = append(ratio[c.name], took["franz-go"]/took[c.name])
		}
	}
	for _, c := range consumers {
		b.ReportMetric(median(speed[c.name])/1e6, c.name+"-M/s")
		b.ReportMetric(median(allocs[c.name]), c.name+"-allocs")
		if c.name != "franz-go" {
			b.ReportMetric(median(ratio[c.name]), c.name+"/franz-go")
		}
	}
	b.ReportMetric(0, "ns/op") // of a turn: says nothing
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// filled is a broker that has the records.
func filled(tb testing.TB) *kfake.Cluster {
	tb.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	p, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		tb.Fatal(err)
	}
	defer p.Close()
	value := make([]byte, size)
	for i := range records {
		p.Produce(tb.Context(), &kgo.Record{Key: strconv.AppendInt(nil, int64(i%keys), 10), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				tb.Error(err)
			}
		})
	}
	if err := p.Flush(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return c
}

// bare polls, handles, marks, and commits what is marked.
func bare(tb testing.TB, addrs []string, group string, r *run) {
	tb.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitMarks(), kgo.BlockRebalanceOnPoll())
	if err != nil {
		tb.Fatal(err)
	}
	defer cl.CloseAllowingRebalance()
	for !r.isDone() {
		fs := cl.PollRecords(tb.Context(), 10_000)
		if err := fs.Err(); err != nil {
			tb.Fatal(err)
		}
		fs.EachRecord(func(rec *kgo.Record) {
			r.record(rec.Partition)
			cl.MarkCommitRecords(rec)
		})
		cl.AllowRebalance()
	}
	if err := cl.CommitMarkedOffsets(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// ordered is the adapter.
func ordered(o adapter.Order) consumer {
	return func(tb testing.TB, addrs []string, group string, r *run) {
		tb.Helper()
		a, err := adapter.New(adapter.Config{Brokers: addrs, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			tb.Fatal(err)
		}
		_, err = a.Subscribe(tb.Context(), adapter.Subscription{
			Topics: []string{topic}, Group: group, Order: o,
			Handler: adapter.HandlerFunc(func(_ context.Context, m *adapter.Message) adapter.Result {
				r.record(m.Partition)
				return adapter.Commit()
			}),
		})
		if err != nil {
			tb.Fatal(err)
		}
		<-r.done
		if err := a.Close(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
}

func kafkaGo(tb testing.TB, addrs []string, group string, r *run) {
	tb.Helper()
	rd := kafka.NewReader(kafka.ReaderConfig{
		Brokers: addrs, GroupID: group, Topic: topic, StartOffset: kafka.FirstOffset,
		MinBytes: 1, MaxBytes: 50 << 20, CommitInterval: time.Second, QueueCapacity: 10_000,
	})
	for range records {
		m, err := rd.ReadMessage(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		r.record(int32(m.Partition))
	}
	if err := rd.Close(); err != nil {
		tb.Fatal(err)
	}
}

// saramaHandler is a consumer group's.
type saramaHandler struct{ r *run }

func (saramaHandler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (saramaHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (h saramaHandler) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for m := range c.Messages() {
		h.r.record(m.Partition)
		s.MarkMessage(m, "")
	}
	return nil
}

func saramaConfig() *sarama.Config {
	cfg := sarama.NewConfig()
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	cfg.ChannelBufferSize = 10_000
	return cfg
}

func saramaGroup(tb testing.TB, addrs []string, group string, r *run) {
	tb.Helper()
	g, err := sarama.NewConsumerGroup(addrs, group, saramaConfig())
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	go func() {
		<-r.done
		cancel()
	}()
	for ctx.Err() == nil {
		if err := g.Consume(ctx, []string{topic}, saramaHandler{r}); err != nil && !errors.Is(err, context.Canceled) {
			tb.Fatal(err)
		}
	}
	if err := g.Close(); err != nil {
		tb.Fatal(err)
	}
}

func watermillKafka(tb testing.TB, addrs []string, group string, r *run) {
	tb.Helper()
	s, err := wkafka.NewSubscriber(wkafka.SubscriberConfig{
		Brokers: addrs, ConsumerGroup: group, Unmarshaler: wkafka.DefaultMarshaler{}, OverwriteSaramaConfig: saramaConfig(),
	}, watermill.NopLogger{})
	if err != nil {
		tb.Fatal(err)
	}
	messages, err := s.Subscribe(tb.Context(), topic)
	if err != nil {
		tb.Fatal(err)
	}
	for range records {
		m := <-messages
		partition, _ := wkafka.MessagePartitionFromCtx(m.Context())
		r.record(partition)
		m.Ack()
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

// A consumer that is compared must do the whole of the work.
func TestConsumers_handleAndCommitEachRecord(t *testing.T) {
	c := filled(t)
	for _, consumer := range consumers {
		t.Run(consumer.name, func(t *testing.T) {
			r := newRun(c)
			consumer.consumer(t, c.ListenAddrs(), consumer.name, r)
			for p := range r.left {
				if left := r.left[p].Load(); left != 0 {
					t.Errorf("partition %d: %d records were not handled, or handled twice", p, left)
				}
			}
			var committed int64
			if g := c.GroupInfo(consumer.name); g != nil {
				for _, p := range g.Commits[topic] {
					committed += p.Offset
				}
			}
			left := int64(records) - committed
			if consumer.name == "watermill" && left == 1 {
				left = 0 // it closes before it has seen the last Ack
			}
			if left != 0 {
				t.Errorf("committed %d of %d", committed, records)
			}
		})
	}
}
