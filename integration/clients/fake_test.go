package clients_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/kafkatest/integration/internal/process"
)

// startFake starts the fake broker, as the program that clients in any language
// are tested against, with the listeners that the real one has.
func startFake(t *testing.T) broker {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "fakebroker")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./fakebroker/cmd/fakebroker")
	build.Dir = "../.." // whose go.sum it is built by
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const anyPort = "127.0.0.1:0"
	cmd := exec.Command(program, "--json", "--listen", anyPort, "--sasl-listen", anyPort, "--tls-listen", anyPort, "--tls-dir", dir)
	var users []string
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		users = append(users, mechanism+":"+user.Name+":"+user.Password)
	}
	cmd.Env = append(os.Environ(), "FAKEBROKER_SASL_USER="+strings.Join(users, "\n"))
	stdout, err := cmd.StdoutPipe()
	noError(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	p, err := process.Start(cmd)
	noError(t, err)
	t.Cleanup(func() {
		if err := p.Stop(10 * time.Second); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the fake broker said:\n%s", tail(stderr.Bytes()))
		}
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		noError(t, p.Stop(time.Second))
		t.Fatalf("the fake broker did not say where it listens: %v; it said:\n%s", err, tail(stderr.Bytes()))
	}
	var said struct {
		Listeners []struct {
			Protocol string
			Listen   []string
		}
		CAFile string `json:"ca_file"`
	}
	noError(t, json.Unmarshal(line, &said))
	addr := make(map[string]string)
	for _, l := range said.Listeners {
		addr[l.Protocol] = l.Listen[0]
	}
	return broker{name: "the fake broker", plaintext: addr["PLAINTEXT"], sasl: addr["SASL_PLAINTEXT"], tls: addr["SSL"], ca: said.CAFile}
}
