package fakebroker

import (
	"context"
	"net"

	"example.com/kafkatest/fakebroker/correct"
)

// Without is the config of a broker that lacks a correction.
func Without(c Config, correction string) Config {
	c.without = correction
	return c
}

// Corrections are what every broker is corrected by.
func Corrections() []correct.Correction { return correct.All(nil) }

// PlainDialer dials the first listener without TLS.
func (b *Broker) PlainDialer() func(context.Context, string, string) (net.Conn, error) {
	if b.network != nil {
		return b.dialInMemory
	}
	return new(net.Dialer).DialContext
}
