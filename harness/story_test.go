package harness

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestStories_nothingOfOneThatIsOverIsInTheNext(t *testing.T) {
	s := newStories()
	*s.edit(0) = story{deliveries: 2, attempt: 2, settled: true, rejected: true, err: errors.New("down")}
	s.close(0)
	assert.Equal(t, &story{}, s.edit(1))
	assert.Equal(t, &story{settled: true, rejected: true, forgotten: true}, s.at(0))
	assert.Equal(t, &story{settled: true, rejected: true, forgotten: true}, s.edit(0), "to be gone on with")
	assert.Equal(t, &story{}, s.at(1))
}

func TestWatch_recentPartitionIsTheOneAskedFor(t *testing.T) {
	var w watch
	w.groups = map[string]*groupWatch{}
	first := w.partition("g", "t", 0)
	assert.Same(t, first, w.partition("g", "t", 0))
	for _, other := range []*partitionWatch{w.partition("g", "t", 1), w.partition("g", "u", 0), w.partition("h", "t", 0)} {
		assert.NotSame(t, first, other)
	}
	assert.Same(t, first, w.partition("g", "t", 0))
}
