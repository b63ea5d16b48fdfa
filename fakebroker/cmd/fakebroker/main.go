// Command fakebroker is a Kafka cluster in one small process, for clients in any
// language: to develop and test against, without installing Kafka.
//
//	fakebroker --topic orders:3
//
// It prints a line "listening on HOST:PORT" for each broker once clients can
// connect, and stops on SIGINT or SIGTERM.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit statuses.
const (
	ok    = 0
	wrong = 2 // wrong usage, or it cannot be done
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

const (
	defaultListen = "127.0.0.1:9092"
	examples      = `A Kafka cluster in one small process, to develop and test against.

Examples:
  fakebroker                                      one broker on ` + defaultListen + `
  fakebroker --topic orders:3 --topic audit       with two topics
  fakebroker --listen 127.0.0.1:0                 on a free port, which it prints
  fakebroker --listen 127.0.0.1:9092 --listen 127.0.0.1:9093
                                                  two brokers

Every flag can also be set in the environment, as FAKEBROKER_ and its name in
capitals (FAKEBROKER_DATA_DIR), and in the file that --config names (data-dir:
DIR). A flag goes before the environment, and that before the file.`
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
	var s settings
	src := &sources{env: os.LookupEnv}
	parser, err := kong.New(&s, kong.Name("fakebroker"), kong.Description(examples),
		kong.Vars{"listen": defaultListen}, kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.WithBeforeResolve(src.load), kong.Resolvers(src))
	if err != nil {
		return fail(stderr, err)
	}
	if _, err := parser.Parse(args); err != nil {
		return fail(stderr, fmt.Errorf("%w; see fakebroker --help", err))
	}
	if s.Version {
		if _, err := fmt.Fprintln(stdout, "fakebroker", version()); err != nil {
			return fail(stderr, err)
		}
		return ok
	}
	if err := serve(s, stdout); err != nil {
		return fail(stderr, err)
	}
	return ok
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
