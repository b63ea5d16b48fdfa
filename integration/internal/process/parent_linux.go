package process

import "syscall"

// endWithParent has a process killed when the thread that started it ends, as it
// does when this process dies in whatever way.
func endWithParent() *syscall.SysProcAttr {
	// A group of its own, because an interrupt from the terminal is for this
	// process, which then stops the node.
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
