package fakebroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Errors of [Broker.ResetOffsets].
var (
	ErrUnknownGroup = errors.New("unknown group")
	ErrGroupInUse   = errors.New("group has members")
)

// ResetTo is where a group is to go on.
type ResetTo int

const (
	// Earliest is the first record there is.
	Earliest ResetTo = iota

	// Latest is the end: only records that come later.
	Latest

	// AtOffset is [Reset.Offset], whether there is a record or not.
	AtOffset

	// AtTime is the first record with a timestamp from [Reset.Time] on, or the
	// end when there is none.
	AtTime
)

// maxOffsetMetadata is Kafka's offset.metadata.max.bytes.
const maxOffsetMetadata = 4096

// Reset says where a group is to go on.
type Reset struct {
	To     ResetTo   // zero is Earliest
	Offset int64     // for AtOffset; not negative
	Time   time.Time // for AtTime

	// Metadata is committed with the offsets, at most 4,096 bytes: what clients
	// leave there for the next one. Share groups have none.
	Metadata string

	Topic      string  // empty means all that the group has offsets in
	Partitions []int32 // of Topic, or of all; empty means all
}

// ResetOffsets commits offsets for a group that has no members, as
// kafka-consumer-groups does with --reset-offsets, and returns all its offsets
// then. For a share group (KIP-932) it moves the start offset.
// A group that does not exist is made when the reset names a topic.
//
// An error wraps [ErrGroupInUse], [ErrUnknownGroup], [ErrUnknownTopic] or
// [ErrClosed], or is the protocol's. It is safe for concurrent use.
func (b *Broker) ResetOffsets(group string, r Reset) ([]GroupOffset, error) {
	switch {
	case r.To < Earliest || r.To > AtTime:
		return nil, fmt.Errorf("no such reset: %d", r.To)
	case r.To == AtOffset && r.Offset < 0:
		return nil, fmt.Errorf("offset %d is negative", r.Offset)
	case group == "":
		return nil, fmt.Errorf("%w: a group has a name", ErrUnknownGroup)
	case len(r.Metadata) > maxOffsetMetadata:
		return nil, fmt.Errorf("offset metadata of %d bytes, of %d allowed: %w", len(r.Metadata), maxOffsetMetadata, kerr.OffsetMetadataTooLarge)
	}
	g, exists := b.Group(group)
	if len(g.Members) > 0 {
		return nil, inUse(group)
	}
	if g.Type == "share" && r.Metadata != "" {
		return nil, fmt.Errorf("share group %s: start offsets have no metadata", group)
	}
	where, err := b.toReset(g, exists, group, r)
	if err != nil {
		return nil, err
	}
	for topic, parts := range where {
		offsets := make(map[int32]int64)
		for _, p := range parts {
			if offsets[p.Partition], err = b.resetOffset(topic, p, r); err != nil {
				return nil, err
			}
		}
		if g.Type == "share" {
			err = b.alterShareOffsets(group, topic, offsets)
		} else {
			err = b.commit(group, topic, offsets, r.Metadata)
		}
		if err != nil {
			return nil, err
		}
	}
	g, _ = b.Group(group)
	return g.Offsets, nil
}

func inUse(group string) error {
	return fmt.Errorf("%w: %s; stop them first", ErrGroupInUse, group)
}

// toReset is the partitions that a reset is about.
func (b *Broker) toReset(g Group, exists bool, group string, r Reset) (map[string][]Partition, error) {
	topics := []string{r.Topic}
	if r.Topic == "" {
		if !exists {
			return nil, fmt.Errorf("%w: %s; name a topic to make it", ErrUnknownGroup, group)
		}
		topics = nil
		for _, o := range g.Offsets {
			if !slices.Contains(topics, o.Topic) {
				topics = append(topics, o.Topic)
			}
		}
	}
	out := make(map[string][]Partition)
	for _, topic := range topics {
		parts, err := b.partitions(topic)
		if err != nil {
			return nil, err
		}
		for _, n := range r.Partitions {
			if r.Topic != "" && !slices.ContainsFunc(parts, func(p Partition) bool { return p.Partition == n }) {
				return nil, fmt.Errorf("%w: topic %s has no partition %d, only %d partitions", ErrUnknownTopic, topic, n, len(parts))
			}
		}
		for _, p := range parts {
			committed := slices.ContainsFunc(g.Offsets, func(o GroupOffset) bool { return o.Topic == topic && o.Partition == p.Partition })
			if (len(r.Partitions) == 0 || slices.Contains(r.Partitions, p.Partition)) && (r.Topic != "" || committed) {
				out[topic] = append(out[topic], p)
			}
		}
	}
	return out, nil
}

func (b *Broker) resetOffset(topic string, p Partition, r Reset) (int64, error) {
	switch r.To {
	case Earliest:
		return p.Start, nil
	case Latest:
		return p.HighWatermark, nil
	case AtOffset:
		return r.Offset, nil
	}
	const version = 7
	req := kmsg.NewPtrListOffsetsRequest()
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp = p.Partition, r.Time.UnixMilli()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Version, req.Topics = version, append(req.Topics, rt)
	resp, err := b.ask(context.Background(), p.Leader, own(req))
	if err != nil {
		return 0, err
	}
	for _, t := range resp.(*kmsg.ListOffsetsResponse).Topics {
		for _, got := range t.Partitions {
			if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
				return 0, fmt.Errorf("offset of topic %s, partition %d: %w", topic, p.Partition, err)
			}
			if got.Offset >= 0 {
				return got.Offset, nil
			}
		}
	}
	return p.HighWatermark, nil
}

// commit commits as a client without membership does.
func (b *Broker) commit(group, topic string, offsets map[int32]int64, metadata string) error {
	const version = 8
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = version, group, -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic = topic
	for partition, offset := range offsets {
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset = partition, offset
		if metadata != "" {
			rp.Metadata = &metadata
		}
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	inside, _ := b.place(coordinated{groups, group})
	resp, err := b.ask(context.Background(), inside, own(req))
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.OffsetCommitResponse).Topics {
		for _, p := range t.Partitions {
			if err := resetRefused(group, topic, p.Partition, p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Broker) alterShareOffsets(group, topic string, offsets map[int32]int64) error {
	req := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	req.GroupID = group
	rt := kmsg.NewAlterShareGroupOffsetsRequestTopic()
	rt.Topic = topic
	for partition, offset := range offsets {
		rp := kmsg.NewAlterShareGroupOffsetsRequestTopicPartition()
		rp.Partition, rp.StartOffset = partition, offset
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	inside, _ := b.place(coordinated{groups, group})
	r, err := b.ask(context.Background(), inside, own(req))
	if err != nil {
		return err
	}
	resp := r.(*kmsg.AlterShareGroupOffsetsResponse)
	if err := resetRefused(group, topic, -1, resp.ErrorCode); err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := resetRefused(group, topic, p.Partition, p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

// resetRefused is what a broker says against an offset; somebody may have joined
// since the group was looked at.
func resetRefused(group, topic string, partition int32, code int16) error {
	switch err := kerr.ErrorForCode(code); {
	case err == nil:
		return nil
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.NonEmptyGroup), errors.Is(err, kerr.RebalanceInProgress), errors.Is(err, kerr.IllegalGeneration):
		return inUse(group)
	default:
		return fmt.Errorf("offset of group %s, topic %s, partition %d: %w", group, topic, partition, err)
	}
}
