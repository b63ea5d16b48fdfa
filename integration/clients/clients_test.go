package clients_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"

	"example.com/kafkatest/integration/kafka"
)

// The clients, by the names of their folders.
var clients = []string{
	"java",
	"confluent-kafka-python",
	"kafka-python",
	"aiokafka",
	"kafkajs",
	"kcat",
	"sarama",
	"kafka-go",
}

// The cells, as CONTRACT.md has them.
var cells = []string{
	"topic/create",
	"produce/plain",
	"produce/gzip",
	"produce/snappy",
	"produce/lz4",
	"produce/zstd",
	"produce/idempotent",
	"produce/transactional",
	"produce/aborted",
	"group/two members",
	"group/rebalance",
	"group/commit",
	"group/resume",
	"consume/seek",
	"group/describe",
	"group/reset",
	"group/delete",
	"tls/produce and consume",
	"sasl/PLAIN",
	"sasl/SCRAM-SHA-256",
	"sasl/SCRAM-SHA-512",
	"sasl/wrong password",
	"errors/unknown topic",
	"errors/bad topic name",
}

// The cells of Apache Kafka's command-line tools.
var toolCells = []string{
	"tools/topic-create",
	"tools/topic-describe",
	"tools/topic-grow",
	"tools/verifiable-producer",
	"tools/offsets",
	"tools/consumer-classic",
	"tools/consumer-848",
	"tools/groups-list",
	"tools/groups-describe",
	"tools/groups-describe-848",
	"tools/groups-reset",
	"tools/groups-delete",
	"tools/groups-all",
	"tools/perf-producer",
	"tools/perf-producer-lz4",
	"tools/perf-producer-txn",
	"tools/perf-consumer",
	"tools/console-consumer",
	"tools/configs-describe",
	"tools/configs-alter",
	"tools/cluster-id",
	"tools/features",
	"tools/quorum",
	"tools/logdirs",
	"tools/txn-list",
	"tools/txn-producers",
	"tools/delete-records",
	"tools/election",
	"tools/e2e-latency",
	"tools/scram",
	"tools/share-list",
	"tools/topic-delete",
}

// suite is cells, and the clients that go through them. It is a part of the table.
type suite struct{ cells, clients []string }

var suites = []suite{{cells, clients}, {toolCells, []string{"java-tools"}}}

const (
	installLimit = 10 * time.Minute
	runLimit     = 4 * time.Minute // a cell may take 15 s, most take a fraction of one
)

// broker is where a client's program connects to.
type broker struct {
	name                 string // for people
	plaintext, sasl, tls string // HOST:PORT
	ca                   string // a file
}

var user = kafka.User{Name: "admin", Password: "admin-secret", Super: true}

func TestClients(t *testing.T) {
	kafka.SkipUnlessWanted(t)
	k := kafka.Run(t, kafka.Config{Users: []kafka.User{user}, TLS: true})
	genuine := broker{name: "Apache Kafka", plaintext: k.Addrs()[0], sasl: k.SASLAddrs()[0], tls: k.TLSAddrs()[0], ca: k.CAFile()}
	fake := startFake(t)

	done := make(table)
	for _, s := range suites {
		for _, name := range s.clients {
			t.Run(name, func(t *testing.T) {
				cache := install(t, name)
				var onReal, onFake map[string]string
				var errReal, errFake error
				var both sync.WaitGroup
				both.Go(func() { onReal, errReal = run(t, s, name, cache, genuine) })
				both.Go(func() { onFake, errFake = run(t, s, name, cache, fake) })
				both.Wait()
				noError(t, errors.Join(errReal, errFake))
				done[name] = compare(t, s, name, onReal, onFake)
			})
		}
	}
	if len(done) > 0 {
		t.Run("table", func(t *testing.T) { checkTable(t, done) })
	}
}

// install puts there what a client needs, and returns the folder.
func install(t *testing.T, name string) string {
	t.Helper()
	cache, err := kafka.Cache()
	noError(t, err)
	cache = filepath.Join(cache, "clients")
	noError(t, os.MkdirAll(cache, 0o755))
	unlock, err := lockedfile.MutexAt(filepath.Join(cache, name+".lock")).Lock()
	noError(t, err)
	defer unlock()
	out, err := command(t, installLimit, name, "install", cache).CombinedOutput()
	if err != nil {
		t.Fatalf("installing what %s needs: %v; it said:\n%s", name, err, tail(out))
	}
	return cache
}

// run runs a client's program and returns its outcomes by cell.
func run(t *testing.T, s suite, name, cache string, b broker) (map[string]string, error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := command(t, runLimit, name, "run", cache)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(),
		"BOOTSTRAP="+b.plaintext, "SASL_BOOTSTRAP="+b.sasl, "TLS_BOOTSTRAP="+b.tls, "TLS_CA="+b.ca,
		"SASL_USER="+user.Name, "SASL_PASSWORD="+user.Password,
		"PREFIX="+strings.ToLower(rand.Text()[:8]), "CELLS=")
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s on %s: %w after %v; outcomes:\n%s\nit said:\n%s", name, b.name, err, time.Since(begun).Round(time.Second), stdout.String(), tail(stderr.Bytes()))
	}
	t.Logf("%s took %v on %s", name, time.Since(begun).Round(time.Second), b.name)
	outcomes := make(map[string]string)
	lines := bufio.NewScanner(&stdout)
	for lines.Scan() {
		var line struct{ Cell, Outcome string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%s said %q, which is no outcome: %w", name, lines.Text(), err)
		}
		if !slices.Contains(s.cells, line.Cell) || line.Outcome == "" || outcomes[line.Cell] != "" {
			return nil, fmt.Errorf("%s said %q, which is not the outcome of another cell", name, lines.Text())
		}
		outcomes[line.Cell] = line.Outcome
	}
	for _, c := range s.cells {
		if outcomes[c] == "" {
			return nil, fmt.Errorf("%s has no outcome of %s", name, c)
		}
	}
	return outcomes, lines.Err()
}

// compare holds the outcomes on the fake broker to those on Apache Kafka, and
// returns what the table says of each.
func compare(t *testing.T, s suite, name string, onReal, onFake map[string]string) map[string]string {
	t.Helper()
	said := make(map[string]string)
	for _, c := range s.cells {
		got, want := onFake[c], onReal[c]
		t.Logf("%-24s %s", c, want)
		known, isKnown := knownDifference(name, c)
		switch {
		case strings.HasPrefix(want, "wrong") || strings.HasPrefix(want, "not run") || want == "error: time out":
			t.Errorf("%s: on Apache Kafka: %s: mend the client's program", c, want)
		case got != want && isKnown:
			t.Logf("%-24s on the fake broker: %s (known: %s)", c, got, known)
			said[c] = differsAs + known
		case got != want:
			t.Errorf("%s:\n\ton the fake broker: %s\n\ton Apache Kafka:    %s", c, got, want)
			said[c] = "differs"
		case isKnown:
			t.Errorf("%s: no longer a difference: take it off the list of known ones", c)
			fallthrough
		default:
			if said[c] = "as Kafka"; want == notOffered {
				said[c] = notOffered
			}
		}
	}
	return said
}

// notOffered is the outcome of what a library has no operation for.
const notOffered = "not offered"

// command is one of a client's two scripts. All of its processes are killed
// when it takes too long.
func command(t *testing.T, limit time.Duration, name, script, cache string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	path, err := filepath.Abs(filepath.Join(name, script))
	noError(t, err)
	cmd := exec.CommandContext(ctx, path, cache)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// tail is the end of what a program said.
func tail(said []byte) string {
	const most = 4000
	if len(said) > most {
		said = append([]byte("…"), said[len(said)-most:]...)
	}
	return string(said)
}

func knownDifference(client, cell string) (reason string, known bool) {
	i := slices.IndexFunc(knownDifferences, func(d difference) bool {
		return d.cell == cell && slices.Contains(d.clients, client)
	})
	if i < 0 {
		return "", false
	}
	return knownDifferences[i].reason, true
}

// The table of contents that tests are held to is the one that people read.
func TestContract_namesTheCells(t *testing.T) {
	text, err := os.ReadFile("CONTRACT.md")
	noError(t, err)
	for _, c := range slices.Concat(cells, toolCells) {
		area, rest, _ := strings.Cut(c, "/")
		if !bytes.Contains(text, []byte("`"+c+"`")) && !bytes.Contains(text, []byte("`/"+rest+"`")) {
			t.Errorf("CONTRACT.md does not name %s of %s", c, area)
		}
	}
}

func TestKnownDifferences_nameClientsAndCells(t *testing.T) {
	for _, d := range knownDifferences {
		if d.reason == "" || len(d.clients) == 0 {
			t.Errorf("a difference needs a cell, clients and a reason: %+v", d)
		}
		for _, c := range d.clients {
			if !slices.ContainsFunc(suites, func(s suite) bool { return slices.Contains(s.clients, c) && slices.Contains(s.cells, d.cell) }) {
				t.Errorf("there is no client %q that is asked for %q", c, d.cell)
			}
		}
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
