package harness

import (
	"context"
	"slices"
	"sync"
	"time"

	"example.com/kafkatest/adapter"
)

// BatchConfig replaces what NewBatch would choose. The zero value replaces
// nothing.
type BatchConfig struct {
	Partition int32
	Group     string
	// FirstOffset is the offset of the first message that has none of its
	// own. The next ones follow.
	FirstOffset int64
	// HighWatermark is the partition's. Zero means the offset after the last
	// message, so that there is no lag.
	HighWatermark int64
	// Members replaces members of the batch. What is replaced is not
	// recorded.
	Members adapter.BatchFuncs
}

// Batch is a batch built for a test, with a record of the controls that its
// handler called. It is safe for concurrent use.
type Batch struct {
	*adapter.Batch

	mu    sync.Mutex
	calls BatchCalls
}

// BatchCalls are the controls that a handler called on a batch, in order.
type BatchCalls struct {
	Resolved   []int64     // the offsets given to ResolveOffset
	Rejected   []Rejection // what RejectAt was given
	Heartbeats int
	Pauses     int // calls of Pause
	Resumes    int // calls of what Pause returned
	Commits    []int64
	// Commits are the offsets that CommitOffsetsIfNecessary would have
	// committed, one for each call that had something to commit.
}

// Rejection is a call of RejectAt.
type Rejection struct {
	Offset int64
	Err    error
}

// NewMessage is an event as a message: what a handler would get had it been
// published. Data that cannot be serialized panics.
func NewMessage(e adapter.Event) *adapter.Message {
	value, err := adapter.DefaultSerializer(e.MessageData())
	if err != nil {
		panic("harness: " + err.Error())
	}
	m := &adapter.Message{Topic: e.TopicName(), Value: value, Attempt: 1}
	if k, ok := e.(adapter.MessageKeyer); ok {
		m.Key = k.MessageKeyBytes()
	} else if k := e.MessageKey(); k != "" {
		m.Key = []byte(k)
	}
	if h, ok := e.(adapter.MessageHeaderer); ok {
		m.Headers = h.MessageHeaders()
	}
	return m
}

// NewBatch is a batch of messages, without any broker. What a message leaves
// zero is filled in: topic, partition, group, attempt 1, the time, and the
// offset after the message before. Messages are copied. The controls work on the batch
// alone, and are recorded.
func NewBatch(topic string, messages []*adapter.Message, c BatchConfig) *Batch {
	b := &Batch{}
	next, high := c.FirstOffset, int64(0)
	var ms []*adapter.Message
	for _, given := range messages {
		m := *given
		if m.Topic == "" {
			m.Topic = topic
		}
		if m.Partition == 0 {
			m.Partition = c.Partition
		}
		if m.Group == "" {
			m.Group = c.Group
		}
		if m.Attempt == 0 {
			m.Attempt = 1
		}
		if m.Timestamp.IsZero() {
			m.Timestamp = time.Now()
		}
		if m.Offset == 0 {
			m.Offset = next
		}
		next = m.Offset + 1
		high = max(high, next)
		if m.Origin == (adapter.Origin{}) {
			m.Origin = adapter.Origin{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset}
		}
		ms = append(ms, &m)
	}
	if len(messages) == 0 {
		high = next
	}
	if c.HighWatermark == 0 {
		c.HighWatermark = high
	}
	b.Batch = adapter.NewBatch(topic, c.Partition, ms, c.HighWatermark, b.controls(c.Members))
	return b
}

// Calls are the controls called so far.
func (b *Batch) Calls() BatchCalls {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.calls
	c.Resolved = slices.Clone(c.Resolved)
	c.Rejected = slices.Clone(c.Rejected)
	c.Commits = slices.Clone(c.Commits)
	return c
}

// controls records what f leaves to be recorded.
func (b *Batch) controls(f adapter.BatchFuncs) adapter.BatchFuncs {
	record := func(what func(*BatchCalls)) {
		b.mu.Lock()
		defer b.mu.Unlock()
		what(&b.calls)
	}
	if f.ResolveOffset == nil {
		f.ResolveOffset = func(o int64) { record(func(c *BatchCalls) { c.Resolved = append(c.Resolved, o) }) }
	}
	if f.RejectAt == nil {
		f.RejectAt = func(o int64, err error) {
			record(func(c *BatchCalls) { c.Rejected = append(c.Rejected, Rejection{o, err}) })
		}
	}
	if f.Heartbeat == nil {
		f.Heartbeat = func(ctx context.Context) error {
			record(func(c *BatchCalls) { c.Heartbeats++ })
			return ctx.Err()
		}
	}
	if f.Pause == nil {
		f.Pause = func() func() {
			record(func(c *BatchCalls) { c.Pauses++ })
			var once sync.Once
			return func() { once.Do(func() { record(func(c *BatchCalls) { c.Resumes++ }) }) }
		}
	}
	if f.UncommittedOffsets == nil {
		f.UncommittedOffsets = func() map[string]map[int32]int64 {
			offsets := map[string]map[int32]int64{}
			record(func(c *BatchCalls) {
				if o, ok := b.uncommitted(c); ok {
					offsets[b.Topic] = map[int32]int64{b.Partition: o}
				}
			})
			return offsets
		}
	}
	if f.CommitOffsetsIfNecessary == nil {
		f.CommitOffsetsIfNecessary = func(ctx context.Context) error {
			record(func(c *BatchCalls) {
				if o, ok := b.uncommitted(c); ok {
					c.Commits = append(c.Commits, o)
				}
			})
			return ctx.Err()
		}
	}
	return f
}

// uncommitted is the offset after the last one resolved, if that has not been
// committed. An offset outside the batch resolves nothing.
func (b *Batch) uncommitted(c *BatchCalls) (int64, bool) {
	next := int64(-1)
	for _, o := range c.Resolved {
		if len(b.Messages) > 0 && o >= b.Messages[0].Offset && o <= b.Messages[len(b.Messages)-1].Offset {
			next = max(next, o+1)
		}
	}
	return next, next >= 0 && (len(c.Commits) == 0 || c.Commits[len(c.Commits)-1] < next)
}

// Handle runs a handler on a message, without any broker, and returns what it
// decided. A panic of the handler is the caller's.
func Handle(ctx context.Context, handler adapter.Handler, m *adapter.Message) adapter.Result {
	return handler.Handle(ctx, m)
}

// HandleBatch runs a batch handler on a batch, without any broker, and returns
// what it returned and which controls it called.
func HandleBatch(ctx context.Context, handler adapter.BatchHandler, b *Batch) (BatchCalls, error) {
	err := handler.HandleBatch(ctx, b.Batch)
	return b.Calls(), err
}
