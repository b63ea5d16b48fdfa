package correct

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Unfinished is which topics do not have all their partitions yet: where there are
// several brokers, they are made in two steps. Clients are not shown them. The zero
// value has none. It is safe for concurrent use.
type Unfinished struct {
	mu     sync.Mutex
	making map[string]making
	count  uint64              // of topics that were finished
	order  map[[16]byte]uint64 // the count with each of them that is there
}

// making is a topic's being made, by so many at a time.
type making struct {
	by    int
	whole [16]byte // id of the topic that has the name and is finished, zero for none
}

// begin hides a topic of that name that is made from now on.
func (u *Unfinished) begin(c Cluster, topic string) {
	there, _ := c.Topic(topic)
	u.mu.Lock()
	defer u.mu.Unlock()
	m, ok := u.making[topic]
	if !ok {
		m.whole = there.ID
	}
	m.by++
	if u.making == nil {
		u.making, u.order = make(map[string]making), make(map[[16]byte]uint64)
	}
	u.making[topic] = m
}

// end is called once for each begin. finished says that it made a topic, which has
// all its partitions.
func (u *Unfinished) end(c Cluster, topic string, finished bool) {
	there, ok := c.Topic(topic)
	u.mu.Lock()
	defer u.mu.Unlock()
	m := u.making[topic]
	if finished && ok {
		u.count++
		m.whole, u.order[there.ID] = there.ID, u.count
	}
	if m.by--; m.by == 0 {
		delete(u.making, topic)
	} else {
		u.making[topic] = m
	}
}

// Len is how many of the topics that are there were unfinished once.
func (u *Unfinished) Len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.order)
}

func (u *Unfinished) forget(topic [16]byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.order, topic)
}

// finished counts the topics that were finished so far.
func (u *Unfinished) finished() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.count
}

// none reports that no topic is unfinished, nor was any since so many were finished.
func (u *Unfinished) none(since uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.making) == 0 && u.count == since
}

// has reports whether a topic is unfinished, or was when so many were finished:
// then an answer that was asked for at that time may have it without all of its
// partitions.
func (u *Unfinished) has(name string, id [16]byte, since uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	m, is := u.making[name]
	return is && id != m.whole || u.order[id] > since
}

// finishedBefore is how many topics were finished when an exchange's request came.
type finishedBefore struct{}

// noteFinished is called with requests that ask about topics.
func noteFinished(c Cluster, x *wire.Exchange) { x.Keep(finishedBefore{}, c.Unfinished().finished()) }

// hideUnfinished takes unfinished topics out of an answer about topics.
func hideUnfinished(c Cluster, x *wire.Exchange, req kmsg.Request, resp kmsg.Response) bool {
	since, ok := x.Kept(finishedBefore{}).(uint64)
	if !ok || c.Unfinished().none(since) {
		return false
	}
	hidden := func(name string, id [16]byte) bool {
		if id == ([16]byte{}) { // the version does not have it
			t, _ := c.Topic(name)
			id = t.ID
		}
		return c.Unfinished().has(name, id, since)
	}
	switch r := resp.(type) {
	case *kmsg.MetadataResponse:
		return hideInMetadata(req, r, hidden)
	case *kmsg.DescribeTopicPartitionsResponse:
		return hideInDescription(req, r, hidden)
	}
	return false
}

// hideInMetadata answers as if some topics were not there: with an error to who
// names them, and without them when all are listed.
func hideInMetadata(asked kmsg.Request, resp *kmsg.MetadataResponse, hidden func(name string, id [16]byte) bool) (changed bool) {
	req, ok := asked.(*kmsg.MetadataRequest)
	shown := resp.Topics[:0]
	for _, t := range resp.Topics {
		if t.ErrorCode == 0 && t.Topic != nil && hidden(*t.Topic, t.TopicID) {
			changed = true
			if ok && len(req.Topics) == 0 {
				continue
			}
			name := t.Topic
			t = kmsg.NewMetadataResponseTopic()
			t.Topic, t.ErrorCode = name, kerr.UnknownTopicOrPartition.Code
		}
		shown = append(shown, t)
	}
	resp.Topics = shown
	return changed
}

// hideInDescription does so with descriptions.
func hideInDescription(asked kmsg.Request, resp *kmsg.DescribeTopicPartitionsResponse, hidden func(name string, id [16]byte) bool) (changed bool) {
	req, ok := asked.(*kmsg.DescribeTopicPartitionsRequest)
	shown := resp.Topics[:0]
	for _, t := range resp.Topics {
		if t.ErrorCode == 0 && t.Topic != nil && hidden(*t.Topic, t.TopicID) {
			changed = true
			if ok && len(req.Topics) == 0 {
				continue
			}
			name := t.Topic
			t = kmsg.NewDescribeTopicPartitionsResponseTopic()
			t.Topic, t.ErrorCode = name, kerr.UnknownTopicOrPartition.Code
		}
		shown = append(shown, t)
	}
	resp.Topics = shown
	return changed
}
