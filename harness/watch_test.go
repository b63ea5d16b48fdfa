package harness

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestTimeline_keepsTheBeginningAndTheEnd(t *testing.T) {
	w := newWatch(time.Now())
	w.mu.Lock()
	for i := range 10 * maxLines {
		w.note("line %d", i)
	}
	w.mu.Unlock()
	timeline := w.timeline()
	lines := strings.Split(strings.TrimSuffix(timeline, "\n"), "\n")
	assert.LessOrEqual(t, len(lines), maxLines+1)
	assert.Contains(t, lines[0], "line 0")
	assert.Contains(t, lines[len(lines)-1], fmt.Sprintf("line %d", 10*maxLines-1))
	assert.Contains(t, lines[maxLines/2], fmt.Sprintf("%d lines left out", 10*maxLines-len(lines)+1))
	assert.Contains(t, lines[maxLines/2-1], fmt.Sprintf("line %d", maxLines/2-1))
	assert.NotContains(t, lines[maxLines/2+1], fmt.Sprintf("line %d", maxLines/2))
}
