package harness_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// pages are tests whose pages a browser is shown, by .ci/run too.
var pages = map[string]struct {
	config harness.Config
	body   func(t *testing.T, h *harness.Harness)
}{
	"orders": {harness.Config{Partitions: 2}, orders},
	"escaping": {harness.Config{}, func(_ *testing.T, h *harness.Harness) {
		subscribe(h, "<b>g</b>", "t", func(_ context.Context, m *adapter.Message) adapter.Result {
			return adapter.Reject(errors.New(string(m.Value)))
		})
		h.Publish(text{"t", "<script>alert(1)</script>", `</script><img src=x onerror=alert(1)>`})
		h.Settle()
	}},
	"many": {harness.Config{MaxEvents: 20_000, Partitions: 8}, func(_ *testing.T, h *harness.Harness) {
		subscribe(h, "g", "t", func(_ context.Context, m *adapter.Message) adapter.Result {
			if m.Offset%7 == 3 && m.Attempt == 1 {
				return adapter.RetryAfter(errors.New("busy"), time.Duration(m.Offset)*time.Millisecond)
			}
			return adapter.Commit()
		})
		for i := range 6_000 {
			h.Publish(text{"t", fmt.Sprint("key ", i), "value"})
		}
		h.Settle()
	}},
	"nothing": {harness.Config{}, func(*testing.T, *harness.Harness) {}},
}

// orders is a service of two members that a fault, a rebalance, a payment
// service that is down and a bad record make trouble for. One record is still
// held when the test ends, which fails it.
func orders(_ *testing.T, h *harness.Harness) {
	h.CreateTopics("orders", "invoices")
	down := true
	bill := func(out *adapter.Adapter) adapter.HandlerFunc {
		return func(ctx context.Context, m *adapter.Message) adapter.Result {
			time.Sleep(40 * time.Millisecond)
			switch key := string(m.Key); {
			case key == "order 5":
				return adapter.Reject(errors.New("no such customer"))
			case key == "order 2" && down:
				return adapter.RetryAfter(errors.New("payment service is down"), 10*time.Minute)
			case key == "order 6":
				return adapter.RetryAfter(errors.New("credit card is locked"), 6*time.Hour)
			}
			if err := out.Publish(ctx, text{"invoices", string(m.Key), "invoice for " + string(m.Value)}); err != nil {
				return adapter.Retry(err)
			}
			return adapter.Commit()
		}
	}
	billing := func(e harness.Env) harness.Service {
		return harness.Consume(adapter.Subscription{Topics: []string{"orders"}, Group: "billing", Handler: bill(h.Adapter())})(e)
	}
	h.Start(billing).WaitAssigned()
	h.Broker().Refuse(kerr.NotEnoughReplicas, fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, Topic: "invoices", Count: 2})
	for i := range 8 {
		h.Publish(text{"orders", fmt.Sprint("order ", i), fmt.Sprintf(`{"order": %d, "total": %d}`, i, 100+7*i)})
	}
	h.Advance(time.Second)
	h.Start(billing).WaitAssigned()
	h.Advance(30 * time.Minute)
	down = false
	h.Advance(2 * time.Hour)
}

const pageVariable = "HARNESS_TEST_PAGE"

// TestPages is run in processes of its own, and fails there when its page is
// one of a test that fails.
func TestPages(t *testing.T) {
	if name := os.Getenv(pageVariable); name != "" {
		pages[name].config.Run(t, pages[name].body)
		return
	}
	t.Skip("runs a test for the sake of its page: " + pageVariable + "=orders HARNESS_REPORT=pages")
}

// page runs a test in a process of its own and returns its page, and what it
// printed.
func page(t *testing.T, name, dir string) (html, out string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPages$", "-test.v", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), pageVariable+"="+name, "HARNESS_REPORT="+dir)
	printed, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "TestPages.html"))
	if err != nil && !os.IsNotExist(err) {
		t.Log(err)
	}
	return string(b), string(printed)
}

func TestReport_ofATestThatFails(t *testing.T) {
	html, out := page(t, "orders", t.TempDir())
	for _, s := range []string{
		"<title>failed: TestPages</title>", "virtual time", "in group billing: pending", "credit card is locked",
		`"kind":"dead-lettered"`, `"cause":"orders[`, `"kind":"fault","text":"fault struck: refuse Produce`, `"kind":"revoked"`,
		`"client":"member 2"`, `"key":"order 6"`,
	} {
		assert.Contains(t, html, s)
	}
	assert.Contains(t, out, "harness: what happened, as a page: ")
}

func TestReport_ofATestThatPasses(t *testing.T) {
	html, out := page(t, "nothing", t.TempDir())
	assert.Contains(t, html, "<title>passed: TestPages</title>")
	assert.Contains(t, out, "--- PASS: TestPages")
}

func TestReport_escapesRecords(t *testing.T) {
	html, _ := page(t, "escaping", t.TempDir())
	assert.Contains(t, html, `\u003cscript\u003ealert(1)`)
	assert.NotContains(t, html, "<script>alert")
	assert.NotContains(t, html, "<img")
}

func TestReport_doesNotHideTheResult(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	assert.NoError(t, os.WriteFile(file, nil, 0o600))
	_, passes := page(t, "nothing", file)
	assert.Contains(t, passes, "--- PASS: TestPages")
	assert.Contains(t, passes, "harness: there is no page of this test: cannot make the folder of the pages, set HARNESS_REPORT to another")
	_, fails := page(t, "orders", file)
	assert.Contains(t, fails, "--- FAIL: TestPages")
	assert.Contains(t, fails, "orders[0]@")
}
