package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

func TestConsume_showsAnythingSafely(t *testing.T) {
	b := fakebroker.Run(t, "any")
	client, err := kgo.NewClient(b.ClientOptions()...)
	require.NoError(t, err)
	defer client.Close()
	for _, r := range []*kgo.Record{
		{},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("null"), Value: []byte("null")},
		{Key: []byte("Zürich"), Value: []byte(`{"a": "b c"}`)},
		{Key: []byte("two words"), Value: []byte("\x1b]0;title\x07\n")},
		{Key: []byte{0xff, 0xfe}, Value: []byte("right\u202eleft")},
		{Value: []byte(`"quoted"`), Headers: []kgo.RecordHeader{{Key: "h", Value: nil}, {Key: "a b=", Value: []byte("1, 2")}, {Key: "", Value: []byte{0}}}},
	} {
		r.Topic = "any"
		require.NoError(t, client.ProduceSync(context.Background(), r).FirstErr())
	}
	var stdout, stderr bytes.Buffer
	require.Equal(t, 0, execute([]string{"consume", "any", "--brokers", b.Addrs()[0]}, streams{nil, &stdout, &stderr}), stderr.String())
	assert.Equal(t, `any[0]@0 key=null headers={} data=null
any[0]@1 key="" headers={} data=""
any[0]@2 key="null" headers={} data="null"
any[0]@3 key=Zürich headers={} data={"a": "b c"}
any[0]@4 key="two words" headers={} data="\x1b]0;title\a\n"
any[0]@5 key="\xff\xfe" headers={} data="right\u202eleft"
any[0]@6 key=null headers={h=null, "a b="="1, 2", ""="\x00"} data="\"quoted\""
`, stdout.String())
}

func TestConsume_reachesTheEndBehindATransaction(t *testing.T) {
	b := fakebroker.Run(t, "any")
	client, err := kgo.NewClient(append(b.ClientOptions(), kgo.TransactionalID("tx"))...)
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.BeginTransaction())
	require.NoError(t, client.ProduceSync(context.Background(), &kgo.Record{Topic: "any", Value: []byte("v")}).FirstErr())
	require.NoError(t, client.EndTransaction(context.Background(), kgo.TryCommit))

	var stdout, stderr bytes.Buffer
	require.Equal(t, 0, execute([]string{"consume", "any", "--brokers", b.Addrs()[0]}, streams{nil, &stdout, &stderr}), stderr.String())
	assert.Equal(t, "any[0]@0 key=null headers={} data=v\n", stdout.String())
}

func TestConsume_followsUntilItsReaderIsGone(t *testing.T) {
	b := fakebroker.Run(t, "any")
	client, err := kgo.NewClient(b.ClientOptions()...)
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.ProduceSync(context.Background(), &kgo.Record{Topic: "any", Value: []byte("v")}).FirstErr())

	read, write, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, read.Close())
	defer func() { require.NoError(t, write.Close()) }()
	var stderr bytes.Buffer
	assert.Equal(t, 0, execute([]string{"consume", "any", "--follow", "--brokers", b.Addrs()[0]}, streams{nil, pipe{write}, &stderr}))
}

// pipe hides the file, because a test binary that writes to a broken one that is
// its own standard output would be ended by the system.
type pipe struct{ file *os.File }

func (p pipe) Write(b []byte) (int, error) { return p.file.Write(b) }

func TestConsume_endsWhenInterrupted(t *testing.T) {
	b := fakebroker.Run(t, "any")
	client, err := kgo.NewClient(b.ClientOptions()...)
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.ProduceSync(context.Background(), &kgo.Record{Topic: "any", Value: []byte("v")}).FirstErr())
	p := launch(t, "backuprequest", "consume", "any", "--follow", "--brokers", b.Addrs()[0])
	p.stdout.await(t, "data=v")
	p.signal(os.Interrupt)
	assert.Equal(t, 0, p.wait())
}

func TestCommands_useTLSAndSASL(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate
	defer server.Close()
	folder := t.TempDir()
	ca := filepath.Join(folder, "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	password := filepath.Join(folder, "password")
	require.NoError(t, os.WriteFile(password, []byte("secret\n"), 0o600))

	for _, mechanism := range []string{fakebroker.Plain, fakebroker.ScramSHA256, fakebroker.ScramSHA512} {
		t.Run(mechanism, func(t *testing.T) {
			b := fakebroker.Config{
				TLS:  &tls.Config{MinVersion: tls.VersionTLS12, Certificates: server.TLS.Certificates},
				SASL: []fakebroker.User{{Mechanism: mechanism, Name: "backup", Password: "secret"}},
			}.Run(t)
			run := func(extra ...string) (int, string) {
				var stdout, stderr bytes.Buffer
				status := execute(append(extra, "--brokers", b.Addrs()[0],
					"--sasl-mechanism", mechanism, "--sasl-user", "backup", "--sasl-password-file", password), streams{nil, &stdout, &stderr})
				return status, stdout.String() + stderr.String()
			}
			status, output := run("run", "--json", "--tls-ca", ca, "--db", filepath.Join(t.TempDir(), "r.db"), written(t, requestLine("a")))
			require.Equal(t, 0, status, output)
			status, output = run("consume", "--tls-ca", ca)
			require.Equal(t, 0, status, output)
			assert.Contains(t, output, "key=a")
			status, output = run("produce", "--tls-insecure-skip-verify")
			require.Equal(t, 0, status, output)

			status, output = run("consume", "--tls", "--connect-timeout", "1s") // not trusted
			assert.Equal(t, 1, status)
			assert.Contains(t, output, "certificate")
		})
	}
}

func TestCommands_tellWrongCredentials(t *testing.T) {
	b := fakebroker.Config{SASL: []fakebroker.User{{Mechanism: fakebroker.Plain, Name: "backup", Password: "secret"}}}.Run(t)
	t.Setenv(passwordVariable, "wrong")
	var stderr bytes.Buffer
	status := execute([]string{"consume", "--brokers", b.Addrs()[0], "--connect-timeout", "500ms", "--sasl-mechanism", "plain", "--sasl-user", "backup"},
		streams{nil, &stderr, &stderr})
	assert.Equal(t, 1, status)
	assert.Contains(t, stderr.String(), "not connected to any of "+b.Addrs()[0])
	assert.Contains(t, stderr.String(), "credentials")
	assert.NotContains(t, stderr.String(), "wrong")
	assert.Equal(t, 1, bytes.Count(stderr.Bytes(), []byte("\n")))
}
