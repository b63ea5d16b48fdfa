package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fakebroker": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": await, "exits": exits, "refused": refused, "roundtrip": roundtrip, "terminate": terminate,
		},
		Setup: func(env *testscript.Env) error {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Defer(func() { _ = ln.Close() })
			env.Setenv("TAKEN", ln.Addr().String())
			return nil
		},
	})
}

// patience bounds what a script waits for.
const patience = 20 * time.Second

// await FILE N VAR: waits until the file announces N addresses, and sets VAR,
// VAR2, ... to them.
func await(ts *testscript.TestScript, neg bool, args []string) {
	var n int
	if _, err := fmt.Sscan(args[1], &n); err != nil || neg {
		ts.Fatalf("usage: await FILE N VAR")
	}
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if addrs := announced(ts.MkAbs(args[0])); len(addrs) == n {
			for i, a := range addrs {
				name := args[2]
				if i > 0 {
					name += fmt.Sprint(i + 1)
				}
				ts.Setenv(name, a)
			}
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			ts.Fatalf("%s does not announce %d addresses", args[0], n)
		}
	}
}

func announced(file string) (addrs []string) {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if a, ok := strings.CutPrefix(s.Text(), "listening on "); ok {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// terminate: sends SIGTERM to the commands in the background; testscript's kill
// has only SIGINT and SIGKILL.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: terminate")
	}
	for _, c := range ts.BackgroundCmds() {
		ts.Check(c.Process.Signal(syscall.SIGTERM))
	}
}

// roundtrip ADDR TOPIC: produces a record and consumes it.
func roundtrip(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := func() error {
		cl, err := kgo.NewClient(kgo.SeedBrokers(args[0]), kgo.ConsumeTopics(args[1]), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(2),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			return err
		}
		defer cl.Close()
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: args[1], Value: []byte("hello")}).FirstErr(); err != nil {
			return err
		}
		for ctx.Err() == nil {
			if fs := cl.PollFetches(ctx); fs.NumRecords() > 0 {
				return nil
			}
		}
		return ctx.Err()
	}()
	if (err != nil) != neg {
		ts.Fatalf("produce and consume %s: %v", args[1], err)
	}
}

// exits STATUS ARGS...: runs the command, which must end with the status and say
// one line on standard error only.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("fakebroker", args[1:]...)
	var exit *exec.ExitError
	if neg || !errors.As(err, &exit) || fmt.Sprint(exit.ExitCode()) != args[0] {
		ts.Fatalf("fakebroker %q: %v, want exit status %s", args[1:], err, args[0])
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("standard output is not empty: %q", out)
	}
	if line := ts.ReadFile("stderr"); strings.Count(line, "\n") != 1 {
		ts.Fatalf("standard error is not one line: %q", line)
	}
}

// refused ADDR: nobody listens there.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	c, err := net.Dial("tcp", args[0])
	if err == nil {
		_ = c.Close()
	}
	if (err == nil) != neg {
		ts.Fatalf("dialing %s: %v", args[0], err)
	}
}
