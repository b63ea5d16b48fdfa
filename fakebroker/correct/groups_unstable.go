package correct

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// unstableOffsets knows which offsets open transactions may still commit. kfake
// takes all offsets of a group for unstable while one is, so that members that
// commit in transactions of their own keep each other waiting.
type unstableOffsets struct {
	coordinators
	transactions *transactions

	mu      sync.Mutex
	pending map[int64]pendingOffsets // by producer id
}

// pendingOffsets are those of one open transaction.
type pendingOffsets struct {
	deadline time.Time // when it times out, which nobody is told
	of       map[groupPartition]bool
}

type groupPartition struct {
	group, topic string
	partition    int32
}

func groupTransactions(g coordinators) []Correction {
	u := &unstableOffsets{coordinators: g, transactions: &transactions{c: g.Cluster}, pending: make(map[int64]pendingOffsets)}
	return []Correction{{
		Rule: wire.Rule{
			Name:   "an offset is unstable for its own partition only",
			Keys:   wire.Keys(kmsg.OffsetFetch, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.InitProducerID),
			Answer: answered(u.follow),
		},
		Restores:  "KIP-447: UNSTABLE_OFFSET_COMMIT for partitions with an offset in an open transaction, and for no others",
		Upstream:  "groups.go, handleOffsetFetch: for all partitions of the group",
		Behaviour: "groups/an offset is unstable for its own partition only",
	}}
}

func (u *unstableOffsets) follow(x *wire.Exchange, r kmsg.Request, a kmsg.Response) (changed bool) {
	switch resp := a.(type) {
	case *kmsg.TxnOffsetCommitResponse:
		u.add(x, r.(*kmsg.TxnOffsetCommitRequest), resp)
	case *kmsg.EndTxnResponse:
		if resp.ErrorCode == 0 {
			u.end(r.(*kmsg.EndTxnRequest).ProducerID)
		}
	case *kmsg.InitProducerIDResponse: // which aborts what was open
		if resp.ErrorCode == 0 {
			u.end(resp.ProducerID)
		}
	case *kmsg.OffsetFetchResponse:
		return u.fetched(x, r.(*kmsg.OffsetFetchRequest), resp)
	}
	return false
}

func (u *unstableOffsets) add(x *wire.Exchange, req *kmsg.TxnOffsetCommitRequest, resp *kmsg.TxnOffsetCommitResponse) {
	var added []groupPartition
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == 0 {
				added = append(added, groupPartition{req.Group, u.topic(t.Topic, t.TopicID), p.Partition})
			}
		}
	}
	if added == nil || u.extend(req.ProducerID, added) {
		return
	}
	now, ok := u.transactions.find(x, req.TransactionalID)
	if !ok || now.ErrorCode != 0 || now.ProducerID != req.ProducerID || now.State != "Ongoing" {
		return // it has timed out
	}
	u.open(req.ProducerID, time.UnixMilli(now.StartTimestamp+int64(now.TimeoutMillis)))
	u.extend(req.ProducerID, added)
}

// extend adds to a transaction that is known; false when it is not.
func (u *unstableOffsets) extend(producer int64, added []groupPartition) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.expire()
	open, ok := u.pending[producer]
	for _, p := range added {
		if ok {
			open.of[p] = true
		}
	}
	return ok
}

// open makes a transaction known.
func (u *unstableOffsets) open(producer int64, deadline time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.pending[producer]; !ok {
		u.pending[producer] = pendingOffsets{deadline, make(map[groupPartition]bool)}
	}
}

// expire forgets transactions that have timed out. u.mu is held.
func (u *unstableOffsets) expire() {
	now := time.Now()
	maps.DeleteFunc(u.pending, func(_ int64, open pendingOffsets) bool { return !now.Before(open.deadline) })
}

func (u *unstableOffsets) end(producer int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.pending, producer)
}

// topic is a topic's name, however a version names it.
func (u *unstableOffsets) topic(name string, id [16]byte) string {
	if name == "" {
		name, _ = u.TopicName(id)
	}
	return name
}

// of lists the unstable partitions of a group.
func (u *unstableOffsets) of(group string) map[groupPartition]bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.expire()
	all := make(map[groupPartition]bool)
	for _, open := range u.pending {
		for p := range open.of {
			if p.group == group {
				all[p] = true
			}
		}
	}
	return all
}

// fetched asks again for what is refused on account of others. When no unstable
// offset is known, the broker knows better.
func (u *unstableOffsets) fetched(x *wire.Exchange, req *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse) (changed bool) {
	if !req.RequireStable {
		return false
	}
	if x.Version < offsetsByGroup {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = req.Group
		var refused []*kmsg.OffsetFetchResponseTopicPartition
		unstable := u.of(req.Group)
		for i := range resp.Topics {
			t := &resp.Topics[i]
			topic := kmsg.NewOffsetFetchRequestGroupTopic()
			topic.Topic = t.Topic
			for j := range t.Partitions {
				if p := &t.Partitions[j]; othersUnstable(unstable, groupPartition{req.Group, t.Topic, p.Partition}, p.ErrorCode) {
					topic.Partitions = append(topic.Partitions, p.Partition)
					refused = append(refused, p)
				}
			}
			if len(topic.Partitions) > 0 {
				g.Topics = append(g.Topics, topic)
			}
		}
		for i, o := range u.askAgain(x, g, len(refused)) {
			*refused[i] = kmsg.OffsetFetchResponseTopicPartition{Partition: o.Partition, Offset: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata, ErrorCode: o.ErrorCode}
			changed = true
		}
		return changed
	}
	for i := range resp.Groups {
		if i >= len(req.Groups) {
			break
		}
		group := resp.Groups[i].Group
		unstable := u.of(group)
		g := req.Groups[i]
		g.Topics = nil
		var refused []*kmsg.OffsetFetchResponseGroupTopicPartition
		for j := range resp.Groups[i].Topics {
			t := &resp.Groups[i].Topics[j]
			topic := kmsg.NewOffsetFetchRequestGroupTopic()
			topic.Topic, topic.TopicID = t.Topic, t.TopicID
			for k := range t.Partitions {
				if p := &t.Partitions[k]; othersUnstable(unstable, groupPartition{group, u.topic(t.Topic, t.TopicID), p.Partition}, p.ErrorCode) {
					topic.Partitions = append(topic.Partitions, p.Partition)
					refused = append(refused, p)
				}
			}
			if len(topic.Partitions) > 0 {
				g.Topics = append(g.Topics, topic)
			}
		}
		for i, o := range u.askAgain(x, g, len(refused)) {
			*refused[i], changed = o, true
		}
	}
	return changed
}

// othersUnstable reports whether a partition is refused though its own offset is
// not among the unstable ones.
func othersUnstable(unstable map[groupPartition]bool, p groupPartition, code int16) bool {
	return code == kerr.UnstableOffsetCommit.Code && len(unstable) > 0 && !unstable[p]
}

// askAgain is the n offsets asked for, in their order; nil when there is no such
// answer.
func (u *unstableOffsets) askAgain(x *wire.Exchange, g kmsg.OffsetFetchRequestGroup, n int) (all []kmsg.OffsetFetchResponseGroupTopicPartition) {
	if n == 0 {
		return nil
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = max(x.Version, offsetsByGroup)
	req.Groups = append(req.Groups, g)
	resp, ok := askCoordinator[*kmsg.OffsetFetchResponse](u.coordinators, x, g.Group, req)
	if !ok || len(resp.Groups) != 1 || resp.Groups[0].ErrorCode != 0 {
		return nil
	}
	for _, t := range resp.Groups[0].Topics {
		all = slices.Concat(all, t.Partitions)
	}
	if len(all) != n {
		return nil
	}
	return all
}
