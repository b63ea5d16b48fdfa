package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"example.com/kafkatest/fakebroker"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fakebroker": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": await, "awaitline": awaitLine, "brokers": brokers, "certify": certify, "exits": exits, "records": records,
			"refused": refused, "roundtrip": roundtrip, "terminate": terminate,
		},
		Setup: func(env *testscript.Env) error {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Defer(func() { _ = ln.Close() })
			env.Setenv("TAKEN", ln.Addr().String())
			env.Setenv("NL", "\n")
			return nil
		},
	})
}

// patience bounds what a script waits for.
const patience = 2 * time.Minute

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

// awaitline FILE REGEXP VAR: waits until a line of the file matches, and sets VAR
// to what its first group has matched.
func awaitLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: awaitline FILE REGEXP VAR")
	}
	want := regexp.MustCompile("(?m)" + args[1])
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		b, _ := os.ReadFile(ts.MkAbs(args[0])) // not there yet
		if m := want.FindSubmatch(b); m != nil {
			ts.Setenv(args[2], string(m[1]))
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			ts.Fatalf("%s has no line that matches %s: %s", args[0], args[1], b)
		}
	}
}

// connect reads what a client of a script needs: an address, then any of
// ca=FILE, cert=FILE with key=FILE, sasl=MECHANISM:USER:PASSWORD, and
// at=HOST:PORT to be reached in place of any address that the broker names.
func connect(ts *testscript.TestScript, addr string, args []string) (opts []kgo.Opt) {
	var secure *tls.Config
	var cert, at string
	opts = append(opts, kgo.SeedBrokers(addr), kgo.UnknownTopicRetries(2), kgo.RequestRetries(2))
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "ca":
			secure = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
			if !secure.RootCAs.AppendCertsFromPEM([]byte(ts.ReadFile(value))) {
				ts.Fatalf("%s has no certificate", value)
			}
		case "cert":
			cert = value
		case "key":
			pair, err := tls.X509KeyPair([]byte(ts.ReadFile(cert)), []byte(ts.ReadFile(value)))
			ts.Check(err)
			secure.Certificates = []tls.Certificate{pair}
		case "sasl":
			u, err := fakebroker.ParseUser(value)
			ts.Check(err)
			auth := scram.Auth{User: u.Name, Pass: u.Password}
			opts = append(opts, kgo.SASL(map[string]sasl.Mechanism{
				fakebroker.Plain:       plain.Auth{User: u.Name, Pass: u.Password}.AsMechanism(),
				fakebroker.ScramSHA256: auth.AsSha256Mechanism(), fakebroker.ScramSHA512: auth.AsSha512Mechanism(),
			}[u.Mechanism]))
		case "at":
			at = value
		default:
			ts.Fatalf("what is %s?", arg)
		}
	}
	return append(opts, kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		if at != "" {
			addr = at
		}
		if secure == nil {
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
		return (&tls.Dialer{Config: secure}).DialContext(ctx, network, addr)
	}))
}

// roundtrip ADDR TOPIC [WITH...]: produces a record and consumes it; see connect.
func roundtrip(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := func() error {
		cl, err := kgo.NewClient(append(connect(ts, args[0], args[2:]), kgo.ConsumeTopics(args[1]), kgo.AllowAutoTopicCreation(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
		if err != nil {
			return err
		}
		defer cl.Close()
		if err := cl.Ping(ctx); err != nil {
			return err
		}
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
	if (err != nil) != neg || errors.Is(err, context.DeadlineExceeded) {
		ts.Fatalf("produce and consume %s: %v", args[1], err)
	}
}

// brokers ADDR [WITH...]: prints "ID HOST:PORT RACK" of each broker, as clients
// are told; see connect.
func brokers(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cl, err := kgo.NewClient(connect(ts, args[0], args[1:])...)
	ts.Check(err)
	defer cl.Close()
	resp, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, cl)
	if (err != nil) != neg {
		ts.Fatalf("metadata: %v", err)
	}
	if err != nil {
		return
	}
	for _, b := range resp.Brokers {
		rack := "-"
		if b.Rack != nil {
			rack = *b.Rack
		}
		_, err := fmt.Fprintf(ts.Stdout(), "%d %s:%d %s\n", b.NodeID, b.Host, b.Port, rack)
		ts.Check(err)
	}
}

// records ADDR TOPIC N: prints "PARTITION KEY=VALUE" of N records.
func records(ts *testscript.TestScript, neg bool, args []string) {
	var n int
	if _, err := fmt.Sscan(args[2], &n); err != nil || neg {
		ts.Fatalf("usage: records ADDR TOPIC N")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cl, err := kgo.NewClient(append(connect(ts, args[0], nil), kgo.ConsumeTopics(args[1]), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	ts.Check(err)
	defer cl.Close()
	var lines []string
	for len(lines) < n {
		fs := cl.PollFetches(ctx)
		ts.Check(ctx.Err())
		fs.EachRecord(func(r *kgo.Record) { lines = append(lines, fmt.Sprintf("%d %s=%s", r.Partition, r.Key, r.Value)) })
	}
	slices.Sort(lines)
	_, err = fmt.Fprintln(ts.Stdout(), strings.Join(lines, "\n"))
	ts.Check(err)
}

// certify DIR: makes certificates as --tls-dir does.
func certify(ts *testscript.TestScript, neg bool, args []string) {
	b, err := fakebroker.Start(fakebroker.Config{TLSDir: ts.MkAbs(args[0]), Listeners: []fakebroker.Listener{{TLS: true}}})
	if neg || err != nil {
		ts.Fatalf("making certificates: %v", err)
	}
	ts.Check(b.Close())
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
