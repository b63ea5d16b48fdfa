package adapter_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"

	"example.com/kafkatest/adapter"
)

// What processes do they append to one file, a line each time: the order of its
// lines is that in which things happened, whoever did them. A line that says that a
// handler begins is written after it has begun, and one that it ends before it ends.
type happened struct {
	Who       string `json:"who"`
	What      string `json:"what"`
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition,omitempty"`
	Offset    int64  `json:"offset,omitempty"`
	Key       string `json:"key,omitempty"`
	Value     string `json:"value,omitempty"`
	ID        string `json:"id,omitempty"`
	Attempt   int    `json:"attempt,omitempty"`
	CutOff    bool   `json:"cutOff,omitempty"`
}

// What can happen.
const (
	itBegins    = "begins"    // a handler
	itEnds      = "ends"      // the same
	itStarts    = "starts"    // a process to fetch a partition
	itLoses     = "revoked"   // a partition from a process
	itCommits   = "committed" // an offset
	itIsKilled  = "killed"    // the process, which does nothing any more
	itIsStopped = "stopped"   // the process, for longer than its session
)

// diary is what one process appends.
type diary struct {
	who, prefix string // of topics and groups, which is left out
	mu          sync.Mutex
	file        *os.File
}

// openDiary opens the file.
func openDiary(path, who, prefix string) (*diary, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	return &diary{who: who, prefix: prefix, file: f}, err
}

// note writes with one call, which nothing comes in between of.
func (d *diary) note(h happened) {
	h.Who, h.Topic, h.ID = d.who, strings.TrimPrefix(h.Topic, d.prefix), strings.ReplaceAll(h.ID, d.prefix, "")
	line, err := json.Marshal(h)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		_, err = d.file.Write(append(line, '\n'))
	}
	if err != nil {
		panic(err) // the process ends, and the test finds out
	}
}

// trace notes which partitions the process has, and what it commits.
func (d *diary) trace() *adapter.Trace {
	return &adapter.Trace{
		Started: func(_ adapter.GroupMember, topic string, partition int32, _ int64) {
			d.note(happened{What: itStarts, Topic: topic, Partition: partition})
		},
		Revoked: func(_ adapter.GroupMember, partitions map[string][]int32, _ bool) {
			for topic, ps := range partitions {
				for _, p := range ps {
					d.note(happened{What: itLoses, Topic: topic, Partition: p})
				}
			}
		},
		Committed: func(_ adapter.GroupMember, topic string, partition int32, offset int64) {
			d.note(happened{What: itCommits, Topic: topic, Partition: partition, Offset: offset})
		},
	}
}

// handler does with records what is decided, and notes when.
func (d *diary) handler(decide func(number string, attempt int) decision) adapter.Handler {
	return adapter.HandlerFunc(func(ctx context.Context, m *adapter.Message) adapter.Result {
		h := happened{
			What: itBegins, Topic: m.Topic, Partition: m.Partition, Offset: m.Offset,
			Key: string(m.Key), Value: string(m.Value), ID: m.ID(), Attempt: m.Attempt, CutOff: ctx.Err() != nil,
		}
		d.note(h)
		return decide(h.Value, m.Attempt).carryOut(ctx, func() {
			d.note(happened{What: itEnds, Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Attempt: m.Attempt})
		})
	})
}

// history is what was appended. A process that is killed may leave a line half
// written, which the next one goes on with.
func history(path string) ([]happened, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	var all []happened
	torn := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var h happened
		text := lines.Text()
		if at := strings.LastIndex(text, `{"who"`); at > 0 {
			text = text[at:]
			torn++
		}
		if err := json.Unmarshal([]byte(text), &h); err != nil {
			torn++
			continue
		}
		all = append(all, h)
	}
	if torn > 1 {
		return nil, fmt.Errorf("%d lines of %s are torn, and one process was killed", torn, path)
	}
	return all, nil
}

// learn has the witness hear of what processes did.
func (w *witness) learn(all []happened) {
	w.mu.Lock()
	defer w.mu.Unlock()
	type run struct {
		who, place string
		offset     int64
		attempt    int
	}
	running := map[run]*handling{}
	for _, h := range all {
		place := fmt.Sprintf("%s/%d", h.Topic, h.Partition)
		r, at := run{h.Who, place, h.Offset, h.Attempt}, memberPartition{h.Who, place}
		switch h.What {
		case itBegins:
			running[r] = &handling{
				topic: h.Topic, partition: h.Partition, offset: h.Offset,
				key: h.Key, value: h.Value, id: h.ID, attempt: h.Attempt, cutOff: h.CutOff,
			}
			w.begin(h.Who, running[r])
		case itEnds:
			if running[r] != nil { // else what says that it began is torn
				w.end(running[r])
			}
		case itStarts:
			w.start(at)
		case itLoses:
			w.revoked[at] = append(w.revoked[at], w.now())
		case itCommits:
			if h.Offset < w.prefix[place] && !w.mayOverlap(h.Who) { // else it may say late what it did in time
				w.wrong("%s: %d was committed by %s after %d", place, h.Offset, h.Who, w.prefix[place])
			}
			w.commit(place, h.Offset)
		case itIsKilled:
			w.killed[h.Who] = w.now()
		}
	}
}
