// Command sarama uses sarama as its users do. What the cells are is in
// ../CONTRACT.md.
package main

import (
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"example.com/kafkatest/integration/clients/cells"
)

func main() {
	named := map[string]cells.Cell{
		"topic/create":            createAndDescribe,
		"produce/plain":           producePlain,
		"produce/idempotent":      produceIdempotent,
		"produce/transactional":   produceTransactional,
		"produce/aborted":         produceAborted,
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
	codecs := []sarama.CompressionCodec{
		sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD,
	}
	for i, codec := range cells.Codecs {
		named["produce/"+codec] = produceCompressed(codec, codecs[i])
	}
	for _, mechanism := range cells.Mechanisms {
		named["sasl/"+mechanism] = produceAuthenticated(mechanism)
	}
	cells.Run(errorName, named)
}

// errorName is the text of the protocol's error, or that of the innermost error.
func errorName(err error) string {
	if code, ok := errors.AsType[sarama.KError](err); ok {
		return code.Error()
	}
	if failed, ok := errors.AsType[sarama.ProducerErrors](err); ok {
		return errorName(failed[0].Err)
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// newConfig is what all clients of this program have in common: the newest
// protocol, and waits that fit a broker on the same machine.
func newConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.Return.Successes = true
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Group.Heartbeat.Interval = heartbeatInterval
	config.Consumer.Group.Session.Timeout = sessionTimeout
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	return config
}

// newTopic creates a topic with two partitions and returns its full name.
func newTopic(name string) (string, error) {
	admin, err := sarama.NewClusterAdmin([]string{cells.Bootstrap}, newConfig())
	if err != nil {
		return "", err
	}
	defer admin.Close()
	topic := cells.Prefix + "-" + name
	if err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false); err != nil {
		return "", fmt.Errorf("create topic %s: %w", topic, err)
	}
	return topic, nil
}
