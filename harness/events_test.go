package harness_test

import (
	"context"
	"strings"
	"testing"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// text is an event for any topic.
type text struct{ topic, key, value string }

func (e text) TopicName() string  { return e.topic }
func (e text) MessageKey() string { return e.key }
func (e text) MessageData() any   { return e.value }

// subscribe runs a function for the values of a topic.
func subscribe(h *harness.Harness, group, topic string, handle func(ctx context.Context, m *adapter.Message) adapter.Result) {
	h.Subscribe(adapter.Subscription{Topics: []string{topic}, Group: group, Handler: adapter.HandlerFunc(handle), Order: adapter.ByPartition})
}

func commit(context.Context, *adapter.Message) adapter.Result { return adapter.Commit() }

// onBothClocks runs a test in virtual and in real time.
func onBothClocks(t *testing.T, c harness.Config, body func(t *testing.T, h *harness.Harness)) {
	t.Helper()
	t.Run("virtual time", func(t *testing.T) { c.Run(t, body) })
	t.Run("real time", func(t *testing.T) { c.RunRealTime(t, body) })
}

func assertKind(t *testing.T, want harness.Kind, f harness.Fate) {
	t.Helper()
	if f.Kind != want {
		t.Errorf("want %s, got: %v", want, f)
	}
}

// assertInOrder asserts that a text has some parts, one after the other.
func assertInOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, p := range parts {
		_, after, found := strings.Cut(rest, p)
		if !found {
			t.Errorf("no %q in its place in:\n%s", p, text)
			return
		}
		rest = after
	}
}
