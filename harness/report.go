package harness

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"unicode/utf8"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness/internal/report"
)

// reportVariable is the environment variable that names the folder of pages. A
// relative one is seen from the package's folder, as all paths in tests are.
const reportVariable = "HARNESS_REPORT"

// What a page holds at most, so that a browser opens it at once.
const (
	maxPageFates = 5_000
	maxPageText  = 4 << 10 // bytes of a key, a value or a header
	maxPageData  = 4 << 20 // bytes of all of them
)

// startReport takes down what only the broker knows, while it is there. It is
// nil when no pages are asked for.
func (h *Harness) startReport() *report.Page {
	if os.Getenv(reportVariable) == "" {
		return nil
	}
	p := &report.Page{Test: h.t.Name(), Clock: "real time"}
	if h.clock.virtual {
		p.Clock = "virtual time"
	}
	h.reportFates(p)
	h.reportRecords(p)
	return p
}

// writeReport writes the page. What goes wrong with it is no failure of the
// test.
func (h *Harness) writeReport(p *report.Page, outcome string) {
	if p == nil {
		return
	}
	p.Outcome = outcome
	h.t.mu.Lock()
	p.Failures = h.t.said
	h.t.mu.Unlock()
	h.watch.report(p)
	path, err := report.Write(os.Getenv(reportVariable), *p)
	if err != nil {
		h.t.Logf("harness: there is no page of this test: %v", err)
		return
	}
	h.t.Logf("harness: what happened, as a page: %s", path)
}

// outcome is how the test has gone so far; a body that neither returned nor
// ended the test has panicked.
func (h *Harness) outcome() string {
	switch {
	case h.t.Failed():
		return "failed"
	case h.t.Skipped():
		return "skipped"
	case !h.returned:
		return "panicked"
	}
	return "passed"
}

// report has the page show what happened.
func (w *watch) report(p *report.Page) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.Text = w.timeline.String()
	head, tail, cut := w.timeline.events()
	for _, e := range slices.Concat(head, tail) {
		p.Events = append(p.Events, e.report())
	}
	for _, part := range []struct {
		from   int
		events []event
	}{{0, head}, {len(head), tail}} {
		for _, f := range folds(part.events) {
			p.Folds = append(p.Folds, report.Fold{First: part.from + f.first, Period: f.period, Times: f.times})
		}
	}
	p.LeftOut, p.LeftOutFrom = cut, len(head)
}

// kindNames are the kinds of events as a page has them.
var kindNames = map[eventKind]string{
	evNote: "note", evPublished: "published", evSubscribed: "subscribed", evClosed: "closed", evStopped: "stopped",
	evAssigned: "assigned", evStarted: "started", evRevoked: "revoked", evLost: "lost", evGate: "gate", evDelivered: "delivered",
	evReturned: "returned", evWaiting: "waiting", evHopped: "moved", evDeadLettered: "dead-lettered", evRedriven: "redriven", evRejected: "rejected",
	evSettled: "settled", evFenced: "fenced", evCommitted: "committed", evFetched: "sent", evFault: "fault", evEnded: "ended",
}

func (e event) report() report.Event {
	out := report.Event{At: e.at, Kind: kindNames[e.kind], Text: e.String(), Client: e.client, Group: e.group}
	if e.place.topic != "" {
		out.Lane = e.place.part()
		if e.kind != evCommitted && e.kind != evStarted { // those are about the partition
			out.Place = e.place.String()
		}
	}
	switch {
	case e.to.topic == "":
	case e.kind == evPublished:
		out.Cause = e.to.String()
	default:
		out.To, out.ToLane = e.to.String(), e.to.part()
	}
	if r, ok := e.detail.(adapter.Result); ok {
		out.Outcome = string(r.Type())
	}
	return out
}

// reportFates has the page show the fates: those that a test must not end with,
// then those that are not simply committed, then the others.
func (h *Harness) reportFates(p *report.Page) {
	if h.cfg.WithoutFates {
		return
	}
	seen := map[string]bool{}
	add := func(group string, r Record) {
		key := group + "\x00" + r.String()
		if seen[key] {
			return
		}
		seen[key] = true
		if len(p.Fates) == maxPageFates {
			p.MoreFates++
			return
		}
		f := h.fateWithoutFinal(group, r)
		line := report.Fate{Place: r.String(), Group: group, Kind: string(f.Kind), Attempts: f.Attempts, Deliveries: f.Deliveries, Text: f.String()}
		if f.Err != nil {
			line.Err = f.Err.Error()
		}
		line.Look = f.Kind != Committed || f.Deliveries > 1
		p.Fates = append(p.Fates, line)
	}
	consumed := h.followed()
	for _, group := range sortedKeys(consumed) { // however many others there are
		for _, topic := range sortedKeys(consumed[group]) {
			for _, r := range h.suspects(group, topic) {
				add(group, r)
			}
		}
	}
	for _, group := range sortedKeys(consumed) {
		for _, topic := range sortedKeys(consumed[group]) {
			for r, err := range h.broker.Scan(topic, fakebroker.Selection{}) {
				if err != nil {
					break // deleted
				}
				add(group, Record{Topic: topic, Partition: r.Partition, Offset: r.Offset})
			}
		}
	}
	order := []string{string(Lost), string(Expired), string(Pending), string(DeadLettered), string(Rejected), string(Aborted), string(Skipped)}
	rank := func(f report.Fate) int {
		switch i := slices.Index(order, f.Kind); {
		case i >= 0:
			return i
		case f.Look:
			return len(order)
		}
		return len(order) + 1
	}
	slices.SortStableFunc(p.Fates, func(a, b report.Fate) int { return cmp.Compare(rank(a), rank(b)) })
}

// reportRecords has the page show what records hold.
func (h *Harness) reportRecords(p *report.Page) {
	p.Records = map[string]report.Record{}
	left := maxPageData
	text := func(b []byte) *string {
		if b == nil {
			return nil
		}
		s := pageText(b)
		left -= len(s)
		return &s
	}
	for _, t := range h.broker.Topics() {
		for r, err := range h.broker.Scan(t.Name, fakebroker.Selection{}) {
			if err != nil || left <= 0 {
				break
			}
			out := report.Record{Key: text(r.Key), Value: text(r.Value)}
			for _, header := range r.Headers {
				out.Headers = append(out.Headers, [2]string{header.Key, *cmp.Or(text(header.Value), new(string))})
			}
			p.Records[recordFrom(t.Name, r).String()] = out
		}
	}
}

// pageText is bytes as a page shows them.
func pageText(b []byte) string {
	more := ""
	if n := len(b) - maxPageText; n > 0 {
		more = fmt.Sprintf(" ... and %d bytes more", n)
		b = b[:maxPageText]
	}
	if !utf8.Valid(b) && (more == "" || !utf8.Valid(b[:len(b)-utf8.UTFMax])) {
		return "hex " + hex.EncodeToString(b) + more
	}
	return string(b) + more
}
