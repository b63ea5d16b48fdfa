package kafka

import (
	"fmt"
	"net"
)

// checkPorts says which one somebody listens on already.
func checkPorts(ports []int) error {
	for _, p := range ports {
		addr := net.JoinHostPort(host, fmt.Sprint(p))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return fmt.Errorf("port %d cannot be had: stop what listens on %s, or choose another: %w", p, addr, err)
		}
		_ = l.Close() // nothing was done with it
	}
	return nil
}

// freePorts are n ports that nobody listens on, all different.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, fmt.Errorf("looking for a free port of %s: %w", host, err)
		}
		defer func() { _ = l.Close() }() // when all are found, so that they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
