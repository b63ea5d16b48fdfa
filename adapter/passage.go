package adapter

import (
	"context"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// defaultBatchBytes is the largest batch the client sends unless it knows
	// better, a little under the brokers' default of message.max.bytes.
	defaultBatchBytes = 1_000_012
	// minClientLimit is the least that the client lets through to a topic of
	// the adapter, before compression; the broker has the last word.
	minClientLimit = 64 << 20
)

// sizeLimits are what topics of the adapter take, by name.
type sizeLimits struct{ topics sync.Map }

// sizeLimit is what one of them takes.
type sizeLimit struct {
	message  int32    // its max.message.bytes, as far as is known
	passages sync.Map // by partition
}

// set notes a topic's max.message.bytes.
func (s *sizeLimits) set(topic string, message int32) {
	if old, ok := s.topics.Load(topic); !ok || old.(*sizeLimit).message != message {
		s.topics.Store(topic, &sizeLimit{message: message})
	}
}

// of is for the client, which asks once for each partition. It looks at a batch
// before it is compressed, and the broker after: what was compressed on its
// source must get past the client.
func (s *sizeLimits) of(topic string) int32 {
	if l, ok := s.topics.Load(topic); ok {
		return max(l.(*sizeLimit).message, minClientLimit)
	}
	return defaultBatchBytes
}

// enter waits until a record may be on its way to its partition: see passage.
// That is for records only that go to a topic of the adapter and name their
// partition. With alone, no other is on its way there. The record has to leave.
func (s *sizeLimits) enter(ctx context.Context, r *kgo.Record, alone bool) (leave func(), err error) {
	topic, known := s.topics.Load(r.Topic)
	partition, chosen := chosen(r)
	if !known || !chosen {
		return func() {}, nil
	}
	l := topic.(*sizeLimit)
	all := int64(l.message)
	n := all
	if !alone {
		n = min(n, int64(size(r))+batchOverhead)
	}
	made, _ := l.passages.LoadOrStore(partition, &passage{room: all})
	p := made.(*passage)
	if err := p.enter(ctx, n); err != nil {
		return nil, err
	}
	return func() { p.leave(n) }, nil
}

// batchOverhead is more than a batch of one record has beside keys and values.
const batchOverhead = 128

// passage bounds what is on its way to a partition to what the broker takes as
// one batch. The client puts into a batch what is there, up to its limit; a
// broker that finds one too large refuses all of it, and records would be taken
// for too large that only had company.
type passage struct {
	mu      sync.Mutex
	room    int64
	waiting []*entrant // in order
}

type entrant struct {
	bytes int64
	in    chan struct{}
}

// enter waits for room.
func (p *passage) enter(ctx context.Context, n int64) error {
	p.mu.Lock()
	e := &entrant{n, make(chan struct{})}
	p.waiting = append(p.waiting, e)
	p.letIn()
	p.mu.Unlock()
	select {
	case <-e.in:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, e); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	} else {
		p.room += n // it had just got in
	}
	p.letIn()
	return ctx.Err()
}

func (p *passage) leave(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.room += n
	p.letIn()
}

// letIn lets in those who wait, one after another, as far as there is room. The
// caller holds mu.
func (p *passage) letIn() {
	for len(p.waiting) > 0 && p.waiting[0].bytes <= p.room {
		e := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.room -= e.bytes
		close(e.in)
	}
}
