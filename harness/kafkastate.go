package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

// What a Kafka that is there already says of its state: it is asked anew each
// time. Who only looks has nobody to tell an error to, and is shown nothing then;
// Settle finds out, and says the error.

func (k *kafka) asking() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), longest)
}

// fresh has metadata come from a broker, and not from the client's cache.
func fresh(ctx context.Context) context.Context { return kadm.WithAuthorizedOps(ctx) }

// failed keeps an error for Settle.
func (k *kafka) failed(err error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
	return err != nil
}

func (k *kafka) lastError() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Nodes are the brokers, as clients know them.
func (k *kafka) Nodes() []fakebroker.Node { return k.proxy.Nodes() }

// NodeIDs are those of the brokers.
func (k *kafka) NodeIDs() []int32 {
	var ids []int32
	for _, n := range k.Nodes() {
		ids = append(ids, n.ID)
	}
	return ids
}

// Topics are the test's.
func (k *kafka) Topics() []fakebroker.Topic {
	ctx, cancel := k.asking()
	defer cancel()
	topics, err := k.admin.ListTopics(fresh(ctx))
	if k.failed(err) {
		return nil
	}
	var out []fakebroker.Topic
	for _, t := range topics.Sorted() {
		out = append(out, fakebroker.Topic{Name: t.Topic, Partitions: int32(len(t.Partitions))})
	}
	return out
}

// Partitions are those of a topic.
func (k *kafka) Partitions(topic string) ([]fakebroker.Partition, error) {
	out, _, err := k.partitions(topic)
	return out, err
}

// partitions is Partitions with the topic's id.
func (k *kafka) partitions(topic string) ([]fakebroker.Partition, kadm.TopicID, error) {
	ctx, cancel := k.asking()
	defer cancel()
	details, err := k.admin.ListTopics(fresh(ctx), topic)
	if err != nil {
		return nil, kadm.TopicID{}, err
	}
	t := details[topic]
	switch {
	case errors.Is(t.Err, kerr.UnknownTopicOrPartition), errors.Is(t.Err, kerr.InvalidTopicException), t.Err == nil && len(t.Partitions) == 0:
		return nil, t.ID, fmt.Errorf("%w: %s", fakebroker.ErrUnknownTopic, topic)
	case t.Err != nil:
		return nil, t.ID, fmt.Errorf("topic %s: %w", topic, t.Err)
	}
	out := make([]fakebroker.Partition, 0, len(t.Partitions))
	for _, p := range t.Partitions.Sorted() {
		out = append(out, fakebroker.Partition{Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch})
	}
	if err := k.offsets(ctx, topic, out); err != nil {
		return nil, t.ID, fmt.Errorf("topic %s: %w", topic, err)
	}
	for i := range out {
		p := &out[i]
		if p.EndOfData = p.HighWatermark; k.transactional() {
			if p.EndOfData, err = k.endOfData(topic, t.ID, *p); err != nil {
				return nil, t.ID, err
			}
		}
	}
	return out, t.ID, nil
}

// offsets asks where partitions begin and end, until all of them have an answer:
// those who lead new ones may not know yet.
func (k *kafka) offsets(ctx context.Context, topic string, of []fakebroker.Partition) error {
	for {
		starts, err1 := k.admin.ListStartOffsets(ctx, topic)
		stables, err2 := k.admin.ListCommittedOffsets(ctx, topic)
		highs, err3 := k.admin.ListEndOffsets(ctx, topic)
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		err := cmp.Or(starts.Error(), stables.Error(), highs.Error())
		all := err == nil
		for i := range of {
			p := &of[i]
			start, has1 := starts.Lookup(topic, p.Partition)
			stable, has2 := stables.Lookup(topic, p.Partition)
			high, has3 := highs.Lookup(topic, p.Partition)
			p.Start, p.LastStableOffset, p.HighWatermark = start.Offset, stable.Offset, high.Offset
			all = all && has1 && has2 && has3
		}
		if all {
			return nil
		}
		if err != nil && !kerr.IsRetriable(err) {
			return err
		}
		if late := again(ctx); late != nil {
			return cmp.Or(err, late)
		}
	}
}

// dataEnd is where the data of a partition ends, as far as it has been read.
type dataEnd struct{ read, end int64 }

// endOfData reads what is new in a partition for where its data ends: control
// records of transactions may follow.
func (k *kafka) endOfData(topic string, id kadm.TopicID, p fakebroker.Partition) (int64, error) {
	tp := topicPartition{topic, p.Partition}
	k.mu.Lock()
	known := k.ends[tp]
	k.mu.Unlock()
	err := k.read(topic, id, p, max(known.read, p.Start), p.HighWatermark, false, func(r *kgo.Record) bool {
		known.end = r.Offset + 1
		return true
	})
	if err != nil {
		return 0, err
	}
	known.read = p.HighWatermark
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ends[tp] = known
	return max(known.end, p.Start), nil
}

// read hands over the records of a partition from one offset to another, until
// more says that it has enough.
func (k *kafka) read(topic string, id kadm.TopicID, p fakebroker.Partition, from, to int64, committed bool, more func(*kgo.Record) bool) error {
	ctx, cancel := k.asking()
	defer cancel()
	const most = 1 << 20
	for from < to {
		req := kmsg.NewPtrFetchRequest()
		req.SessionEpoch, req.MaxBytes, req.MaxWaitMillis = -1, most, 100
		isolation := kgo.ReadUncommitted()
		if committed {
			req.IsolationLevel, isolation = 1, kgo.ReadCommitted()
		}
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = p.Partition, from, most
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic, rt.TopicID, rt.Partitions = topic, id, append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		got, err := k.client.Broker(int(p.Leader)).RetriableRequest(ctx, req)
		if err != nil {
			return fmt.Errorf("reading topic %s: %w", topic, err)
		}
		resp := got.(*kmsg.FetchResponse)
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return fmt.Errorf("reading topic %s: %w", topic, err)
		}
		if len(resp.Topics) == 0 || len(resp.Topics[0].Partitions) == 0 {
			return fmt.Errorf("reading topic %s: no answer of partition %d", topic, p.Partition)
		}
		fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
			Topic: topic, Partition: p.Partition, Offset: from, IsolationLevel: isolation,
		}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
		if fp.Err != nil {
			return fmt.Errorf("reading topic %s, partition %d: %w", topic, p.Partition, fp.Err)
		}
		for _, r := range fp.Records {
			if r.Offset < to && !more(r) {
				return nil
			}
		}
		if next <= from {
			return nil // nothing more, though there should be: the log was cut meanwhile
		}
		from = next
	}
	return nil
}

// Scan reads records of a topic, as fakebroker.Broker.Scan does.
func (k *kafka) Scan(topic string, s fakebroker.Selection) iter.Seq2[fakebroker.Record, error] {
	return func(yield func(fakebroker.Record, error) bool) {
		parts, id, err := k.partitions(topic)
		if err != nil {
			yield(fakebroker.Record{}, err)
			return
		}
		goOn := true
		for _, p := range parts {
			if len(s.Partitions) > 0 && !slices.Contains(s.Partitions, p.Partition) {
				continue
			}
			to := p.HighWatermark
			if s.ReadCommitted {
				to = p.LastStableOffset
			}
			if s.To > 0 {
				to = min(to, s.To)
			}
			err := k.read(topic, id, p, max(s.From, p.Start), to, s.ReadCommitted, func(r *kgo.Record) bool {
				out := fakebroker.Record{Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value}
				for _, h := range r.Headers {
					out.Headers = append(out.Headers, fakebroker.Header(h))
				}
				goOn = yield(out, nil)
				return goOn
			})
			if err != nil {
				yield(fakebroker.Record{}, err)
				return
			}
			if !goOn {
				return
			}
		}
	}
}

// Records are all records of a topic.
func (k *kafka) Records(topic string) ([]fakebroker.Record, error) {
	var out []fakebroker.Record
	for r, err := range k.Scan(topic, fakebroker.Selection{}) {
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Group is one of the test's groups.
func (k *kafka) Group(name string) (fakebroker.Group, bool) {
	ctx, cancel := k.asking()
	defer cancel()
	g, err := k.group(ctx, name)
	if errors.Is(err, kerr.GroupIDNotFound) {
		k.failed(nil)
		return g, false
	}
	return g, !k.failed(err)
}

// Groups are all of the test's groups.
func (k *kafka) Groups() []fakebroker.Group { return k.GroupsBut(nil) }

// GroupsBut is Groups without some.
func (k *kafka) GroupsBut(leave func(name string) bool) []fakebroker.Group {
	ctx, cancel := k.asking()
	defer cancel()
	listed, err := k.admin.ListGroups(ctx)
	if k.failed(err) {
		return nil
	}
	var out []fakebroker.Group
	for _, name := range listed.Groups() {
		if leave != nil && leave(name) {
			continue
		}
		if g, ok := k.Group(name); ok {
			out = append(out, g)
		}
	}
	return out
}

// group asks for a group as what it is, or for all that it may be.
func (k *kafka) group(ctx context.Context, name string) (fakebroker.Group, error) {
	k.mu.Lock()
	known := k.kinds[name]
	k.mu.Unlock()
	var g fakebroker.Group
	err := error(kerr.GroupIDNotFound)
	for _, kind := range []struct {
		name string
		ask  func(context.Context, string) (fakebroker.Group, error)
	}{{"classic", k.classic}, {"consumer", k.consumer}, {"share", k.share}} {
		if known != "" && known != kind.name {
			continue
		}
		if g, err = kind.ask(ctx, name); err == nil {
			g.Name, g.Type = name, kind.name
			break
		}
		if known == "" && (errors.Is(err, kerr.GroupIDNotFound) || errors.Is(err, kerr.UnsupportedVersion)) {
			err = kerr.GroupIDNotFound // old brokers know one kind only
			continue
		}
		if known != "" && errors.Is(err, kerr.GroupIDNotFound) {
			k.knows(name, "") // deleted, or of another kind now
		}
		return g, err
	}
	if err != nil {
		return g, err
	}
	k.knows(name, g.Type)
	h := fnv.New32a() // a classic group does not tell its generation
	for _, m := range g.Members {
		_, _ = fmt.Fprint(h, m.ID, m.Assignment)
	}
	g.Epoch += int32(h.Sum32() >> 1)
	return g, nil
}

func (k *kafka) knows(group, kind string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kinds[group] = kind
}

func (k *kafka) classic(ctx context.Context, name string) (fakebroker.Group, error) {
	all, err := k.admin.DescribeGroups(ctx, name)
	d := all[name]
	switch err := cmp.Or(err, d.Err); {
	case err != nil:
		return fakebroker.Group{}, err
	case d.State == "Dead": // there is none, before KIP-1043
		return fakebroker.Group{}, kerr.GroupIDNotFound
	}
	g := fakebroker.Group{State: d.State}
	for _, m := range d.Members {
		member := fakebroker.Member{ID: m.MemberID, InstanceID: text(m.InstanceID), ClientID: m.ClientID, ClientHost: m.ClientHost}
		if j, ok := m.Join.AsConsumer(); ok {
			member.Topics = j.Topics
		}
		if a, ok := m.Assigned.AsConsumer(); ok {
			member.Assignment = map[string][]int32{}
			for _, t := range a.Topics {
				member.Assignment[t.Topic] = t.Partitions
			}
		}
		g.Members = append(g.Members, member)
	}
	return g, k.committed(ctx, name, &g)
}

func (k *kafka) consumer(ctx context.Context, name string) (fakebroker.Group, error) {
	all, err := k.admin.DescribeConsumerGroups(ctx, name)
	d := all[name]
	if err := cmp.Or(err, d.Err); err != nil {
		return fakebroker.Group{}, err
	}
	g := fakebroker.Group{State: d.State, Epoch: d.Epoch}
	for _, m := range d.Members {
		g.Members = append(g.Members, fakebroker.Member{
			ID: m.MemberID, InstanceID: text(m.InstanceID), ClientID: m.ClientID, ClientHost: m.ClientHost,
			Topics: m.SubscribedTopics, Assignment: assigned(m.Assignment),
		})
	}
	return g, k.committed(ctx, name, &g)
}

func (k *kafka) share(ctx context.Context, name string) (fakebroker.Group, error) {
	all, err := k.admin.DescribeShareGroups(ctx, name)
	d := all[name]
	if err := cmp.Or(err, d.Err); err != nil {
		return fakebroker.Group{}, err
	}
	g := fakebroker.Group{State: d.GroupState, Epoch: d.GroupEpoch}
	for _, m := range d.Members {
		g.Members = append(g.Members, fakebroker.Member{
			ID: m.MemberID, ClientID: m.ClientID, ClientHost: m.ClientHost,
			Topics: m.SubscribedTopicNames, Assignment: assigned(m.Assignment),
		})
	}
	offsets, err := k.admin.DescribeShareGroupOffsets(ctx, name)
	if err := cmp.Or(err, offsets[name].Err); err != nil {
		return g, err
	}
	for topic, parts := range offsets[name].Offsets {
		for p, o := range parts {
			g.Offsets = append(g.Offsets, fakebroker.GroupOffset{Topic: topic, Partition: p, Committed: o.StartOffset, LeaderEpoch: -1, Lag: max(o.Lag, 0)})
		}
	}
	return g, nil
}

// committed adds the offsets of a group.
func (k *kafka) committed(ctx context.Context, name string, g *fakebroker.Group) error {
	offsets, err := k.admin.FetchOffsets(ctx, name)
	if err := cmp.Or(err, offsets.Error()); err != nil {
		return err
	}
	offsets.Each(func(o kadm.OffsetResponse) {
		g.Offsets = append(g.Offsets, fakebroker.GroupOffset{Topic: o.Topic, Partition: o.Partition, Committed: o.At, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata})
	})
	return nil
}

func assigned(topics kadm.TopicsSet) map[string][]int32 {
	out := map[string][]int32{}
	for _, t := range topics.Sorted() {
		out[t.Topic] = t.Partitions
	}
	return out
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// ResetOffsets commits an offset for a group that has no members.
func (k *kafka) ResetOffsets(group string, r fakebroker.Reset) ([]fakebroker.GroupOffset, error) {
	ctx, cancel := k.asking()
	defer cancel()
	switch {
	case r.Offset < 0:
		return nil, fmt.Errorf("offset %d is negative", r.Offset)
	case group == "":
		return nil, fmt.Errorf("%w: a group has a name", fakebroker.ErrUnknownGroup)
	}
	parts, err := k.Partitions(r.Topic)
	if err != nil {
		return nil, err
	}
	var offsets kadm.Offsets
	for _, n := range r.Partitions {
		if n < 0 || int(n) >= len(parts) {
			return nil, fmt.Errorf("%w: topic %s has no partition %d, only %s", fakebroker.ErrUnknownTopic, r.Topic, n, count(len(parts), "partition"))
		}
		offsets.Add(kadm.Offset{Topic: r.Topic, Partition: n, At: r.Offset, LeaderEpoch: -1, Metadata: r.Metadata})
	}
	if g, _ := k.Group(group); len(g.Members) > 0 {
		return nil, fmt.Errorf("%w: %s; stop them first", fakebroker.ErrGroupInUse, group)
	}
	if err := k.admin.CommitAllOffsets(ctx, group, offsets); err != nil {
		return nil, err
	}
	g, _ := k.Group(group)
	return g.Offsets, nil
}

// Transactions are the test's.
func (k *kafka) Transactions() []fakebroker.Transaction {
	ctx, cancel := k.asking()
	defer cancel()
	listed, err := k.admin.ListTransactions(ctx, nil, nil)
	if k.failed(err) || len(listed) == 0 {
		return nil
	}
	described, err := k.admin.DescribeTransactions(ctx, listed.TransactionalIDs()...)
	if k.failed(err) {
		return nil
	}
	var out []fakebroker.Transaction
	for _, t := range described.Sorted() {
		tx := fakebroker.Transaction{
			ID: t.TxnID, State: t.State, Coordinator: t.Coordinator, ProducerID: t.ProducerID, ProducerEpoch: t.ProducerEpoch,
			Timeout: time.Duration(t.TimeoutMillis) * time.Millisecond,
		}
		switch t.State {
		case "Empty", "CompleteCommit", "CompleteAbort", "Dead": // it may still say when the last one began
		default:
			tx.Started = time.UnixMilli(t.StartTimestamp)
		}
		out = append(out, tx)
	}
	return out
}
