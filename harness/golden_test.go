package harness_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// invoice is an event with what differs from run to run.
type invoice struct {
	ID      string    `json:"id"`
	Order   string    `json:"order"`
	At      time.Time `json:"at"`
	Millis  int64     `json:"millis"`
	Version struct {
		ETag string `json:"etag"`
	} `json:"version"`
}

func (i invoice) TopicName() string  { return "invoices" }
func (i invoice) MessageKey() string { return i.ID }
func (i invoice) MessageData() any   { return i }
func (i invoice) MessageHeaders() []adapter.Header {
	return []adapter.Header{{Key: "trace", Value: []byte(uuid.NewString())}, {Key: "id", Value: []byte(i.ID)}, {Key: "none"}}
}

func newInvoice(order string) invoice {
	i := invoice{ID: uuid.NewString(), Order: order, At: time.Now(), Millis: time.Now().UnixMilli()}
	i.Version.ETag = uuid.NewString()
	return i
}

func TestGolden_isTheSameInEveryRunAndOnBothClocks(t *testing.T) {
	onBothClocks(t, harness.Config{}, func(_ *testing.T, h *harness.Harness) {
		subscribe(h, "g", "invoices", reject)
		h.PublishAll(newInvoice("a"), newInvoice("b"))
		h.Settle()
		h.Golden("golden/everyrun", "invoices", "invoices.g.dlt")
	})
}

func TestGolden_byKeyIsTheSameHoweverPartitionsInterleave(t *testing.T) {
	for range 5 {
		harness.Config{Partitions: 4}.Run(t, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "invoices", reject)
			for n := range 4 {
				first := newInvoice(fmt.Sprint("order ", n))
				second := first
				second.Order += ", corrected"
				h.PublishAll(first, second)
				h.Publish(text{"invoices", "", fmt.Sprint("note ", n)})
			}
			h.Settle()
			harness.Golden{ByKey: true, Fields: []string{"version", "trace"}}.Compare(h, "golden/bykey", "invoices", "invoices.g.dlt")
		})
	}
}

func TestGolden_showsEveryFormOfARecord(t *testing.T) {
	harness.Run(t, func(_ *testing.T, h *harness.Harness) {
		t := h.Topic("t").Create(2)
		t.Append(
			record(1, "text", "one line"), record(1, "", "two\nlines\r\n"), record(1, "empty", ""),
			harness.Record{Key: []byte{0xff, 0}}, harness.Record{Key: []byte{}, Value: []byte{0, 1, 0xfe}},
			record(0, "number", "12"), record(0, "string", `"quoted"`), record(0, "array", "[1,\n2, {}]"),
			record(0, "broken", `{"a":`), record(0, "times", "2026-11-24T01:02:03.5+01:00 1700000000000 4102444800000 12345 1700000000000x"),
			record(0, "uuid", "6BA7B810-9DAD-11D1-80B4-170000000000 and 6ba7b810-9dad-11d1-80b4-170000000000"),
			record(0, "fields", `{"etag":{"a":[1,2]},"list":[{"etag":[1],"b":"etag"}],"b":{"etag":"x"}}`),
		)
		h.CreateTopics("nothing:3")
		harness.Golden{Fields: []string{"etag"}, Maskers: []harness.Masker{harness.MaskPattern(`\b12345\b`, "<number>")}}.Compare(h, "golden/forms")
	})
}

func TestGolden_unmaskedAndFiltered(t *testing.T) {
	harness.Run(t, func(_ *testing.T, h *harness.Harness) {
		t := h.Topic("t").Create(1)
		t.Append(record(0, "a", "2000-01-01T00:00:00Z 946684800000"), record(0, "b", "left out"))
		harness.Golden{Unmasked: true, Filters: []harness.Filter{harness.WithKey("a")}}.Compare(h, "golden/unmasked", "t")
	})
}

func one(h *harness.Harness) {
	h.Topic("t").Create(1).Append(record(0, "k", `{"a":1,"b":2,"c":3,"d":4,"e":5}`))
	h.Golden("deep/t", "t")
}

const oneGolden = `# t: 1 partition, 1 record

t[0]@0 "k"
	{
		"a": 1,
		"b": 2,
		"c": 3,
		"d": 4,
		"e": 5
	}
`

func TestGolden_isWrittenWhenAskedFor(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HARNESS_UPDATE", "1")
	for _, was := range []string{"nothing", "something else"} {
		harness.Run(t, func(_ *testing.T, h *harness.Harness) { one(h) })
		b, err := os.ReadFile("testdata/deep/t.golden")
		require.NoError(t, err, was)
		assert.Equal(t, oneGolden, string(b), was)
		require.NoError(t, os.WriteFile("testdata/deep/t.golden", []byte("something else"), 0o600))
	}
}

func TestGolden_mayHaveTheLineEndsOfWindows(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HARNESS_UPDATE", "0")
	require.NoError(t, os.MkdirAll("testdata/deep", 0o700))
	require.NoError(t, os.WriteFile("testdata/deep/t.golden", []byte(strings.ReplaceAll(oneGolden, "\n", "\r\n")), 0o600))
	harness.Run(t, func(_ *testing.T, h *harness.Harness) { one(h) })
}

func TestMaskPattern_refusesWhatIsNoPattern(t *testing.T) {
	assert.PanicsWithValue(t, "harness: mask \"(\": error parsing regexp: missing closing ): `(`", func() { harness.MaskPattern("(", "") })
}

func reject(context.Context, *adapter.Message) adapter.Result {
	return adapter.Reject(errBad)
}

// golden compares a topic with a golden file of that text, in a directory of
// its own.
func golden(update, file string, before ...func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) {
		t.Chdir(t.TempDir())
		t.Setenv("HARNESS_UPDATE", update)
		if file != "" {
			_ = os.MkdirAll("testdata/deep", 0o700)
			_ = os.WriteFile("testdata/deep/t.golden", []byte(file), 0o600)
		}
		harness.Run(t, func(t *testing.T, h *harness.Harness) {
			for _, f := range before {
				f(t)
			}
			one(h)
		})
	}
}
