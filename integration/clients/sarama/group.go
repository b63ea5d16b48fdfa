package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"example.com/kafkatest/integration/clients/cells"
)

// Quicker than by default, so that a member hears of a rebalance within half a
// second.
const (
	heartbeatInterval = 500 * time.Millisecond
	sessionTimeout    = 6 * time.Second
)

// A member consumes in a group until it is closed, and keeps what it received.
type member struct {
	group  sarama.ConsumerGroup
	handle func(sarama.ConsumerGroupSession, *sarama.ConsumerMessage)
	cancel context.CancelFunc
	done   chan struct{}

	mu         sync.Mutex
	partitions int
	values     []string
}

// mark is what most members do with a record.
func mark(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) {
	session.MarkMessage(message, "")
}

// join starts a member. Marks are committed when it is closed.
func join(ctx context.Context, group, topic string, handle func(sarama.ConsumerGroupSession, *sarama.ConsumerMessage)) (*member, error) {
	consumer, err := sarama.NewConsumerGroup([]string{cells.Bootstrap}, cells.Prefix+"-"+group, newConfig())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	m := &member{group: consumer, handle: handle, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		// Consume ends at every rebalance.
		for ctx.Err() == nil && consumer.Consume(ctx, []string{topic}, m) == nil {
		}
	}()
	return m, nil
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.partitions = 0
	for _, partitions := range session.Claims() {
		m.partitions += len(partitions)
	}
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		m.handle(session, message)
		m.mu.Lock()
		m.values = append(m.values, string(message.Value))
		m.mu.Unlock()
	}
	return nil
}

// state returns how many partitions the member has and what it received.
func (m *member) state() (int, []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.partitions, append([]string(nil), m.values...)
}

// close leaves the group.
func (m *member) close() error {
	m.cancel()
	<-m.done
	return m.group.Close()
}

// received waits until members have count records between them.
func received(ctx context.Context, count int, members ...*member) ([]string, error) {
	var all []string
	err := cells.Until(ctx, func() (bool, error) {
		all = nil
		for _, m := range members {
			_, values := m.state()
			all = append(all, values...)
		}
		return len(all) >= count, nil
	})
	return all, err
}

// has waits until a member has so many partitions.
func has(ctx context.Context, partitions int, m *member) error {
	return cells.Until(ctx, func() (bool, error) {
		n, _ := m.state()
		return n == partitions, nil
	})
}

// twoMembers joins two members, which have a partition each.
func twoMembers(ctx context.Context, group, topic string, handle func(sarama.ConsumerGroupSession, *sarama.ConsumerMessage)) (one, other *member, err error) {
	if one, err = join(ctx, group, topic, handle); err != nil {
		return nil, nil, err
	}
	if other, err = join(ctx, group, topic, handle); err != nil {
		return nil, nil, err
	}
	if err := has(ctx, 1, one); err != nil {
		return nil, nil, err
	}
	return one, other, has(ctx, 1, other)
}

func sendFiveToEachPartition(topic string, first int) error {
	if err := send(topic, 0, cells.Values(first, first+5)); err != nil {
		return err
	}
	return send(topic, 1, cells.Values(first+5, first+10))
}

func groupTwoMembers(ctx context.Context) (string, error) {
	topic, err := newTopic("two-members")
	if err != nil {
		return "", err
	}
	one, other, err := twoMembers(ctx, "two-members", topic, mark)
	if err != nil {
		return "", err
	}
	if err := sendFiveToEachPartition(topic, 0); err != nil {
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
	topic, err := newTopic("rebalance")
	if err != nil {
		return "", err
	}
	stays, leaves, err := twoMembers(ctx, "rebalance", topic, mark)
	if err != nil {
		return "", err
	}
	if err := sendFiveToEachPartition(topic, 0); err != nil {
		return "", err
	}
	if _, err := received(ctx, 10, stays, leaves); err != nil {
		return "", err
	}
	if err := leaves.close(); err != nil {
		return "", err
	}
	if err := has(ctx, 2, stays); err != nil {
		return "", err
	}
	if err := sendFiveToEachPartition(topic, 10); err != nil {
		return "", err
	}
	values, err := received(ctx, 5+10, stays)
	if err != nil {
		return "", err
	}
	return "2 partitions after one left, " + cells.Once(values[5:], cells.Values(10, 20)), stays.close()
}

func groupCommit(ctx context.Context) (string, error) {
	topic, err := newTopic("commit")
	if err != nil {
		return "", err
	}
	if err := sendFiveToEachPartition(topic, 0); err != nil {
		return "", err
	}
	// Marked is the offset of the next record, so 3 is committed of partition
	// 0 and 4 of partition 1.
	consumer, err := join(ctx, "commit", topic, func(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) {
		if message.Offset == 2+int64(message.Partition) {
			session.MarkMessage(message, "")
			session.Commit()
		}
	})
	if err != nil {
		return "", err
	}
	if _, err := received(ctx, 10, consumer); err != nil {
		return "", err
	}
	if err := consumer.close(); err != nil {
		return "", err
	}
	committed, err := committedOffsets("commit", topic)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("committed %d and %d", committed[0], committed[1]), nil
}

func groupResume(ctx context.Context) (string, error) {
	topic, err := newTopic("resume")
	if err != nil {
		return "", err
	}
	if err := send(topic, 0, cells.Values(0, 10)); err != nil {
		return "", err
	}
	first, err := join(ctx, "resume", topic, func(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) {
		if message.Offset < 4 {
			session.MarkMessage(message, "")
		}
	})
	if err != nil {
		return "", err
	}
	if _, err := received(ctx, 4, first); err != nil {
		return "", err
	}
	if err := first.close(); err != nil {
		return "", err
	}
	second, err := join(ctx, "resume", topic, mark)
	if err != nil {
		return "", err
	}
	values, err := received(ctx, 6, second)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("resumed at %s, %d records", values[0], len(values)), second.close()
}
