package main

import (
	"bytes"
	"os"
	"testing"

	"example.com/kafkatest/integration/kafka"
)

func TestTable_isWhatKafkaDefines(t *testing.T) {
	kafka.SkipUnlessWanted(t)
	want, err := generate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../fakebroker/wire/shape/table.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("Kafka defines other requests: run go generate ./kafka/shapes")
	}
}
