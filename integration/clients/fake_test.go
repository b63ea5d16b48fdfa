package clients_test

import (
	"path/filepath"
	"testing"

	"example.com/kafkatest/fakebroker"
)

// startFake starts the fake broker with the listeners that the real one has.
func startFake(t *testing.T) broker {
	t.Helper()
	dir := t.TempDir()
	c := fakebroker.Config{TLSDir: dir, Listeners: []fakebroker.Listener{{}, {SASL: true}, {TLS: true}}}
	for _, m := range []string{fakebroker.Plain, fakebroker.ScramSHA256, fakebroker.ScramSHA512} {
		c.SASL = append(c.SASL, fakebroker.User{Mechanism: m, Name: user.Name, Password: user.Password})
	}
	b := c.Run(t)
	l := b.Listeners()
	return broker{plaintext: l[0].Listen[0], sasl: l[1].Listen[0], tls: l[2].Listen[0], ca: filepath.Join(dir, "ca.pem")}
}
