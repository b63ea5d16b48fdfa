package correct

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// shareLimits holds answers to ShareFetch to MaxBytes. What an answer has beyond
// that is acquired already, and could only be given back with its deliveries
// counted. So it is held back, and comes with the answers that follow on the same
// connection, before anything else; and from then on no more records are acquired
// than are likely to fit.
//
// What is held back is forgotten when its session ends, or when half of the time
// has passed for which it is locked: the broker then gives it to somebody else,
// as it does with what a member did not acknowledge.
type shareLimits struct {
	mu      sync.Mutex
	members map[shareMember]*heldShares // those that had an answer cut
}

// shareMember has one session on a connection, which is one with one broker.
type shareMember struct {
	connection    context.Context //nolint:containedctx // it stands for the connection that it ends with
	group, member string
}

// heldShares are acquired records that wait for the next fetch.
type heldShares struct {
	batches []shareBatch
	until   time.Time
	average int // bytes a record, of the last answer that was cut
}

// sharePartition is a partition by the id of its topic.
type sharePartition struct {
	topic     [16]byte
	partition int32
}

// shareBatch is a batch of records, and which of them are acquired.
type shareBatch struct {
	sharePartition
	first    int64 // base offset
	bytes    []byte
	acquired []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord
}

func newShareLimits() *shareLimits {
	return &shareLimits{members: make(map[shareMember]*heldShares)}
}

func shareMemberOf(x *wire.Exchange, req *kmsg.ShareFetchRequest) shareMember {
	return shareMember{x.Context(), deref(req.GroupID), deref(req.MemberID)}
}

// take returns what is held back for a member, which is no longer held.
func (l *shareLimits) take(m shareMember) (batches []shareBatch, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.members[m]
	if h == nil {
		return nil, until
	}
	batches, h.batches = h.batches, nil
	if !time.Now().Before(h.until) {
		return nil, until
	}
	return batches, h.until
}

func (l *shareLimits) hold(m shareMember, batches []shareBatch, until time.Time, average int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.members[m] == nil {
		context.AfterFunc(m.connection, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.members, m)
		})
	}
	l.members[m] = &heldShares{batches, until, average}
}

// known is whether something is held back for a member, and how long its records
// are, 0 when that is not known.
func (l *shareLimits) known(m shareMember) (holds bool, average int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.members[m]
	if h == nil {
		return false, 0
	}
	return len(h.batches) > 0 && time.Now().Before(h.until), h.average
}

// Epochs of share sessions that are not just the next one.
const (
	shareSessionOpens = 0
	shareSessionEnds  = -1
)

// ask has a fetch that will be answered with what is held back, or with nothing
// because it has room for nothing, wait for nothing, and acquire as little as can be
// asked for.
func (l *shareLimits) ask(x *wire.Exchange, req *kmsg.ShareFetchRequest) {
	m := shareMemberOf(x, req)
	x.Keep(shareMember{}, m)
	if req.ShareSessionEpoch == shareSessionEnds {
		l.take(m)
		return
	}
	if req.IsRenewAck {
		return
	}
	switch holds, average := l.known(m); {
	case holds, req.MaxBytes <= 0:
		req.MaxWaitMillis, req.MinBytes, req.MaxRecords = 0, 0, 1
	case average > 0 && req.MaxBytes > 0:
		fit := max(1, req.MaxBytes/int32(average))
		if req.MaxRecords > 0 && req.MaxRecords <= fit {
			return
		}
		req.MaxRecords = fit
	default:
		return
	}
	x.SetRequest(req)
}

func (l *shareLimits) answer(x *wire.Exchange, req *kmsg.ShareFetchRequest, resp *kmsg.ShareFetchResponse) bool {
	m, is := x.Kept(shareMember{}).(shareMember)
	if !is || resp.ErrorCode != 0 || req.IsRenewAck || req.ShareSessionEpoch == shareSessionEnds {
		return false
	}
	batches, whole := acquiredBatches(resp)
	if !whole {
		return false
	}
	held, until := l.take(m)
	if req.ShareSessionEpoch == shareSessionOpens {
		held = slices.DeleteFunc(held, func(b shareBatch) bool { return !fetches(req, b.sharePartition) })
	}
	limit := max(0, int(req.MaxBytes))
	if len(held) == 0 && size(batches) <= limit {
		return false
	}
	locked := time.Now().Add(time.Duration(resp.AcquisitionLockTimeoutMillis) * time.Millisecond / 2)
	if len(held) == 0 || locked.Before(until) {
		until = locked
	}
	batches = mergeShares(held, batches)
	if len(batches) == 0 {
		return false
	}
	n, total := 0, 0
	if limit > 0 { // the first one comes whatever its size
		n, total = 1, len(batches[0].bytes)
	}
	for n < len(batches) && total+len(batches[n].bytes) <= limit {
		total += len(batches[n].bytes)
		n++
	}
	l.hold(m, batches[n:], until, average(batches))
	longest := int64(math.MaxInt64)
	if req.ShareAcquireMode == batchOptimized && req.BatchSize > 0 {
		longest = int64(req.BatchSize)
	}
	fillShares(resp, batches[:n], longest)
	return true
}

// batchOptimized is the mode of ShareFetch in which acquired records come in
// ranges of BatchSize at most (KIP-1206).
const batchOptimized = 0

func average(batches []shareBatch) int {
	records := 0
	for _, b := range batches {
		for _, r := range b.acquired {
			records += int(r.LastOffset - r.FirstOffset + 1)
		}
	}
	return max(1, size(batches)/max(1, records))
}

// fetches reports whether a request that opens a session asks for a partition.
func fetches(req *kmsg.ShareFetchRequest, at sharePartition) bool {
	return slices.ContainsFunc(req.Topics, func(t kmsg.ShareFetchRequestTopic) bool {
		return t.TopicID == at.topic && slices.ContainsFunc(t.Partitions, func(p kmsg.ShareFetchRequestTopicPartition) bool {
			return p.Partition == at.partition
		})
	})
}

func size(batches []shareBatch) (n int) {
	for _, b := range batches {
		n += len(b.bytes)
	}
	return n
}

// Where a record batch (v2) says how far it reaches.
const (
	batchLength     = 8  // of what follows the length
	batchLastOffset = 23 // of the last record, from the first
	batchHeaderSize = 61
)

// acquiredBatches takes an answer apart, and leaves out batches of which nothing
// is acquired. whole is false when it is not made of
// record batches.
func acquiredBatches(resp *kmsg.ShareFetchResponse) (batches []shareBatch, whole bool) {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			for b := p.Records; len(b) > 0; {
				if len(b) < batchHeaderSize {
					return nil, false
				}
				n := batchLength + 4 + int(int32(binary.BigEndian.Uint32(b[batchLength:])))
				if n < batchHeaderSize || n > len(b) {
					return nil, false
				}
				first := int64(binary.BigEndian.Uint64(b))
				last := first + int64(int32(binary.BigEndian.Uint32(b[batchLastOffset:])))
				if acquired := acquiredWithin(p.AcquiredRecords, first, last); len(acquired) > 0 {
					at := sharePartition{t.TopicID, p.Partition}
					batches = append(batches, shareBatch{at, first, b[:n:n], acquired})
				}
				b = b[n:]
			}
		}
	}
	return batches, true
}

func acquiredWithin(all []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord, first, last int64) (within []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord) {
	for _, r := range all {
		r.FirstOffset, r.LastOffset = max(r.FirstOffset, first), min(r.LastOffset, last)
		if r.FirstOffset <= r.LastOffset {
			within = append(within, r)
		}
	}
	return within
}

// mergeShares puts what was held back before what has come, partition by
// partition, each in the order of offsets and each batch once.
func mergeShares(held, come []shareBatch) []shareBatch {
	var merged []shareBatch
	turn := make(map[sharePartition]int)
	for _, b := range slices.Concat(held, come) {
		if _, known := turn[b.sharePartition]; !known {
			turn[b.sharePartition] = len(turn)
		}
		i := slices.IndexFunc(merged, func(o shareBatch) bool { return o.sharePartition == b.sharePartition && o.first == b.first })
		if i < 0 {
			merged = append(merged, b)
			continue
		}
		merged[i].acquired = slices.Concat(merged[i].acquired, b.acquired)
		slices.SortFunc(merged[i].acquired, func(a, b kmsg.ShareFetchResponseTopicPartitionAcquiredRecord) int {
			return cmp.Compare(a.FirstOffset, b.FirstOffset)
		})
	}
	slices.SortStableFunc(merged, func(a, b shareBatch) int {
		return cmp.Or(cmp.Compare(turn[a.sharePartition], turn[b.sharePartition]), cmp.Compare(a.first, b.first))
	})
	return merged
}

// fillShares has an answer deliver batches, and nothing else.
func fillShares(resp *kmsg.ShareFetchResponse, batches []shareBatch, longest int64) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			p.Records, p.AcquiredRecords = nil, nil
		}
	}
	for _, b := range batches {
		p := shareOf(resp, b.sharePartition)
		p.Records = append(p.Records, b.bytes...)
		for _, r := range b.acquired {
			if n := len(p.AcquiredRecords); n > 0 {
				last := &p.AcquiredRecords[n-1]
				if last.LastOffset+1 == r.FirstOffset && last.DeliveryCount == r.DeliveryCount && r.LastOffset-last.FirstOffset < longest {
					last.LastOffset = r.LastOffset
					continue
				}
			}
			p.AcquiredRecords = append(p.AcquiredRecords, r)
		}
	}
}

// shareOf is an answer's place for a partition, made when there is none.
func shareOf(resp *kmsg.ShareFetchResponse, at sharePartition) *kmsg.ShareFetchResponseTopicPartition {
	i := slices.IndexFunc(resp.Topics, func(t kmsg.ShareFetchResponseTopic) bool { return t.TopicID == at.topic })
	if i < 0 {
		t := kmsg.NewShareFetchResponseTopic()
		t.TopicID = at.topic
		i, resp.Topics = len(resp.Topics), append(resp.Topics, t)
	}
	t := &resp.Topics[i]
	j := slices.IndexFunc(t.Partitions, func(p kmsg.ShareFetchResponseTopicPartition) bool { return p.Partition == at.partition })
	if j < 0 {
		p := kmsg.NewShareFetchResponseTopicPartition()
		p.Partition = at.partition
		p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = -1, -1
		j, t.Partitions = len(t.Partitions), append(t.Partitions, p)
	}
	return &t.Partitions[j]
}
