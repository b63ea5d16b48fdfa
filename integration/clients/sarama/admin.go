package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"example.com/kafkatest/integration/clients/cells"
)

// committedOffsets returns a group's committed offsets of a topic by partition.
func committedOffsets(group, topic string) (map[int32]int64, error) {
	admin, err := sarama.NewClusterAdmin([]string{cells.Bootstrap}, newConfig())
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	group = cells.Prefix + "-" + group
	groups, err := admin.ListConsumerGroupOffsetsBatch(map[string]map[string][]int32{group: {topic: {0, 1}}})
	if err != nil {
		return nil, err
	}
	committed := make(map[int32]int64)
	for partition, block := range groups[group].Blocks[topic] {
		if block.Err != sarama.ErrNoError {
			return nil, block.Err
		}
		committed[partition] = block.Offset
	}
	return committed, nil
}

// describe returns the state of a group, how many members it has and its lag.
func describe(admin sarama.ClusterAdmin, group, topic string) (string, error) {
	described, err := admin.DescribeConsumerGroups([]string{cells.Prefix + "-" + group})
	if err != nil {
		return "", err
	}
	if described[0].Err != sarama.ErrNoError {
		return "", described[0].Err
	}
	committed, err := committedOffsets(group, topic)
	if err != nil {
		return "", err
	}
	ends, err := admin.ListOffsets(map[string]map[int32]int64{
		topic: {0: sarama.OffsetNewest, 1: sarama.OffsetNewest},
	}, nil)
	if err != nil {
		return "", err
	}
	var lag int64
	for partition, end := range ends[topic] {
		if !errors.Is(end.Err, sarama.ErrNoError) {
			return "", end.Err
		}
		if committed[partition] >= 0 {
			lag += end.Offset - committed[partition]
		}
	}
	return fmt.Sprintf("%s, %d members, lag %d", described[0].State, len(described[0].Members), lag), nil
}

func groupDescribe(ctx context.Context) (string, error) {
	topic, err := newTopic("describe")
	if err != nil {
		return "", err
	}
	one, other, err := twoMembers(ctx, "describe", topic, func(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) {
		if message.Offset == 6 {
			session.MarkMessage(message, "")
			session.Commit()
		}
	})
	if err != nil {
		return "", err
	}
	if err := send(topic, 0, cells.Values(0, 10)); err != nil {
		return "", err
	}
	if _, err := received(ctx, 10, one, other); err != nil {
		return "", err
	}
	admin, err := sarama.NewClusterAdmin([]string{cells.Bootstrap}, newConfig())
	if err != nil {
		return "", err
	}
	defer admin.Close()
	withMembers, err := describe(admin, "describe", topic)
	if err != nil {
		return "", err
	}
	for _, m := range []*member{one, other} {
		if err := m.close(); err != nil {
			return "", err
		}
	}
	empty, err := describe(admin, "describe", topic)
	return withMembers + "; " + empty, err
}

func groupReset(ctx context.Context) (string, error) {
	topic, err := newTopic("reset")
	if err != nil {
		return "", err
	}
	if err := send(topic, 0, cells.Values(0, 10)); err != nil {
		return "", err
	}
	admin, err := sarama.NewClusterAdmin([]string{cells.Bootstrap}, newConfig())
	if err != nil {
		return "", err
	}
	defer admin.Close()
	consume := func(count int) (string, error) {
		consumer, err := join(ctx, "reset", topic, mark)
		if err != nil {
			return "", err
		}
		values, err := received(ctx, count, consumer)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d records from %s", len(values), values[0]), consumer.close()
	}
	reset := func(offset int64) error {
		answer, err := admin.AlterConsumerGroupOffsets(cells.Prefix+"-reset", map[string]map[int32]sarama.OffsetAndMetadata{
			topic: {0: {Offset: offset, LeaderEpoch: -1}},
		}, nil)
		if err != nil {
			return err
		}
		if code := answer.Errors[topic][0]; code != sarama.ErrNoError {
			return code
		}
		return nil
	}
	if _, err := consume(10); err != nil {
		return "", err
	}
	begins, err := admin.ListOffsets(map[string]map[int32]int64{topic: {0: sarama.OffsetOldest}}, nil)
	if err != nil {
		return "", err
	}
	if err := reset(begins[topic][0].Offset); err != nil {
		return "", err
	}
	earliest, err := consume(10)
	if err != nil {
		return "", err
	}
	if err := reset(5); err != nil {
		return "", err
	}
	offset, err := consume(5)
	return "earliest: " + earliest + "; offset 5: " + offset, err
}

func groupDelete(ctx context.Context) (string, error) {
	topic, err := newTopic("delete")
	if err != nil {
		return "", err
	}
	group := cells.Prefix + "-delete"
	admin, err := sarama.NewClusterAdmin([]string{cells.Bootstrap}, newConfig())
	if err != nil {
		return "", err
	}
	defer admin.Close()
	consumer, err := join(ctx, "delete", topic, mark)
	if err != nil {
		return "", err
	}
	if err := has(ctx, 2, consumer); err != nil {
		return "", err
	}
	withMember := "deleted"
	if err := admin.DeleteConsumerGroup(group); err != nil {
		withMember = errorName(err)
	}
	if err := consumer.close(); err != nil {
		return "", err
	}
	if err := admin.DeleteConsumerGroup(group); err != nil {
		return "", err
	}
	groups, err := admin.ListConsumerGroups()
	if err != nil {
		return "", err
	}
	empty := "deleted"
	if _, ok := groups[group]; ok {
		empty = "still listed"
	}
	return fmt.Sprintf("with a member: %s; empty: %s", withMember, empty), nil
}
