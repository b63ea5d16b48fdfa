// Command fakebroker is a Kafka cluster in one small process, for clients in any
// language: to develop and test against, without installing Kafka.
//
//	fakebroker --topic orders:3
//
// It prints a line "listening on HOST:PORT" for each broker once clients can
// connect, and stops on SIGINT or SIGTERM.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"example.com/kafkatest/fakebroker"
)

// Exit statuses.
const (
	ok    = 0
	wrong = 2 // wrong usage, or it cannot be done
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// flags is the command line.
type flags struct {
	Listen           []string `placeholder:"HOST:PORT" sep:"none" help:"Address of a broker; repeat it for more brokers. Port 0 takes a free one. Default: ${listen}."`
	Topic            []string `placeholder:"NAME[:PARTITIONS]" sep:"none" help:"Topic to create; repeat it for more. One partition unless told otherwise."`
	AutoCreateTopics bool     `help:"Create topics that clients ask for."`
	DataDir          string   `placeholder:"DIR" help:"Keep topics, records and groups in this folder. Without it they end with the process."`
	Version          bool     `help:"Print the version and exit."`
}

const (
	defaultListen = "127.0.0.1:9092"
	examples      = `A Kafka cluster in one small process, to develop and test against.

Examples:
  fakebroker                                      one broker on ` + defaultListen + `
  fakebroker --topic orders:3 --topic audit       with two topics
  fakebroker --listen 127.0.0.1:0                 on a free port, which it prints
  fakebroker --listen 127.0.0.1:9092 --listen 127.0.0.1:9093
                                                  two brokers`
)

// exited carries the status that the command line library wants to exit with.
type exited int

// run is main with its surroundings as arguments. It returns the exit status.
func run(args []string, stdout, stderr io.Writer) (status int) {
	defer func() {
		if e := recover(); e != nil {
			code, is := e.(exited)
			if !is {
				panic(e)
			}
			status = int(code)
		}
	}()
	var f flags
	parser, err := kong.New(&f, kong.Name("fakebroker"), kong.Description(examples),
		kong.Vars{"listen": defaultListen}, kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }))
	if err != nil {
		return fail(stderr, err)
	}
	if _, err := parser.Parse(args); err != nil {
		return fail(stderr, fmt.Errorf("%w; see fakebroker --help", err))
	}
	if f.Version {
		if _, err := fmt.Fprintln(stdout, "fakebroker", version()); err != nil {
			return fail(stderr, err)
		}
		return ok
	}
	if err := serve(f, stdout); err != nil {
		return fail(stderr, err)
	}
	return ok
}

// serve runs the cluster until a signal comes.
func serve(f flags, stdout io.Writer) error {
	// Before anything is announced, so that whoever reads the announcement can
	// stop the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	c := fakebroker.Config{Listen: f.Listen, AutoCreateTopics: f.AutoCreateTopics, DataDir: f.DataDir}
	if len(c.Listen) == 0 {
		c.Listen = []string{defaultListen}
	}
	for _, s := range f.Topic {
		t, err := fakebroker.ParseTopic(s)
		if err != nil {
			return fmt.Errorf("--topic: %w", err)
		}
		c.Topics = append(c.Topics, t)
	}
	b, err := fakebroker.Start(c)
	if err != nil {
		return inFlags(err)
	}
	for _, addr := range b.Addrs() {
		if _, err := fmt.Fprintln(stdout, "listening on", addr); err != nil {
			return errors.Join(fmt.Errorf("announcing the address: %w", err), b.Close())
		}
	}
	<-ctx.Done()
	return b.Close()
}

// inFlags names the flag that a field of the config comes from.
func inFlags(err error) error {
	var bad *fakebroker.ConfigError
	if !errors.As(err, &bad) {
		return err
	}
	names := map[string]string{"Listen": "--listen", "Brokers": "--listen", "Topics": "--topic", "DataDir": "--data-dir"}
	if flag, known := names[bad.Field]; known {
		return fmt.Errorf("%s: %w", flag, bad.Err)
	}
	return err
}

// fail says what is wrong on one line.
func fail(stderr io.Writer, err error) int {
	line := strings.Join(strings.Fields(err.Error()), " ")
	_, _ = fmt.Fprintln(stderr, "fakebroker:", line) // there is nowhere else to say it
	return wrong
}

func version() string {
	info, found := debug.ReadBuildInfo()
	if !found || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
