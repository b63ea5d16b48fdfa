package harness_test

import (
	"encoding/json"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"example.com/kafkatest/harness"
)

// some is an event of any data.
type some struct{ data any }

func (some) TopicName() string  { return "t" }
func (some) MessageKey() string { return "" }
func (s some) MessageData() any { return s.data }

type order struct {
	ID    string `json:"id"`
	Total int    `json:"total"`
}

// codes read and write themselves.
type textCode struct{ n string }

func (c textCode) MarshalText() ([]byte, error)  { return []byte("code:" + c.n), nil }
func (c *textCode) UnmarshalText(b []byte) error { c.n = string(b[len("code:"):]); return nil }
func (c textCode) MarshalJSON() ([]byte, error)  { panic("the text comes first") }
func (c *textCode) UnmarshalJSON(b []byte) error { panic("the text comes first") }

type writeOnly struct{}

func (writeOnly) MarshalBinary() ([]byte, error) { return []byte{1}, nil }

func backAndForth[T any](t *testing.T, values ...T) {
	t.Helper()
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		for _, v := range values {
			h.Publish(some{v})
		}
		assert.Equal(t, values, harness.Values[T](h.Topic("t")))
	})
}

func TestValues_areWhatWasPublished(t *testing.T) {
	two := 2
	backAndForth(t, order{"a", 1}, order{"b", 2})
	backAndForth(t, &order{"a", 1}, nil)
	backAndForth(t, "a", "", `"`)
	backAndForth(t, []byte("a"), []byte{0xff}, nil)
	backAndForth(t, []int{1, 2}, []int{})
	backAndForth(t, map[string]int{"a": 1})
	backAndForth(t, any(map[string]any{"a": 1.5}), nil)
	backAndForth(t, 1, -2)
	backAndForth(t, &two)
	backAndForth(t, json.RawMessage(`{"a":1}`))
	backAndForth(t, textCode{"a"})
	backAndForth(t, &textCode{"a"})
	backAndForth(t, time.Unix(5, 6).UTC())
	backAndForth(t, url.URL{Scheme: "https", Host: "a", Path: "/b"})
	backAndForth(t, big.NewInt(5))
}

func TestValues_areFiltered(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		orders := h.Topic("orders").Create(2)
		orders.Append(record(1, "k", `{"id":"a","total":1}`), record(1, "", "no order"), harness.Record{Key: []byte("k")})
		assert.Equal(t, []order{{"a", 1}}, harness.Values[order](orders, harness.WithKey("k"), harness.WithoutTombstones()))
		assert.Equal(t, []order{}, harness.Values[order](orders, harness.WithKey("l")))
	})
}

func TestValuesBy_isGivenTheRecord(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		orders := h.Topic("orders").Create(1)
		orders.Append(record(0, "a", "1"), record(0, "b", "2"))
		got := harness.ValuesBy(orders, func(r harness.Record) (string, error) { return string(r.Key) + string(r.Value), nil })
		assert.Equal(t, []string{"a1", "b2"}, got)
	})
}
