//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package fakebroker

// lock is not to be had here: whoever shares a folder is not noticed.
func lock(string) (unlock func(), err error) { return func() {}, nil }
