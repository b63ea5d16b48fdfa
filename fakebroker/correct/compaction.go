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
	names map[string]one[V]
	ids   map[[16]byte]struct{} // of the same
}

// one is what is so of a topic.
type one[V any] struct {
	v  V
	id [16]byte
}

// set also forgets another topic that had the name before.
func (p *particular[V]) set(name string, id [16]byte, v V, is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, ok := p.names[name]; ok {
		delete(p.names, name)
		delete(p.ids, before.id)
	}
	if is {
		if p.names == nil {
			p.names, p.ids = make(map[string]one[V]), make(map[[16]byte]struct{})
		}
		p.names[name], p.ids[id] = one[V]{v, id}, struct{}{}
	}
	p.any.Store(len(p.names) > 0)
}

func (p *particular[V]) get(name string) (v V, is bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	of, is := p.names[name]
	return of.v, is
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

func (p *Compaction) look(topic string, t Topic, ok bool) {
	p.set(topic, t.ID, struct{}{}, ok && t.Compacted)
}

// Look finds out what a topic demands of records. It is called when one was made or
// deleted, or its configuration has changed.
func Look(c Cluster, topic string) {
	t, ok := c.TopicAlone(topic)
	c.Compaction().look(topic, t, ok)
	c.Timestamps().look(c, topic, t, ok)
	c.Internal().look(topic, t, ok)
}

// Notice has topics looked at that clients have made, or given other configurations.
func Notice(c Cluster) wire.Rule {
	look := func(topic string) { Look(c, topic) }
	return wire.Rule{
		Name:       "topics with demands",
		Keys:       wire.Keys(kmsg.CreateTopics, kmsg.AlterConfigs, kmsg.IncrementalAlterConfigs),
		AnswerOnly: true,
		Answer: amended(func(_ *wire.Exchange, resp kmsg.Response) bool {
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
			return false
		}),
	}
}
