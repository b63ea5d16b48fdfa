//go:build race

package adapter_test

const raceDetector = true
