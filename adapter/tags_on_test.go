//go:build synctests

package adapter_test

// synctests says that franz-go's mutexes can be seen by a bubble.
const synctests = true
