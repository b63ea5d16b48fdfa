package harness_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// tally counts what each member handled, by the context that it handled it with.
type tally struct {
	mu sync.Mutex
	by map[string]int
}

// service is a member's handler of topic t in group g, which tells the tally.
func (c *tally) service(handle adapter.HandlerFunc) func(harness.Env) harness.Service {
	return func(e harness.Env) harness.Service {
		return harness.Consume(adapter.Subscription{
			Topics: []string{"t"}, Group: "g",
			Handler: adapter.HandlerFunc(func(ctx context.Context, m *adapter.Message) adapter.Result {
				r := handle(ctx, m)
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.by == nil {
					c.by = map[string]int{}
				}
				if r.Type() == adapter.ResultCommit {
					c.by[e.Name]++
				}
				return r
			}),
		})(e)
	}
}

// events are some for topic t, with different keys.
func events(n int) []adapter.Event {
	var all []adapter.Event
	for i := range n {
		all = append(all, text{"t", string(rune('a' + i%26)), ""})
	}
	return all
}

func TestMember_stopLeavesTheGroupAtOnce(t *testing.T) {
	onBothClocks(t, harness.Config{Partitions: 4}, func(t *testing.T, h *harness.Harness) {
		var seen tally
		first, second := h.Start(seen.service(commit)), h.Start(seen.service(commit))
		first.WaitAssigned()
		second.WaitAssigned()
		h.PublishAll(events(52)...)
		h.Settle()
		assert.Len(t, seen.by, 2, "both have a part")
		start := time.Now()
		first.Stop()
		h.Group("g").WaitAssigned()
		assert.Less(t, time.Since(start), 5*time.Minute, "the group did not wait for the session")
		before := seen.by["member 1"]
		h.PublishAll(events(52)...)
		h.Settle()
		assert.Equal(t, before, seen.by["member 1"])
		assert.Equal(t, 104, seen.by["member 1"]+seen.by["member 2"])
	})
}

func TestMember_killedIsFoundOutByTheSession(t *testing.T) {
	harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		var seen tally
		stuck := make(chan struct{})
		defer close(stuck)
		first := h.Start(seen.service(func(context.Context, *adapter.Message) adapter.Result {
			<-stuck
			return adapter.Commit()
		}))
		h.Group("g").WaitAssigned()
		recs := h.PublishAll(events(10)...)
		h.Until(func() bool { return h.Fate(recs[0]).Deliveries == 1 })
		second := h.Start(seen.service(commit))
		start := time.Now()
		first.Kill()
		h.Settle()
		assert.Greater(t, time.Since(start), 3*time.Minute, "the session of a member that was killed runs out")
		assert.Equal(t, 10, seen.by[second.Name()])
		assertKind(t, harness.Committed, h.Fate(recs[0]))
		assert.Equal(t, 2, h.Fate(recs[0]).Deliveries)
		g, _ := h.Broker().Group("g")
		assert.Len(t, g.Members, 1)
	})
}

// A killed member that did its work before is not done with until the group
// knows that it has gone.
func TestSettle_waitsForTheGroupToNoticeAKill(t *testing.T) {
	harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		var seen tally
		first := h.Start(seen.service(commit))
		h.Start(seen.service(commit))
		h.PublishAll(events(10)...)
		h.Settle()
		first.Kill()
		h.Settle()
		g, _ := h.Broker().Group("g")
		assert.Len(t, g.Members, 1)
	})
}

func TestMember_frozenKeepsItsPartitions(t *testing.T) {
	needsTag(t)
	harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		var seen tally
		first := h.Start(seen.service(commit))
		h.Start(seen.service(commit))
		h.Settle()
		thaw := first.Freeze()
		recs := h.PublishAll(events(26)...)
		h.Advance(time.Hour)
		pending := 0
		for _, r := range recs {
			if h.Fate(r).Kind == harness.Pending {
				pending++
			}
		}
		assert.Equal(t, 26-seen.by["member 2"], pending)
		assert.Zero(t, seen.by["member 1"])
		assert.Positive(t, pending)
		thaw()
		h.Settle()
		assert.Equal(t, pending, seen.by["member 1"])
	})
}

func TestMember_pausedNetworkLosesItsPlaceAndComesBack(t *testing.T) {
	needsTag(t)
	harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		var seen tally
		first := h.Start(seen.service(commit))
		h.Start(seen.service(commit))
		h.Settle()
		resume := first.PauseNetwork()
		h.PublishAll(events(26)...)
		h.Advance(time.Second)
		assert.Zero(t, seen.by["member 1"])
		h.Advance(10 * time.Minute) // its session ends
		assert.Equal(t, 26, seen.by["member 2"])
		resume()
		h.Group("g").WaitAssigned()
		h.Settle()
		h.PublishAll(events(26)...)
		h.Settle()
		assert.Positive(t, seen.by["member 1"], "it is a member again")
	})
}

func TestMember_pausedNetworkForAWhileLosesNothing(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var seen tally
		m := h.Start(seen.service(commit))
		h.Settle()
		resume := m.PauseNetwork(h.Broker().NodeIDs()...)
		rec := h.Publish(text{topic: "t"})
		h.Advance(time.Second)
		assertKind(t, harness.Pending, h.Fate(rec))
		resume()
		h.Settle()
		assert.Equal(t, "t[0]@0 in group g: committed after 1 attempt", h.Fate(rec).String())
	})
}

func TestGroup_rebalanceInTheMiddleOfAHandler(t *testing.T) {
	needsTag(t)
	harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		var seen tally
		running, release := make(chan struct{}, 2), make(chan struct{})
		h.Start(seen.service(func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt == 1 && m.Offset == 0 {
				running <- struct{}{}
				<-release
			}
			return adapter.Commit()
		}))
		h.Group("g").WaitAssigned()
		recs := h.PublishAll(events(4)...)
		<-running
		leave := h.Group("g").StartRebalance()
		close(release)
		leave()
		h.Settle()
		for _, r := range recs {
			assertKind(t, harness.Committed, h.Fate(r))
		}
		assert.Contains(t, h.Timeline(), "g-1 of member 1 revoked")
		g, _ := h.Broker().Group("g")
		assert.Len(t, g.Members, 1)
	})
}

func TestGroup_rebalance(t *testing.T) {
	needsTag(t) // the client may commit while it joins again
	for name, opts := range map[string][]kgo.Opt{
		"eager":       {kgo.Balancers(kgo.RangeBalancer())},
		"cooperative": {kgo.Balancers(kgo.CooperativeStickyBalancer())},
		"server-side": {kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer())},
	} {
		t.Run(name, func(t *testing.T) {
			harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t")
				revoked := 0
				cl, err := kgo.NewClient(append(append(h.ClientOptions("reader"), opts...),
					kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"),
					kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { revoked++ }))...)
				assert.NoError(t, err)
				defer cl.CloseAllowingRebalance()
				h.Group("g").WaitAssigned()
				h.Group("g").Rebalance()
				assert.Positive(t, revoked)
				g, _ := h.Broker().Group("g")
				assert.Len(t, g.Members, 1)
			})
		})
	}
}

func TestMember_surplus(t *testing.T) {
	onBothClocks(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		var seen tally
		for range 3 {
			h.Start(seen.service(commit)).WaitAssigned()
		}
		h.PublishAll(events(3)...)
		h.Settle()
		assert.Len(t, seen.by, 1)
		g, _ := h.Broker().Group("g")
		assert.Len(t, g.Members, 3)
	})
}
