// Command fakebroker is a Kafka cluster in one small process, for clients in any
// language: to develop and test against, without installing Kafka.
//
//	fakebroker --topic orders:3
//
// It prints a line "listening on HOST:PORT" for each broker once clients can
// connect, and stops on SIGINT or SIGTERM.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit statuses.
const (
	ok     = 0
	failed = 1 // something else went wrong
	wrong  = 2 // what it was given cannot be used
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
DIR). A flag goes before the environment, and that before the file. Where a flag
may be repeated, a variable has its values separated by commas, or one a line.

Once clients can connect it prints a line for each address; "as" is there where
clients are told another, and the last two lines where there is such a thing:
  listening on 127.0.0.1:9092
  listening with TLS on 127.0.0.1:9093
  listening with SASL on 0.0.0.0:9094 as kafka.example:9094
  listening with SASL and TLS on 127.0.0.1:9095
  clients trust /path/of/ca.pem
  control on http://127.0.0.1:9099

With --json it prints the same on one line, in the order of the brokers:
  {"brokers": [{"id": 0, "rack": "a", "addresses": {"PLAINTEXT": "HOST:PORT"}}],
   "listeners": [{"protocol": "PLAINTEXT", "listen": ["HOST:PORT"],
                  "advertised": ["HOST:PORT"]}],
   "ca_file": "FILE", "data_dir": "DIR", "control": "URL"}
Protocols are PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL; addresses are what
clients are told. What there is none of is left out.

Exit status: 0 when it was stopped by SIGINT or SIGTERM, 2 when what it was given
cannot be used, 1 when something else went wrong.`
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
	src := &sources{environ: os.Environ()}
	parser, err := kong.New(&s, kong.Name("fakebroker"), kong.Description(examples),
		kong.Vars{"listen": defaultListen}, kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.WithBeforeResolve(src.load), kong.Resolvers(src))
	if err != nil {
		return fail(stderr, err)
	}
	if _, err := parser.Parse(args); err != nil {
		if !strings.HasSuffix(err.Error(), "?") { // the name that was meant is enough
			err = fmt.Errorf("%w; see fakebroker --help", err)
		}
		return fail(stderr, mistake{err})
	}
	s.from = src.from
	if s.Version {
		if _, err := fmt.Fprintln(stdout, "fakebroker", version()); err != nil {
			return fail(stderr, err)
		}
		return ok
	}
	if err := serve(s, stdout, stderr); err != nil {
		return fail(stderr, err)
	}
	return ok
}

// fail says what is wrong on one line, and returns the exit status.
func fail(stderr io.Writer, err error) int {
	line := strings.Join(strings.Fields(err.Error()), " ")
	_, _ = fmt.Fprintln(stderr, "fakebroker:", line) // there is nowhere else to say it
	if errors.As(err, new(mistake)) {
		return wrong
	}
	return failed
}

func version() string {
	info, found := debug.ReadBuildInfo()
	if !found || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
