package correct

import (
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Compaction is which topics are compacted, so that the records of others need
// not be looked at. The zero value knows none. It is safe for concurrent use.
type Compaction struct {
	any atomic.Bool // some topic is: what every produce request asks first

	mu    sync.RWMutex
	names map[string]bool
	ids   map[[16]byte]bool
}

// Look finds out whether a topic is compacted. It is called when one was made or
// its configuration has changed.
func (p *Compaction) Look(c Cluster, topic string) {
	t, ok := c.Topic(topic)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !ok || !t.Compacted {
		delete(p.names, topic)
		delete(p.ids, t.ID)
	} else {
		if p.names == nil {
			p.names, p.ids = make(map[string]bool), make(map[[16]byte]bool)
		}
		p.names[topic], p.ids[t.ID] = true, true
	}
	p.any.Store(len(p.names) > 0)
}

func (p *Compaction) has(name []byte, id []byte) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if len(id) == len([16]byte{}) && p.ids[[16]byte(id)] {
		return true
	}
	return p.names[string(name)]
}

// noticeCompaction keeps Compaction up to date.
func noticeCompaction(c Cluster) wire.Rule {
	return wire.Rule{
		Wants: wire.Keys(kmsg.CreateTopics, kmsg.AlterConfigs, kmsg.IncrementalAlterConfigs),
		Answer: func(x *wire.Exchange) {
			resp, err := x.Response()
			if err != nil {
				return
			}
			look := func(topic string) { c.Compaction().Look(c, topic) }
			switch r := resp.(type) {
			case *kmsg.CreateTopicsResponse:
				for _, t := range r.Topics {
					look(t.Topic)
				}
			case *kmsg.AlterConfigsResponse:
				for _, t := range r.Resources {
					if t.ResourceType == kmsg.ConfigResourceTypeTopic {
						look(t.ResourceName)
					}
				}
			case *kmsg.IncrementalAlterConfigsResponse:
				for _, t := range r.Resources {
					if t.ResourceType == kmsg.ConfigResourceTypeTopic {
						look(t.ResourceName)
					}
				}
			}
		},
	}
}
