package adapter_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// readiness is what the handler answers.
func readiness(a *adapter.Adapter) (status int, body string) {
	w := httptest.NewRecorder()
	a.ReadinessHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ready", nil))
	return w.Code, w.Body.String()
}

func TestReadiness_whenAllIsWell(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(subscription(commits))
		h.Settle()
		status, body := readiness(h.Adapter())
		assert.Equal(t, 200, status)
		assert.JSONEq(t, `{"ready":true}`, body)
	})
}

func TestReadiness_withoutABroker(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(subscription(commits))
		h.Settle()
		down := h.Broker().TakeDown(0)
		until(t, "not ready", func() bool { return len(h.Adapter().Readiness()) > 0 })
		assert.Contains(t, h.Adapter().Readiness()[0].String(), "the adapter is disconnected: ")
		down.Clear()
		until(t, "ready", func() bool { return len(h.Adapter().Readiness()) == 0 })
	})
}

func TestReadiness_whatIsBlockedOrFull(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		open := false
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			switch {
			case string(m.Value) == "bad":
				return adapter.Reject(errors.New("bad"))
			case !open:
				return adapter.RetryAfter(errDown, time.Hour)
			}
			return adapter.Commit()
		})
		s.MaxHeldRecords = 2
		h.Subscribe(s)
		f := h.Broker().Refuse(kerr.TopicAuthorizationFailed, produceTo("t.g.dlt"))
		h.PublishAll(event{"t", "a", "bad"}, event{"t", "b", "later"})
		until(t, "both", func() bool { return len(h.Adapter().Readiness()) == 2 })
		status, body := readiness(h.Adapter())
		assert.Equal(t, 503, status)
		assert.Contains(t, body, `"ready":false,"reasons":[{"group":"g","topic":"t","partition":0,"reason":"blocked: refused by the broker`)
		assert.Contains(t, h.Adapter().Readiness()[1].String(), "group g, t[0]: no more records are started: as many are held")
		f.Clear()
		open = true
		time.Sleep(time.Minute)
		h.Settle()
		assert.Empty(t, h.Adapter().Readiness())
	})
}

func TestReadiness_aStuckHandler(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		release := make(chan struct{})
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Attempt == 1 {
				<-release
			}
			return adapter.Commit()
		})
		s.Retry.HandlerTimeout = time.Second
		h.Subscribe(s)
		h.Publish(event{"t", "k", ""})
		time.Sleep(time.Minute)
		require.Len(t, h.Adapter().Readiness(), 1)
		assert.Equal(t, "group g: 1 handlers ignore that their context was cancelled", h.Adapter().Readiness()[0].String())
		close(release)
		h.Settle()
		assert.Empty(t, h.Adapter().Readiness())
	})
}

func TestReadiness_aConsumerThatStoppedUntilThereIsAnother(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		a := h.NewAdapter()
		h.CreateTopics("t")
		f := h.Broker().Refuse(kerr.GroupAuthorizationFailed, fakebroker.Scope{APIs: []kmsg.Key{kmsg.JoinGroup}})
		c := subscribe(t, a, subscription(commits))
		<-c.Done()
		require.Len(t, a.Readiness(), 1)
		assert.Contains(t, a.Readiness()[0].String(), "group g: the consumer has stopped: refused by the broker")
		f.Clear()
		subscribe(t, a, subscription(commits))
		until(t, "ready", func() bool { return len(a.Readiness()) == 0 })
	})
}
