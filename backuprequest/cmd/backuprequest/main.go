// Command backuprequest runs the backup-request service from a terminal: run
// takes requests through the whole flow, produce and consume show its two ends, and
// redrive takes back what was dead-lettered.
//
//	backuprequest run requests.jsonl
//
// Without --brokers, run brings its own broker: nothing else is needed. Requests
// are JSON Lines. Each is accepted, put on a topic, saved in SQLite by the
// handler of that topic, and reported as received on a second topic, from where
// it comes back to the console.
//
// Exit statuses: 0 all is well; 1 something was lost or failed; 2 wrong usage;
// 3 something was dead-lettered, and nothing worse.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	// A reader of our output that goes away must not take a run with it, which
	// has records in flight: writing fails instead.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(execute(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams are a command's surroundings.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// status is what a command exits with.
type status int

const (
	statusOK           status = 0
	statusFailed       status = 1
	statusUsage        status = 2
	statusDeadLettered status = 3
)

// exitError is the error of a command that has said all there is to say.
type exitError struct{ status status }

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// errShown ends the parsing when help or the version was asked for, and shown.
var errShown = errors.New("shown")

// errUsage is wrapped by what is wrong with the command line, or with a file
// that it names.
var errUsage = errors.New("wrong usage")

// usageError is an error with errUsage in its tree, and not in its text.
type usageError struct{ error }

func (usageError) Is(target error) bool { return target == errUsage }
func (e usageError) Unwrap() error      { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// execute runs a command line, and returns its exit status.
func execute(args []string, s streams) int {
	err := dispatch(args, s)
	var exit exitError
	switch {
	case err == nil:
		return int(statusOK)
	case errors.As(err, &exit):
		return int(exit.status)
	}
	newConsole(s).notef("backuprequest: %s", oneLine(err))
	if errors.Is(err, errUsage) {
		return int(statusUsage)
	}
	return int(statusFailed)
}

// commandLine is what kong fills in.
type commandLine struct {
	Help    helpFlag    `short:"h" help:"Show help, for a command when one is named."`
	Version versionFlag `help:"Print the version and exit."`

	Run     runCommand     `cmd:"" help:"Take backup requests through the whole flow."`
	Produce produceCommand `cmd:"" help:"Publish a few BackupRequestAccepted."`
	Consume consumeCommand `cmd:"" help:"Print the records of a topic."`
	Redrive redriveCommand `cmd:"" help:"Take dead letters back to the handler."`
}

func dispatch(args []string, s streams) error {
	var line commandLine
	parser, err := kong.New(&line,
		kong.Name("backuprequest"), kong.Description(description), kong.NoDefaultHelp(),
		kong.Writers(s.out, s.err), kong.Bind(s),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if errors.Is(err, errShown) {
		return nil
	}
	if err != nil {
		var bad *kong.ParseError
		help := "backuprequest --help"
		if errors.As(err, &bad) && bad.Context != nil && bad.Context.Selected() != nil {
			help = fmt.Sprintf("backuprequest %s --help", bad.Context.Selected().Name)
		}
		return usagef("%w (see %s)", err, help)
	}
	return command.Run()
}

// oneLine is an error's text on one line, and without anything that a terminal
// would act on.
func oneLine(err error) string {
	lines := strings.ReplaceAll(err.Error(), "\n", "; ") // as errors.Join writes them
	return printable(strings.Join(strings.Fields(lines), " "))
}
