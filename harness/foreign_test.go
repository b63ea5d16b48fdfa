package harness_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// plain is a franz-go client as a test would make it, closed with the test.
func plain(t *testing.T, h *harness.Harness, name string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(h.ClientOptions(name), opts...)...)
	require.NoError(t, err)
	t.Cleanup(cl.CloseAllowingRebalance)
	return cl
}

// loop polls until ctx ends, and hands each record to f.
func loop(cl *kgo.Client, f func(*kgo.Record)) func(harness.Env) harness.Service {
	return func(harness.Env) harness.Service {
		return harness.ServiceFunc(func(ctx context.Context) error {
			for ctx.Err() == nil {
				cl.PollFetches(ctx).EachRecord(f)
				if err := cl.CommitUncommittedOffsets(ctx); err != nil && ctx.Err() == nil {
					return err
				}
			}
			return nil
		})
	}
}

func TestFate_ofAPlainClient(t *testing.T) {
	onBothClocks(t, harness.Config{Partitions: 2}, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		seen := 0
		m := h.Start(func(e harness.Env) harness.Service {
			return harness.ServiceFunc(func(ctx context.Context) error {
				cl, err := kgo.NewClient(append(e.ClientOptions(), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(),
					kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
				if err != nil {
					return err
				}
				defer cl.CloseAllowingRebalance()
				return loop(cl, func(*kgo.Record) { seen++ })(e).Run(ctx)
			})
		})
		recs := h.PublishAll(events(6)...)
		h.Settle()
		assert.Equal(t, 6, seen)
		for _, r := range recs {
			assertKind(t, harness.Committed, h.Fate(r))
		}
		m.Stop()
		assert.Contains(t, h.Timeline(), "sent to member 1")
	})
}

// dials is a consumer of t in g, and a producer, whose clients have nothing of
// the harness's but a dialer. Their client id is everybody's.
func dials(seen func(member string)) func(harness.Env) harness.Service {
	return func(e harness.Env) harness.Service {
		return harness.ServiceFunc(func(ctx context.Context) error {
			cl, err := kgo.NewClient(kgo.SeedBrokers(e.Brokers...), kgo.Dialer(e.Dial), kgo.ClientID("everybody"), kgo.DisableClientMetrics(),
				kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			if err != nil {
				return err
			}
			defer cl.CloseAllowingRebalance()
			return loop(cl, func(*kgo.Record) { seen(e.Name) })(e).Run(ctx)
		})
	}
}

func TestMember_isKnownByItsConnections(t *testing.T) {
	onBothClocks(t, harness.Config{Partitions: 2}, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		var mu sync.Mutex
		by := map[string]int{}
		service := dials(func(member string) {
			mu.Lock()
			defer mu.Unlock()
			by[member]++
		})
		first := h.Start(service)
		first.WaitAssigned()
		second := h.Start(service)
		second.WaitAssigned()
		recs := h.PublishAll(events(26)...)
		h.Settle()
		for _, r := range recs {
			assertKind(t, harness.Committed, h.Fate(r))
		}
		assert.Len(t, by, 2)
		assert.Contains(t, h.Timeline(), "member 1 joined g")
		first.Stop()
		h.Settle()
		g, _ := h.Broker().Group("g")
		assert.Len(t, g.Members, 1)
	})
}

func TestSettle_waitsForTheGroupToNoticeAKill_ofAClientWithADialerOnly(t *testing.T) {
	harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		first, second := h.Start(dials(func(string) {})), h.Start(dials(func(string) {}))
		first.WaitAssigned()
		second.WaitAssigned()
		first.Kill()
		h.Settle()
		g, _ := h.Broker().Group("g")
		assert.Len(t, g.Members, 1)
	})
}

func TestRun_letsGoroutinesOfWhatWasClosedEnd(t *testing.T) {
	harness.Run(t, func(t *testing.T, _ *harness.Harness) {
		closed := make(chan struct{})
		go func() {
			<-closed
			time.Sleep(time.Second)
		}()
		t.Cleanup(func() { close(closed) })
	})
}

// loses commits past what it was never sent.
func loses(t *testing.T, h *harness.Harness) {
	recs := h.PublishAll(events(1)...)
	cl := plain(t, h, "reader", kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
	h.Group("g").WaitAssigned()
	h.Advance(time.Second)
	recs = append(recs, h.Publish(text{topic: "t"}))
	cl.PollFetches(t.Context())
	cl.PauseFetchPartitions(map[string][]int32{"t": {0}})
	h.Advance(time.Hour) // the fetch that is under way ends
	recs = append(recs, h.PublishAll(events(3)...)...)
	cl.CommitOffsetsSync(t.Context(), map[string]map[int32]kgo.EpochOffset{"t": {0: {Epoch: -1, Offset: 5}}}, nil)
	h.Settle()
	assertKind(t, harness.Skipped, h.Fate(recs[0]))   // before where it began
	assertKind(t, harness.Committed, h.Fate(recs[1])) // was sent to it
	assertKind(t, harness.Lost, h.Fate(recs[4]))      // was not
}

func TestSettle_waitsForALingeringProducer(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		cl := plain(t, h, "producer", kgo.ProducerLinger(time.Minute))
		var acked bool
		cl.Produce(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}, func(_ *kgo.Record, err error) { acked = err == nil })
		h.Settle()
		assert.True(t, acked)
		assert.Len(t, h.Topic("t").Records(), 1)
	})
}

func TestSettle_waitsForAnOpenTransaction(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		cl := plain(t, h, "producer", kgo.TransactionalID("x"))
		require.NoError(t, cl.BeginTransaction())
		require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr())
		start := time.Now()
		go func() {
			time.Sleep(30 * time.Second)
			assert.NoError(t, cl.EndTransaction(context.Background(), kgo.TryCommit))
		}()
		h.Settle()
		assert.GreaterOrEqual(t, time.Since(start), 30*time.Second)
	})
}

func TestFate_abortedWhereTheGroupReadsCommitted(t *testing.T) {
	readCommitted := harness.Config{Adapter: func(c *adapter.Config) {
		c.ClientOptions = append(c.ClientOptions, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}}
	readCommitted.Run(t, func(t *testing.T, h *harness.Harness) {
		subscribe(h, "g", "t", commit)
		cl := plain(t, h, "producer", kgo.TransactionalID("x"))
		for _, how := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
			require.NoError(t, cl.BeginTransaction())
			require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr())
			require.NoError(t, cl.EndTransaction(t.Context(), how))
		}
		h.Settle() // though nobody commits past the aborted record
		recs := h.Topic("t").Records()
		require.Len(t, recs, 2)
		assertKind(t, harness.Committed, h.Fate(recs[0]))
		assertKind(t, harness.Aborted, h.Fate(recs[1]))
		last := h.Publish(text{topic: "t"})
		h.Settle()
		assertKind(t, harness.Committed, h.Fate(last))
		assert.Equal(t, "t[0]@2 in group g: aborted: its transaction was aborted, never delivered", h.Fate(recs[1]).String())
	})
}

func TestFate_expired(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		recs := h.PublishAll(events(3)...)
		adm := kadm.NewClient(plain(t, h, "admin"))
		var offsets kadm.Offsets
		offsets.AddOffset("t", 0, 2, -1)
		_, err := adm.DeleteRecords(t.Context(), offsets)
		require.NoError(t, err)
		subscribe(h, "g", "t", commit)
		h.Settle()
		assertKind(t, harness.Expired, h.Fate(recs[0]))
		assertKind(t, harness.Expired, h.Fate(recs[1]))
		assertKind(t, harness.Committed, h.Fate(recs[2]))
	})
}

func TestFate_ofAShareGroup(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		recs := h.PublishAll(events(3)...)
		setShareReset(t, h, "s")
		cl := plain(t, h, "sharer", kgo.ShareGroup("s"), kgo.ConsumeTopics("t"))
		polled := 0
		for polled < 3 {
			cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
				polled++
				r.Ack(map[bool]kgo.AckStatus{false: kgo.AckAccept, true: kgo.AckReject}[r.Offset == 1])
			})
		}
		assert.NoError(t, cl.FlushAcks(t.Context()))
		h.Settle()
		assertKind(t, harness.Committed, h.Fate(recs[0]))
		assertKind(t, harness.Rejected, h.Fate(recs[1]))
		assertKind(t, harness.Committed, h.Fate(recs[2]))
	})
}

func TestFate_publishedByAHandler(t *testing.T) {
	onBothClocks(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("next")
		subscribe(h, "g", "t", func(ctx context.Context, m *adapter.Message) adapter.Result {
			if string(m.Value) == "quiet" {
				return adapter.Commit()
			}
			if err := h.Adapter().Publish(ctx, text{topic: "next", value: "1"}, text{topic: "next", value: "2"}); err != nil {
				return adapter.Retry(err)
			}
			return adapter.Commit()
		})
		quiet, loud := h.Publish(text{topic: "t", value: "quiet"}), h.Publish(text{topic: "t", value: "loud"})
		h.Settle()
		assert.Empty(t, h.Fate(quiet).Published)
		assert.Equal(t, []harness.Record{{Topic: "next", Offset: 0}, {Topic: "next", Offset: 1}}, h.Fate(loud).Published)
		assert.Contains(t, h.Timeline(), "next[0]@1 published, for t[0]@1 in g")
	})
}

func TestConfig_maxFates(t *testing.T) {
	harness.Config{MaxFates: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		handler := func(_ context.Context, m *adapter.Message) adapter.Result {
			switch {
			case m.Offset == 0:
				return adapter.Reject(assert.AnError)
			case m.Attempt == 1:
				return adapter.Retry(assert.AnError)
			}
			return adapter.Commit()
		}
		h.Subscribe(adapter.Subscription{Topics: []string{"t"}, Group: "g", Handler: adapter.HandlerFunc(handler), Order: adapter.ByPartition})
		recs := h.PublishAll(events(4)...)
		h.Settle()
		assert.Equal(t, "t[0]@0 in group g: dead-lettered, and more was not kept (see Config.MaxFates)", h.Fate(recs[0]).String())
		assert.Equal(t, "t[0]@1 in group g: committed, and more was not kept (see Config.MaxFates)", h.Fate(recs[1]).String())
		assert.Equal(t, 2, h.Fate(recs[2]).Attempts)
		assert.Equal(t, 2, h.Fate(recs[3]).Attempts)
	})
}

func TestAdvance_movesTheClockExactly(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		attempts := 0
		subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
			if attempts++; attempts == 1 {
				return adapter.RetryAfter(assert.AnError, time.Hour)
			}
			return adapter.Commit()
		})
		h.Group("g").WaitAssigned()
		h.Publish(text{topic: "t"})
		h.Until(func() bool { return attempts == 1 })
		start := time.Now()
		h.Advance(time.Hour - time.Nanosecond)
		assert.Equal(t, 1, attempts)
		h.Advance(time.Nanosecond)
		assert.Equal(t, 2, attempts, "what falls due has run")
		assert.Equal(t, time.Hour, time.Since(start))
		h.Settle()
	})
}

func TestSettle_waitsForAShareGroup(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		setShareReset(t, h, "s")
		handled := 0
		h.Start(func(e harness.Env) harness.Service {
			return harness.ServiceFunc(func(ctx context.Context) error {
				cl, err := kgo.NewClient(append(e.ClientOptions(), kgo.ShareGroup("s"), kgo.ConsumeTopics("t"))...)
				if err != nil {
					return err
				}
				defer cl.Close()
				for ctx.Err() == nil {
					cl.PollFetches(ctx).EachRecord(func(*kgo.Record) {
						time.Sleep(time.Second)
						handled++
					})
				}
				return nil
			})
		})
		h.PublishAll(events(3)...)
		h.Settle()
		assert.Equal(t, 3, handled)
	})
}

// setShareReset has a share group begin at the first record.
func setShareReset(t *testing.T, h *harness.Harness, group string) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Value = "share.auto.offset.reset", kmsg.StringPtr("earliest")
	res.Configs = append(res.Configs, c)
	req.Resources = append(req.Resources, res)
	_, err := req.RequestWith(t.Context(), plain(t, h, "admin"))
	require.NoError(t, err)
}
