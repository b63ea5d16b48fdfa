package control_test

import (
	"context"
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

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

// TestREADME_examplesWork runs the examples as they are, but for the
// addresses, and with a kcat of our own: they pass a proxy that holds requests and answers to the document.
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
	b, s := serve(t, started(t, string(readme)))
	bin := t.TempDir()
	self, err := os.Executable()
	noError(t, err)
	noError(t, os.Symlink(self, filepath.Join(bin, "kcat")))
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
		cmd := exec.CommandContext(within(t), "sh", "-eu", "-c", strings.NewReplacer("http://127.0.0.1:9099", proxy.URL, "127.0.0.1:9092", b.Addrs()[0]).Replace(block))
		cmd.Env = append(os.Environ(), "CURL_HOME="+home, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
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

// started is what the README's first example starts.
func started(t *testing.T, readme string) (c fakebroker.Config) {
	t.Helper()
	line := regexp.MustCompile("(?m)^fakebroker (.*)$").FindStringSubmatch(readme)
	if line == nil {
		t.Fatal("nothing is started")
	}
	args := strings.Fields(line[1])
	for ; len(args) > 1; args = args[2:] {
		switch flag, value := args[0], args[1]; flag {
		case "--listen":
			c.Brokers++
		case "--topic":
			topic, err := fakebroker.ParseTopic(value)
			noError(t, err)
			c.Topics = append(c.Topics, topic)
		case "--control":
			equal(t, "control", value, "127.0.0.1:9099")
		default:
			t.Fatalf("the test does not know %s", flag)
		}
	}
	return c
}

// TestMain is kcat when it is called so: a member of a group, until it is stopped.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != "kcat" {
		os.Exit(m.Run())
	}
	broker, group, topics := os.Args[2], os.Args[4], os.Args[5:]
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topics...), kgo.DisableClientMetrics())
	if err != nil {
		os.Exit(1)
	}
	for {
		cl.PollFetches(context.Background())
	}
}
