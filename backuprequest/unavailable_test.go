package backuprequest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
)

func TestIsUnavailable_tellsConnectivityErrorsFromOthers(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"marked by a repository", backuprequest.ErrUnavailable, true},
		{"not connected", &adapter.NotConnectedError{Brokers: []string{"b:9092"}}, true},
		{"no answer from the broker", &adapter.TimeoutError{}, true},
		{"publisher closed", adapter.ErrClosed, true},
		{"out of time", context.DeadlineExceeded, true},
		{"shutting down", context.Canceled, true},
		{"connection refused", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{"connection closed", net.ErrClosed, true},
		{"name not found", &net.DNSError{Err: "no such host", Name: "b"}, true},
		{"read timed out", os.ErrDeadlineExceeded, true},
		{"socket timed out", syscall.ETIMEDOUT, true},

		{"nothing", nil, false},
		{"anything", errors.New("anything"), false},
		{"disk full, which is a net.Error too", syscall.ENOSPC, false},
		{"file missing", os.ErrNotExist, false},
		{"end of input", io.ErrUnexpectedEOF, false},
		{"not authorized", &adapter.RefusedError{Code: 29, Err: errors.New("not authorized")}, false},
		{"too large", &adapter.TooLargeError{Topic: "t", Err: errors.New("too large")}, false},
		{"unknown topic", &adapter.UnknownTopicError{Topic: "t", Err: errors.New("unknown")}, false},
		{"serializer failed", &adapter.SerializeError{Type: "T", Err: errors.New("cause")}, false},
		{"does not decode", &adapter.DecodeError{Type: "T", Err: errors.New("cause")}, false},
		{"bad input", backuprequest.InvalidErrors{{Field: "f", Problem: "p"}}, false},
		{"not there", backuprequest.ErrNotFound, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, backuprequest.IsUnavailable(test.err))
			if test.err != nil {
				wrapped := &backuprequest.DependencyError{Dependency: "publisher", Err: fmt.Errorf("wrapped: %w", errors.Join(test.err))}
				assert.Equal(t, test.want, backuprequest.IsUnavailable(wrapped), "wrapped")
			}
		})
	}
}
