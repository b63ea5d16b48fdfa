package adapter_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// A member that was expelled hears of it from its commit, and joins again, before it
// hears of it by a heartbeat. What others have done since stays done.
func TestMembership_aMemberThatWasExpelledUndoesNothing(t *testing.T) {
	needsTag(t)
	for _, left := range []bool{false, true} {
		t.Run(map[bool]string{false: "the other stays", true: "the other has left"}[left], func(t *testing.T) {
			var commits list[int64]
			n := 0
			cfg := harness.Config{Adapter: func(c *adapter.Config) {
				n++
				c.ClientID = fmt.Sprint("p", n)
				c.Trace = &adapter.Trace{Committed: func(_ adapter.GroupMember, _ string, _ int32, offset int64) { commits.add(offset) }}
			}}
			cfg.Run(t, func(t *testing.T, h *harness.Harness) {
				entered, release := make(chan struct{}), make(chan struct{})
				var first, second list[int64]
				h.CreateTopics("t")
				h.Adapter()
				expelled := subscribe(t, h.NewAdapter(), subscription(func(_ context.Context, m *adapter.Message) adapter.Result { // p2
					first.add(m.Offset)
					if first.len() == 1 {
						close(entered)
						<-release
						return adapter.RetryAfter(errDown, time.Minute)
					}
					return adapter.Commit()
				}))
				h.Settle()
				h.Publish(event{"t", "a", ""})
				<-entered
				expelled.Pause()
				deaf := h.Broker().Delay(time.Hour, fakebroker.Scope{ClientID: "p2", APIs: []kmsg.Key{kmsg.Heartbeat}})
				other := subscribe(t, h.NewAdapter(), subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
					second.add(m.Offset)
					return adapter.Commit()
				}))
				h.Broker().ExpireSession(fakebroker.Scope{ClientID: "p2"})
				until(t, "another has it", func() bool { return len(other.Status().Partitions) == 1 })
				h.PublishAll(event{"t", "a", ""}, event{"t", "b", ""})
				until(t, "the other has done it all", func() bool { return committed(h, 0) == 3 })
				if left {
					require.NoError(t, other.Close(t.Context()))
				}
				close(release)
				time.Sleep(10 * time.Second)
				deaf.Clear()
				expelled.Resume()
				h.Settle()
				h.Publish(event{"t", "c", ""})
				h.Settle()
				last := int64(0)
				for _, c := range commits.all() {
					assert.GreaterOrEqual(t, c, last, "the group's offset went back")
					last = c
				}
				again := 0
				for _, o := range first.all() {
					if o == 0 {
						again++
					}
				}
				assert.Equal(t, 1, again, "the other has settled it")
				assert.NotContains(t, first.all(), int64(1))
				assert.NotContains(t, first.all(), int64(2))
			})
		})
	}
}

// What others have settled is dropped wherever it is: in the handler, and behind it.
func TestMembership_whatOthersHaveSettledIsNotHandledAgain(t *testing.T) {
	needsTag(t)
	for name, tc := range map[string]struct {
		attempts int // the last of which takes its time
		outcome  adapter.Result
	}{
		"done":                    {1, adapter.Commit()},
		"to be tried again":       {1, adapter.RetryAfter(errDown, time.Minute)},
		"to be tried again twice": {2, adapter.RetryAfter(errDown, time.Minute)},
		"rejected":                {1, adapter.Reject(errDown)},
	} {
		t.Run(name, func(t *testing.T) {
			processes().Run(t, func(t *testing.T, h *harness.Harness) {
				entered, release := make(chan struct{}, 1), make(chan struct{})
				var first list[string]
				h.CreateTopics("t")
				h.Adapter()
				s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result { // p2
					first.add(string(m.Value))
					switch {
					case string(m.Value) != "a1":
						return adapter.Commit()
					case m.Attempt < tc.attempts:
						return adapter.Retry(errDown)
					}
					entered <- struct{}{}
					<-release
					return tc.outcome
				})
				s.MaxInFlight = 2
				expelled := subscribe(t, h.NewAdapter(), s)
				h.Settle()
				h.PublishAll(event{"t", "a", "a1"}, event{"t", "a", "a2"}, event{"t", "a", "a3"})
				<-entered
				time.Sleep(time.Second) // the others wait for their key now
				expelled.Pause()
				deaf := h.Broker().Delay(time.Hour, fakebroker.Scope{ClientID: "p2", APIs: []kmsg.Key{kmsg.Heartbeat}})
				other := subscribe(t, h.NewAdapter(), subscription(commits))
				h.Broker().ExpireSession(fakebroker.Scope{ClientID: "p2"})
				until(t, "the other has done it all", func() bool { return committed(h, 0) == 3 })
				require.NoError(t, other.Close(t.Context()))
				expelled.Resume()
				h.Publish(event{"t", "b", "b"})
				until(t, "it has handled another", func() bool { return slices.Contains(first.all(), "b") })
				time.Sleep(10 * time.Second) // its commit is refused, and it joins again
				close(release)
				time.Sleep(10 * time.Second)
				deaf.Clear()
				h.Settle()
				assert.Equal(t, append(slices.Repeat([]string{"a1"}, tc.attempts), "b"), first.all())
				assert.Empty(t, h.Topic("t.g.dlt").Records())
				assert.EqualValues(t, 4, committed(h, 0))
			})
		})
	}
}

// An attempt of what others have done meanwhile is not counted, and does not begin.
func TestMembership_whatOthersHaveSettledIsNotCounted(t *testing.T) {
	needsTag(t)
	processes().Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[string]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(string(m.Value))
			return adapter.Commit()
		})
		s.CountBeforeRun = true
		h.CreateTopics("t")
		h.Adapter()
		expelled := subscribe(t, h.NewAdapter(), s)
		h.Settle()
		expelled.Pause()
		deaf := h.Broker().Delay(time.Hour, fakebroker.Scope{ClientID: "p2", APIs: []kmsg.Key{kmsg.Heartbeat}})
		other := subscribe(t, h.NewAdapter(), subscription(commits))
		h.Broker().ExpireSession(fakebroker.Scope{ClientID: "p2"})
		h.Publish(event{"t", "k", "1"})
		until(t, "the other has done it", func() bool { return committed(h, 0) == 1 })
		require.NoError(t, other.Close(t.Context()))
		expelled.Resume()
		time.Sleep(time.Minute) // its commit is refused, and it joins again
		deaf.Clear()
		h.Publish(event{"t", "k", "2"})
		h.Settle()
		assert.Equal(t, []string{"2"}, handled.all())
	})
}
