package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

const description = `Take backup requests through Kafka and into SQLite, and look at what is on the topics.

Examples:
  backuprequest run requests.jsonl                     with a broker of its own
  backuprequest run --brokers localhost:9092 -         on a cluster, from standard input
  backuprequest produce --brokers localhost:9092       a few events
  backuprequest consume --brokers localhost:9092 --follow
  backuprequest redrive --brokers localhost:9092       what would be taken back; --apply does it`

// Help is the part of run's help below its first line.
func (*runCommand) Help() string {
	return `A line of FILE is a JSON object with the fields backupJobId, dataDate (YYYY-MM-DD), preparedDataPathName and requesterId, and optionally backupRequestId, which is made when it is absent or null. All are strings. Other fields are ignored, unless their name is one of these in another spelling. Blank lines are skipped and not counted. A line that is not right is reported with its number and counted as rejected, and the rest goes on.

Each Received is a line on standard output, all else goes to standard error. The tally at the end:

  lines    = accepted + rejected
  accepted = received + duplicates + dead-lettered + lost

duplicates are lines whose id an earlier line had. An id with a dead letter counts as dead-lettered even when it was received as well. An id that could not be published is accepted and lost. retried is how many records were handled more than once because they failed.

Interrupted (SIGINT, SIGTERM), it reads no more lines, waits for what was accepted, and prints the tally so far. A second signal ends it at once.

Exit status: 0 all is well; 1 something was lost or failed; 2 wrong usage; 3 something was dead-lettered, and nothing worse.

Examples:
  backuprequest run requests.jsonl
  backuprequest run --json --db /var/lib/backup/requests.db requests.jsonl
  generate | backuprequest run --timeout 0 -
  KAFKA_SASL_PASSWORD=... backuprequest run --brokers k1:9093,k2:9093 --tls
      --sasl-mechanism SCRAM-SHA-512 --sasl-user backup requests.jsonl`
}

// Help is the part of produce's help below its first line.
func (*produceCommand) Help() string {
	return `It accepts requests made up for the purpose, or those of FILE (as run reads them), and prints each record that came of it. The topic backup-request-accepted must exist.

Examples:
  backuprequest produce --brokers localhost:9092 --count 10
  backuprequest produce --brokers localhost:9092 requests.jsonl`
}

// Help is the part of consume's help below its first line.
func (*consumeCommand) Help() string {
	return `One line a record: topic[partition]@offset, key, headers and data. What is null is written null. What is not printable text, or could be mistaken for something else, is quoted as in Go. It reads without a consumer group, so that nobody notices.

Examples:
  backuprequest consume --brokers localhost:9092
  backuprequest consume --brokers localhost:9092 backup-request-accepted --from 2026-02-28T12:00:00Z
  backuprequest consume --brokers localhost:9092 backup-request-accepted.backup-request.dlt --max 10
  backuprequest consume --brokers localhost:9092 --from end --follow`
}

// Help is the part of redrive's help below its first line.
func (*redriveCommand) Help() string {
	return `Without --apply it is a dry run. Each dead letter that the filters let through is a line on standard output: what becomes of it, where it is, its key, how often it was tried, and its error. All filters given must fit.

With --apply the records go to the group's redrive topic, <topic>.<group>.redrive, from where the handlers of that group take them (backuprequest run --brokers is one), with attempts counted from 1 again. They stay on the dead-letter topic as well. It stops where that topic ended at the start, so that nothing goes round in circles.

Run again, it goes on where it stopped: no dead letter is taken back twice. A record that failed again is a dead letter of its own, and capped unless --max-redrives allows another time. The tally at the end:

  seen    = unknown + filtered + matched, where
  matched = redriven + already + capped + too large + what a dry run would redrive

unknown are those without headers of this group's. Interrupted (SIGINT, SIGTERM), it waits for what is under way, and prints the tally so far.

Exit status: 0 all is well; 1 something failed, was too large, or interrupted; 2 wrong usage.

Examples:
  backuprequest redrive --brokers localhost:9092
  backuprequest redrive --brokers localhost:9092 --error "database is locked" --max-age 24h --apply
  backuprequest redrive --brokers localhost:9092 --partition 2 --from-offset 10 --until-offset 20 --apply`
}

// helpFlag shows the help of the command that was named.
type helpFlag bool

// IgnoreDefault is for kong.
func (helpFlag) IgnoreDefault() {}

// BeforeReset is called by kong before it complains about what is missing.
func (helpFlag) BeforeReset(c *kong.Context) error {
	if err := c.PrintUsage(false); err != nil {
		return err
	}
	return errShown
}

// versionFlag prints the version.
type versionFlag bool

// BeforeReset is called by kong before it complains about what is missing.
func (versionFlag) BeforeReset(c *kong.Context) error {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	if _, err := fmt.Fprintln(c.Stdout, "backuprequest", version, runtime.Version()); err != nil {
		return err
	}
	return errShown
}
