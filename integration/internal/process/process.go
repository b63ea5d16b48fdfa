// Package process runs the brokers that tests start as processes, such that none
// of them outlives the test.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a process that was started. Its methods are safe for concurrent use.
type Process struct {
	process *os.Process
	ended   chan struct{}
}

// Start starts a command that has not been started. On Linux it is killed when
// this process dies, in whatever way; elsewhere only an interrupt from the
// terminal reaches it then.
func Start(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = endWithParent()
	p := &Process{ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// To end with the parent means: with the thread that started it.
		runtime.LockOSThread()
		defer close(p.ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is of no interest, that it has ended is
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	p.process = cmd.Process
	return p, nil
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Stop asks the process to end (SIGTERM), waits, kills it when it has not ended
// within the limit, and returns when it has. To stop one that has ended is no
// error.
func (p *Process) Stop(limit time.Duration) error {
	if err := p.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping process %d: %w", p.process.Pid, err)
	}
	patience := time.NewTimer(limit)
	defer patience.Stop()
	select {
	case <-p.ended:
		return nil
	case <-patience.C:
	}
	if err := p.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing process %d: %w", p.process.Pid, err)
	}
	<-p.ended
	return nil
}
