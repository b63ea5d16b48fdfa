// Command shapes writes what Apache Kafka's requests look like on the wire, in
// every version, as the Go file that the fake broker checks requests by:
//
//	go run ./kafka/shapes ../fakebroker/wire/shape/table.go
//
// It reads the message definitions in Kafka's jars, which it fetches when they are
// not there.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"example.com/kafkatest/integration/kafka"
)

//go:generate go run . ../../../fakebroker/wire/shape/table.go

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "shapes:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("name the file to write")
	}
	table, err := generate(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], table, 0o644)
}

// generate makes the file.
func generate(ctx context.Context) ([]byte, error) {
	jars, err := kafka.Jars(ctx)
	if err != nil {
		return nil, err
	}
	requests, err := definitions(jars, kafka.Version())
	if err != nil {
		return nil, err
	}
	return table(requests, kafka.Version())
}
