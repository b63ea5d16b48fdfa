package fakebroker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/correct"
)

// Record is a record of a topic, decoded and decompressed. Nothing in it is
// shared with the broker.
type Record struct {
	Partition int32
	Offset    int64
	Timestamp time.Time // of creation, or of appending with message.timestamp.type=LogAppendTime
	Key       []byte    // nil for a null key
	Value     []byte    // nil for a null value, a tombstone
	Headers   []Header
}

// Header is a header of a record.
type Header struct {
	Key   string
	Value []byte // nil for null
}

// Records returns all records of a topic, sorted by partition and offset: those
// of open and aborted transactions too, but no control records. An error wraps
// [ErrUnknownTopic] or [ErrClosed], or says what cannot be decoded.
func (b *Broker) Records(topic string) ([]Record, error) {
	var out []Record
	for r, err := range b.Scan(topic, Selection{}) {
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Selection is which records of a topic to read. The zero value is all of them.
type Selection struct {
	Partitions []int32 // empty means all; one that the topic does not have has no records
	From       int64   // the first offset of each partition
	To         int64   // the offset to stop before; zero means the end

	// ReadCommitted leaves out what consumers that read committed do not see:
	// records of aborted transactions (KIP-98), and all from the first open
	// transaction of a partition on.
	ReadCommitted bool
}

// Scan reads records of a topic in the order of [Broker.Records], without having
// all in memory: up to the end that each partition has when its turn comes. An
// error is the last thing it yields, and is one of those of Records. It is safe
// for concurrent use.
func (b *Broker) Scan(topic string, s Selection) iter.Seq2[Record, error] {
	const piece = 1 << 20
	return func(yield func(Record, error) bool) {
		parts, err := b.partitions(topic)
		if err != nil {
			yield(Record{}, err)
			return
		}
		for _, p := range parts {
			if len(s.Partitions) > 0 && !slices.Contains(s.Partitions, p.Partition) {
				continue
			}
			isolation, how := kgo.ReadUncommitted(), fetching{bytes: piece}
			if s.ReadCommitted {
				isolation, how.committed, p.HighWatermark = kgo.ReadCommitted(), true, p.LastStableOffset
			}
			if s.To > 0 {
				p.HighWatermark = min(p.HighWatermark, s.To)
			}
			err := b.fetchPieces(topic, p, max(p.Start, s.From), how, func(got *kmsg.FetchResponseTopicPartition, from int64) (int64, error) {
				fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
					Topic: topic, Partition: p.Partition, Offset: from, IsolationLevel: isolation,
				}, got, newDecompressor(), nil)
				if fp.Err != nil {
					return 0, fp.Err
				}
				for _, r := range fp.Records {
					if r.Offset < p.HighWatermark && !yield(plainRecord(r), nil) {
						return 0, errStop
					}
				}
				return next, nil
			})
			if errors.Is(err, errStop) {
				return
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
		}
	}
}

// errStop ends a fetch early.
var errStop = errors.New("nothing more is wanted")

func plainRecord(r *kgo.Record) Record {
	out := Record{Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, Header{h.Key, h.Value})
	}
	return out
}

// fetch reads a partition from an offset to its high watermark and hands on each
// piece; read returns the offset after it. It follows the leader when it moves.
func (b *Broker) fetch(topic string, p Partition, from int64, read func(*kmsg.FetchResponseTopicPartition, int64) (int64, error)) error {
	return b.fetchPieces(topic, p, from, fetching{bytes: largePiece}, read)
}

// fetching is how to fetch.
type fetching struct {
	bytes     int32 // at once
	committed bool  // with what aborted transactions have left told apart
}

// largePiece is how many bytes are read at once where nothing is decoded.
const largePiece = 50 << 20

func (b *Broker) fetchPieces(topic string, p Partition, from int64, how fetching, read func(*kmsg.FetchResponseTopicPartition, int64) (int64, error)) error {
	const tries = 10
	for left := tries; from < p.HighWatermark; {
		got, err := b.fetchPiece(topic, p, from, how)
		if retryable(err) && left > 0 {
			left--
			if leader, err := b.leader(topic, p.Partition); err == nil {
				p.Leader = leader
				continue
			}
		}
		var next int64
		if err == nil {
			next, err = read(got, from)
		}
		if err == nil && next <= from {
			return nil // nothing more, though there should be: the log was cut meanwhile
		}
		if err != nil {
			return fmt.Errorf("reading topic %s, partition %d from offset %d: %w", topic, p.Partition, from, err)
		}
		from = next
	}
	return nil
}

func (b *Broker) leader(topic string, partition int32) (leader int32, err error) {
	err = b.do(func() error {
		if leader = b.cluster.LeaderFor(topic, partition); leader < 0 {
			return unknownTopic(topic)
		}
		return nil
	})
	return leader, err
}

// fetchOnce asks the leader, in the last version that knows topics by name, and
// outside of any fetch session (KIP-227).
func (b *Broker) fetchOnce(topic string, p Partition, from int64) (*kmsg.FetchResponseTopicPartition, error) {
	return b.fetchPiece(topic, p, from, fetching{bytes: largePiece})
}

func (b *Broker) fetchPiece(topic string, p Partition, from int64, how fetching) (*kmsg.FetchResponseTopicPartition, error) {
	const version = 12
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.SessionEpoch, req.MaxBytes = version, -1, how.bytes
	if how.committed {
		req.IsolationLevel = 1
	}
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = p.Partition, from, how.bytes
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)

	resp, err := b.ask(context.Background(), p.Leader, own(req))
	if err != nil {
		return nil, err
	}
	r := resp.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return nil, err
	}
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		return nil, unknownTopic(topic)
	}
	got := &r.Topics[0].Partitions[0]
	correct.RestoreTimes(got.RecordBatches)
	return got, kerr.ErrorForCode(got.ErrorCode)
}

// ends remembers where the data of partitions ends, as far as it was read.
type ends struct {
	mu    sync.Mutex
	known map[endKey]end
}

type endKey struct {
	topic     [16]byte // the id: a topic made anew starts anew
	partition int32
}

type end struct {
	read int64 // the offset up to which the log was looked at
	data int64 // the offset after the last data record before that
}

// of returns the end of data of a partition, reading what is new.
func (e *ends) of(b *Broker, topic string, id [16]byte, p Partition) (int64, error) {
	key := endKey{id, p.Partition}
	e.mu.Lock()
	known := e.known[key]
	e.mu.Unlock()

	known.read = max(known.read, p.Start)
	err := b.fetch(topic, p, known.read, func(got *kmsg.FetchResponseTopicPartition, _ int64) (int64, error) {
		return known.read, known.look(got.RecordBatches)
	})
	if err != nil {
		return 0, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known == nil {
		e.known = make(map[endKey]end)
	}
	if e.known[key].read <= known.read {
		e.known[key] = known
	}
	return max(known.data, p.Start), nil
}

// Places in a record batch of magic 2.
const (
	batchLength     = 8
	batchEpoch      = 12
	batchMagic      = 16
	batchAttributes = 21
	batchLastDelta  = 23
	batchHeader     = 61

	controlBatch = 1 << 5
)

// look passes over batches, by their headers alone.
func (e *end) look(batches []byte) error { return e.each(batches, func([]byte) {}) }

// each is look that hands on each batch.
func (e *end) each(batches []byte, look func(batch []byte)) error {
	for len(batches) >= batchHeader {
		size := batchEpoch + int(binary.BigEndian.Uint32(batches[batchLength:]))
		if size < batchHeader || size > len(batches) || batches[batchMagic] != 2 {
			return fmt.Errorf("batch of %d bytes and magic %d", size, batches[batchMagic])
		}
		next := int64(binary.BigEndian.Uint64(batches)) + int64(binary.BigEndian.Uint32(batches[batchLastDelta:])) + 1
		e.read = max(e.read, next)
		if binary.BigEndian.Uint16(batches[batchAttributes:])&controlBatch == 0 {
			e.data = max(e.data, next)
		}
		look(batches[:size])
		batches = batches[size:]
	}
	return nil
}
