package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver, for a connection that gets in the way

	"example.com/kafkatest/backuprequest/sqlite"
	"example.com/kafkatest/fakebroker"
)

func TestMain(m *testing.M) {
	testscript.Main(alone{m}, map[string]func(){"backuprequest": main})
}

// alone runs the tests without what the developer's shell says about clusters.
type alone struct{ *testing.M }

func (m alone) Run() int {
	for _, name := range []string{brokersVariable, passwordVariable} {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	return m.M.Run()
}

func TestScript(t *testing.T) {
	sample, err := filepath.Abs("testdata/sample.jsonl")
	require.NoError(t, err)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("SAMPLE", sample)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": scriptStatus,
			"lock":   scriptLock,
			"broker": scriptBroker,
			"tally":  scriptTally,
		},
	})
}

// scriptStatus is the command status N PROGRAM ARG...: it runs the program, and
// wants that exit status.
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	have := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		have = exit.ExitCode()
	}
	if have != want {
		ts.Fatalf("exit status %d, want %d", have, want)
	}
}

// scriptLock is the command lock FILE: it makes a database and holds its write
// lock until the script ends.
func scriptLock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lock FILE")
	}
	release, err := lock(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { ts.Check(release()) })
}

// scriptBroker is the command broker TOPIC[:PARTITIONS]...: it starts a broker
// and puts its address into $BROKERS.
func scriptBroker(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: broker TOPIC[:PARTITIONS]...")
	}
	var config fakebroker.Config
	for _, arg := range args {
		topic, err := fakebroker.ParseTopic(arg)
		ts.Check(err)
		config.Topics = append(config.Topics, topic)
	}
	b, err := fakebroker.Start(config)
	ts.Check(err)
	ts.Defer(func() { ts.Check(b.Close()) })
	ts.Setenv("BROKERS", strings.Join(b.Addrs(), ","))
}

// scriptTally is the command tally JSON: it wants that tally as the last line
// of standard output.
func scriptTally(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: tally JSON")
	}
	have, err := lastTally(ts.ReadFile("stdout"))
	ts.Check(err)
	var want tally
	ts.Check(json.Unmarshal([]byte(args[0]), &want))
	if have != want {
		ts.Fatalf("have %+v, want %+v", have, want)
	}
}

// lastTally is the last line of standard output, which must have all names of
// the tally and no others.
func lastTally(stdout string) (tally, error) {
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	last := lines[len(lines)-1]
	var t tally
	var names map[string]int
	if err := json.Unmarshal([]byte(last), &names); err != nil {
		return t, err
	}
	if len(names) != 8 {
		return t, errors.New("the tally has other names: " + last)
	}
	decoder := json.NewDecoder(strings.NewReader(last))
	decoder.DisallowUnknownFields()
	return t, decoder.Decode(&t)
}

// lock makes sure that there is a database, and holds its write lock.
func lock(path string) (release func() error, err error) {
	repository, err := sqlite.Open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := repository.Close(); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	tx, err := db.Begin()
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return func() error { return errors.Join(tx.Rollback(), db.Close()) }, nil
}
