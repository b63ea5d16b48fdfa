package correct

import (
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// particular is what is so of few topics only, so that the records of others need
// not be looked at. The zero value has none. It is safe for concurrent use.
type particular[V any] struct {
	any atomic.Bool // some topic is: what every produce request asks first

	mu    sync.RWMutex
	names map[string]V
	ids   map[[16]byte]V
}

func (p *particular[V]) set(name string, id [16]byte, v V, is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !is {
		delete(p.names, name)
		delete(p.ids, id)
	} else {
		if p.names == nil {
			p.names, p.ids = make(map[string]V), make(map[[16]byte]V)
		}
		p.names[name], p.ids[id] = v, v
	}
	p.any.Store(len(p.names) > 0)
}

func (p *particular[V]) get(name string) (v V, is bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	v, is = p.names[name]
	return v, is
}

func (p *particular[V]) some() bool { return p.any.Load() }

func (p *particular[V]) has(name, id []byte) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if len(id) == len([16]byte{}) {
		if _, ok := p.ids[[16]byte(id)]; ok {
			return true
		}
	}
	_, ok := p.names[string(name)]
	return ok
}

// Compaction is which topics are compacted. The zero value knows none. It is safe
// for concurrent use.
type Compaction struct{ particular[struct{}] }

// Look finds out whether a topic is compacted. It is called when one was made or
// its configuration has changed.
func (p *Compaction) Look(c Cluster, topic string) {
	t, ok := c.Topic(topic)
	p.set(topic, t.ID, struct{}{}, ok && t.Compacted)
}

// notice has the topics looked at that were made or have other configurations now.
func notice(look func(topic string)) wire.Rule {
	return wire.Rule{
		Wants: wire.Keys(kmsg.CreateTopics, kmsg.AlterConfigs, kmsg.IncrementalAlterConfigs),
		Answer: func(x *wire.Exchange) {
			resp, err := x.Response()
			if err != nil {
				return
			}
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
