package adapter_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

func TestMode_serverSideSharesThePartitionsAndResultsMeanTheSame(t *testing.T) {
	needsTag(t)
	harness.Config{Partitions: 4}.Run(t, func(t *testing.T, h *harness.Harness) {
		var by list[string]
		member := func(name string) adapter.Subscription {
			s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
				switch string(m.Value) {
				case "retry":
					if m.Attempt < 3 {
						return adapter.Retry(errDown)
					}
				case "reject":
					return adapter.Reject(errDown)
				}
				by.add(name)
				return adapter.Commit()
			})
			s.Mode = adapter.ServerSide
			return s
		}
		h.CreateTopics("t")
		one := subscribe(t, h.NewAdapter(), member("one"))
		h.Settle()
		g, _ := h.Broker().Group("g")
		assert.Equal(t, "consumer", g.Type)
		two := subscribe(t, h.NewAdapter(), member("two"))
		until(t, "both have partitions", func() bool {
			return len(one.Status().Partitions) == 2 && len(two.Status().Partitions) == 2
		})
		var recs []harness.Record
		for p := range int32(4) {
			recs = append(recs, h.PublishAll(at(p, "retry"), at(p, "reject"), at(p, ""))...)
		}
		h.Settle()
		for i, r := range recs {
			f := h.Fate(r)
			switch i % 3 {
			case 0:
				assert.Equal(t, 3, f.Attempts)
				assert.Equal(t, harness.Committed, f.Kind)
			case 1:
				assert.Equal(t, harness.DeadLettered, f.Kind)
			}
		}
		assert.Contains(t, by.all(), "one")
		assert.Contains(t, by.all(), "two")
		require.NoError(t, one.Close(t.Context()))
		until(t, "the other has all", func() bool { return len(two.Status().Partitions) == 4 })
	})
}

func TestMode_serverSideARunningHandlerDrains(t *testing.T) {
	needsTag(t)
	harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
		first := newRunning()
		s := subscription(first.handle)
		s.Mode = adapter.ServerSide
		h.CreateTopics("t")
		subscribe(t, h.NewAdapter(), s)
		h.Settle()
		var recs []harness.Record
		for p := range int32(2) { // one of the two partitions is to move
			recs = append(recs, h.Publish(at(p, "")))
			<-first.entered
		}
		second := subscription(commits)
		second.Mode = adapter.ServerSide
		two := subscribe(t, h.NewAdapter(), second)
		time.Sleep(10 * time.Second)
		assert.Empty(t, two.Status().Partitions, "the handler of the one that is to move runs")
		first.release <- adapter.Commit()
		first.release <- adapter.Commit()
		until(t, "moved", func() bool { return len(two.Status().Partitions) == 1 })
		h.Settle()
		for _, r := range recs {
			assert.Equal(t, 1, h.Fate(r).Deliveries)
		}
	})
}

func TestInstanceID_comesBackWithoutARebalance(t *testing.T) {
	needsTag(t)
	for _, tc := range []struct {
		mode   adapter.Mode
		leaves bool
	}{{adapter.Classic, false}, {adapter.Classic, true}, {adapter.ServerSide, false}, {adapter.ServerSide, true}} {
		leaves := tc.leaves
		t.Run(tc.mode.String()+map[bool]string{false: " stays", true: " leaves"}[leaves], func(t *testing.T) {
			harness.Config{Partitions: 2}.Run(t, func(t *testing.T, h *harness.Harness) {
				member := func(id string) adapter.Subscription {
					s := subscription(commits)
					s.Mode, s.InstanceID, s.LeaveOnClose = tc.mode, id, leaves
					return s
				}
				h.CreateTopics("t")
				one := subscribe(t, h.NewAdapter(), member("a"))
				two := subscribe(t, h.NewAdapter(), member("b"))
				until(t, "both have a partition", func() bool {
					return len(one.Status().Partitions) == 1 && len(two.Status().Partitions) == 1
				})
				had := two.Status().Partitions[0].Partition
				require.NoError(t, two.Close(t.Context()))
				if leaves {
					left := time.Now()
					defer func() { assert.Less(t, time.Since(left), 4*time.Minute, "before the session would have expired") }()
					until(t, "the other has both", func() bool { return len(one.Status().Partitions) == 2 })
					return
				}
				time.Sleep(5 * time.Second) // less than the session
				assert.Len(t, one.Status().Partitions, 1)
				again := time.Now()
				two = subscribe(t, h.NewAdapter(), member("b"))
				until(t, "it is back", func() bool { return len(two.Status().Partitions) == 1 })
				assert.Less(t, time.Since(again), 2*time.Minute, "before the session would have expired")
				assert.Equal(t, had, two.Status().Partitions[0].Partition)
				assert.Len(t, one.Status().Partitions, 1)
			})
		})
	}
}

func TestInstanceID_ofTwoTheFirstStops(t *testing.T) {
	needsTag(t)
	placeOf(t).test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		s := subscription(commits)
		s.InstanceID = "a"
		h.CreateTopics("t")
		one := subscribe(t, h.NewAdapter(), s)
		h.Settle()
		two := subscribe(t, h.NewAdapter(), s)
		<-one.Done()
		var refused *adapter.RefusedError
		require.ErrorAs(t, one.Err(), &refused)
		assert.Equal(t, "FENCED_INSTANCE_ID", refused.Name)
		until(t, "the second has the partition", func() bool { return len(two.Status().Partitions) == 1 })
	})
}

// Where the brokers share the partitions, nobody takes the place of a static member
// that is there.
func TestInstanceID_serverSideTheSecondWaits(t *testing.T) {
	needsTag(t)
	for _, killed := range []bool{false, true} {
		t.Run(map[bool]string{false: "until the first has closed", true: "until its session has expired"}[killed], func(t *testing.T) {
			processes().Run(t, func(t *testing.T, h *harness.Harness) {
				s := subscription(commits)
				s.Mode, s.InstanceID = adapter.ServerSide, "a"
				h.CreateTopics("t")
				h.Adapter()
				first := h.NewAdapter() // p2
				one := subscribe(t, first, s)
				h.Settle()
				two := subscribe(t, h.NewAdapter(), s)
				time.Sleep(10 * time.Minute)
				assert.Empty(t, two.Status().Partitions)
				assert.Len(t, one.Status().Partitions, 1)
				require.NoError(t, one.Err())
				if killed {
					kill(h, "p2", first)
				} else {
					require.NoError(t, one.Close(t.Context()))
				}
				until(t, "the second has the partition", func() bool { return len(two.Status().Partitions) == 1 })
				rec := h.Publish(event{"t", "k", ""})
				h.Settle()
				assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
			})
		})
	}
}

func TestSubscribe_refusesModesThatCannotWork(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		for want, change := range map[string]func(*adapter.Subscription){
			"Subscription.Mode: is 9: want Classic, ServerSide or ShareGroup": func(s *adapter.Subscription) { s.Mode = 9 },
			`Subscription.InstanceID: is "a", which Mode ShareGroup cannot have: leave it empty, or choose Classic or ServerSide`: func(s *adapter.Subscription) {
				s.Mode, s.Order, s.InstanceID = adapter.ShareGroup, adapter.Unordered, "a"
			},
			"Subscription.LeaveOnClose: is for static members: give an InstanceID; others always leave": func(s *adapter.Subscription) { s.LeaveOnClose = true },
		} {
			s := subscription(commits)
			change(&s)
			_, err := h.Adapter().Subscribe(t.Context(), s)
			assert.EqualError(t, err, want)
		}
	})
}
