package adapter

import "context"

// Batch is what one fetch brought from one partition, in offset order. Its
// members are those of KafkaJS's EachBatchPayload.
//
// A BatchHandler that returns nil settles the batch through its last record,
// unless BatchSubscription.NoAutoResolve is set: then only what was resolved is
// settled, and the rest is delivered again. When it returns an error, the
// batch is delivered again from the first unresolved offset, by the
// subscription's RetryPolicy; when its attempts are used up, the first
// unresolved record goes to OnReject and the rest is delivered again.
//
// A Batch is safe for concurrent use, until HandleBatch returns.
type Batch struct {
	Topic     string
	Partition int32
	// Messages are the records, oldest first. There may be gaps between
	// their offsets (compaction, transactions).
	Messages []*Message
	// HighWatermark is the offset after the last record that all in-sync
	// replicas have, when the batch was fetched.
	HighWatermark int64

	f BatchFuncs
}

// BatchFuncs replaces members of a Batch. Where a function is nil, FirstOffset,
// LastOffset, IsEmpty, OffsetLag and OffsetLagLow follow from the messages;
// ResolveOffset, RejectAt and Pause do nothing; Heartbeat and
// CommitOffsetsIfNecessary return ctx's error; UncommittedOffsets is empty;
// IsRunning is true and IsStale false.
type BatchFuncs struct {
	FirstOffset  func() int64
	LastOffset   func() int64
	IsEmpty      func() bool
	OffsetLag    func() int64
	OffsetLagLow func() int64

	ResolveOffset            func(offset int64)
	RejectAt                 func(offset int64, err error)
	Heartbeat                func(ctx context.Context) error
	Pause                    func() (resume func())
	CommitOffsetsIfNecessary func(ctx context.Context) error
	UncommittedOffsets       func() map[string]map[int32]int64
	IsRunning                func() bool
	IsStale                  func() bool
}

// NewBatch is a batch of those messages, with the members in f replaced. The
// adapter makes the batches of a consumer; this is for tests and middleware.
func NewBatch(topic string, partition int32, messages []*Message, highWatermark int64, f BatchFuncs) *Batch {
	return &Batch{Topic: topic, Partition: partition, Messages: messages, HighWatermark: highWatermark, f: f}
}

// FirstOffset is the offset of the first message, and -1 when there is none.
func (b *Batch) FirstOffset() int64 {
	if b.f.FirstOffset != nil {
		return b.f.FirstOffset()
	}
	if len(b.Messages) == 0 {
		return -1
	}
	return b.Messages[0].Offset
}

// LastOffset is the offset of the last message, and HighWatermark - 1 when
// there is none.
func (b *Batch) LastOffset() int64 {
	if b.f.LastOffset != nil {
		return b.f.LastOffset()
	}
	if len(b.Messages) == 0 {
		return b.HighWatermark - 1
	}
	return b.Messages[len(b.Messages)-1].Offset
}

// IsEmpty reports whether there is no message.
func (b *Batch) IsEmpty() bool {
	if b.f.IsEmpty != nil {
		return b.f.IsEmpty()
	}
	return len(b.Messages) == 0
}

// OffsetLag is how many offsets lie between the last message and the end of
// the partition: HighWatermark - 1 - LastOffset.
func (b *Batch) OffsetLag() int64 {
	if b.f.OffsetLag != nil {
		return b.f.OffsetLag()
	}
	return b.HighWatermark - 1 - b.LastOffset()
}

// OffsetLagLow is how many offsets lie between the first message and the end
// of the partition: HighWatermark - 1 - FirstOffset, and 0 for an empty batch.
func (b *Batch) OffsetLagLow() int64 {
	if b.f.OffsetLagLow != nil {
		return b.f.OffsetLagLow()
	}
	if b.IsEmpty() {
		return 0
	}
	return b.HighWatermark - 1 - b.FirstOffset()
}

// ResolveOffset settles the batch through that offset: what is resolved is not
// delivered again, and can be committed. An offset outside the batch, or
// before one already resolved, changes nothing.
func (b *Batch) ResolveOffset(offset int64) {
	if b.f.ResolveOffset != nil {
		b.f.ResolveOffset(offset)
	}
}

// RejectAt isolates the record at that offset: it goes to OnReject, is
// settled, and does not hold up the others. It works as if the record were
// resolved: it does not resolve those before it.
func (b *Batch) RejectAt(offset int64, err error) {
	if b.f.RejectAt != nil {
		b.f.RejectAt(offset, err)
	}
}

// Heartbeat reports whether the batch still counts. The client sends the
// group's heartbeats on its own, so a slow handler need not call this to stay
// in the group; the error (ErrStale, or ctx's) says that it is time to stop: see
// IsStale.
func (b *Batch) Heartbeat(ctx context.Context) error {
	if b.f.Heartbeat != nil {
		return b.f.Heartbeat(ctx)
	}
	return ctx.Err()
}

// Pause stops fetching of this partition, from the next fetch on, until resume
// is called. Calling resume again changes nothing.
func (b *Batch) Pause() (resume func()) {
	if b.f.Pause != nil {
		return b.f.Pause()
	}
	return func() {}
}

// CommitOffsetsIfNecessary commits what is resolved and not committed yet, and
// waits for the broker's answer. Without it, commits follow by themselves. The
// error is ErrStale, ctx's, or what the broker refused the commit with.
func (b *Batch) CommitOffsetsIfNecessary(ctx context.Context) error {
	if b.f.CommitOffsetsIfNecessary != nil {
		return b.f.CommitOffsetsIfNecessary(ctx)
	}
	return ctx.Err()
}

// UncommittedOffsets are the offsets that the next commit would commit, by
// topic and partition: the offset after the last record resolved. It is empty
// when there is nothing to commit.
func (b *Batch) UncommittedOffsets() map[string]map[int32]int64 {
	if b.f.UncommittedOffsets != nil {
		return b.f.UncommittedOffsets()
	}
	return nil
}

// IsRunning reports whether the consumer runs: false once it is closing. A
// handler that was told so, and returns nil, has settled what it resolved and no
// more.
func (b *Batch) IsRunning() bool {
	if b.f.IsRunning != nil {
		return b.f.IsRunning()
	}
	return true
}

// IsStale reports whether the partition is being taken away from this member,
// by a rebalance or because the consumer is closing, or the call of the handler
// has ended. What is resolved counts for a short grace, until the handler's
// context ends, so a handler should stop soon. One that was told so, and returns
// nil, has settled what it resolved and no more.
func (b *Batch) IsStale() bool {
	if b.f.IsStale != nil {
		return b.f.IsStale()
	}
	return false
}
