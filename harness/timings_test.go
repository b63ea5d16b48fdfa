package harness_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestConfig_saysWhatTheHarnessHasChosen(t *testing.T) {
	verbose := func(test string) string {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v", "-test.timeout=1m")
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err, string(out))
		return string(out)
	}
	const said = "every client has "
	virtual := verbose("TestSettle_waitsForAHandlerThatSleeps")
	assert.Contains(t, virtual, said+"heartbeat 1m30s, session 5m0s, rebalance 5m0s, fetch wait 5m0s, metadata age 1h0m0s, idle connection 15m0s; every broker has ")
	assert.Contains(t, virtual, " group.consumer.heartbeat.interval.ms=90000, ")
	assert.Contains(t, virtual, " (Config.ClientDefaults leaves them their own)")
	assert.NotContains(t, verbose("TestConfig_clientDefaults"), said)
}
