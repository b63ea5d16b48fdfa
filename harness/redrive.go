package harness

import (
	"slices"
	"strconv"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
)

// way is how far a record has come: where it was first published, and how often it
// was taken back from the dead-letter topic since.
type way struct {
	origin   adapter.Origin
	redriven int
}

// wayIn reads it in the headers of a record that the group's adapter put on a topic
// of its own.
func wayIn(r Record) (way, bool) {
	origin, err := adapter.ParseOrigin(r.Header(adapter.HeaderID))
	if err != nil {
		return way{}, false
	}
	n, _ := strconv.Atoi(r.Header(adapter.HeaderRedriven)) // none before the first time
	return way{origin, n}, true
}

func originPlace(o adapter.Origin) place { return place{o.Topic, o.Partition, o.Offset} }

func recordAt(p place) Record {
	return Record{Topic: p.topic, Partition: p.partition, Offset: p.offset}
}

// redrives are what is known of a redrive topic.
type redrives struct {
	read map[int32]int64 // up to where its headers are known
	of   map[adapter.Origin][]redrive
}

// redrive is a record of a redrive topic.
type redrive struct {
	times int // how often it has been taken back by then
	at    place
}

// redriven notes that a client has put a record on a group's redrive topic, unless
// that is known. The caller holds mu.
func (w *watch) redriven(group, client string, as way, at place) {
	if w.foundRedriven(as, at) {
		w.happened(event{kind: evRedriven, group: group, client: client, place: originPlace(as.origin), to: at})
	}
}

// foundRedriven is redriven for who does not know when it was. It reports whether it
// is news.
func (w *watch) foundRedriven(as way, at place) bool {
	r := redrive{as.redriven, at}
	all := w.redrivesOf(at.topic)
	if as.redriven <= 0 || slices.Contains(all.of[as.origin], r) {
		return false
	}
	all.of[as.origin] = append(all.of[as.origin], r)
	return true
}

func (w *watch) redrivesOf(topic string) *redrives {
	r := w.redrives[topic]
	if r == nil {
		r = &redrives{read: map[int32]int64{}, of: map[adapter.Origin][]redrive{}}
		w.redrives[topic] = r
	}
	return r
}

// next is where a dead letter was taken back to, if it was. Where two runs of Redrive
// took back the same one, it is the later record.
func (r *redrives) next(from way) (next redrive, ok bool) {
	for _, each := range r.of[from.origin] {
		if each.times > from.redriven && (!ok || each.times <= next.times) {
			next, ok = each, true
		}
	}
	return next, ok
}

// redrivenFrom is the place where a dead letter of a group was taken back to, nil if
// it was not. letters is its dead-letter topic; empty when that is not known any more.
func (h *Harness) redrivenFrom(group, letters string, from way) (*place, way) {
	source := h.watch.sourceOf(group, letters)
	if source == "" {
		source = from.origin.Topic
	}
	topic := adapter.RedriveTopic(source, group)
	h.readRedrives(topic)
	h.watch.mu.Lock()
	defer h.watch.mu.Unlock()
	next, ok := h.watch.redrivesOf(topic).next(from)
	if !ok {
		return nil, way{}
	}
	return &next.at, way{from.origin, next.times}
}

// sourceOf is the topic whose dead letters a topic has.
func (w *watch) sourceOf(group, letters string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t := range w.group(group).topics {
		if adapter.DeadLetterTopic(t, group) == letters {
			return t
		}
	}
	return ""
}

// readRedrives reads the headers on a redrive topic, from where it has read them
// last: adapters that the harness did not make tell nobody what they redrive.
func (h *Harness) readRedrives(topic string) {
	h.t.Helper()
	partitions, err := h.broker.Partitions(topic)
	if err != nil {
		return // there is none
	}
	for _, p := range partitions {
		h.watch.mu.Lock()
		read := h.watch.redrivesOf(topic).read
		from := read[p.Partition]
		read[p.Partition] = p.HighWatermark
		h.watch.mu.Unlock()
		if from >= p.HighWatermark {
			continue
		}
		only := fakebroker.Selection{Partitions: []int32{p.Partition}, From: from, To: p.HighWatermark}
		for r, err := range h.broker.Scan(topic, only) {
			if err != nil {
				h.t.Fatalf("harness: read topic %s: %v", topic, err)
			}
			if as, ok := wayIn(recordFrom(topic, r)); ok {
				h.watch.mu.Lock()
				h.watch.foundRedriven(as, place{topic, r.Partition, r.Offset})
				h.watch.mu.Unlock()
			}
		}
	}
}

// wayOf is how far a record has come that a fate is asked for.
func (h *Harness) wayOf(group string, r Record) way {
	here := way{origin: adapter.Origin{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}}
	if !h.watch.isOwn(group, r.Topic) {
		return here // where headers are not believed
	}
	if as, ok := wayIn(r); ok {
		return as
	}
	only := fakebroker.Selection{Partitions: []int32{r.Partition}, From: r.Offset, To: r.Offset + 1}
	for found, err := range h.broker.Scan(r.Topic, only) {
		if err != nil {
			break // deleted
		}
		if as, ok := wayIn(recordFrom(r.Topic, found)); ok {
			return as
		}
	}
	return here
}

// isOwn reports whether a group's own records come back to it by a topic.
func (w *watch) isOwn(group, topic string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.groups[group]
	return g != nil && (g.returns[topic] || g.redrives[topic])
}

// isRedrive reports whether a topic is one of a group's redrive topics.
func (w *watch) isRedrive(group, topic string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.groups[group]
	return g != nil && g.redrives[topic]
}

// redrivesOfAll are the redrive topics of groups' topics, also of those that have
// none.
func (w *watch) redrivesOfAll() map[string][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string][]string{}
	for name, g := range w.groups {
		all[name] = sortedKeys(g.redrives)
	}
	return all
}

// producedRedriven notes what a client has taken back to a redrive topic, and reports
// whether that is all that it has produced. The caller holds mu.
func (w *watch) producedRedriven(p fakebroker.Produced, client string) bool {
	group, ok := w.redriveGroup(p.Topic)
	if !ok {
		return false
	}
	records, err := p.Records()
	if err != nil {
		return false
	}
	all := true
	for _, r := range records {
		as, ok := wayIn(recordFrom(p.Topic, r))
		if !ok || as.redriven <= 0 {
			all = false
			continue
		}
		w.redriven(group, client, as, place{p.Topic, r.Partition, r.Offset})
	}
	return all
}

// redriveGroup is whose redrive topic a topic is. The caller holds mu.
func (w *watch) redriveGroup(topic string) (group string, ok bool) {
	for name, g := range w.groups {
		if g.redrives[topic] {
			return name, true
		}
	}
	return "", false
}
