package clients_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"

	"example.com/kafkatest/integration/kafka"
)

var update = flag.Bool("update", false, "write the table in fakebroker/README.md")

// The clients, by the names of their folders.
var clients = []string{
	"confluent-kafka-python",
	"kafka-python",
	"aiokafka",
	"kcat",
	"sarama",
	"kafka-go",
	"kafkajs",
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

const (
	installLimit = 10 * time.Minute
	runLimit     = 4 * time.Minute // a cell may take 15 s, most take a fraction of one
)

// broker is where a client's program connects to.
type broker struct {
	plaintext, sasl, tls string // HOST:PORT
	ca                   string // a file
}

var user = kafka.User{Name: "admin", Password: "admin-secret", Super: true}

func TestClients(t *testing.T) {
	kafka.SkipUnlessWanted(t)
	k := kafka.Run(t, kafka.Config{Users: []kafka.User{user}, TLS: true})
	genuine := broker{plaintext: k.Addrs()[0], sasl: k.SASLAddrs()[0], tls: k.TLSAddrs()[0], ca: k.CAFile()}
	fake := startFake(t)

	done := make(table)
	for _, name := range clients {
		t.Run(name, func(t *testing.T) {
			cache := install(t, name)
			onReal, onFake := run(t, name, cache, genuine), run(t, name, cache, fake)
			if t.Failed() {
				return
			}
			done[name] = compare(t, name, onReal, onFake)
		})
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
func run(t *testing.T, name, cache string, b broker) map[string]string {
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
		t.Fatalf("%s on %s: %v after %v; outcomes:\n%s\nit said:\n%s", name, b.plaintext, err, time.Since(begun).Round(time.Second), stdout.String(), tail(stderr.Bytes()))
	}
	t.Logf("%s took %v on %s", name, time.Since(begun).Round(time.Second), b.plaintext)
	outcomes := make(map[string]string)
	lines := bufio.NewScanner(&stdout)
	for lines.Scan() {
		var line struct{ Cell, Outcome string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || !slices.Contains(cells, line.Cell) || line.Outcome == "" || outcomes[line.Cell] != "" {
			t.Fatalf("%s said %q, which is not the outcome of another cell: %v", name, lines.Text(), err)
		}
		outcomes[line.Cell] = line.Outcome
	}
	noError(t, lines.Err())
	for _, c := range cells {
		if outcomes[c] == "" {
			t.Errorf("%s has no outcome of %s", name, c)
		}
	}
	return outcomes
}

// compare holds the outcomes on the fake broker to those on Apache Kafka, and
// returns what the table says of each.
func compare(t *testing.T, name string, onReal, onFake map[string]string) map[string]string {
	t.Helper()
	said := make(map[string]string)
	for _, c := range cells {
		got, want := onFake[c], onReal[c]
		t.Logf("%-24s %s", c, want)
		known, isKnown := knownDifference(name, c)
		switch {
		case strings.HasPrefix(want, "wrong") || strings.HasPrefix(want, "not run") || want == "error: time out":
			t.Errorf("%s: on Apache Kafka: %s: mend the client's program", c, want)
		case got != want && isKnown:
			t.Logf("%-24s on the fake broker: %s (known: %s)", c, got, known)
			said[c] = "differs: " + known
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
	for _, c := range cells {
		area, rest, _ := strings.Cut(c, "/")
		if !bytes.Contains(text, []byte("`"+c+"`")) && !bytes.Contains(text, []byte("`/"+rest+"`")) {
			t.Errorf("CONTRACT.md does not name %s of %s", c, area)
		}
	}
}

func TestKnownDifferences_nameClientsAndCells(t *testing.T) {
	for _, d := range knownDifferences {
		for _, c := range d.clients {
			if !slices.Contains(clients, c) {
				t.Errorf("there is no client %q", c)
			}
		}
		if !slices.Contains(cells, d.cell) || d.reason == "" || len(d.clients) == 0 {
			t.Errorf("a difference needs a cell, clients and a reason: %+v", d)
		}
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// table is what became of each cell, by client.
type table map[string]map[string]string

const (
	readme     = "../../fakebroker/README.md"
	tableBegin = "<!-- clients: made by go test ./clients -update in integration -->\n"
	tableEnd   = "<!-- end of clients -->\n"
)

// checkTable holds the README to what was found, or writes it. Columns of clients
// that were not run stay as they are.
func checkTable(t *testing.T, found table) {
	t.Helper()
	text, err := os.ReadFile(readme)
	noError(t, err)
	before, rest, ok := bytes.Cut(text, []byte(tableBegin))
	old, after, ok2 := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !ok2 {
		t.Fatalf("%s has no lines %q and %q to put the table between", readme, tableBegin, tableEnd)
	}
	whole := parseTable(string(old))
	maps.Copy(whole, found)
	want := whole.String()
	switch {
	case want == string(old):
	case *update:
		noError(t, os.WriteFile(readme, slices.Concat(before, []byte(tableBegin), []byte(want), []byte(tableEnd), after), 0o644))
	default:
		t.Errorf("the table in %s is not what was found: run this with -update. It would be:\n%s", readme, want)
	}
}

// String is the table in Markdown, reasons of differences below it.
func (tb table) String() string {
	var b strings.Builder
	var notes []string
	row := func(first string, of func(client string) string) {
		b.WriteString("| " + first + " |")
		for _, c := range clients {
			b.WriteString(" " + of(c) + " |")
		}
		b.WriteString("\n")
	}
	row("", func(c string) string { return c })
	row("---", func(string) string { return "---" })
	for _, cell := range cells {
		row(cell, func(c string) string {
			said := tb[c][cell]
			reason, differs := strings.CutPrefix(said, "differs: ")
			if !differs {
				return said
			}
			i := slices.Index(notes, reason)
			if i < 0 {
				i = len(notes)
				notes = append(notes, reason)
			}
			return fmt.Sprintf("differs (%d)", i+1)
		})
	}
	for i, n := range notes {
		fmt.Fprintf(&b, "\n%d. %s\n", i+1, n)
	}
	return b.String()
}

// parseTable reads what String wrote.
func parseTable(text string) table {
	tb := make(table)
	notes := make(map[string]string)
	for line := range strings.Lines(text) {
		if n, reason, ok := strings.Cut(strings.TrimSpace(line), ". "); ok && !strings.HasPrefix(line, "|") {
			notes["differs ("+n+")"] = "differs: " + reason
		}
	}
	var columns []string
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if columns == nil {
			columns = fields
			continue
		}
		for i := 1; i < len(fields) && i < len(columns); i++ {
			if !slices.Contains(cells, fields[0]) || fields[i] == "" {
				continue
			}
			if tb[columns[i]] == nil {
				tb[columns[i]] = make(map[string]string)
			}
			said := fields[i]
			if reason, ok := notes[said]; ok {
				said = reason
			}
			tb[columns[i]][fields[0]] = said
		}
	}
	return tb
}

func TestTable_isReadAsItIsWritten(t *testing.T) {
	tb := table{
		clients[0]: {cells[0]: "as Kafka", cells[1]: "differs: another reason", cells[2]: notOffered},
		clients[1]: {cells[0]: "differs: a reason", cells[1]: "differs: another reason"},
	}
	text := tb.String()
	if got := parseTable(text); got.String() != text || got[clients[1]][cells[0]] != "differs: a reason" || len(got) != 2 {
		t.Fatalf("read %v from\n%s", got, text)
	}
}
