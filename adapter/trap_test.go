package adapter_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// What a client of franz-go's does, or can be asked to do, that would lose records,
// repeat them, or hold everything up. Others of the kind have their tests where they
// belong: see promises.

// A commit with another epoch than the record's would compare wrong: offsets compare
// their epoch first.
func TestTrap_aCommitHasTheRecordsOwnEpoch(t *testing.T) {
	cfg := harness.Config{Broker: fakebroker.Config{Brokers: 3}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		var epochs list[int32]
		h.Broker().Observe(fakebroker.Observer{Committed: func(c fakebroker.Committed) {
			if c.Metadata == "" {
				epochs.add(c.LeaderEpoch)
			}
		}})
		h.Subscribe(subscription(commits))
		h.Publish(event{"t", "", "one"})
		h.Settle()
		parts, err := h.Broker().Partitions("t")
		require.NoError(t, err)
		h.Broker().MoveLeader("t", 0, (parts[0].Leader+1)%3)
		h.Publish(event{"t", "", "two"})
		h.Settle()
		all := epochs.all()
		require.GreaterOrEqual(t, len(all), 2)
		assert.Equal(t, all[0]+1, all[len(all)-1], "%v: the leader moved once", all)
		assert.GreaterOrEqual(t, all[0], int32(0))
	})
}

// The client keeps a partition paused when it is taken away, and does not know why.
func TestTrap_aPauseDoesNotSurviveARevoke(t *testing.T) {
	needsTag(t)
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:2")
		failing := true
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if failing {
				return adapter.RetryAfter(errDown, 20*time.Hour)
			}
			return adapter.Commit()
		})
		s.MaxHeldRecords = 1
		c := subscribe(t, h.NewAdapter(), s)
		h.Settle()
		publisher := h.NewAdapter()
		for p := range int32(2) {
			require.NoError(t, publisher.Publish(t.Context(), at(p, "")))
		}
		until(t, "both are paused", func() bool {
			paused := 0
			for _, p := range c.Status().Partitions {
				paused += len(p.Paused)
			}
			return paused == 2
		})
		other := h.NewAdapter()
		o := subscribe(t, other, subscription(commits))
		until(t, "one of them has moved", func() bool { return len(o.Status().Partitions) == 1 && len(c.Status().Partitions) == 1 })
		failing = false
		require.NoError(t, o.Close(t.Context()))
		until(t, "it is back", func() bool { return len(c.Status().Partitions) == 2 })
		for p := range int32(2) {
			require.NoError(t, publisher.Publish(t.Context(), at(p, "again")))
		}
		h.Settle()
	})
}

// Where the log is shorter than what the group has committed, the client starts anew
// a minute back of the end, unless it is told where.
func TestTrap_whereTheLogEndsBeforeWhatWasCommittedNothingIsSkipped(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.PublishAll(event{"t", "", "0"}, event{"t", "", "1"}, event{"t", "", "2"})
		time.Sleep(time.Hour)
		h.Group("g").Commit("t", 0, 100) // of the log that was
		var got list[string]
		h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			got.add(string(m.Value))
			return adapter.Commit()
		}))
		until(t, "all of it is handled", func() bool { return got.len() == 3 })
		assert.Equal(t, []string{"0", "1", "2"}, got.all())
		h.Settle()
	})
}

// The client would commit what was polled, by itself.
func TestTrap_onlyTheAdapterCommits(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var offsets list[int64]
		h.Broker().Observe(fakebroker.Observer{Committed: func(c fakebroker.Committed) { offsets.add(c.Offset) }})
		release := make(chan struct{})
		h.Subscribe(subscription(func(context.Context, *adapter.Message) adapter.Result {
			<-release
			return adapter.Commit()
		}))
		h.Settle()
		h.PublishAll(numbered(10)...)
		time.Sleep(time.Hour)
		for _, o := range offsets.all() {
			assert.Zero(t, o, "nothing is settled")
		}
		close(release)
		h.Settle()
		assert.EqualValues(t, 10, committed(h, 0))
	})
}

// SetOffsets stops the whole fetch session and overwrites commits that are under
// way; the rest commits what was polled, or closes a client that a rebalance waits
// for.
func TestTrap_noCallThatUndoesWhatOthersRelyOn(t *testing.T) {
	forbidden := map[string]bool{
		"SetOffsets": true, "CommitUncommittedOffsets": true, "CommitRecords": true, "MarkCommitRecords": true,
		"CommitMarkedOffsets": true, "AutoCommitMarks": true, "GreedyAutoCommit": true, "ForceRebalance": true,
		"NewGroupTransactSession": true,
	}
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	closes := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			assert.False(t, forbidden[call.Sel.Name], "%s calls %s", e.Name(), call.Sel.Name)
			if call.Sel.Name == "CloseAllowingRebalance" {
				closes++
			}
			return true
		})
	}
	assert.Positive(t, closes, "nothing was looked at")
}
