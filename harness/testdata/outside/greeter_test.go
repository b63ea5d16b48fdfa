// Package greeter stands for a module of somebody else's.
package greeter

import (
	"context"
	"errors"
	"slices"
	"testing"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

type greeting struct{ text string }

func (g greeting) TopicName() string  { return "greetings" }
func (g greeting) MessageKey() string { return "" }
func (g greeting) MessageData() any   { return g.text }

func TestGreeter(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var got []string
		h.Subscribe(adapter.Subscription{
			Topics: []string{"greetings"},
			Group:  "greeter",
			Handler: adapter.HandlerFunc(func(ctx context.Context, m *adapter.Message) adapter.Result {
				if m.Attempt < 3 {
					return adapter.Retry(errors.New("database is down"))
				}
				got = append(got, string(m.Value))
				return adapter.Commit()
			}),
		})
		rec := h.Publish(greeting{"hello"})
		h.Settle()
		if f := h.Fate(rec); f.Kind != harness.Committed || f.Attempts != 3 {
			t.Fatal(f)
		}
		if !slices.Equal(got, []string{"hello"}) {
			t.Fatal(got)
		}
	})
}
