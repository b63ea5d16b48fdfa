package fakebroker

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// hurryFirstFetches is Config.FirstFetchWait.
func (b *Broker) hurryFirstFetches() wire.Rule {
	most := int32(b.cfg.FirstFetchWait.Milliseconds())
	return wire.Rule{
		Name: "a fetch of other partitions than before does not wait for long",
		Keys: wire.Keys(kmsg.Fetch),
		Request: func(x *wire.Exchange) {
			r, err := x.Request()
			if err != nil {
				return
			}
			req, ok := r.(*kmsg.FetchRequest)
			if !ok {
				return
			}
			known, _ := x.Memory().LoadOrStore(fetchedKey{}, &fetchedPartitions{of: map[partitionOf]struct{}{}})
			if known.(*fetchedPartitions).isFirst(req, b.cfg.FirstFetchWait) && req.MaxWaitMillis > most {
				hurried := *req
				hurried.MaxWaitMillis = most
				x.SetRequest(&hurried)
			}
		},
	}
}

// fetchedKey is where a connection remembers its fetchedPartitions.
type fetchedKey struct{}

// fetchedPartitions are those of a connection's fetch session, or all that it has
// fetched where it has none (KIP-227).
type fetchedPartitions struct {
	mu    sync.Mutex
	of    map[partitionOf]struct{}
	added time.Time // when one was added last
}

// isFirst reports whether a request names a partition that is new, or comes so soon
// after one that did that the client may have others to name: the one before need not
// have waited.
func (f *fetchedPartitions) isFirst(req *kmsg.FetchRequest, wait time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	named := f.of
	if req.SessionEpoch == 0 { // of a new session, whose partitions these are
		named = make(map[partitionOf]struct{}, len(f.of))
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			at := partitionOf{t.Topic, t.TopicID, p.Partition}
			if _, known := f.of[at]; !known {
				f.added = time.Now()
			}
			named[at] = struct{}{}
		}
	}
	f.of = named
	for _, t := range req.ForgottenTopics {
		for _, p := range t.Partitions {
			delete(f.of, partitionOf{t.Topic, t.TopicID, p})
		}
	}
	return time.Since(f.added) < wait
}
