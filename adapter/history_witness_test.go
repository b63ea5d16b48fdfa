package adapter_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// tale is a made-up history of four records of topic t, a line for each thing that
// happened: who, what, which offset, and which attempt unless that is the first.
// The first and the third have key a, the others have b. The second fails once, and the fourth is
// given up.
func tale(t *testing.T, lines ...string) []happened {
	t.Helper()
	var all []happened
	for _, line := range lines {
		h := happened{Topic: "t", Attempt: 1}
		n, err := fmt.Sscan(line, &h.Who, &h.What, &h.Offset, &h.Attempt)
		require.GreaterOrEqual(t, n, 3, "%s: %v", line, err)
		h.Key, h.Value, h.ID = keyOf(h.Offset), fmt.Sprint(h.Offset), fmt.Sprintf("t/0/%d/g", h.Offset)
		all = append(all, h)
	}
	return all
}

func keyOf(offset int64) string { return []string{"a", "b"}[offset%2] }

func decided(number string, attempt int) decision {
	switch {
	case number == "1" && attempt == 1:
		return decision{result: adapter.Retry(errDown)}
	case number == "3":
		return decision{result: adapter.Reject(errDown)}
	}
	return decision{result: adapter.Commit()}
}

// letter is a dead letter.
func letter(offset int64) harness.Record {
	return harness.Record{Key: []byte(keyOf(offset)), Value: fmt.Append(nil, offset), Headers: []adapter.Header{
		{Key: adapter.HeaderID, Value: fmt.Appendf(nil, "t/0/%d", offset)}, {Key: adapter.HeaderAttempt, Value: []byte("1")},
	}}
}

// hear is what a witness says of a tale. p1 may be killed, and p2 stopped.
func hear(order adapter.Order, all []happened, letters ...harness.Record) error {
	s := subscription(nil)
	s.Order, s.Retry.Attempts = order, 3
	w := newWitness(s, decided)
	w.records = func(string) []harness.Record { return letters }
	w.overlaps = func(name string) bool { return name == "p2" }
	w.learn(all)
	var recs []harness.Record
	for n := range int64(4) {
		recs = append(recs, harness.Record{Topic: "t", Offset: n, Key: []byte(keyOf(n)), Value: fmt.Append(nil, n)})
	}
	return w.verdict(recs, ofThese("p1", "p2"))
}

// asItShouldBe is a tale in which nothing is wrong.
var asItShouldBe = []string{
	"p3 starts 0", "p3 begins 0", "p3 begins 1", "p3 ends 1", "p3 ends 0", "p3 begins 2", "p3 begins 1 2", "p3 ends 1 2",
	"p3 begins 3", "p3 ends 3", "p3 ends 2", "p3 committed 4",
}

// but is a tale in which something else happens, or nothing.
func but(instead ...string) []string {
	replaced := strings.NewReplacer(instead...).Replace(strings.Join(asItShouldBe, "\n"))
	return strings.Split(strings.Trim(strings.ReplaceAll(replaced, "\n\n", "\n"), "\n"), "\n")
}

func TestWitness_saysWhatMustNotBe(t *testing.T) {
	again := func(who string) []string { return []string{who + " starts 0", who + " begins 2", who + " ends 2"} }
	for name, c := range map[string]struct {
		order   adapter.Order
		lines   []string
		letters []harness.Record
		want    string
	}{
		"nothing":                        {lines: asItShouldBe},
		"a record was lost":              {lines: but("p3 begins 2\n", "", "p3 ends 2\n", ""), want: "t[0]@2 was lost"},
		"one was given up half-way":      {lines: but("p3 begins 1 2\n", "", "p3 ends 1 2\n", ""), want: "t[0]@1 was lost"},
		"one did not end":                {lines: but("p3 ends 2\n", ""), want: "t[0]@2 was lost"},
		"a dead letter is missing":       {lines: asItShouldBe, letters: []harness.Record{}, want: "t[0]@3 is to be dead-lettered, and on the dead-letter topic: false"},
		"a dead letter too many":         {lines: asItShouldBe, letters: []harness.Record{letter(3), letter(0)}, want: "t[0]@0 is to be committed, and on the dead-letter topic: true"},
		"a dead letter twice":            {lines: asItShouldBe, letters: []harness.Record{letter(3), letter(3)}, want: "t.g.dlt has attempt 1 of t/0/3 2 times, and it ran 1 times"},
		"two of a key at once":           {lines: but("p3 begins 2", "p3 begins 3", "p3 begins 3", "p3 begins 2"), want: "t/0/3 of key b by p3 (1), attempt 1 begins before all before it have ended"},
		"one passes another of its key":  {lines: but("p3 begins 0", "p3 begins 2", "p3 ends 0", "p3 ends 2", "p3 begins 2", "p3 begins 0", "p3 ends 2", "p3 ends 0"), want: "begins after t/0/2"},
		"and so may it not by partition": {order: adapter.ByPartition, lines: asItShouldBe, want: "t/0/1 of key b by p3 (1), attempt 1 begins after t/0/0"},
		"none of which matters":          {order: adapter.Unordered, lines: but("p3 begins 2", "p3 begins 3", "p3 begins 3", "p3 begins 2", "p3 ends 3", "p3 ends 2", "p3 ends 2", "p3 ends 3")},
		"one is handled twice":           {lines: but("p3 committed 4", "p3 begins 2\np3 ends 2"), want: "runs again, after"},
		"by another, of no misfortune":   {lines: append(but("p3 committed 4", ""), again("p4")...), want: "runs again, after"},
		"after one that was killed":      {lines: append(strings.Split(strings.ReplaceAll(strings.Join(but("p3 committed 4", "p3 killed 0"), "\n"), "p3", "p1"), "\n"), again("p3")...)},
		"by one that was stopped":        {lines: append(but("p3 committed 4", ""), again("p2")...)},
		"what a group has committed":     {lines: append(asItShouldBe, again("p2")...), want: "was settled and committed before its partition was assigned"},
		"a commit goes back":             {lines: append(asItShouldBe, "p3 committed 3"), want: "t/0: 3 was committed by p3 after 4"},
		"while it still runs":            {lines: append(but("p3 ends 2", "", "p3 committed 4", "p4 starts 0"), "p4 begins 2", "p4 ends 2", "p3 ends 2"), want: "begins while"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.letters == nil {
				c.letters = []harness.Record{letter(3)}
			}
			err := hear(c.order, tale(t, c.lines...), c.letters...)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestWitness_anotherIDIsNoDuplicate(t *testing.T) {
	all := tale(t, asItShouldBe...)
	all[1].ID = "t/0/9/g"
	require.ErrorContains(t, hear(adapter.ByKey, all, letter(3)), "has the id t/0/9/g, and is t/0/0/g")
}

// What one process has begun to write when it is killed, another goes on with.
func TestHistory_aLineMayBeTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "diary")
	write := func(text string) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	write(`{"who":"p1","what":"begins","offset":1}` + "\n" + `{"who":"p1","wh{"who":"p2","what":"starts"}` + "\n")
	all, err := history(path)
	require.NoError(t, err)
	assert.Equal(t, []happened{{Who: "p1", What: "begins", Offset: 1}, {Who: "p2", What: "starts"}}, all)
	write(`{"wh{"who":"p2"}` + "\n" + `{"who":"p1","wh` + "\n")
	_, err = history(path)
	require.ErrorContains(t, err, "2 lines")
	_, err = history(path + " that is not there")
	assert.True(t, errors.Is(err, os.ErrNotExist))
}
