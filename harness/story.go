package harness

import "time"

// story is what a group did with a record.
type story struct {
	deliveries int32
	attempt    int32
	running    bool
	settled    bool
	rejected   bool
	forgotten  bool // nothing but how it ended is known
	dead       *place
	hop        *place // on a retry topic: where it goes on
	err        error
	due        time.Duration // of the next attempt, since the start; zero when none is held
	effects    []*effects    // of its handler, where it published something
}

// plain reports whether the story is the one that most records have: handled at
// the first attempt, and nothing more to say.
func (s *story) plain() bool {
	return s.settled && !s.running && s.deliveries == 1 && s.attempt == 1 && !s.rejected && s.dead == nil && s.hop == nil && s.err == nil && len(s.effects) == 0
}

// clear makes it one of which nothing is known. There are few that have what the
// collector of garbage must be told of.
func (s *story) clear() {
	if s.dead != nil || s.hop != nil || s.err != nil || s.effects != nil {
		*s = story{}
		return
	}
	s.deliveries, s.attempt, s.due = 0, 0, 0
	s.running, s.settled, s.rejected, s.forgotten = false, false, false, false
}

// Endings of stories that are over.
const (
	endedPlain        uint8 = iota + 1 // see story.plain
	endedSettled                       // and what else there was is forgotten
	endedDeadLettered                  // likewise
	endedRejected                      // likewise
)

func (s *story) ending() uint8 {
	switch {
	case s.plain():
		return endedPlain
	case s.dead != nil:
		return endedDeadLettered
	case s.rejected:
		return endedRejected
	}
	return endedSettled
}

// storyOf is the story that an ending tells.
func storyOf(ending uint8) *story {
	s := &story{settled: true, forgotten: ending != endedPlain}
	switch ending {
	case endedPlain:
		s.deliveries, s.attempt = 1, 1
	case endedDeadLettered:
		s.dead = &place{}
	case endedRejected:
		s.rejected = true
	}
	return s
}

// stories are those of one partition in one group. One that is over and has
// nothing to tell costs a byte.
type stories struct {
	endings map[int64]*endings // by offset / pageSize
	page    recentPage
	recent  []recentStory    // those open, by offset modulo the length: mostly all there are
	others  map[int64]*story // those open that had to make room there
}

// A table of recent stories grows with what an adapter has open at once of a
// partition: it takes 128 records at a time where handlers are quick.
const (
	fewestRecent = 8
	mostRecent   = 256
)

const pageSize = 1024

type endings [pageSize]uint8

// recentPage is the one that was asked for last.
type recentPage struct {
	number  int64
	endings *endings
}

type recentStory struct {
	offset int64
	open   bool
	story  *story // when it is not open, room for the next one; nil for none
}

func newStories() *stories {
	return &stories{endings: map[int64]*endings{}, recent: make([]recentStory, fewestRecent), others: map[int64]*story{}}
}

// open is the story of an offset, nil when it has none or that is over.
func (s *stories) open(offset int64) *story {
	if r := s.slot(offset); r.open && r.offset == offset {
		return r.story
	}
	return s.others[offset]
}

// slot is where the story of an offset is, if it is a recent one.
func (s *stories) slot(offset int64) *recentStory {
	return &s.recent[uint64(offset)%uint64(len(s.recent))]
}

// forget drops an open story.
func (s *stories) forget(offset int64) {
	if r := s.slot(offset); r.open && r.offset == offset {
		r.open = false
		return
	}
	delete(s.others, offset)
}

// begin opens a story that has none.
func (s *stories) begin(offset int64) *story {
	r := s.slot(offset)
	for r.open && len(s.recent) < mostRecent {
		held := s.recent
		s.recent = make([]recentStory, 2*len(held))
		for _, h := range held {
			if h.open {
				*s.slot(h.offset) = h // which nobody else comes to, as nobody did before
			}
		}
		r = s.slot(offset)
	}
	if r.open {
		s.others[r.offset], r.story = r.story, nil
	}
	if r.story == nil {
		r.story = &story{}
	} else {
		r.story.clear()
	}
	r.offset, r.open = offset, true
	return r.story
}

// eachOpen calls f with all open stories.
func (s *stories) eachOpen(f func(offset int64, st *story)) {
	for _, r := range s.recent {
		if r.open {
			f(r.offset, r.story)
		}
	}
	for offset, st := range s.others {
		f(offset, st)
	}
}

// endingsOf is the page of an offset, nil when there is none.
func (s *stories) endingsOf(offset int64) *endings {
	number := offset / pageSize
	if s.page.endings == nil || s.page.number != number {
		page := s.endings[number]
		if page == nil {
			return nil
		}
		s.page = recentPage{number, page}
	}
	return s.page.endings
}

// at is the story of an offset, nil when nothing happened to it. It is not to be
// changed.
func (s *stories) at(offset int64) *story {
	if st := s.open(offset); st != nil {
		return st
	}
	if ending := s.ending(offset); ending != 0 {
		return storyOf(ending)
	}
	return nil
}

// ending is how a story ended that is over, and zero for others.
func (s *stories) ending(offset int64) uint8 {
	if page := s.endingsOf(offset); page != nil {
		return page[offset%pageSize]
	}
	return 0
}

// edit is the story of an offset, to be changed.
func (s *stories) edit(offset int64) *story {
	st := s.open(offset)
	if st != nil {
		return st
	}
	st = s.begin(offset)
	if ending := s.ending(offset); ending != 0 {
		*st = *storyOf(ending)
		s.endingsOf(offset)[offset%pageSize] = 0
	}
	return st
}

// close keeps of a story how it ended. The story must not be looked at after the
// next edit.
func (s *stories) close(offset int64) {
	st := s.open(offset)
	page := s.endingsOf(offset)
	if page == nil {
		page = &endings{}
		s.endings[offset/pageSize] = page
	}
	page[offset%pageSize] = st.ending()
	s.forget(offset)
}

// settledThrough reports whether every offset of a range is known to be settled.
func (s *stories) settledThrough(from, to int64) bool {
	for o := from; o < to; o++ {
		if s.ending(o) != 0 {
			continue
		}
		if st := s.open(o); st == nil || !st.settled {
			return false
		}
	}
	return true
}

// unsettled are the offsets of a range that are not known to be settled, as
// ranges.
func (s *stories) unsettled(from, to int64) []span {
	var out []span
	for o := from; o < to; o++ {
		if s.settledThrough(o, o+1) {
			continue
		}
		if n := len(out); n > 0 && out[n-1].to == o {
			out[n-1].to++
		} else {
			out = append(out, span{o, o + 1})
		}
	}
	return out
}

// span is a range of offsets.
type span struct{ from, to int64 } // to is not in it

func (s span) has(offset int64) bool { return s.from <= offset && offset < s.to }

// spans are ranges in the order in which they came about.
type spans []span

// add joins a range to the last one where it goes on from there.
func (s spans) add(from, to int64) spans {
	if n := len(s); n > 0 && s[n-1].to == from {
		s[n-1].to = to
		return s
	}
	return append(s, span{from, to})
}

// count is how many of the ranges have an offset.
func (s spans) count(offset int64) (n int) {
	for _, each := range s {
		if each.has(offset) {
			n++
		}
	}
	return n
}
