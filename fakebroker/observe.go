package fakebroker

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Observer is told what clients do, whatever they are written in, from what
// passes on the wire. Each function may be nil.
//
// The functions are called from the goroutines of the connections, from many at
// once and for the same partition too, in the order of each connection. They must
// return soon, because the client waits meanwhile, and must not close the broker.
// What they are given is theirs to keep.
type Observer struct {
	// Produced is called when records were appended, before the client hears
	// of it, and also when it never does. A client that tries again after a
	// lost answer, and that the broker recognises by the producer id (KIP-98),
	// is told again with the same offsets. Records of transactions are told
	// when they are appended. Records that a broker says it has appended in
	// vain (NOT_ENOUGH_REPLICAS_AFTER_APPEND) are not told. With acks=0 the
	// broker is asked all the same, without the client knowing.
	Produced func(Produced)

	// Fetched is called when records are sent to a client, by Fetch or
	// ShareFetch, before the client has them. Answers that a fault keeps from
	// the client are not told.
	Fetched func(Fetched)

	// Committed is called when a group's offset was committed, before the
	// client hears of it. Offsets of a transaction are told when it commits.
	Committed func(Committed)

	// Joined is called when a group has taken in a member, before the client
	// hears of it: after each rebalance of a classic group, and once for the
	// members of other kinds of group.
	Joined func(Joined)

	// Acknowledged is called when members of share groups (KIP-932) have
	// acknowledged records, with ShareFetch or ShareAcknowledge.
	Acknowledged func(Acknowledged)

	// Ended is called when a client has ended a transaction, after Committed
	// for its offsets.
	Ended func(TransactionEnd)

	// Fault is called when a [Fault] of this broker begins, when it strikes and
	// when it is cleared. A strike is told before the client can know of it, but
	// for connections that are cut while they are idle and members whose session
	// is expired, which are told right after. Produce requests with acks=0 that
	// are refused are told when they are.
	Fault func(FaultEvent)

	// Assigned is called when a member of a group is given partitions, or none,
	// before it hears of it.
	Assigned func(Assignment)
}

// Produced is records that a client has appended to a partition.
type Produced struct {
	ClientID        string
	Remote          string // the client's address, HOST:PORT, of this connection
	Broker          int32  // node id
	Topic           string
	Partition       int32
	Offset          int64  // of the first record
	TransactionalID string // empty outside of transactions

	batches []byte
	at      time.Time // of the append, when that is what the topic's timestamps are
}

// Count is the number of records, without decoding them.
func (p Produced) Count() int { return countRecords(p.batches) }

// Records decodes and decompresses the records. An error says what cannot be
// decoded.
func (p Produced) Records() ([]Record, error) {
	batches := bytes.Clone(p.batches)
	for at, rest := p.Offset, batches; len(rest) >= batchHeader; { // producers number from 0
		size, next := batchAt(rest)
		if size == 0 {
			break
		}
		first := int64(binary.BigEndian.Uint64(rest))
		binary.BigEndian.PutUint64(rest, uint64(at))
		at += next - first
		rest = rest[size:]
	}
	records, err := decode(p.Topic, p.Partition, p.Offset, batches, nil)
	if !p.at.IsZero() {
		for i := range records {
			records[i].Timestamp = p.at
		}
	}
	return records, err
}

// Fetched is records that a client was sent.
type Fetched struct {
	ClientID      string
	Remote        string // the client's address, HOST:PORT, of this connection
	Broker        int32  // node id
	Group         string // of ShareFetch, else empty: Fetch does not tell
	Topic         string
	Partition     int32
	Offset        int64 // the first offset that is new to the client
	Next          int64 // the offset after the last one
	HighWatermark int64 // -1 for ShareFetch
	ReadCommitted bool  // the client asked for no records of transactions that are open or aborted

	batches  []byte
	aborted  []kmsg.FetchResponseTopicPartitionAbortedTransaction
	acquired []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord
}

// Records decodes and decompresses what the client gets to see: no control
// records, none before Offset, none of aborted transactions when it reads
// committed, none that a member of a share group has not acquired. That can be
// none at all. An error says what cannot be decoded.
func (f Fetched) Records() ([]Record, error) {
	records, err := decode(f.Topic, f.Partition, f.Offset, f.batches, f.aborted)
	if f.Group != "" {
		records = slices.DeleteFunc(records, func(r Record) bool {
			return !slices.ContainsFunc(f.acquired, func(a kmsg.ShareFetchResponseTopicPartitionAcquiredRecord) bool {
				return a.FirstOffset <= r.Offset && r.Offset <= a.LastOffset
			})
		})
	}
	return records, err
}

// Committed is an offset that was committed for a group.
type Committed struct {
	ClientID        string
	Remote          string // the client's address, HOST:PORT, of this connection
	Group           string
	MemberID        string // empty when no member has committed it
	Generation      int32  // or member epoch; -1 when no member has committed it
	Topic           string
	Partition       int32
	Offset          int64
	LeaderEpoch     int32 // -1 when there is none
	Metadata        string
	TransactionalID string // empty outside of transactions
}

// Joined is a member that a group has taken in. Clients may have names in common,
// and connections may be lost: what tells members apart is MemberID.
type Joined struct {
	ClientID string
	Remote   string // the client's address, HOST:PORT, of this connection
	Group    string
	MemberID string
}

// Acknowledgement is what a member of a share group made of a record.
type Acknowledgement int8

// Acknowledgements of KIP-932 and KIP-1222, and of offsets that have no record.
const (
	Gap Acknowledgement = iota
	Accepted
	Released
	Rejected
	Renewed
)

// Acknowledged is records that a member of a share group has acknowledged.
type Acknowledged struct {
	ClientID  string
	Remote    string // the client's address, HOST:PORT, of this connection
	Group     string
	MemberID  string
	Topic     string
	Partition int32
	First     int64 // offsets, both inclusive
	Last      int64
	As        Acknowledgement
}

// Assignment is what a group has given a member.
type Assignment struct {
	ClientID   string
	Remote     string // the client's address, HOST:PORT, of this connection
	Group      string
	MemberID   string
	Epoch      int32              // the generation, or the member's epoch (KIP-848, KIP-932)
	Partitions map[string][]int32 // by topic; empty when it has none
}

// TransactionEnd is a transaction that a client has ended.
type TransactionEnd struct {
	ClientID        string
	Remote          string // the client's address, HOST:PORT, of this connection
	TransactionalID string
	Committed       bool // false: aborted
}

// observers are who is told. Nobody being told costs a look at a flag.
type observers struct {
	acts, fetches, faults, assignments atomic.Bool // somebody is told about them

	list atomic.Pointer[[]*Observer]

	mu       sync.Mutex
	pending  map[string][]Committed // of transactions, by their id
	sessions map[fetchSession]fetchOffsets
	names    map[[16]byte]string // of topics
}

// Observe tells an observer what clients do from now on, until stop is called.
// Calls that are under way may end after that. What was begun before it is known
// in part only: offsets of a transaction that is open are not told, and the first
// fetch in a session (KIP-227) may tell records that the client had already. It
// is safe for concurrent use; several observers are told each.
func (tr *traffic) Observe(o Observer) (stop func()) {
	p := &o
	tr.observers.change(func(l []*Observer) []*Observer { return append(l, p) })
	return func() {
		tr.observers.change(func(l []*Observer) []*Observer {
			return slices.DeleteFunc(l, func(other *Observer) bool { return other == p })
		})
	}
}

func (o *observers) change(f func([]*Observer) []*Observer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := f(slices.Clone(o.all()))
	o.list.Store(&l)
	o.acts.Store(slices.ContainsFunc(l, func(o *Observer) bool {
		return o.Produced != nil || o.Committed != nil || o.Joined != nil || o.Acknowledged != nil || o.Ended != nil
	}))
	o.fetches.Store(slices.ContainsFunc(l, func(o *Observer) bool { return o.Fetched != nil }))
	o.faults.Store(slices.ContainsFunc(l, func(o *Observer) bool { return o.Fault != nil }))
	o.assignments.Store(slices.ContainsFunc(l, func(o *Observer) bool { return o.Assigned != nil }))
	if !o.acts.Load() {
		o.pending = nil
	}
	if !o.fetches.Load() {
		o.sessions = nil
	}
}

func (o *observers) all() []*Observer {
	if l := o.list.Load(); l != nil {
		return *l
	}
	return nil
}

// tell calls a function of every observer that has it.
func tell[T any](o *observers, of func(*Observer) func(T), what T) {
	for _, each := range o.all() {
		if f := of(each); f != nil {
			f(what)
		}
	}
}

// batchAt is the size of the first batch and the offset after it; 0 when it is
// not whole or older than magic 2.
func batchAt(batches []byte) (size int, next int64) {
	if len(batches) < batchHeader || batches[batchMagic] != 2 {
		return 0, 0
	}
	size = batchEpoch + int(int32(binary.BigEndian.Uint32(batches[batchLength:])))
	if size < batchHeader || size > len(batches) {
		return 0, 0
	}
	return size, int64(binary.BigEndian.Uint64(batches)) + int64(binary.BigEndian.Uint32(batches[batchLastDelta:])) + 1
}

func countRecords(batches []byte) (n int) {
	for {
		size, _ := batchAt(batches)
		if size == 0 {
			return n
		}
		n += int(binary.BigEndian.Uint32(batches[batchHeader-4:]))
		batches = batches[size:]
	}
}

// decode decodes batches as a client does.
func decode(topic string, partition int32, from int64, batches []byte, aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) ([]Record, error) {
	opts := kgo.ProcessFetchPartitionOpts{Topic: topic, Partition: partition, Offset: from}
	if len(aborted) > 0 {
		opts.IsolationLevel = kgo.ReadCommitted()
	}
	got := kmsg.NewFetchResponseTopicPartition()
	got.Partition, got.RecordBatches = partition, batches
	got.AbortedTransactions = slices.Clone(aborted)
	fp, _ := kgo.ProcessFetchPartition(opts, &got, newDecompressor(), nil)
	var out []Record
	for _, r := range fp.Records {
		out = append(out, plainRecord(r))
	}
	return out, fp.Err
}
