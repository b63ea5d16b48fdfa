package control_test

import (
	"encoding/json"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"example.com/kafkatest/fakebroker"
)

// TestREADME_examplesWork runs the examples as they are, but for the address:
// they pass a proxy that holds requests and answers to the document.
func TestREADME_examplesWork(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	noError(t, err)
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		blocks = append(blocks, m[1])
	}
	if n := strings.Count(string(readme), "curl http") + strings.Count(string(readme), "curl 'http"); len(blocks) < 10 || n < 30 {
		t.Fatalf("found %d blocks with %d commands", len(blocks), n)
	}
	b, s := serve(t, fakebroker.Config{Brokers: 3, Topics: []fakebroker.Topic{{Name: "orders", Partitions: 3}}})
	target, err := url.Parse(s.URL())
	noError(t, err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Transport: &checked{t: t, url: s.URL()},
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
	})
	defer proxy.Close()
	home := t.TempDir()
	noError(t, os.WriteFile(filepath.Join(home, ".curlrc"), []byte("fail-with-body\nsilent\nshow-error\nno-progress-meter\nwrite-out = \"\\n\"\n"), 0o600))
	for _, block := range blocks {
		cmd := exec.CommandContext(within(t), "sh", "-eu", "-c", strings.ReplaceAll(block, "http://127.0.0.1:9099", proxy.URL))
		cmd.Env = append(os.Environ(), "CURL_HOME="+home)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, block, out)
		}
		for line := range strings.Lines(string(out)) {
			if line = strings.TrimSpace(line); line != "" && !strings.Contains(block, "openapi.json") && !json.Valid([]byte(line)) {
				t.Fatalf("no JSON was answered\n%s\n%s", block, line)
			}
		}
	}
	records, err := b.Records("orders")
	noError(t, err)
	equal(t, "records", len(records), 3)
	equal(t, "groups", b.Groups()[0].Name, "billing")
}
