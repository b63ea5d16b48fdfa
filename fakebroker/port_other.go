//go:build !unix

package fakebroker

import (
	"errors"
	"net"
)

// reservation is not to be had here.
type reservation struct{}

func reserve(*net.TCPAddr) *reservation { return nil }

func (*reservation) listen() (net.Listener, error) { return nil, errors.ErrUnsupported }

func (*reservation) release() {}
