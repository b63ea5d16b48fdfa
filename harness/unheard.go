package harness

import (
	"slices"
	"strconv"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
)

// unheard is where a group's record went from a topic in a transaction that was
// committed, where no adapter has lived to hear of it. f is what is known of it, and
// from is how far it had come.
func (h *Harness) unheard(group string, f Fate, from way) (at place, found bool) {
	h.t.Helper()
	if !h.watch.transactions() || f.Deliveries == 0 || f.Kind != Lost && f.Kind != Skipped {
		return place{}, false
	}
	for _, topic := range append(h.watch.returnsOf(group), adapter.DeadLetterTopic(from.origin.Topic, group)) {
		partitions, err := h.broker.Partitions(topic)
		i := slices.IndexFunc(partitions, func(p fakebroker.Partition) bool { return p.Partition == f.Record.Partition })
		if err != nil || i < 0 {
			continue // there is none
		}
		only := fakebroker.Selection{Partitions: []int32{f.Record.Partition}, From: partitions[i].Start, To: partitions[i].LastStableOffset, ReadCommitted: true}
		for r, err := range h.broker.Scan(topic, only) {
			if err != nil {
				h.t.Fatalf("harness: read topic %s: %v", topic, err)
			}
			out := recordFrom(topic, r)
			as, ok := wayIn(out)
			if attempt, _ := strconv.Atoi(out.Header(adapter.HeaderAttempt)); ok && as == from && attempt == f.Attempts {
				return place{topic, r.Partition, r.Offset}, true
			}
		}
	}
	return place{}, false
}

// returnsOf are the topics by which a group's records come back to it.
func (w *watch) returnsOf(group string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.groups[group]
	if g == nil {
		return nil
	}
	return sortedKeys(g.returns)
}
