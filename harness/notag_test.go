//go:build !synctests

package harness_test

import "testing"

// needsTag skips a test in which a client's lock is held while virtual time
// should pass.
func needsTag(t *testing.T) {
	t.Helper()
	t.Skip("latency in virtual time needs locks that it can see: run with -tags synctests")
}
