//go:build !linux

package process

import "syscall"

// endWithParent leaves a process in the group of this one, which the terminal
// interrupts as a whole: there is nothing else that ends it when this one dies.
func endWithParent() *syscall.SysProcAttr { return nil }
