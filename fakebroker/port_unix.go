//go:build unix

package fakebroker

import (
	"net"
	"os"
	"syscall"
)

// reservation is a socket that is bound but does not listen: connecting to it is
// refused.
type reservation struct{ fd int }

// reserve binds a port; nil when that does not work.
func reserve(addr *net.TCPAddr) *reservation {
	family := syscall.AF_INET6
	var sa syscall.Sockaddr = &syscall.SockaddrInet6{Port: addr.Port, Addr: [16]byte(addr.IP.To16())}
	if ip := addr.IP.To4(); ip != nil {
		family, sa = syscall.AF_INET, &syscall.SockaddrInet4{Port: addr.Port, Addr: [4]byte(ip)}
	}
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil
	}
	r := &reservation{fd}
	// Connections that were just cut still count as users of the port. Once it
	// is ours, it shall not be shared.
	if r.reuse(true) != nil || syscall.Bind(fd, sa) != nil || r.reuse(false) != nil {
		r.release()
		return nil
	}
	return r
}

func (r *reservation) reuse(yes bool) error {
	v := 0
	if yes {
		v = 1
	}
	return syscall.SetsockoptInt(r.fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, v)
}

// listen makes the socket a listener, and the reservation is used up.
func (r *reservation) listen() (net.Listener, error) {
	f := os.NewFile(uintptr(r.fd), "reserved port")
	defer func() { _ = f.Close() }() // the listener has a descriptor of its own
	if err := r.reuse(true); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Listen(r.fd, syscall.SOMAXCONN); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	return net.FileListener(f)
}

func (r *reservation) release() {
	_ = syscall.Close(r.fd) // nothing was ever read from or written to it
}
