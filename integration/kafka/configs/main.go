// Command configs writes the configurations that Apache Kafka defines, with their
// types, defaults and what is valid, as the Go file that the fake broker goes by:
//
//	go run ./kafka/configs ../fakebroker/correct/configs_table.go
//
// It asks the classes of Kafka's jars, which it fetches when they are not there.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"

	"example.com/kafkatest/integration/kafka"
)

//go:generate go run . ../../../fakebroker/correct/configs_table.go

//go:embed ConfigTable.java
var program []byte

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "configs:", err)
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
	dir, err := os.MkdirTemp("", "configs")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left there does no harm
	source := filepath.Join(dir, "ConfigTable.java")
	if err := os.WriteFile(source, program, 0o600); err != nil {
		return nil, err
	}
	var errs bytes.Buffer
	java := exec.CommandContext(ctx, "java", "-cp", filepath.Join(jars, "*"), source, kafka.Version())
	java.Stderr = &errs
	out, err := java.Output()
	if err != nil {
		return nil, fmt.Errorf("asking Kafka's classes: %w: %s", err, bytes.TrimSpace(errs.Bytes()))
	}
	return format.Source(out)
}
