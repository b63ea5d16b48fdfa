//go:build synctests

package harness_test

import "testing"

func needsTag(*testing.T) {}
