package harness

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

type topicPartition struct {
	topic     string
	partition int32
}

// watch is what is known of what happened: from adapters, which tell, and from
// the broker, which sees what others do.
type watch struct {
	wake  chan struct{} // something happened
	signs atomic.Int64  // of progress: of a body that goes on, and of records with which something happens

	mu       sync.Mutex
	start    time.Time
	virtual  bool
	changes  int // how much has happened
	running  int // handlers that run, each counted once for each record
	groups   map[string]*groupWatch
	redrives map[string]*redrives // by topic
	recent   recentPartition
	detailed []storyKey // stories that are over and kept, oldest first
	maxFates int
	timeline timeline
	draft    event

	connections map[string]connection // by the client's address
	foreign     foreign

	exited string // where a handler ended its goroutine, as t.Fatal does
}

// groupWatch is what is known of a group.
type groupWatch struct {
	topics     map[string]bool   // that adapters consume, or have consumed, in it
	ids        map[string]string // what the brokers call it, by topic, where that is another name
	adapters   map[string]bool   // the links of those
	redrives   map[string]bool   // the redrive topics of those topics, there or not
	returns    map[string]bool   // the topics by which the group's own records came back
	partitions map[topicPartition]*partitionWatch
	refused    error // why a consumer of it stopped by itself
	foreign    *foreignGroup
}

// partitionWatch is what is known of a partition in a group.
type partitionWatch struct {
	stories *stories
	claims  []span // each from where a member started to what it has committed
}

// connection says whose a connection is.
type connection struct {
	link *link
	by   knowledge
}

// knowledge is how much is known of what a client does.
type knowledge int

const (
	shown   knowledge = iota // what brokers see
	counted                  // and what it has buffered
	told                     // all of it: it is an adapter's
)

type storyKey struct {
	group string
	place place
}

func newWatch(now time.Time, virtual bool, maxFates, maxEvents int) *watch {
	return &watch{
		wake:        make(chan struct{}, 1),
		start:       now,
		virtual:     virtual,
		groups:      map[string]*groupWatch{},
		redrives:    map[string]*redrives{},
		maxFates:    maxFates,
		timeline:    timeline{max: maxEvents},
		connections: map[string]connection{},
		foreign:     newForeign(),
	}
}

// knows notes whose a connection is.
func (w *watch) knows(remote string, c connection) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connections[remote] = c
}

// order has what handlers did before come before what follows, and what came
// before come before what handlers do after: so that the test and its handlers
// may share variables without a lock.
func (w *watch) order() {
	w.mu.Lock()
	defer w.mu.Unlock()
}

// happened counts and notes something. The caller holds mu.
func (w *watch) happened(e event) { w.add(&e) }

// add is happened for an event that is not to be copied.
func (w *watch) add(e *event) {
	w.stir(e.kind)
	e.at = w.elapsed()
	w.timeline.add(e)
}

// elapsed is how long ago the test began.
func (w *watch) elapsed() time.Duration {
	if w.virtual { // where time.Since takes three times as long
		return time.Duration(time.Now().UnixNano() - w.start.UnixNano())
	}
	return time.Since(w.start)
}

// stir wakes who waits for something to happen. The caller holds mu.
func (w *watch) stir(kind eventKind) {
	w.changes++
	switch kind {
	case evPublished, evSubscribed, evClosed, evSettled, evHopped, evDeadLettered, evRedriven, evRejected, evCommitted, evFetched:
		w.signs.Add(1)
	}
	if len(w.wake) == 0 { // which costs less than to try
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// note has something in the timeline that no event is for.
func (w *watch) note(format string, args ...any) { w.noteOf("", format, args...) }

// mark has an event in the timeline that needs no words.
func (w *watch) mark(kind eventKind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.happened(event{kind: kind})
}

// noteOf is note for what a client did, or what was done to it.
func (w *watch) noteOf(client, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.happened(event{kind: evNote, client: client, detail: fmt.Sprintf(format, args...)})
}

func (w *watch) group(name string) *groupWatch {
	g := w.groups[name]
	if g == nil {
		g = &groupWatch{
			topics: map[string]bool{}, ids: map[string]string{}, adapters: map[string]bool{},
			redrives: map[string]bool{}, returns: map[string]bool{}, partitions: map[topicPartition]*partitionWatch{},
		}
		w.groups[name] = g
	}
	return g
}

// recentPartition is the one that was asked for last, which mostly is the next
// one, too.
type recentPartition struct {
	group string
	topicPartition
	watch *partitionWatch
}

func (w *watch) partition(group, topic string, partition int32) *partitionWatch {
	tp := topicPartition{topic, partition}
	if w.recent.watch == nil || w.recent.topicPartition != tp || w.recent.group != group {
		w.recent = recentPartition{group, tp, w.partitionOf(group, tp)}
	}
	return w.recent.watch
}

func (w *watch) partitionOf(group string, tp topicPartition) *partitionWatch {
	g := w.group(group)
	p := g.partitions[tp]
	if p == nil {
		p = &partitionWatch{stories: newStories()}
		g.partitions[tp] = p
	}
	return p
}

// story is what is known of a record in a group, to be changed. The caller
// holds mu.
func (w *watch) story(group string, at place) *story {
	return w.partition(group, at.topic, at.partition).stories.edit(at.offset)
}

// over is told of a story that has ended, and keeps its details or not. The
// caller holds mu.
func (w *watch) over(group string, at place, s *story) {
	if s.plain() {
		w.partition(group, at.topic, at.partition).stories.close(at.offset)
		return
	}
	if s.hop != nil {
		return // how it ends, another story has
	}
	w.detailed = append(w.detailed, storyKey{group, at})
	for len(w.detailed) > w.maxFates {
		old := w.detailed[0]
		w.detailed = w.detailed[1:]
		all := w.partition(old.group, old.place.topic, old.place.partition).stories
		if s := all.open(old.place.offset); s != nil && s.settled && !s.running {
			all.close(old.place.offset)
		}
	}
}

// claimed reports whether some member of the group started before an offset and
// committed past it. The caller holds mu.
func (p *partitionWatch) claimed(offset int64) bool {
	return slices.ContainsFunc(p.claims, func(c span) bool { return c.has(offset) })
}

// subscribed are the topics of each group that adapters consume, or have.
func (w *watch) subscribed() map[string]map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]map[string]bool{}
	for name, g := range w.groups {
		if len(g.topics) > 0 {
			all[name] = maps.Clone(g.topics)
		}
	}
	return all
}

// idOf is what the brokers call a group where it consumes a topic.
func (w *watch) idOf(group, topic string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if g := w.groups[group]; g != nil && g.ids[topic] != "" {
		return g.ids[topic]
	}
	return group
}

// exit is where a handler ended its goroutine, as t.Fatal does, if one has.
func (w *watch) exit() string {
	if !w.mu.TryLock() {
		return ""
	}
	defer w.mu.Unlock()
	return w.exited
}

// tryText is the timeline, for those who must not wait for a lock: a frozen
// goroutine may have it.
func (w *watch) tryText() string {
	for range 100 {
		if w.mu.TryLock() {
			defer w.mu.Unlock()
			return w.timeline.String()
		}
		time.Sleep(time.Millisecond)
	}
	return ""
}

// text is the timeline.
func (w *watch) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.timeline.String()
}
