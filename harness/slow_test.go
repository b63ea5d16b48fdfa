package harness_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// longer than the guard needs for a bubble that is frozen, in real time.
const longer = 3 * time.Second

// What takes real time, and comes to an end, is let be.
func TestGuard_letsBe(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(longer) }))
	t.Cleanup(slow.Close)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for name, slowly := range map[string]func(t *testing.T, over *atomic.Bool){
		"a handler that computes": func(_ *testing.T, over *atomic.Bool) {
			for !over.Load() {
				runtime.Gosched()
			}
		},
		"a program": func(t *testing.T, _ *atomic.Bool) { assert.NoError(t, exec.Command("sleep", "3").Run()) },
		"an answer from a server outside": func(t *testing.T, _ *atomic.Bool) {
			res, err := client.Get(slow.URL)
			require.NoError(t, err)
			assert.NoError(t, res.Body.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var over atomic.Bool
			defer time.AfterFunc(longer, func() { over.Store(true) }).Stop()
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
					slowly(t, &over)
					return adapter.Commit()
				})
				h.Publish(text{topic: "t"})
				h.Settle()
			})
		})
	}
}
