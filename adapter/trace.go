package adapter

import (
	"context"
	"time"
)

// Trace is a set of functions that are told what happens to records, in the
// order in which it happens for each record: for metrics, tracing and tests.
// Any of them may be nil. They are called from the goroutines that do the
// work, several at a time, and must be quick. A share group has nothing to tell of
// Assigned, Started, Revoked and Committed.
type Trace struct {
	// Published: the broker acknowledged an event of Publish, which was called
	// with ctx. The message is the record that it became.
	Published func(ctx context.Context, e Event, m *Message)

	// Subscribed: a consumer of topics was made. Those of the adapter's own
	// that it consumes are among them.
	Subscribed func(g GroupMember, topics []string)
	// Stopped: a consumer has ended; with an error, because the group or the
	// broker refused it for good.
	Stopped func(g GroupMember, err error)

	// Assigned: the group gave this member partitions.
	Assigned func(g GroupMember, partitions map[string][]int32)
	// Started: this member starts to fetch a partition that it was assigned,
	// at that offset: the one that the group has committed, or where
	// Subscription.StartFrom says. Zero is the first record there is.
	Started func(g GroupMember, topic string, partition int32, offset int64)
	// Revoked: they are taken away. It is called once handlers have ended or
	// been fenced off, and what was settled has been committed. With lost the
	// group has given them away already, and nothing could be committed.
	Revoked func(g GroupMember, partitions map[string][]int32, lost bool)

	// Gate: Subscription.Gate has closed, with that error, or opened again.
	Gate func(g GroupMember, closed error)

	// Delivered: the handler is about to run, with the context returned:
	// the one given, or one made from it. A batch handler's is handed on from
	// message to message.
	Delivered func(ctx context.Context, m *Message) context.Context
	// Returned: the handler has returned, after that time.
	Returned func(m *Message, r Result, took time.Duration)
	// Waiting: the record waits until then for its next attempt.
	Waiting func(m *Message, due time.Time)
	// Hopped: a retry topic has the record, at that place, where it waits for its
	// next attempt. The cause is what the last attempt failed with; nil when there
	// was none, because the record was not due yet.
	Hopped func(m *Message, cause error, at Origin)
	// DeadLettered: the dead-letter topic has the record, at that place.
	DeadLettered func(m *Message, cause error, at Origin)
	// Redriven: Adapter.Redrive took a dead letter of the group back; the redrive
	// topic has it, at that place.
	Redriven func(group string, letter *DeadLetter, at Origin)
	// Rejected: the subscription's OnReject took the record.
	Rejected func(m *Message, cause error)
	// Settled: the records, which are of one partition and one group, are done, and
	// their offsets may be committed. In a share group and with
	// Subscription.ExactlyOnceHops the brokers have them already. The slice is not to
	// be kept.
	Settled func(ms []*Message)
	// Fenced: the partition went before the record was settled. What its
	// handler returned, or returns from now on, does not count, and the
	// record is delivered again. In a share group: it was released while its handler
	// ran, or its acceptance, or that of another record of its partition, was refused;
	// or the consumer closed before all acceptances were answered, and it may be
	// delivered again.
	Fenced func(m *Message)
	// Committed: the group's committed offset of a partition is now offset.
	Committed func(g GroupMember, topic string, partition int32, offset int64)
}

// GroupMember is a consumer of this process in its group.
type GroupMember struct {
	Group string
	// GroupID is what the brokers call the group: Group, but RetryGroup of it where a
	// member of a share group consumes the retry topics.
	GroupID string
	// Name tells the consumers of one group apart, within this process. It
	// is not the group's member id.
	Name string
}
