package backuprequest

import (
	"context"
	"errors"
	"net"

	"example.com/kafkatest/adapter"
)

// IsUnavailable tells connectivity errors from others: it reports whether err
// says that a dependency could not be reached, or did not answer in time, so
// that the input had no part in the failure and the same will go well once the
// dependency is back.
//
// These say so: ErrUnavailable; the adapter's ErrNotConnected, ErrTimeout and
// ErrClosed; a context that is done; and errors of the network. A net.Error is
// not enough for the last, since every errno is one, a full disk's too: it has
// to be an operation on a connection, a look-up of a name, or a timeout.
func IsUnavailable(err error) bool {
	for _, target := range []error{
		ErrUnavailable,
		adapter.ErrNotConnected, adapter.ErrTimeout, adapter.ErrClosed,
		context.DeadlineExceeded, context.Canceled,
		net.ErrClosed,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var (
		operation *net.OpError
		lookup    *net.DNSError
		timeout   net.Error
	)
	return errors.As(err, &operation) || errors.As(err, &lookup) || errors.As(err, &timeout) && timeout.Timeout()
}
