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
	got, err := os.ReadFile("../../../fakebroker/correct/configs_table.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("Kafka defines other configurations: run go generate ./kafka/configs")
	}
}
