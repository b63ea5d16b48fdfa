package main

import (
	"context"
	"strings"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"example.com/kafkatest/integration/clients/cells"
)

// authentication returns a mechanism by its name.
func authentication(mechanism, password string) (sasl.Mechanism, error) {
	switch mechanism {
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, cells.SASLUser, password)
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, cells.SASLUser, password)
	default:
		return plain.Mechanism{Username: cells.SASLUser, Password: password}, nil
	}
}

func produceAuthenticated(mechanism string) cells.Cell {
	return func(ctx context.Context) (string, error) {
		auth, err := authentication(mechanism, cells.SASLPassword)
		if err != nil {
			return "", err
		}
		return produceAndRead(ctx, "sasl-"+mechanism, connection{broker: cells.SASLBootstrap, sasl: auth}, 0)
	}
}

func wrongPassword(ctx context.Context) (string, error) {
	var outcome []string
	for _, mechanism := range cells.Mechanisms {
		auth, err := authentication(mechanism, "wrong")
		if err != nil {
			return "", err
		}
		what := "no error"
		refused := &kafka.Client{
			Addr:      kafka.TCP(cells.SASLBootstrap),
			Transport: &kafka.Transport{SASL: auth},
		}
		if _, err := refused.Metadata(ctx, &kafka.MetadataRequest{}); err != nil {
			what = errorName(err)
		}
		outcome = append(outcome, mechanism+": "+what)
	}
	return strings.Join(outcome, "; "), nil
}
