//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package fakebroker

import (
	"errors"
	"os"
	"syscall"
)

// lock locks a file, which it makes when it is missing, until unlock is called or
// the process is gone. Where the file system has no locks there is none.
func lock(path string) (unlock func(), err error) {
	const mode = 0o644
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, mode)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		_ = f.Close() // nothing was written
		return nil, errLocked
	}
	return func() { _ = f.Close() }, nil // which unlocks
}
