package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"example.com/kafkatest/integration/clients/cells"
)

func createAndDescribe(context.Context) (string, error) {
	topic, err := newTopic("create")
	if err != nil {
		return "", err
	}
	admin, err := sarama.NewClusterAdmin([]string{cells.Bootstrap}, newConfig())
	if err != nil {
		return "", err
	}
	defer admin.Close()
	described, err := admin.DescribeTopics([]string{topic})
	if err != nil {
		return "", err
	}
	again := "created"
	if _, err := newTopic("create"); err != nil {
		again = errorName(err)
	}
	return fmt.Sprintf("%d partitions; again: %s", len(described[0].Partitions), again), nil
}

// messages makes a message of each value, for one partition.
func messages(topic string, partition int32, values []string) []*sarama.ProducerMessage {
	var messages []*sarama.ProducerMessage
	for _, value := range values {
		messages = append(messages, &sarama.ProducerMessage{
			Topic:     topic,
			Partition: partition,
			Key:       sarama.StringEncoder(value),
			Value:     sarama.StringEncoder(value),
		})
	}
	return messages
}

// withProducer connects a producer to brokers, lets produce use it and closes it.
func withProducer(broker string, config *sarama.Config, produce func(sarama.SyncProducer) error) error {
	config.Producer.Partitioner = sarama.NewManualPartitioner
	producer, err := sarama.NewSyncProducer([]string{broker}, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	return produce(producer)
}

// send produces values to one partition.
func send(topic string, partition int32, values []string) error {
	return withProducer(cells.Bootstrap, newConfig(), func(producer sarama.SyncProducer) error {
		return producer.SendMessages(messages(topic, partition, values))
	})
}

// read returns the records of partition 0 from an offset to the partition's
// end, which is the offset behind the last committed record. It waits until
// there are count of them.
func read(ctx context.Context, broker string, config *sarama.Config, topic string, offset int64, count int) ([]cells.Record, error) {
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	consumer, err := sarama.NewConsumer([]string{broker}, config)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, offset)
	if err != nil {
		return nil, err
	}
	defer partition.Close()
	var records []cells.Record
	var settled <-chan time.Time // has all been read?
	for {
		select {
		case message := <-partition.Messages():
			records = append(records, cells.Record{Offset: message.Offset, Value: string(message.Value)})
			if len(records) >= count {
				settled = time.After(300 * time.Millisecond)
			}
		case <-settled:
			return records, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// produceAndRead produces ten records with one configuration and reads them
// with another one: producers' and consumers' settings do not meet.
func produceAndRead(ctx context.Context, name, broker string, configure func(*sarama.Config)) (string, error) {
	topic, err := newTopic(name)
	if err != nil {
		return "", err
	}
	producing, consuming := newConfig(), newConfig()
	configure(producing)
	configure(consuming)
	err = withProducer(broker, producing, func(producer sarama.SyncProducer) error {
		return producer.SendMessages(messages(topic, 0, cells.Values(0, 10)))
	})
	if err != nil {
		return "", err
	}
	records, err := read(ctx, broker, consuming, topic, sarama.OffsetOldest, 10)
	return cells.TenRecords(records), err
}

func producePlain(ctx context.Context) (string, error) {
	return produceAndRead(ctx, "plain", cells.Bootstrap, func(*sarama.Config) {})
}

func produceCompressed(name string, codec sarama.CompressionCodec) cells.Cell {
	return func(ctx context.Context) (string, error) {
		return produceAndRead(ctx, name, cells.Bootstrap, func(config *sarama.Config) {
			config.Producer.Compression = codec
		})
	}
}

func makeIdempotent(config *sarama.Config) {
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Net.MaxOpenRequests = 1
}

func produceIdempotent(ctx context.Context) (string, error) {
	return produceAndRead(ctx, "idempotent", cells.Bootstrap, makeIdempotent)
}

// inTransaction sends values in a transaction of their own, which it ends with
// end.
func inTransaction(producer sarama.SyncProducer, topic string, values []string, end func() error) error {
	if err := producer.BeginTxn(); err != nil {
		return err
	}
	if err := producer.SendMessages(messages(topic, 0, values)); err != nil {
		return err
	}
	return end()
}

func produceTransactional(ctx context.Context) (string, error) {
	topic, err := newTopic("transactional")
	if err != nil {
		return "", err
	}
	config := newConfig()
	makeIdempotent(config)
	config.Producer.Transaction.ID = topic
	err = withProducer(cells.Bootstrap, config, func(producer sarama.SyncProducer) error {
		return inTransaction(producer, topic, cells.Values(0, 10), producer.CommitTxn)
	})
	if err != nil {
		return "", err
	}
	records, err := read(ctx, cells.Bootstrap, newConfig(), topic, sarama.OffsetOldest, 10)
	return cells.TenRecords(records), err
}

func produceAborted(ctx context.Context) (string, error) {
	topic, err := newTopic("aborted")
	if err != nil {
		return "", err
	}
	config := newConfig()
	makeIdempotent(config)
	config.Producer.Transaction.ID = topic
	err = withProducer(cells.Bootstrap, config, func(producer sarama.SyncProducer) error {
		if err := inTransaction(producer, topic, cells.Values(0, 10), producer.AbortTxn); err != nil {
			return err
		}
		return inTransaction(producer, topic, cells.Values(10, 20), producer.CommitTxn)
	})
	if err != nil {
		return "", err
	}
	records, err := read(ctx, cells.Bootstrap, newConfig(), topic, sarama.OffsetOldest, 10)
	var values []string
	for _, record := range records {
		values = append(values, record.Value)
	}
	return cells.Aborted(values), err
}

func consumeSeek(ctx context.Context) (string, error) {
	topic, err := newTopic("seek")
	if err != nil {
		return "", err
	}
	start := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	timed := messages(topic, 0, cells.Values(0, 10))
	for i, message := range timed {
		message.Timestamp = start.Add(time.Duration(i) * time.Second)
	}
	err = withProducer(cells.Bootstrap, newConfig(), func(producer sarama.SyncProducer) error {
		return producer.SendMessages(timed)
	})
	if err != nil {
		return "", err
	}
	client, err := sarama.NewClient([]string{cells.Bootstrap}, newConfig())
	if err != nil {
		return "", err
	}
	defer client.Close()
	end, err := client.GetOffset(topic, 0, sarama.OffsetNewest)
	if err != nil {
		return "", err
	}
	later, err := client.GetOffset(topic, 0, start.Add(5*time.Second).UnixMilli())
	if err != nil {
		return "", err
	}
	var found [3]int64
	for i, offset := range []int64{7, sarama.OffsetOldest, later} {
		records, err := read(ctx, cells.Bootstrap, newConfig(), topic, offset, 1)
		if err != nil {
			return "", err
		}
		found[i] = records[0].Offset
	}
	return fmt.Sprintf("offset 7: %d; beginning: %d; end: %d; timestamp: %d", found[0], found[1], end, found[2]), nil
}

func produceTLS(ctx context.Context) (string, error) {
	pem, err := os.ReadFile(cells.TLSCA)
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return produceAndRead(ctx, "tls", cells.TLSBootstrap, func(config *sarama.Config) {
		config.Net.TLS.Enable = true
		config.Net.TLS.Config = &tls.Config{RootCAs: roots}
	})
}

func produceAuthenticated(mechanism string) cells.Cell {
	return func(ctx context.Context) (string, error) {
		return produceAndRead(ctx, "sasl-"+mechanism, cells.SASLBootstrap, func(config *sarama.Config) {
			authenticate(config, mechanism, cells.SASLPassword)
		})
	}
}

func wrongPassword(context.Context) (string, error) {
	var outcome []string
	for _, mechanism := range cells.Mechanisms {
		config := newConfig()
		config.Metadata.Retry.Max = 0
		authenticate(config, mechanism, "wrong")
		what := "no error"
		client, err := sarama.NewClient([]string{cells.SASLBootstrap}, config)
		if err == nil {
			client.Close()
		} else {
			what = errorName(err)
		}
		outcome = append(outcome, mechanism+": "+what)
	}
	return strings.Join(outcome, "; "), nil
}

func unknownTopic(context.Context) (string, error) {
	return "produced", send(cells.Prefix+"-unknown", 0, cells.Values(0, 1))
}

func badTopicName(context.Context) (string, error) {
	admin, err := sarama.NewClusterAdmin([]string{cells.Bootstrap}, newConfig())
	if err != nil {
		return "", err
	}
	defer admin.Close()
	create := func(name string) string {
		err := admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false)
		if err != nil {
			return errorName(err)
		}
		return "created"
	}
	return fmt.Sprintf("bad name!: %s; empty: %s", create("bad name!"), create("")), nil
}
