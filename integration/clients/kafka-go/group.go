package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"example.com/kafkatest/integration/clients/cells"
)

// newReader returns a reader in a group. Heartbeats are quicker than by
// default, so that a member hears of a rebalance within half a second.
func newReader(group, topic string) *kafka.Reader {
	return kafka.NewReader(kafka.ReaderConfig{
		Brokers:           []string{cells.Bootstrap},
		GroupID:           cells.Prefix + "-" + group,
		Topic:             topic,
		StartOffset:       kafka.FirstOffset,
		MaxWait:           200 * time.Millisecond,
		HeartbeatInterval: 500 * time.Millisecond,
		SessionTimeout:    6 * time.Second,
		RebalanceTimeout:  6 * time.Second,
		JoinGroupBackoff:  time.Second,
	})
}

// fetch returns count messages of a reader.
func fetch(ctx context.Context, reader *kafka.Reader, count int) ([]kafka.Message, error) {
	var messages []kafka.Message
	for len(messages) < count {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			return nil, err
		}
		messages = append(messages, message)
	}
	return messages, nil
}

// A member reads until it is closed, commits all or some of it, and keeps what
// it received.
type member struct {
	reader *kafka.Reader
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	values []string
}

// all is for a member that commits all that it reads.
func all(kafka.Message) bool { return true }

func join(ctx context.Context, group, topic string, commits func(kafka.Message) bool) *member {
	ctx, cancel := context.WithCancel(ctx)
	m := &member{reader: newReader(group, topic), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for {
			message, err := m.reader.FetchMessage(ctx)
			if err != nil {
				return
			}
			if commits(message) {
				if err := m.reader.CommitMessages(ctx, message); err != nil {
					return
				}
			}
			m.mu.Lock()
			m.values = append(m.values, string(message.Value))
			m.mu.Unlock()
		}
	}()
	return m
}

func (m *member) received() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.values...)
}

// close leaves the group.
func (m *member) close() error {
	m.cancel()
	<-m.done
	return m.reader.Close()
}

// received waits until members have count records between them.
func received(ctx context.Context, count int, members ...*member) ([]string, error) {
	var all []string
	err := cells.Until(ctx, func() (bool, error) {
		all = nil
		for _, m := range members {
			all = append(all, m.received()...)
		}
		return len(all) >= count, nil
	})
	return all, err
}

// describeGroup asks for a group's state and members: a Reader does not tell
// what it is assigned.
func describeGroup(ctx context.Context, group string) (kafka.DescribeGroupsResponseGroup, error) {
	answer, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{cells.Prefix + "-" + group}})
	if err != nil {
		return kafka.DescribeGroupsResponseGroup{}, err
	}
	return answer.Groups[0], answer.Groups[0].Error
}

// assigned waits until a group is stable and its members have so many
// partitions each.
func assigned(ctx context.Context, group string, members, each int) error {
	return cells.Until(ctx, func() (bool, error) {
		described, err := describeGroup(ctx, group)
		if err != nil && !errors.Is(err, kafka.GroupCoordinatorNotAvailable) && !errors.Is(err, kafka.GroupIdNotFound) {
			return false, err
		}
		if described.GroupState != "Stable" || len(described.Members) != members {
			return false, nil
		}
		for _, m := range described.Members {
			topics := m.MemberAssignments.Topics
			if len(topics) != 1 || len(topics[0].Partitions) != each {
				return false, nil
			}
		}
		return true, nil
	})
}

func sendFiveToEachPartition(ctx context.Context, topic string, first int) error {
	if err := send(ctx, plaintext, topic, 0, 0, messages(cells.Values(first, first+5))); err != nil {
		return err
	}
	return send(ctx, plaintext, topic, 1, 0, messages(cells.Values(first+5, first+10)))
}

func groupTwoMembers(ctx context.Context) (string, error) {
	topic, err := newTopic(ctx, "two-members")
	if err != nil {
		return "", err
	}
	one, other := join(ctx, "two-members", topic, all), join(ctx, "two-members", topic, all)
	if err := assigned(ctx, "two-members", 2, 1); err != nil {
		return "", err
	}
	if err := sendFiveToEachPartition(ctx, topic, 0); err != nil {
		return "", err
	}
	values, err := received(ctx, 10, one, other)
	if err != nil {
		return "", err
	}
	for _, m := range []*member{one, other} {
		if err := m.close(); err != nil {
			return "", err
		}
	}
	return "1 partition each, " + cells.Once(values, cells.Values(0, 10)), nil
}

func groupRebalance(ctx context.Context) (string, error) {
	topic, err := newTopic(ctx, "rebalance")
	if err != nil {
		return "", err
	}
	stays, leaves := join(ctx, "rebalance", topic, all), join(ctx, "rebalance", topic, all)
	if err := assigned(ctx, "rebalance", 2, 1); err != nil {
		return "", err
	}
	if err := sendFiveToEachPartition(ctx, topic, 0); err != nil {
		return "", err
	}
	if _, err := received(ctx, 10, stays, leaves); err != nil {
		return "", err
	}
	if err := leaves.close(); err != nil {
		return "", err
	}
	if err := assigned(ctx, "rebalance", 1, 2); err != nil {
		return "", err
	}
	if err := sendFiveToEachPartition(ctx, topic, 10); err != nil {
		return "", err
	}
	values, err := received(ctx, 5+10, stays)
	if err != nil {
		return "", err
	}
	return "2 partitions after one left, " + cells.Once(values[5:], cells.Values(10, 20)), stays.close()
}

func groupCommit(ctx context.Context) (string, error) {
	topic, err := newTopic(ctx, "commit")
	if err != nil {
		return "", err
	}
	if err := sendFiveToEachPartition(ctx, topic, 0); err != nil {
		return "", err
	}
	reader := newReader("commit", topic)
	fetched, err := fetch(ctx, reader, 10)
	if err != nil {
		return "", err
	}
	// Committed is the offset of the next record, so 3 of partition 0 and 4 of
	// partition 1.
	for _, message := range fetched {
		if message.Offset == int64(2+message.Partition) {
			if err := reader.CommitMessages(ctx, message); err != nil {
				return "", err
			}
		}
	}
	if err := reader.Close(); err != nil {
		return "", err
	}
	committed, err := client.ConsumerOffsets(ctx, kafka.TopicAndGroup{Topic: topic, GroupId: cells.Prefix + "-commit"})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("committed %d and %d", committed[0], committed[1]), nil
}

func groupResume(ctx context.Context) (string, error) {
	topic, err := newTopic(ctx, "resume")
	if err != nil {
		return "", err
	}
	if err := send(ctx, plaintext, topic, 0, 0, messages(cells.Values(0, 10))); err != nil {
		return "", err
	}
	first := newReader("resume", topic)
	four, err := fetch(ctx, first, 4)
	if err != nil {
		return "", err
	}
	if err := first.CommitMessages(ctx, four...); err != nil {
		return "", err
	}
	if err := first.Close(); err != nil {
		return "", err
	}
	second := newReader("resume", topic)
	six, err := fetch(ctx, second, 6)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("resumed at %d, %d records", six[0].Offset, len(six)), second.Close()
}
