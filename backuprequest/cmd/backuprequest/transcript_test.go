package main

import (
	"strings"
	"sync"
	"testing"
)

// transcript is what a command has written so far. It can be waited for.
type transcript struct {
	mu      sync.Mutex
	changed *sync.Cond
	text    strings.Builder
	ended   bool
}

func newTranscript() *transcript {
	t := new(transcript)
	t.changed = sync.NewCond(&t.mu)
	return t
}

// Write adds to the transcript.
func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.changed.Broadcast()
	return t.text.Write(p)
}

// Close says that no more will come.
func (t *transcript) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.changed.Broadcast()
	t.ended = true
	return nil
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// await waits until every text is there.
func (t *transcript) await(tb testing.TB, texts ...string) {
	tb.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, text := range texts {
		for !strings.Contains(t.text.String(), text) {
			if t.ended {
				tb.Fatalf("%q is not in:\n%s", text, t.text.String())
			}
			t.changed.Wait()
		}
	}
}
