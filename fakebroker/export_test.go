package fakebroker

import "example.com/kafkatest/fakebroker/correct"

// Without is the config of a broker that lacks a correction.
func Without(c Config, correction string) Config {
	c.without = correction
	return c
}

// Corrections are what every broker is corrected by.
func Corrections() []correct.Correction { return correct.All(nil) }
