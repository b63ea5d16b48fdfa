package fakebroker_test

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

func TestGroups_ofEveryTypeAndOriginAreListed(t *testing.T) {
	onBoth(t, orders(1), func(t *testing.T, b *fakebroker.Broker) {
		types := func() (out []string) {
			for _, g := range b.Groups() {
				one, ok := b.Group(g.Name)
				equal(t, "found by its name", []any{one.Type, ok}, []any{g.Type, true})
				out = append(out, g.Name+" "+g.Type)
			}
			return out
		}
		equal(t, "at first", types(), nil)
		cl := client(t, b)
		produce(t, cl, "orders", 0, 1)
		offsets := make(kadm.Offsets)
		offsets.AddOffset("orders", 0, 1, -1)
		noError(t, kadm.NewClient(cl).CommitAllOffsets(within(t), "c", offsets))
		equal(t, "committed by nobody in it", types(), []string{"c classic"})
		member := client(t, b, kgo.ConsumerGroup("b"), kgo.ConsumeTopics("orders"))
		consume(t, member, 1)
		equal(t, "joined", types(), []string{"b classic", "c classic"})
		_, err := b.ResetOffsets("d", fakebroker.Reset{To: fakebroker.Earliest, Topic: "orders"})
		noError(t, err)
		equal(t, "set from inside", types(), []string{"b classic", "c classic", "d classic"})
		client(t, b, kgo.ShareGroup("a"), kgo.ConsumeTopics("orders"))
		eventually(t, "the share group is there", func() bool { return slices.Contains(types(), "a share") })
		equal(t, "with a share group", types(), []string{"a share", "b classic", "c classic", "d classic"})
		var left []string
		for _, g := range b.GroupsBut(func(name string) bool { return name < "c" }) {
			left = append(left, g.Name)
		}
		equal(t, "left out", left, []string{"c", "d"})
	})
}
