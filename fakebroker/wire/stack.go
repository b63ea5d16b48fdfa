package wire

import "runtime"

// growStack makes room on the goroutine's stack for what rules do, while there is
// little on it yet: a broker may read and write each frame on a new goroutine,
// whose stack would otherwise grow several times, and be copied with all that is
// on it.
//
//go:noinline
func growStack() {
	var room [8 << 10]byte
	room[0] = 1
	runtime.KeepAlive(&room)
}
