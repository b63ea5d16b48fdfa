package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"example.com/kafkatest/integration/clients/cells"
)

// A connection is a listener and how to connect to it.
type connection struct {
	broker string
	tls    *tls.Config
	sasl   sasl.Mechanism
}

var plaintext = connection{broker: cells.Bootstrap}

func createAndDescribe(ctx context.Context) (string, error) {
	topic, err := newTopic(ctx, "create")
	if err != nil {
		return "", err
	}
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return "", err
	}
	again := "created"
	if _, err := newTopic(ctx, "create"); err != nil {
		again = errorName(err)
	}
	return fmt.Sprintf("%d partitions; again: %s", len(metadata.Topics[0].Partitions), again), nil
}

// messages makes a message of each value.
func messages(values []string) []kafka.Message {
	var messages []kafka.Message
	for _, value := range values {
		messages = append(messages, kafka.Message{Key: []byte(value), Value: []byte(value)})
	}
	return messages
}

// send produces messages to one partition.
func send(ctx context.Context, to connection, topic string, partition int, codec kafka.Compression, messages []kafka.Message) error {
	transport := &kafka.Transport{TLS: to.tls, SASL: to.sasl}
	defer transport.CloseIdleConnections()
	writer := &kafka.Writer{
		Addr:         kafka.TCP(to.broker),
		Topic:        topic,
		Balancer:     kafka.BalancerFunc(func(kafka.Message, ...int) int { return partition }),
		BatchTimeout: 10 * time.Millisecond,
		RequiredAcks: kafka.RequireAll,
		Compression:  codec,
		Transport:    transport,
	}
	if err := writer.WriteMessages(ctx, messages...); err != nil {
		writer.Close()
		return err
	}
	return writer.Close()
}

// read returns ten records of partition 0, from the first one on.
func read(ctx context.Context, from connection, topic string) ([]cells.Record, error) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:        []string{from.broker},
		Topic:          topic,
		Partition:      0,
		Dialer:         &kafka.Dialer{DualStack: true, TLS: from.tls, SASLMechanism: from.sasl},
		MaxWait:        200 * time.Millisecond,
		IsolationLevel: kafka.ReadCommitted,
	})
	defer reader.Close()
	var records []cells.Record
	for len(records) < 10 {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			return nil, err
		}
		records = append(records, cells.Record{Offset: message.Offset, Value: string(message.Value)})
	}
	return records, nil
}

func produceAndRead(ctx context.Context, name string, over connection, codec kafka.Compression) (string, error) {
	topic, err := newTopic(ctx, name)
	if err != nil {
		return "", err
	}
	if err := send(ctx, over, topic, 0, codec, messages(cells.Values(0, 10))); err != nil {
		return "", err
	}
	records, err := read(ctx, over, topic)
	return cells.TenRecords(records), err
}

func produceCompressed(name string, codec kafka.Compression) cells.Cell {
	return func(ctx context.Context) (string, error) {
		return produceAndRead(ctx, name, plaintext, codec)
	}
}

func consumeSeek(ctx context.Context) (string, error) {
	topic, err := newTopic(ctx, "seek")
	if err != nil {
		return "", err
	}
	start := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	timed := messages(cells.Values(0, 10))
	for i := range timed {
		timed[i].Time = start.Add(time.Duration(i) * time.Second)
	}
	if err := send(ctx, plaintext, topic, 0, 0, timed); err != nil {
		return "", err
	}
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{cells.Bootstrap},
		Topic:   topic,
		MaxWait: 200 * time.Millisecond,
	})
	defer reader.Close()
	var found []int64
	for _, seek := range []func() error{
		func() error { return reader.SetOffset(7) },
		func() error { return reader.SetOffset(kafka.FirstOffset) },
		func() error { return reader.SetOffsetAt(ctx, start.Add(5*time.Second)) },
	} {
		if err := seek(); err != nil {
			return "", err
		}
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			return "", err
		}
		found = append(found, message.Offset)
	}
	leader, err := kafka.DialLeader(ctx, "tcp", cells.Bootstrap, topic, 0)
	if err != nil {
		return "", err
	}
	defer leader.Close()
	end, err := leader.Seek(0, kafka.SeekEnd)
	if err != nil {
		return "", err
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
	return produceAndRead(ctx, "tls", connection{broker: cells.TLSBootstrap, tls: &tls.Config{RootCAs: roots}}, 0)
}

func unknownTopic(ctx context.Context) (string, error) {
	err := send(ctx, plaintext, cells.Prefix+"-unknown", 0, 0, messages(cells.Values(0, 1)))
	return "produced", err
}

func badTopicName(ctx context.Context) (string, error) {
	create := func(name string) string {
		if err := createTopic(ctx, name); err != nil {
			return errorName(err)
		}
		return "created"
	}
	return fmt.Sprintf("bad name!: %s; empty: %s", create("bad name!"), create("")), nil
}
