package adapter_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// witness sees every run of a handler, by any member of group g, and what the
// brokers hear of commits. When all is over it says what must not have been. A
// record's value is its number.
type witness struct {
	sub    adapter.Subscription // without its handler
	decide func(number string, attempt int) decision
	// overlaps says that a member may work on a partition that another has already:
	// one that cannot know that its session has expired. Nil is that none may.
	overlaps func(member string) bool
	options  []kgo.Opt
	ask      int  // the fate of every so many records; of the others the verdict of the harness says enough
	faulty   bool // something besides members is broken now and then
	// records reads a topic, when all is over, and fate is what became of a record;
	// nil where nobody but the witness knows.
	records func(topic string) []harness.Record
	fate    func(harness.Record) harness.Fate

	mu      sync.Mutex
	seq     int
	runs    []*handling
	killed  map[string]int            // members, and when
	revoked map[memberPartition][]int // when
	started map[memberPartition]assignment
	commits int                      // of the brokers
	settled map[string]map[int64]int // offsets by partition, and the first commit that says so
	prefix  map[string]int64         // of partitions, committed
	problem []string
}

type memberPartition struct{ member, partition string }

// assignment is a time for which a member has a partition.
type assignment struct{ nth, commits int }

type assignKey struct {
	member string
	nth    int
}

// handling is one run of a handler.
type handling struct {
	by         assignKey
	topic      string
	partition  int32
	offset     int64
	key, value string
	id         string
	attempt    int
	begin, end int  // in the order of all that is seen; end is 0 while it runs
	cutOff     bool // it began after its partition was gone: it does not count
	final      bool // no other attempt is to follow
}

func (r *handling) place() string { return fmt.Sprintf("%s/%d", r.topic, r.partition) }

func (r *handling) String() string {
	return fmt.Sprintf("%s/%d of key %s by %s (%d), attempt %d", r.place(), r.offset, r.key, r.by.member, r.by.nth, r.attempt)
}

// decision is what the handler does with an attempt.
type decision struct {
	result adapter.Result
	takes  time.Duration
	panics bool
}

func newWitness(s adapter.Subscription, decide func(string, int) decision) *witness {
	return &witness{
		sub: s, decide: decide, ask: 1,
		killed: map[string]int{}, revoked: map[memberPartition][]int{}, started: map[memberPartition]assignment{},
		settled: map[string]map[int64]int{}, prefix: map[string]int64{},
	}
}

func (w *witness) now() int { w.seq++; return w.seq }

func (w *witness) wrong(format string, args ...any) {
	w.problem = append(w.problem, fmt.Sprintf(format, args...))
}

// config has the witness hear of assignments.
func (w *witness) config(c *adapter.Config) {
	member := c.ClientID
	c.Logger = slog.New(slog.DiscardHandler) // it would say more than is kept
	c.ClientOptions = w.options
	c.Trace = &adapter.Trace{
		Started: func(_ adapter.GroupMember, topic string, partition int32, _ int64) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.start(memberPartition{member, fmt.Sprintf("%s/%d", topic, partition)})
		},
		Revoked: func(_ adapter.GroupMember, partitions map[string][]int32, _ bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for topic, ps := range partitions {
				for _, p := range ps {
					at := memberPartition{member, fmt.Sprintf("%s/%d", topic, p)}
					w.revoked[at] = append(w.revoked[at], w.now())
				}
			}
		},
	}
}

// start notes that a member has a partition from now on. Callers have mu.
func (w *witness) start(at memberPartition) {
	w.started[at] = assignment{w.started[at].nth + 1, w.commits}
}

// commit notes that the group has committed an offset. Callers have mu.
func (w *witness) commit(p string, offset int64) {
	w.commits++
	w.settle(p, w.prefix[p], offset)
	w.prefix[p] = max(w.prefix[p], offset)
}

func (w *witness) settle(p string, from, to int64) {
	if w.settled[p] == nil {
		w.settled[p] = map[int64]int{}
	}
	for o := from; o < to; o++ {
		if _, known := w.settled[p][o]; !known {
			w.settled[p][o] = w.commits
		}
	}
}

// observe has the witness hear of commits.
func (w *witness) observe(b *fakebroker.Broker) {
	b.Observe(fakebroker.Observer{Committed: func(c fakebroker.Committed) {
		if c.Group != "g" {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		p := fmt.Sprintf("%s/%d", c.Topic, c.Partition)
		if c.Offset < w.prefix[p] {
			w.wrong("%s: %d was committed by %s after %d", p, c.Offset, c.ClientID, w.prefix[p])
		}
		w.commit(p, c.Offset)
		if c.Metadata == "" {
			return
		}
		spans, err := adapter.SettledBehind(c.Offset, c.Metadata)
		if err != nil {
			w.wrong("%s: the metadata of %d: %v", p, c.Offset, err)
		}
		for _, s := range spans {
			w.settle(p, s[0], s[1])
		}
	}})
}

// service is a member with the witness's handler.
func (w *witness) service(e harness.Env) harness.Service {
	s := w.sub
	s.Handler = w.handler(e.Name)
	consume := harness.Consume(s)(e)
	return harness.ServiceFunc(func(ctx context.Context) error {
		err := consume.Run(ctx)
		if w.faulty {
			return nil // the last commit may have failed, and the leave
		}
		return err
	})
}

func (w *witness) handler(member string) adapter.Handler {
	return adapter.HandlerFunc(func(ctx context.Context, m *adapter.Message) adapter.Result {
		w.mu.Lock()
		r := &handling{
			topic: m.Topic, partition: m.Partition, offset: m.Offset,
			key: string(m.Key), value: string(m.Value), id: m.ID(), attempt: m.Attempt,
			cutOff: ctx.Err() != nil,
		}
		w.begin(member, r)
		w.mu.Unlock()
		return w.decide(r.value, m.Attempt).carryOut(ctx, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.end(r)
		})
	})
}

// carryOut is what a handler does about an attempt. It calls ended before it returns.
func (d decision) carryOut(ctx context.Context, ended func()) adapter.Result {
	if d.takes > 0 {
		select {
		case <-time.After(d.takes):
		case <-ctx.Done():
		}
	}
	ended()
	if d.panics {
		panic("oh no")
	}
	return d.result
}

// ends reports whether no other attempt follows.
func (d decision) ends(attempt, attempts int) bool {
	return !d.panics && d.result.Type() != adapter.ResultRetry || attempt >= attempts
}

// begin notes that a run begins, and end that it ends. Callers have mu.
func (w *witness) begin(member string, r *handling) {
	at := w.started[memberPartition{member, r.place()}]
	r.by = assignKey{member, at.nth}
	r.begin = w.now()
	if _, dead := w.killed[member]; dead {
		r.cutOff = true
	}
	if v := w.settled[r.place()][r.offset]; v > 0 && v <= at.commits && !r.cutOff {
		w.wrong("%v runs, and was settled and committed before its partition was assigned", r)
	}
	w.runs = append(w.runs, r)
}

func (w *witness) end(r *handling) {
	r.end = w.now()
	r.final = w.decide(r.value, r.attempt).ends(r.attempt, w.sub.Retry.Attempts)
}

// kill kills a member.
func (w *witness) kill(m *harness.Member) {
	w.mu.Lock()
	w.killed[m.Name()] = w.now()
	w.mu.Unlock()
	m.Kill()
}

// until is when a run no longer counts: it has ended, or was cut off.
func (w *witness) until(r *handling) int {
	end := cmp.Or(r.end, w.seq+1)
	if at, dead := w.killed[r.by.member]; dead {
		end = min(end, at)
	}
	for _, at := range w.revoked[memberPartition{r.by.member, r.place()}] {
		if at > r.begin {
			return min(end, at)
		}
	}
	return end
}

// verdict is what must hold of every run, whatever happened. recs are what was
// published, by number. repeats says where a record that was handled may be handled
// again: nil is nowhere.
func (w *witness) verdict(recs []harness.Record, repeats func(before, again *handling) bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checkIDs(recs)
	w.checkFates(recs)
	w.checkRepeats(repeats)
	w.checkOrder()
	w.checkSharing()
	w.checkMoves(repeats != nil)
	if n := len(w.problem); n > 10 {
		w.problem = append(w.problem[:10], fmt.Sprintf("and %d more", n-10))
	}
	if len(w.problem) > 0 {
		return errors.New(strings.Join(w.problem, "\n"))
	}
	return nil
}

// checkIDs: a record has the same ID wherever it is, and however often.
func (w *witness) checkIDs(recs []harness.Record) {
	for _, r := range w.runs {
		n, err := strconv.Atoi(r.value)
		if err != nil || n >= len(recs) {
			w.wrong("%v has a value that was not published: %q", r, r.value)
			continue
		}
		if want := fmt.Sprintf("t/%d/%d/g", recs[n].Partition, recs[n].Offset); r.id != want {
			w.wrong("%v has the id %s, and is %s", r, r.id, want)
		}
		if r.partition != recs[n].Partition || r.key != string(recs[n].Key) {
			w.wrong("%v is not as it was published: %v", r, recs[n])
		}
	}
}

// checkFates: a record ends as its attempts say, after it was handled to an end.
func (w *witness) checkFates(recs []harness.Record) {
	letters := map[int]bool{}
	for _, r := range w.records(adapter.DeadLetterTopic("t", "g")) {
		n, err := strconv.Atoi(string(r.Value))
		letters[n] = err == nil
		if err != nil || n >= len(recs) || string(r.Key) != string(recs[n].Key) {
			w.wrong("%v is no dead letter of what was published", r)
		}
	}
	ended, unsure := map[string]bool{}, map[string]bool{}
	for _, r := range w.runs {
		ended[r.value] = ended[r.value] || r.final
		// To a share group an attempt that ended with its member is one, whatever it would
		// have come to.
		_, dead := w.killed[r.by.member]
		unsure[r.value] = unsure[r.value] || dead && w.sub.Mode == adapter.ShareGroup
	}
	for n, rec := range recs {
		want := harness.Committed
		for attempt := 1; ; attempt++ {
			d := w.decide(fmt.Sprint(n), attempt)
			if d.ends(attempt, w.sub.Retry.Attempts) {
				if d.panics || d.result.Type() != adapter.ResultCommit {
					want = harness.DeadLettered
				}
				break
			}
		}
		if unsure[fmt.Sprint(n)] && letters[n] {
			want = harness.DeadLettered
		}
		if letters[n] != (want == harness.DeadLettered) {
			w.wrong("%v is to be %s, and on the dead-letter topic: %v", rec, want, letters[n])
		}
		if !ended[fmt.Sprint(n)] {
			w.wrong("%v was lost: it was never handled to an end", rec)
		}
		if w.fate == nil || n%w.ask != 0 {
			continue
		}
		if f := w.fate(rec); f.Kind != want {
			w.wrong("%v, want %s", f, want)
		}
	}
}

// checkRepeats: while a partition stays where it is nothing is handled to an end
// twice, and each attempt runs once.
func (w *witness) checkRepeats(allowed func(before, again *handling) bool) {
	type attempt struct {
		place  string
		offset int64
		n      int
	}
	ran := map[attempt][]*handling{}
	for _, r := range w.runs {
		if r.cutOff {
			continue
		}
		k := attempt{r.place(), r.offset, r.attempt}
		for _, before := range ran[k] {
			if before.by == r.by || allowed == nil || !allowed(before, r) {
				w.wrong("%v runs again, after %v", r, before)
			}
		}
		ran[k] = append(ran[k], r)
	}
}

// checkSharing: a record of a share group is with one member at a time.
func (w *witness) checkSharing() {
	if w.sub.Mode != adapter.ShareGroup {
		return
	}
	last := map[string]*handling{}
	for _, r := range w.runs {
		at := fmt.Sprint(r.place(), " ", r.offset)
		if before := last[at]; before != nil && !r.cutOff && w.until(before) > r.begin {
			w.wrong("%v begins while %v runs", r, before)
		}
		last[at] = r
	}
}

// lane is what the order is kept in.
func (w *witness) lane(r *handling) string {
	switch {
	case r.topic != "t" || w.sub.Order == adapter.Unordered:
		return ""
	case w.sub.Order == adapter.ByPartition:
		return r.place()
	}
	return r.place() + " " + r.key
}

// checkOrder: of what shares an order, one runs at a time, no assignment goes back,
// and none begins before all before it have ended at least once.
func (w *witness) checkOrder() {
	moved := w.movedKeys()
	lanes := map[string][]*handling{}
	for _, r := range w.runs {
		if l := w.lane(r); l != "" && !r.cutOff && !moved[r.key] {
			lanes[l] = append(lanes[l], r)
		}
	}
	for _, runs := range lanes { // in the order in which they began
		last := map[assignKey]*handling{}
		var before *handling
		for _, r := range runs {
			if p := last[r.by]; p != nil && (r.offset < p.offset || cmp.Or(p.end, w.seq+1) > r.begin) {
				w.wrong("%v begins after %v, or while it runs", r, p)
			}
			last[r.by] = r
			if before != nil && w.until(before) > r.begin && !w.overlap(before, r) {
				w.wrong("%v begins while %v runs", r, before)
			}
			before = r
		}
		w.checkNoneIsPassed(runs)
	}
}

func (w *witness) overlap(before, r *handling) bool {
	return w.mayOverlap(before.by.member) || w.mayOverlap(r.by.member)
}

func (w *witness) mayOverlap(member string) bool { return w.overlaps != nil && w.overlaps(member) }

func (w *witness) checkNoneIsPassed(runs []*handling) {
	ended := map[int64]int{} // when an offset ended first
	for _, r := range runs {
		if e, known := ended[r.offset]; r.final && r.end > 0 && (!known || r.end < e) {
			ended[r.offset] = r.end
		}
	}
	byOffset := slices.Clone(runs)
	slices.SortStableFunc(byOffset, func(a, b *handling) int { return cmp.Compare(a.offset, b.offset) })
	latest := 0 // of those before
	for i := 0; i < len(byOffset); {
		offset := byOffset[i].offset
		for ; i < len(byOffset) && byOffset[i].offset == offset; i++ {
			if byOffset[i].begin < latest {
				w.wrong("%v begins before all before it have ended", byOffset[i])
			}
		}
		if e, known := ended[offset]; known {
			latest = max(latest, e)
		}
	}
}

// movedKeys are those whose order was given up.
func (w *witness) movedKeys() map[string]bool {
	moved := map[string]bool{}
	for _, tier := range w.sub.Retry.Tiers {
		for _, r := range w.records(adapter.RetryTopic("t", "g", tier)) {
			moved[string(r.Key)] = true
		}
	}
	return moved
}

// checkMoves: a record is on a topic of the adapter's own once for each run that
// failed. Where one that is held is moved on, too, whoever has the partition next may
// do that once more without a run.
func (w *witness) checkMoves(repeats bool) {
	if w.sub.OnHeldLimit == adapter.Hop && repeats {
		return
	}
	type attempt struct{ id, n string }
	type run struct {
		by     assignKey
		place  string
		offset int64
	}
	ran := map[attempt]map[run]bool{}
	for _, r := range w.runs {
		k := attempt{strings.TrimSuffix(r.id, "/g"), fmt.Sprint(r.attempt)}
		if ran[k] == nil {
			ran[k] = map[run]bool{}
		}
		ran[k][run{r.by, r.place(), r.offset}] = true
	}
	for _, topic := range w.ownTopics() {
		copies := map[attempt]int{}
		for _, r := range w.records(topic) {
			if strings.Contains(r.Header(adapter.HeaderError), adapter.ErrInterrupted.Error()) {
				continue // whoever gives it up has not run it
			}
			k := attempt{r.Header(adapter.HeaderID), r.Header(adapter.HeaderAttempt)}
			if copies[k]++; copies[k] > 1 && w.sub.ExactlyOnceHops {
				w.wrong("%s has attempt %s of %s %d times for who reads committed", topic, k.n, k.id, copies[k])
			}
			if copies[k] > len(ran[k]) {
				w.wrong("%s has attempt %s of %s %d times, and it ran %d times", topic, k.n, k.id, copies[k], len(ran[k]))
			}
		}
	}
}

func (w *witness) ownTopics() []string {
	topics := []string{adapter.DeadLetterTopic("t", "g")}
	for _, tier := range w.sub.Retry.Tiers {
		topics = append(topics, adapter.RetryTopic("t", "g", tier))
	}
	return topics
}

// repeated is how many records were handled to an end more than once.
func (w *witness) repeated() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	ends := map[string]int{}
	n := 0
	for _, r := range w.runs {
		if r.final && !r.cutOff {
			if ends[r.id]++; ends[r.id] == 2 {
				n++
			}
		}
	}
	return n
}
