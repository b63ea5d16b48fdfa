package main

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"

	"example.com/kafkatest/integration/clients/cells"
)

// describe returns the state of a group, how many members it has and its lag.
func describe(ctx context.Context, group, topic string) (string, error) {
	described, err := describeGroup(ctx, group)
	if err != nil {
		return "", err
	}
	committed, err := client.ConsumerOffsets(ctx, kafka.TopicAndGroup{Topic: topic, GroupId: cells.Prefix + "-" + group})
	if err != nil {
		return "", err
	}
	listed, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(0), kafka.LastOffsetOf(1)}},
	})
	if err != nil {
		return "", err
	}
	var lag int64
	for _, partition := range listed.Topics[topic] {
		if partition.Error != nil {
			return "", partition.Error
		}
		if offset := committed[partition.Partition]; offset >= 0 {
			lag += partition.LastOffset - offset
		}
	}
	return fmt.Sprintf("%s, %d members, lag %d", described.GroupState, len(described.Members), lag), nil
}

func groupDescribe(ctx context.Context) (string, error) {
	topic, err := newTopic(ctx, "describe")
	if err != nil {
		return "", err
	}
	firstSeven := func(message kafka.Message) bool { return message.Offset < 7 }
	one, other := join(ctx, "describe", topic, firstSeven), join(ctx, "describe", topic, firstSeven)
	if err := assigned(ctx, "describe", 2, 1); err != nil {
		return "", err
	}
	if err := send(ctx, plaintext, topic, 0, 0, messages(cells.Values(0, 10))); err != nil {
		return "", err
	}
	if _, err := received(ctx, 10, one, other); err != nil {
		return "", err
	}
	withMembers, err := describe(ctx, "describe", topic)
	if err != nil {
		return "", err
	}
	for _, m := range []*member{one, other} {
		if err := m.close(); err != nil {
			return "", err
		}
	}
	empty, err := describe(ctx, "describe", topic)
	return withMembers + "; " + empty, err
}

func groupReset(ctx context.Context) (string, error) {
	topic, err := newTopic(ctx, "reset")
	if err != nil {
		return "", err
	}
	if err := send(ctx, plaintext, topic, 0, 0, messages(cells.Values(0, 10))); err != nil {
		return "", err
	}
	consume := func(count int) (string, error) {
		consumer := join(ctx, "reset", topic, all)
		values, err := received(ctx, count, consumer)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d records from %s", len(values), values[0]), consumer.close()
	}
	// A commit without a generation is one from outside of the group.
	reset := func(offset int64) error {
		answer, err := client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID:      cells.Prefix + "-reset",
			GenerationID: -1,
			Topics:       map[string][]kafka.OffsetCommit{topic: {{Partition: 0, Offset: offset}}},
		})
		if err != nil {
			return err
		}
		return answer.Topics[topic][0].Error
	}
	if _, err := consume(10); err != nil {
		return "", err
	}
	begins, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(0)}},
	})
	if err != nil {
		return "", err
	}
	if err := reset(begins.Topics[topic][0].FirstOffset); err != nil {
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
	topic, err := newTopic(ctx, "delete")
	if err != nil {
		return "", err
	}
	group := cells.Prefix + "-delete"
	remove := func() error {
		answer, err := client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
		if err != nil {
			return err
		}
		return answer.Errors[group]
	}
	consumer := join(ctx, "delete", topic, all)
	if err := assigned(ctx, "delete", 1, 2); err != nil {
		return "", err
	}
	withMember := "deleted"
	if err := remove(); err != nil {
		withMember = errorName(err)
	}
	if err := consumer.close(); err != nil {
		return "", err
	}
	if err := remove(); err != nil {
		return "", err
	}
	listed, err := client.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err != nil {
		return "", err
	}
	empty := "deleted"
	for _, g := range listed.Groups {
		if g.GroupID == group {
			empty = "still listed"
		}
	}
	return fmt.Sprintf("with a member: %s; empty: %s", withMember, empty), nil
}
