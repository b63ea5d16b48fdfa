package integration

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"example.com/kafkatest/fakebroker/brokertest"
)

var update = flag.Bool("update", false, "write PARITY.md as the behaviours come out")

const parityFile = "PARITY.md"

// parity is what came of each behaviour on each broker.
type parity struct {
	brokers []string

	mu  sync.Mutex
	got map[string]map[string]string // by broker and behaviour
}

// note notes what came of a behaviour, whose test is at its end.
func (p *parity) note(t *testing.T, broker string) {
	t.Helper()
	_, behaviour, _ := strings.Cut(strings.TrimPrefix(t.Name(), "TestBehaviours/"), "/")
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.got == nil {
		p.got = map[string]map[string]string{}
	}
	if p.got[broker] == nil {
		p.got[broker] = map[string]string{}
	}
	switch {
	case t.Failed():
		p.got[broker][behaviour] = "differs"
	case t.Skipped():
		p.got[broker][behaviour] = "not run"
	default:
		p.got[broker][behaviour] = "yes"
	}
}

// table is the outcomes, by behaviour.
func (p *parity) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| behaviour | by | %s |\n| --- | --- |%s\n", strings.Join(p.brokers, " | "), strings.Repeat(" --- |", len(p.brokers)))
	for _, of := range brokertest.Behaviours() {
		fmt.Fprintf(&b, "| %s | %s |", cell(of.Name), cell(of.Source))
		for _, broker := range p.brokers {
			outcome, ok := p.got[broker][strings.ReplaceAll(of.Name, " ", "_")]
			if !ok {
				outcome = "not run"
			}
			fmt.Fprintf(&b, " %s |", outcome)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// cell is text as a cell of a table.
func cell(s string) string { return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s) }

// parityHead is what PARITY.md says before its table.
const parityHead = `# What the fake broker does like Apache Kafka

Each row is a behaviour of package [brokertest](../fakebroker/brokertest), run through
real clients, and where its rule comes from. All were true of Apache Kafka first. What
differs and is no row is listed, with the reasons, in [the fake broker's
README](../fakebroker/README.md#known-differences).

The table is written by ` + "`KAFKATEST_REAL=1 go test -run '^TestBehaviours$' . -update`" + `
in this folder; without ` + "`-update`" + ` the test fails where it says something else.

`

// compare holds the outcomes to the file, unless only some behaviours were run.
func (p *parity) compare(t *testing.T) {
	t.Helper()
	for _, broker := range p.brokers {
		if len(p.got[broker]) < len(brokertest.Behaviours()) {
			return // -run chose some
		}
	}
	now := parityHead + p.table()
	if *update {
		if err := os.WriteFile(parityFile, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	was, err := os.ReadFile(parityFile)
	if err != nil {
		t.Fatalf("%v: make it with -update", err)
	}
	if string(was) != now {
		t.Errorf("%s says something else than what came out: make it anew with -update, and look at the difference", parityFile)
	}
}
