package fakebroker

import (
	"cmp"
	"encoding/binary"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// confirmProduced has brokers say what became of records produced with acks=0, for
// those who are told of it.
func (tr *traffic) confirmProduced() wire.Rule {
	return wire.Rule{
		Name: "confirm what is produced with acks=0",
		Keys: wire.Keys(kmsg.Produce),
		Wants: func(h wire.Header) bool {
			return h.Silent && (tr.observers.acts.Load() || tr.observers.faults.Load())
		},
		Request: func(x *wire.Exchange) { x.Confirm() },
	}
}

// observeActs tells what brokers have done. It comes before any fault, because a
// client that never hears of it does not undo it.
func (tr *traffic) observeActs() wire.Rule {
	api := wire.Keys(
		kmsg.Produce, kmsg.OffsetCommit, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.InitProducerID,
		kmsg.ShareFetch, kmsg.ShareAcknowledge,
		kmsg.JoinGroup, kmsg.ConsumerGroupHeartbeat, kmsg.ShareGroupHeartbeat,
	)
	return wire.Rule{
		Name:  "observe what brokers do",
		Keys:  api,
		Wants: func(wire.Header) bool { return tr.observers.acts.Load() },
		Answer: func(x *wire.Exchange) {
			r, err := x.Request()
			if err != nil {
				return
			}
			resp, err := x.Response()
			if err != nil {
				return
			}
			switch req := r.(type) {
			case *kmsg.ProduceRequest:
				tr.observeProduce(x, req, resp.(*kmsg.ProduceResponse))
			case *kmsg.OffsetCommitRequest:
				tr.observeCommit(x, req, resp.(*kmsg.OffsetCommitResponse))
			case *kmsg.TxnOffsetCommitRequest:
				tr.observeTxnCommit(x, req, resp.(*kmsg.TxnOffsetCommitResponse))
			case *kmsg.EndTxnRequest:
				if resp.(*kmsg.EndTxnResponse).ErrorCode == 0 {
					tr.observeEnd(x, req)
				}
			case *kmsg.InitProducerIDRequest:
				if resp.(*kmsg.InitProducerIDResponse).ErrorCode == 0 && req.TransactionalID != nil {
					tr.observers.take(*req.TransactionalID) // what was open is aborted
				}
			case *kmsg.ShareFetchRequest:
				tr.observeShareFetch(x, req, resp.(*kmsg.ShareFetchResponse))
			case *kmsg.JoinGroupRequest:
				if resp := resp.(*kmsg.JoinGroupResponse); resp.ErrorCode == 0 {
					tr.observeJoin(x, req.Group, resp.MemberID)
				}
			case *kmsg.ConsumerGroupHeartbeatRequest:
				if resp := resp.(*kmsg.ConsumerGroupHeartbeatResponse); resp.ErrorCode == 0 && req.MemberEpoch == 0 {
					tr.observeJoin(x, req.Group, cmp.Or(memberID(resp.MemberID), req.MemberID))
				}
			case *kmsg.ShareGroupHeartbeatRequest:
				if resp := resp.(*kmsg.ShareGroupHeartbeatResponse); resp.ErrorCode == 0 && req.MemberEpoch == 0 {
					tr.observeJoin(x, req.GroupID, cmp.Or(memberID(resp.MemberID), req.MemberID))
				}
			case *kmsg.ShareAcknowledgeRequest:
				tr.observeAcknowledge(x, req, resp.(*kmsg.ShareAcknowledgeResponse))
			}
		},
	}
}

// hurryAcknowledged has brokers say at once what became of acknowledgements that
// come with a ShareFetch: they act on them at once, and may take as long as the
// client would wait for records to say so.
func (tr *traffic) hurryAcknowledged() wire.Rule {
	return wire.Rule{
		Name:  "do not wait for records behind acknowledgements",
		Keys:  wire.Keys(kmsg.ShareFetch),
		Wants: func(wire.Header) bool { return tr.observers.acts.Load() },
		Request: func(x *wire.Exchange) {
			r, err := x.Request()
			if err != nil {
				return
			}
			if req, ok := r.(*kmsg.ShareFetchRequest); ok && req.MaxWaitMillis > 0 && acknowledges(req) {
				req.MaxWaitMillis = 0
				x.SetRequest(req)
			}
		},
	}
}

// remote is the address of the client that an exchange is with.
func remote(x *wire.Exchange) string {
	if a := x.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}

// partitionOf is a partition of an answer, by whatever its version calls the topic.
type partitionOf struct {
	topic     string
	id        [16]byte
	partition int32
}

func (tr *traffic) observeProduce(x *wire.Exchange, req *kmsg.ProduceRequest, resp *kmsg.ProduceResponse) {
	answers := make(map[partitionOf]kmsg.ProduceResponseTopicPartition)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			answers[partitionOf{t.Topic, t.TopicID, p.Partition}] = p
		}
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			a, answered := answers[partitionOf{t.Topic, t.TopicID, p.Partition}]
			if !answered || a.ErrorCode != 0 || a.BaseOffset < 0 {
				continue
			}
			what := Produced{ClientID: x.ClientID, Remote: remote(x), Broker: tr.behind.id(x.Node), Partition: p.Partition, Offset: a.BaseOffset, batches: p.Records}
			if a.LogAppendTime >= 0 {
				what.at = time.UnixMilli(a.LogAppendTime)
			}
			if req.TransactionID != nil {
				what.TransactionalID = *req.TransactionID
			}
			if what.Topic = tr.observedTopic(t.Topic, t.TopicID); what.Topic != "" {
				tell(&tr.observers, func(o *Observer) func(Produced) { return o.Produced }, what)
			}
		}
	}
}

func (tr *traffic) observeCommit(x *wire.Exchange, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) {
	done := make(map[partitionOf]bool)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			done[partitionOf{t.Topic, t.TopicID, p.Partition}] = p.ErrorCode == 0
		}
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if !done[partitionOf{t.Topic, t.TopicID, p.Partition}] {
				continue
			}
			what := Committed{
				ClientID: x.ClientID, Remote: remote(x), Group: req.Group, MemberID: req.MemberID, Generation: req.Generation,
				Topic: tr.observedTopic(t.Topic, t.TopicID), Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch,
			}
			if p.Metadata != nil {
				what.Metadata = *p.Metadata
			}
			tell(&tr.observers, func(o *Observer) func(Committed) { return o.Committed }, what)
		}
	}
}

func (tr *traffic) observeJoin(x *wire.Exchange, group, member string) {
	tell(&tr.observers, func(o *Observer) func(Joined) { return o.Joined },
		Joined{ClientID: x.ClientID, Remote: remote(x), Group: group, MemberID: member})
}

// observeTxnCommit keeps the offsets of a transaction until it ends.
func (tr *traffic) observeTxnCommit(x *wire.Exchange, req *kmsg.TxnOffsetCommitRequest, resp *kmsg.TxnOffsetCommitResponse) {
	done := make(map[partitionOf]bool)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			done[partitionOf{t.Topic, t.TopicID, p.Partition}] = p.ErrorCode == 0
		}
	}
	var all []Committed
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if !done[partitionOf{t.Topic, t.TopicID, p.Partition}] {
				continue
			}
			what := Committed{
				ClientID: x.ClientID, Remote: remote(x), Group: req.Group, MemberID: req.MemberID, Generation: req.Generation,
				Topic: tr.observedTopic(t.Topic, t.TopicID), Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, TransactionalID: req.TransactionalID,
			}
			if p.Metadata != nil {
				what.Metadata = *p.Metadata
			}
			all = append(all, what)
		}
	}
	o := &tr.observers
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pending == nil {
		o.pending = make(map[string][]Committed)
	}
	o.pending[req.TransactionalID] = append(o.pending[req.TransactionalID], all...)
}

// take returns the offsets of a transaction, which is over.
func (o *observers) take(transactionalID string) []Committed {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.pending[transactionalID]
	delete(o.pending, transactionalID)
	return all
}

func (tr *traffic) observeEnd(x *wire.Exchange, req *kmsg.EndTxnRequest) {
	offsets := tr.observers.take(req.TransactionalID)
	if req.Commit {
		for _, c := range offsets {
			tell(&tr.observers, func(o *Observer) func(Committed) { return o.Committed }, c)
		}
	}
	tell(&tr.observers, func(o *Observer) func(TransactionEnd) { return o.Ended },
		TransactionEnd{ClientID: x.ClientID, Remote: remote(x), TransactionalID: req.TransactionalID, Committed: req.Commit})
}

func (tr *traffic) observeShareFetch(x *wire.Exchange, req *kmsg.ShareFetchRequest, resp *kmsg.ShareFetchResponse) {
	refused := make(map[partitionOf]bool)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			refused[partitionOf{id: t.TopicID, partition: p.Partition}] = p.AcknowledgeErrorCode != 0
		}
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if resp.ErrorCode != 0 || refused[partitionOf{id: t.TopicID, partition: p.Partition}] {
				continue
			}
			for _, a := range p.AcknowledgementBatches {
				tr.observeShare(x, req.GroupID, req.MemberID, t.TopicID, p.Partition, a.FirstOffset, a.LastOffset, a.AcknowledgeTypes)
			}
		}
	}
}

func (tr *traffic) observeAcknowledge(x *wire.Exchange, req *kmsg.ShareAcknowledgeRequest, resp *kmsg.ShareAcknowledgeResponse) {
	refused := make(map[partitionOf]bool)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			refused[partitionOf{id: t.TopicID, partition: p.Partition}] = p.ErrorCode != 0
		}
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if resp.ErrorCode != 0 || refused[partitionOf{id: t.TopicID, partition: p.Partition}] {
				continue
			}
			for _, a := range p.AcknowledgementBatches {
				tr.observeShare(x, req.GroupID, req.MemberID, t.TopicID, p.Partition, a.FirstOffset, a.LastOffset, a.AcknowledgeTypes)
			}
		}
	}
}

func acknowledges(req *kmsg.ShareFetchRequest) bool {
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if len(p.AcknowledgementBatches) > 0 {
				return true
			}
		}
	}
	return false
}

// observeShare tells acknowledgements; types has one for all records, or one for
// each.
func (tr *traffic) observeShare(x *wire.Exchange, group, member *string, id [16]byte, partition int32, first, last int64, types []int8) {
	what := Acknowledged{ClientID: x.ClientID, Remote: remote(x), Topic: tr.observedTopic("", id), Partition: partition}
	if group != nil {
		what.Group = *group
	}
	if member != nil {
		what.MemberID = *member
	}
	each := func(o *Observer) func(Acknowledged) { return o.Acknowledged }
	for i := 0; i < len(types); {
		end := i + 1
		for end < len(types) && types[end] == types[i] {
			end++
		}
		what.As, what.First, what.Last = Acknowledgement(types[i]), first+int64(i), first+int64(end)-1
		if len(types) == 1 {
			what.Last = last
		}
		tell(&tr.observers, each, what)
		i = end
	}
}

// observeFetches tells what clients were sent, when it was.
func (tr *traffic) observeFetches() wire.Rule {
	api := wire.Keys(kmsg.Fetch, kmsg.ShareFetch)
	return wire.Rule{
		Name:  "observe what clients are sent",
		Keys:  api,
		Wants: func(wire.Header) bool { return tr.observers.fetches.Load() },
		Sending: func(x *wire.Exchange) {
			r, err := x.Request()
			if err != nil {
				return
			}
			resp, err := x.Response()
			if err != nil {
				return
			}
			switch req := r.(type) {
			case *kmsg.FetchRequest:
				tr.observeFetch(x, req, resp.(*kmsg.FetchResponse))
			case *kmsg.ShareFetchRequest:
				tr.observeShared(x, req, resp.(*kmsg.ShareFetchResponse))
			}
		},
	}
}

// fetchSession is a broker's session with a client (KIP-227), in which requests
// name only the partitions whose offset has changed.
type fetchSession struct{ node, id int32 }

// fetchOffsets is from where a client fetches.
type fetchOffsets map[partitionOf]int64

// maxSessions is more than a broker keeps for all its clients (Kafka's
// max.incremental.fetch.session.cache.slots).
const maxSessions = 10_000

// offsetsFor is from where a request fetches, named or not.
func (o *observers) offsetsFor(node int32, req *kmsg.FetchRequest, resp *kmsg.FetchResponse) fetchOffsets {
	o.mu.Lock()
	defer o.mu.Unlock()
	offsets := o.sessions[fetchSession{node, req.SessionID}]
	if req.SessionEpoch <= 0 {
		delete(o.sessions, fetchSession{node, req.SessionID})
		offsets = nil
	}
	if offsets == nil {
		offsets = make(fetchOffsets)
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			offsets[partitionOf{t.Topic, t.TopicID, p.Partition}] = p.FetchOffset
		}
	}
	for _, t := range req.ForgottenTopics {
		for _, p := range t.Partitions {
			delete(offsets, partitionOf{t.Topic, t.TopicID, p})
		}
	}
	if resp.SessionID != 0 && resp.ErrorCode == 0 {
		if o.sessions == nil || len(o.sessions) > maxSessions {
			o.sessions = make(map[fetchSession]fetchOffsets)
		}
		o.sessions[fetchSession{node, resp.SessionID}] = offsets
	}
	known := make(fetchOffsets, len(resp.Topics))
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			at := partitionOf{t.Topic, t.TopicID, p.Partition}
			if from, ok := offsets[at]; ok {
				known[at] = from
			}
		}
	}
	return known
}

func (tr *traffic) observeFetch(x *wire.Exchange, req *kmsg.FetchRequest, resp *kmsg.FetchResponse) {
	offsets := tr.observers.offsetsFor(x.Node, req, resp)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			first, next := span(p.RecordBatches)
			first = max(first, offsets[partitionOf{t.Topic, t.TopicID, p.Partition}])
			topic := tr.observedTopic(t.Topic, t.TopicID)
			if p.ErrorCode != 0 || next <= first || topic == "" {
				continue
			}
			tell(&tr.observers, func(o *Observer) func(Fetched) { return o.Fetched }, Fetched{
				ClientID: x.ClientID, Remote: remote(x), Broker: tr.behind.id(x.Node), Topic: topic, Partition: p.Partition,
				Offset: first, Next: next, HighWatermark: p.HighWatermark, ReadCommitted: req.IsolationLevel == 1,
				batches: p.RecordBatches, aborted: p.AbortedTransactions,
			})
		}
	}
}

func (tr *traffic) observeShared(x *wire.Exchange, req *kmsg.ShareFetchRequest, resp *kmsg.ShareFetchResponse) {
	group := ""
	if req.GroupID != nil {
		group = *req.GroupID
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			topic := tr.observedTopic("", t.TopicID)
			if p.ErrorCode != 0 || len(p.AcquiredRecords) == 0 || topic == "" {
				continue
			}
			tell(&tr.observers, func(o *Observer) func(Fetched) { return o.Fetched }, Fetched{
				ClientID: x.ClientID, Remote: remote(x), Broker: tr.behind.id(x.Node), Group: group, Topic: topic, Partition: p.Partition,
				Offset: p.AcquiredRecords[0].FirstOffset, Next: p.AcquiredRecords[len(p.AcquiredRecords)-1].LastOffset + 1, HighWatermark: -1,
				batches: p.Records, acquired: p.AcquiredRecords,
			})
		}
	}
}

// span is the offsets of whole batches: the first, and the one after the last.
func span(batches []byte) (first, next int64) {
	for i := 0; ; i++ {
		size, after := batchAt(batches)
		if size == 0 {
			return first, next
		}
		if i == 0 {
			first = int64(binary.BigEndian.Uint64(batches))
		}
		next, batches = after, batches[size:]
	}
}

// observedTopic is a topic's name, by its id where a version has that alone.
func (tr *traffic) observedTopic(name string, id [16]byte) string {
	if name != "" || id == ([16]byte{}) {
		return name
	}
	o := &tr.observers
	o.mu.Lock()
	name = o.names[id]
	o.mu.Unlock()
	if name != "" {
		return name
	}
	if name = tr.behind.topicByID(id); name != "" {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.names == nil {
			o.names = make(map[[16]byte]string)
		}
		o.names[id] = name // for good: a topic made anew has another id
	}
	return name
}
