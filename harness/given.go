package harness

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
)

// AnyPartition lets a record's key choose its partition, as clients do; records
// without a key then go to one partition together.
const AnyPartition = fakebroker.AnyPartition

// Create creates the topic. Zero partitions means Config.Partitions. Each config
// is NAME=VALUE, by Kafka's names: "cleanup.policy=compact". A topic that exists
// fails the test, and so does what Kafka would refuse.
func (t Topic) Create(partitions int32, configs ...string) Topic {
	t.h.t.Helper()
	topic := fakebroker.Topic{Name: t.name, Partitions: partitions, Configs: map[string]string{}}
	if partitions == 0 {
		topic.Partitions = t.h.cfg.Partitions
	}
	for _, c := range configs {
		name, value, ok := strings.Cut(c, "=")
		if !ok || name == "" {
			t.h.t.Fatalf("harness: create topic %s: config %q: use NAME=VALUE", t.name, c)
		}
		if was, twice := topic.Configs[name]; twice {
			t.h.t.Fatalf("harness: create topic %s: config %s is given twice, as %q and %q", t.name, name, was, value)
		}
		topic.Configs[name] = value
	}
	if err := t.h.broker.CreateTopic(topic); err != nil {
		t.h.t.Fatalf("harness: create topic %s: %v", t.name, err)
	}
	return t
}

// Append writes records to the topic, which must exist, and returns them as
// they are there. No client is involved: it works whatever faults there are.
//
// Each goes to its Partition: 0, unless it says another, or AnyPartition. A zero
// Timestamp means now; one without a Value is a tombstone. Topic and Offset may
// be left out: where they are given, they must be what they will be. NewRecord
// makes a record of an event.
func (t Topic) Append(records ...Record) []Record {
	t.h.t.Helper()
	in := t.check(records)
	ctx, cancel := context.WithTimeout(context.Background(), t.h.clock.patience)
	defer cancel()
	written, err := t.h.broker.Append(ctx, t.name, in...)
	if err != nil {
		t.h.t.Fatalf("harness: %v", err)
	}
	out := make([]Record, len(written))
	for i, r := range written {
		out[i] = recordFrom(t.name, r)
	}
	if !t.h.cfg.WithoutFates {
		t.h.watch.given(out)
	}
	t.checkOffsets(records, out)
	return out
}

// AppendAborted is Append in a transaction that is then aborted: who reads
// committed never sees the records. A client of the harness's does it, so faults
// strike it as they do any client.
func (t Topic) AppendAborted(records ...Record) []Record {
	t.h.t.Helper()
	in := t.check(records)
	out, err := t.h.appendAborted(t.name, in)
	if err != nil {
		t.h.t.Fatalf("harness: append to topic %s in a transaction, and abort it: %v", t.name, err)
	}
	t.checkOffsets(records, out)
	return out
}

// check refuses records that cannot be meant.
func (t Topic) check(records []Record) []fakebroker.Record {
	t.h.t.Helper()
	partitions := t.partitions()
	out := make([]fakebroker.Record, len(records))
	for i, r := range records {
		switch {
		case r.Topic != "" && r.Topic != t.name:
			t.h.t.Fatalf("harness: append to topic %s: record %d is of topic %s: leave its Topic empty", t.name, i+1, r.Topic)
		case r.Partition < AnyPartition || int(r.Partition) >= len(partitions):
			t.h.t.Fatalf("harness: append to topic %s: record %d is for partition %d, and there is only %s: see Create", t.name, i+1, r.Partition, count(len(partitions), "partition"))
		case r.Offset < 0:
			t.h.t.Fatalf("harness: append to topic %s: record %d has offset %d: leave it zero, the broker chooses", t.name, i+1, r.Offset)
		}
		out[i] = fakebroker.Record{Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
		for _, h := range r.Headers {
			out[i].Headers = append(out[i].Headers, fakebroker.Header{Key: h.Key, Value: h.Value})
		}
	}
	return out
}

// checkOffsets fails the test where a record was to be at another offset.
func (t Topic) checkOffsets(wanted, got []Record) {
	t.h.t.Helper()
	for i, r := range wanted {
		if r.Offset != 0 && r.Offset != got[i].Offset {
			t.h.t.Fatalf("harness: append to topic %s: record %d was to have offset %d, and is %s: leave its Offset zero, the broker chooses", t.name, i+1, r.Offset, got[i])
		}
	}
}

func (h *Harness) appendAborted(topic string, records []fakebroker.Record) ([]Record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(append(h.optionsOf(newLink("given", h.broker.Dialer())),
		kgo.TransactionalID("harness-given"),
		kgo.RecordPartitioner(manualOrByKey()))...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		return nil, err
	}
	sent := make([]*kgo.Record, len(records))
	for i, r := range records {
		sent[i] = &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
		for _, header := range r.Headers {
			sent[i].Headers = append(sent[i].Headers, kgo.RecordHeader(header))
		}
	}
	err = cl.ProduceSync(ctx, sent...).FirstErr()
	if err := errors.Join(err, cl.EndTransaction(ctx, kgo.TryAbort)); err != nil {
		return nil, err
	}
	out := make([]Record, len(sent))
	for i, r := range sent {
		out[i] = Record{Topic: topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
		for _, header := range r.Headers {
			out[i].Headers = append(out[i].Headers, adapter.Header(header))
		}
	}
	return out, nil
}

// manualOrByKey is the partition that a record names, or that its key chooses.
func manualOrByKey() kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		byKey := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
		return func(r *kgo.Record, n int) int {
			if r.Partition == AnyPartition {
				return byKey.Partition(r, n)
			}
			return int(r.Partition)
		}
	})
}

// NewRecord is an event as a record to append, for its topic and, unless the
// event names its partition, AnyPartition. A nil event, and data that cannot be
// serialized, panic.
func NewRecord(e adapter.Event) Record {
	m := NewMessage(e)
	r := Record{Topic: m.Topic, Partition: AnyPartition, Key: m.Key, Value: m.Value, Headers: m.Headers}
	if p, ok := e.(adapter.MessagePartitioner); ok {
		r.Partition = p.MessagePartition()
	}
	return r
}

// Commit commits an offset for the group: the one at which it is to go on, as if
// it had handled what is before. It is for a group that has no members; one that
// does not exist is made. There need not be a record at the offset.
func (g Group) Commit(topic string, partition int32, offset int64) Group {
	g.h.t.Helper()
	return g.CommitWith(topic, partition, offset, "")
}

// CommitWith is Commit with metadata, of at most 4,096 bytes: what a consumer
// leaves there for the next one.
func (g Group) CommitWith(topic string, partition int32, offset int64, metadata string) Group {
	g.h.t.Helper()
	g.h.Topic(topic).partitions()
	_, err := g.h.broker.ResetOffsets(g.name, fakebroker.Reset{
		To: fakebroker.AtOffset, Offset: offset, Metadata: metadata, Topic: topic, Partitions: []int32{partition},
	})
	if err != nil {
		g.h.t.Fatalf("harness: commit offset %d of %s[%d] for group %q: %v", offset, topic, partition, g.name, err)
	}
	g.h.watch.set(g.name, topic, partition, offset)
	return g
}

// given notes records that no client published.
func (w *watch) given(records []Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range records {
		w.happened(event{kind: evPublished, place: place{r.Topic, r.Partition, r.Offset}})
	}
}

// set notes that the test has set a group's offset.
func (w *watch) set(group, topic string, partition int32, offset int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.happened(event{kind: evCommitted, member: "the test in " + group, group: group, place: place{topic, partition, offset}})
	if len(w.group(group).topics) > 0 {
		return // adapters know what they have claimed
	}
	g, tp := w.foreignGroup(group, topic), topicPartition{topic, partition}
	g.set[tp] = append(g.set[tp], span{0, offset})
}
