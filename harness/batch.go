package harness

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"example.com/kafkatest/adapter"
)

// BatchConfig replaces what NewBatch would choose. The zero value replaces
// nothing.
type BatchConfig struct {
	// Partition is the batch's, and that of all its messages. Zero is partition 0.
	Partition int32
	// Group is the consumer group. Empty means Defaults.Group, or else the one that
	// each message has.
	Group string
	// FirstOffset is the offset of the first message. The next ones follow,
	// where they have none of their own.
	FirstOffset int64
	// HighWatermark is the partition's. Zero means the offset after the last
	// message, so that there is no lag.
	HighWatermark int64
	// Defaults is laid under each message: what the message leaves zero is as
	// here, and where this is zero too, as NewBatch says. It has no offset. For
	// tombstones leave its Value nil.
	Defaults adapter.Message
	// Stale is when IsStale becomes true, for good: the partition is being
	// taken away. Stopped is when IsRunning becomes false, for good, and
	// IsStale true with it: the consumer is closing. Nil means never. From
	// then on Heartbeat and CommitOffsetsIfNecessary return adapter.ErrStale,
	// and nothing is left to be committed.
	Stale, Stopped When
	// Members replaces members of the batch. Calls of controls are recorded all
	// the same.
	Members adapter.BatchFuncs
}

// Batch is a batch built for a test, with a record of the controls that its
// handler called. It is safe for concurrent use.
type Batch struct {
	*adapter.Batch

	config BatchConfig
	made   time.Time

	mu       sync.Mutex
	calls    BatchCalls
	resolved int64          // through this offset
	rejected map[int64]bool // by RejectAt
	stale    script
	stopped  script
}

// NewMessage is an event as a message: what a handler would get had it been
// published. A nil event, and data that cannot be serialized, panic.
func NewMessage(e adapter.Event) *adapter.Message {
	if e == nil {
		panic("harness: the event is nil")
	}
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
	if p, ok := e.(adapter.MessagePartitioner); ok {
		m.Partition = p.MessagePartition()
	}
	return m
}

// NewBatch is a batch of messages, without any broker. What a message leaves
// zero is as in BatchConfig.Defaults, or else the batch's topic, partition and
// group, attempt 1, the time, the offset after the message before, and an origin
// where the message is. Messages are copied. The controls work on the batch
// alone, by the rules of the adapter's, and are recorded.
//
// It panics where the settings contradict each other: offsets that do not
// ascend, a high watermark below the last one, a message of another topic,
// partition or group.
func NewBatch(topic string, messages []*adapter.Message, c BatchConfig) *Batch {
	b := &Batch{config: c, made: time.Now(), resolved: -1, stale: script{when: c.Stale}, stopped: script{when: c.Stopped}}
	c.check(topic)
	next := c.FirstOffset
	var ms []*adapter.Message
	for i, given := range messages {
		if given == nil {
			panic(fmt.Sprintf("harness: NewBatch: message %d is nil", i+1))
		}
		m := *given
		c.fill(&m, topic)
		if m.Offset == 0 {
			m.Offset = next
		}
		c.checkMessage(&m, i, topic, next)
		if m.Origin == (adapter.Origin{}) {
			m.Origin = adapter.Origin{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset}
		}
		next = m.Offset + 1
		ms = append(ms, &m)
	}
	high := cmp.Or(c.HighWatermark, next)
	if high < next {
		panic(fmt.Sprintf("harness: NewBatch: a high watermark of %d is below %d, the offset after the last message: leave it zero if the batch reaches the end", high, next))
	}
	b.Batch = adapter.NewBatch(topic, c.Partition, ms, high, b.controls())
	return b
}

// check refuses settings that contradict each other.
func (c BatchConfig) check(topic string) {
	problem := ""
	switch d := c.Defaults; {
	case topic == "":
		problem = "the topic is empty"
	case c.Partition < 0:
		problem = fmt.Sprintf("partition %d is negative", c.Partition)
	case c.FirstOffset < 0:
		problem = fmt.Sprintf("a first offset of %d is negative", c.FirstOffset)
	case c.HighWatermark < 0:
		problem = fmt.Sprintf("a high watermark of %d is negative", c.HighWatermark)
	case d.Offset != 0:
		problem = "Defaults has an offset: use FirstOffset"
	case d.Topic != "" && d.Topic != topic:
		problem = fmt.Sprintf("Defaults is of topic %s, and the batch of %s", d.Topic, topic)
	case d.Partition != 0 && d.Partition != c.Partition:
		problem = fmt.Sprintf("Defaults is of partition %d, and the batch of %d: use BatchConfig.Partition", d.Partition, c.Partition)
	case d.Group != "" && c.Group != "" && d.Group != c.Group:
		problem = fmt.Sprintf("Defaults is of group %s, and the batch of %s", d.Group, c.Group)
	case c.Stale != nil && c.Members.IsStale != nil:
		problem = "Stale and Members.IsStale are both set"
	case c.Stopped != nil && c.Members.IsRunning != nil:
		problem = "Stopped and Members.IsRunning are both set"
	}
	if problem != "" {
		panic("harness: NewBatch: " + problem)
	}
}

// fill replaces what a message leaves zero, but for its offset.
func (c BatchConfig) fill(m *adapter.Message, topic string) {
	d := c.Defaults
	m.Topic = cmp.Or(m.Topic, topic)
	m.Partition = cmp.Or(m.Partition, c.Partition)
	m.Group = cmp.Or(m.Group, c.Group, d.Group)
	m.Attempt = cmp.Or(m.Attempt, d.Attempt, 1)
	m.Origin = cmp.Or(m.Origin, d.Origin)
	if m.Key == nil {
		m.Key = d.Key
	}
	if m.Value == nil {
		m.Value = d.Value
	}
	if m.Headers == nil {
		m.Headers = d.Headers
	}
	if m.FirstFailed.IsZero() {
		m.FirstFailed = d.FirstFailed
	}
	if m.Timestamp.IsZero() {
		m.Timestamp = d.Timestamp
	}
	if m.Timestamp.IsZero() {
		m.Timestamp = time.Now()
	}
}

// checkMessage refuses a message that cannot be in the batch. Its offset is next
// or later.
func (c BatchConfig) checkMessage(m *adapter.Message, i int, topic string, next int64) {
	group := cmp.Or(c.Group, c.Defaults.Group)
	problem := ""
	switch {
	case m.Topic != topic:
		problem = fmt.Sprintf("is of topic %s, and the batch of %s", m.Topic, topic)
	case m.Partition != c.Partition:
		problem = fmt.Sprintf("is of partition %d, and the batch of %d: use BatchConfig.Partition", m.Partition, c.Partition)
	case group != "" && m.Group != group:
		problem = fmt.Sprintf("is of group %s, and the batch of %s", m.Group, group)
	case m.Attempt < 1:
		problem = fmt.Sprintf("has attempt %d: 1 is the first", m.Attempt)
	case m.Offset < next && i == 0:
		problem = fmt.Sprintf("has offset %d, and the batch begins at %d", m.Offset, next)
	case m.Offset < next:
		problem = fmt.Sprintf("has offset %d, and the one before it %d: offsets ascend", m.Offset, next-1)
	}
	if problem != "" {
		panic(fmt.Sprintf("harness: NewBatch: message %d %s", i+1, problem))
	}
}

// Handle runs a handler on a message, without any broker, and returns what it
// decided. A panic of the handler is the caller's, and so is that of a handler or
// a message that is nil.
func Handle(ctx context.Context, handler adapter.Handler, m *adapter.Message) adapter.Result {
	return handler.Handle(ctx, m)
}

// HandleBatch runs a batch handler on a batch, without any broker, and returns
// what it returned and which controls it called.
func HandleBatch(ctx context.Context, handler adapter.BatchHandler, b *Batch) (BatchCalls, error) {
	err := handler.HandleBatch(ctx, b.Batch)
	return b.Calls(), err
}
