package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/backuprequest"
	"example.com/kafkatest/backuprequest/backuprequesttest"
	"example.com/kafkatest/backuprequest/sqlite"
)

// inProcess says what the test binary is to do as another process, and pathOf
// on which file.
const (
	inProcess = "BACKUPREQUEST_SQLITE_TEST"
	pathOf    = "BACKUPREQUEST_SQLITE_TEST_PATH"
)

// start runs this test binary again, and returns once it has done what it was
// told and waits for the end of its input.
func start(t *testing.T, do, path string) (cmd *exec.Cmd, input io.Closer) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd = exec.CommandContext(t.Context(), self, "-test.run=^TestAnotherProcess$", "-test.count=1")
	cmd.Env = append(os.Environ(), inProcess+"="+do, pathOf+"="+path)
	cmd.Stderr = os.Stderr
	input, err = cmd.StdinPipe()
	require.NoError(t, err)
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "done\n", line)
	return cmd, input
}

// TestAnotherProcess is what the other process runs, and nothing otherwise.
func TestAnotherProcess(t *testing.T) {
	path := os.Getenv(pathOf)
	switch os.Getenv(inProcess) {
	case "lock":
		defer lock(t, path)()
	case "save":
		r := open(t, path)
		for i := range 20 {
			_, err := r.Save(t.Context(), backuprequesttest.Request(fmt.Sprint("r-", i)))
			require.NoError(t, err)
		}
	default:
		return
	}
	fmt.Println("done")
	_, err := io.Copy(io.Discard, os.Stdin)
	require.NoError(t, err)
}

func TestSave_lockOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	r := open(t, path, sqlite.BusyTimeout(50*time.Millisecond))
	cmd, input := start(t, "lock", path)

	_, err := r.Save(t.Context(), backuprequesttest.Request("r-1"))
	require.ErrorIs(t, err, backuprequest.ErrUnavailable)

	require.NoError(t, input.Close())
	require.NoError(t, cmd.Wait())
	save(t, r, "r-1")
}

func TestSave_survivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	cmd, _ := start(t, "save", path)
	r := open(t, path)
	assertCount(t, r, 20)

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait(), "killed")
	assertCount(t, r, 20)
	for i := range 20 {
		_, err := r.Find(context.WithoutCancel(t.Context()), fmt.Sprint("r-", i))
		assert.NoError(t, err)
	}
	save(t, r, "r-20")
}
