package harness_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

func TestRunOnKafka_fatesOfOtherClients(t *testing.T) {
	c := existing(t)
	for name, opts := range map[string][]kgo.Opt{
		"classic":     {kgo.Balancers(kgo.RangeBalancer())},
		"server-side": {kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer())},
	} {
		t.Run(name, func(t *testing.T) {
			c.RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t:3")
				var seen atomic.Int64
				h.Start(reads(func(*kgo.Record) { seen.Add(1) }, opts...))
				recs := h.PublishAll(events(6)...)
				h.Settle()
				for _, r := range recs {
					assertKind(t, harness.Committed, h.Fate(r))
				}
				assert.Contains(t, h.Timeline(), "sent to member 1")
				assert.Contains(t, h.Timeline(), "member 1 in g assigned t[0 1 2]")
				assert.Contains(t, h.Timeline(), "member 1 in g committed t[")
			})
		})
	}
	t.Run("share", func(t *testing.T) {
		c.RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
			recs := h.PublishAll(events(3)...)
			setShareReset(t, h, "sharers")
			cl := plain(t, h, "sharer", kgo.ShareGroup("sharers"), kgo.ConsumeTopics("t"))
			for polled := 0; polled < 3; {
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
	})
	t.Run("that know the addresses alone", func(t *testing.T) {
		c.RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
			h.CreateTopics("t")
			stranger := func(e harness.Env) harness.Service {
				return harness.ServiceFunc(func(ctx context.Context) error {
					cl, err := kgo.NewClient(kgo.SeedBrokers(e.Brokers...), kgo.ClientID("stranger"), kgo.Dialer(dialPlainly(e)),
						kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
					if err != nil {
						return err
					}
					defer cl.CloseAllowingRebalance()
					return loop(cl, func(*kgo.Record) {})(e).Run(ctx)
				})
			}
			h.Start(stranger)
			h.Group("g").WaitAssigned()
			rec := h.Publish(text{topic: "t"})
			h.Settle()
			assertKind(t, harness.Committed, h.Fate(rec))
			assert.Contains(t, h.Timeline(), `sent to client "stranger"`)
		})
	})
}

// dialPlainly dials as a process does that knows nothing of the harness, but for one
// connection of the member's, without which Settle would wait for it.
func dialPlainly(e harness.Env) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := e.Dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		_ = c.Close() // it has shown that there is one
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

func TestRunOnKafka_aCommitThatNobodyHearsOf(t *testing.T) {
	existing(t).RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		handled := 0
		subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result { handled++; return adapter.Commit() })
		h.Settle()
		f := h.Faults().DropAfter(fakebroker.Scope{APIs: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Count: 1})
		rec := h.Publish(text{topic: "t"})
		h.Settle()
		assert.Equal(t, "t[0]@0 in group g: committed after 1 attempt", h.Fate(rec).String())
		assert.Equal(t, 1, handled)
		assert.Equal(t, 1, f.Hits())
		assertInOrder(t, h.Timeline(),
			"fault began: drop the connection after OffsetCommit, group g, count 1\n",
			"fault struck: drop the connection after OffsetCommit, group g, count 1, on OffsetCommit of adapter 1\n")
	})
}

func TestRunOnKafka_aRecordThatIsSentAgainIsThereOnce(t *testing.T) {
	existing(t).RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:3")
		produces := fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, Topic: "t", Count: 1}
		faults := map[string]func() *fakebroker.Fault{
			"after":   func() *fakebroker.Fault { return h.Faults().DropAfter(produces) },
			"before":  func() *fakebroker.Fault { return h.Faults().DropBefore(produces) },
			"refused": func() *fakebroker.Fault { return h.Faults().Refuse(kerr.NotLeaderForPartition, produces) },
		}
		subscribe(h, "g", "t", commit)
		for name, fault := range faults {
			f := fault()
			rec := h.Publish(text{"t", name, name})
			h.Settle()
			assert.Equal(t, 1, f.Hits(), name)
			assertKind(t, harness.Committed, h.Fate(rec))
		}
		assert.Len(t, h.Topic("t").Records(), len(faults))
	})
}

func TestRunOnKafka_aLateAnswer(t *testing.T) {
	existing(t).RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
		const late = 300 * time.Millisecond
		h.CreateTopics("t")
		cl := plain(t, h, "producer", kgo.DefaultProduceTopic("t"))
		require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{}).FirstErr())
		f := h.Faults().Delay(late, fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, ClientID: "producer"})
		start := time.Now()
		require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{}).FirstErr())
		assert.GreaterOrEqual(t, time.Since(start), late)
		assert.Equal(t, 1, f.Hits())
		f.Clear()
		assert.Contains(t, h.Timeline(), "fault ended: delay Produce, client producer by 300ms\n")
	})
}

func TestRunOnKafka_aMemberThatIsCutOff(t *testing.T) {
	existing(t).RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		var seen tally
		m := h.Start(seen.service(commit))
		m.WaitAssigned()
		f := h.Faults().CutOff(fakebroker.Scope{ClientID: m.Name()})
		rec := h.Publish(text{topic: "t"})
		h.Until(func() bool { return f.Hits() > 2 })
		assertKind(t, harness.Pending, h.Fate(rec))
		f.Clear()
		h.Settle()
		assertKind(t, harness.Committed, h.Fate(rec))
	})
}

func TestRunOnKafka_pausesTheNetworkOfAMember(t *testing.T) {
	existing(t).RunOnKafka(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		var seen tally
		m := h.Start(seen.service(commit))
		m.WaitAssigned()
		brokers, err := kadm.NewClient(plain(t, h, "admin")).ListBrokers(t.Context())
		require.NoError(t, err)
		resume := m.PauseNetwork(brokers.NodeIDs()...)
		rec := h.Publish(text{topic: "t"})
		assertKind(t, harness.Pending, h.Fate(rec))
		resume()
		h.Settle()
		assertKind(t, harness.Committed, h.Fate(rec))
	})
}

// The same test of a service, in every kind of run.
func TestFaults_inEveryKindOfRun(t *testing.T) {
	body := func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		f := h.Faults().Refuse(kerr.NotCoordinator, fakebroker.Scope{APIs: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Count: 2})
		subscribe(h, "g", "t", commit)
		rec := h.Publish(text{topic: "t"})
		h.Settle()
		assert.Equal(t, 2, f.Hits())
		assertKind(t, harness.Committed, h.Fate(rec))
	}
	t.Run("virtual time", func(t *testing.T) { harness.Run(t, body) })
	t.Run("real time", func(t *testing.T) { harness.RunRealTime(t, body) })
	t.Run("a Kafka", func(t *testing.T) { existing(t).RunOnKafka(t, body) })
}
