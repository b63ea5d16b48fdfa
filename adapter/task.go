package adapter

import (
	"container/heap"
	"context"
	"time"
)

// task is a record that has been tried, and is not settled.
type task struct {
	m    *Message // as the next attempt gets it, or as it is given up
	busy *busyKey // its key; nil when it waits for no others, and they not for it

	due   time.Time // when to go on
	since time.Time // when it failed first, as of when it was held last; zero before
	index int       // in the heap of those that are held; -1 outside

	// home is where the record goes, nil while it stays for another attempt.
	home    *home
	cause   error // what the last attempt failed with; nil when that is not known
	failed  int   // how often going there failed
	blocked error // why it cannot get there until somebody acts
}

// home is where a record goes that does not stay in its place.
type home struct {
	// take gives the record there, and may be called again when it fails.
	take func(ctx context.Context) error
	// patience is after how many failures the record counts as blocked; zero for
	// a topic, where the failure itself says whether trying again can help.
	patience int
	// retry says that it is a retry topic. What does not fit in there is given up.
	retry bool
}

// tasks are in order of when they are due.
type tasks []*task

func (h tasks) Len() int           { return len(h) }
func (h tasks) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h tasks) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *tasks) Push(x any)        { t := x.(*task); t.index = len(*h); *h = append(*h, t) }
func (h *tasks) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h, t.index = old[:len(old)-1], -1
	return t
}

func (h *tasks) add(t *task)    { heap.Push(h, t) }
func (h *tasks) remove(t *task) { heap.Remove(h, t.index) }
