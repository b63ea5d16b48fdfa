// Command kafka-go uses segmentio/kafka-go as its users do. What the cells are
// is in ../CONTRACT.md.
package main

import (
	"context"
	"errors"

	"github.com/segmentio/kafka-go"

	"example.com/kafkatest/integration/clients/cells"
)

func main() {
	named := map[string]cells.Cell{
		"topic/create": createAndDescribe,
		// A Writer has no producer id, and a Client's Produce puts none in the
		// batch.
		"produce/idempotent":      cells.NotOffered,
		"produce/transactional":   cells.NotOffered,
		"produce/aborted":         cells.NotOffered,
		"group/two members":       groupTwoMembers,
		"group/rebalance":         groupRebalance,
		"group/commit":            groupCommit,
		"group/resume":            groupResume,
		"consume/seek":            consumeSeek,
		"group/describe":          groupDescribe,
		"group/reset":             groupReset,
		"group/delete":            groupDelete,
		"tls/produce and consume": produceTLS,
		"sasl/wrong password":     wrongPassword,
		"errors/unknown topic":    unknownTopic,
		"errors/bad topic name":   badTopicName,
	}
	named["produce/plain"] = produceCompressed("plain", 0)
	for i, codec := range []kafka.Compression{kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		named["produce/"+cells.Codecs[i]] = produceCompressed(cells.Codecs[i], codec)
	}
	for _, mechanism := range cells.Mechanisms {
		named["sasl/"+mechanism] = produceAuthenticated(mechanism)
	}
	cells.Run(errorName, named)
}

// errorName is the title of the protocol's error, or the text of the innermost
// error.
func errorName(err error) string {
	if code, ok := errors.AsType[kafka.Error](err); ok {
		return code.Title()
	}
	if failed, ok := errors.AsType[kafka.WriteErrors](err); ok {
		for _, err := range failed {
			if err != nil {
				return errorName(err)
			}
		}
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// client is for what is neither writing nor reading.
var client = &kafka.Client{Addr: kafka.TCP(cells.Bootstrap)}

// newTopic creates a topic with two partitions and returns its full name.
func newTopic(ctx context.Context, name string) (string, error) {
	topic := cells.Prefix + "-" + name
	return topic, createTopic(ctx, topic)
}

func createTopic(ctx context.Context, topic string) error {
	answer, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 2, ReplicationFactor: 1}},
	})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}
