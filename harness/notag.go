//go:build !synctests

package harness

// visibleLocks reports whether virtual time can see the locks of franz-go.
const visibleLocks = false
