package harness

import (
	"errors"
	"slices"
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

// Stories are found wherever they are kept: more are open than there is room for
// recent ones, and they end in another order.
func TestStories_manyOpenAtOnce(t *testing.T) {
	const n = 3*mostRecent + 1
	s := newStories()
	open := func() (offsets []int64) {
		s.eachOpen(func(offset int64, st *story) {
			assert.Same(t, s.at(offset), st)
			assert.Equal(t, int32(offset), st.deliveries)
			offsets = append(offsets, offset)
		})
		slices.Sort(offsets)
		return offsets
	}
	var all []int64
	for o := range int64(n) {
		s.edit(o).deliveries = int32(o)
		all = append(all, o)
	}
	assert.Equal(t, all, open())
	for o := int64(0); o < n; o += 2 {
		s.edit(o).settled = true
		s.close(o)
	}
	var odd []int64
	for o := int64(1); o < n; o += 2 {
		odd = append(odd, o)
	}
	assert.Equal(t, odd, open())
	for o := range int64(n) {
		assert.Equal(t, o%2 == 0, s.settledThrough(o, o+1), o)
	}
	s.forget(1)
	s.forget(n - 2)
	assert.Equal(t, odd[1:len(odd)-1], open())
	assert.Nil(t, s.at(1))
}
