package correct

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// emergence is how long a topic that was made by asking is not known: Kafka's
// controller waits so long (controller.quorum.append.linger.ms) before it writes
// that down.
const emergence = 25 * time.Millisecond

// emerging is which topics were made by asking, less than emergence ago. The zero
// value has none. It is safe for concurrent use.
type emerging struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// asksFor is the topics that an exchange's request may make.
type asksFor struct{}

// notice remembers the topics that the broker may make for a request.
func (e *emerging) notice(c Cluster, x *wire.Exchange, req *kmsg.MetadataRequest) {
	if !req.AllowAutoTopicCreation {
		return
	}
	var topics []string
	for _, t := range req.Topics {
		if t.TopicID != ([16]byte{}) || t.Topic == nil {
			continue
		}
		if _, exists := c.Topic(*t.Topic); !exists {
			topics = append(topics, *t.Topic)
		}
	}
	if len(topics) > 0 {
		x.Keep(asksFor{}, topics)
		e.add(topics)
	}
}

func (e *emerging) add(topics []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.since == nil {
		e.since = make(map[string]time.Time)
	}
	for _, topic := range topics {
		e.since[topic] = time.Now()
	}
}

// hide answers as if the topics had not been made yet, and reports whether there
// were any. Who has asked for one first does not see it, however long the answer
// took.
func (e *emerging) hide(x *wire.Exchange, req *kmsg.MetadataRequest, resp *kmsg.MetadataResponse) (hidden bool) {
	if own, ok := x.Kept(asksFor{}).([]string); ok {
		e.add(own)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for topic, since := range e.since {
		if time.Since(since) >= emergence {
			delete(e.since, topic)
		}
	}
	if len(e.since) == 0 {
		return false
	}
	return hideInMetadata(req, resp, func(name string, _ [16]byte) bool {
		_, is := e.since[name]
		return is
	})
}
