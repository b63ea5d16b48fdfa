package harness

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"example.com/kafkatest/adapter"
)

func TestTimeline_keepsTheBeginningAndTheEnd(t *testing.T) {
	tl := timeline{max: 20}
	for i := range 100 {
		tl.add(&event{kind: evNote, detail: fmt.Sprint("note ", i)})
	}
	text := tl.String()
	for i := range 100 {
		kept := strings.Contains(text, fmt.Sprintf("  note %d\n", i))
		assert.Equal(t, i < 10 || i >= 90, kept, i)
	}
	assert.Contains(t, text, "note 9\n                80 events left out\n            0s  note 90\n")
}

func TestTimeline_none(t *testing.T) {
	tl := timeline{max: -1}
	tl.add(&event{kind: evNote, detail: "note"})
	assert.Empty(t, tl.String())
}

func TestTimeline_foldsWhatHappensToMany(t *testing.T) {
	tl := timeline{max: 100_000}
	handled := func(o int64, r adapter.Result) {
		at := place{"t", int32(o % 2), o}
		tl.add(&event{kind: evDelivered, group: "g", place: at, attempt: 1})
		tl.add(&event{kind: evReturned, group: "g", place: at, detail: r})
		tl.add(&event{kind: evSettled, group: "g", place: at, at: time.Duration(o) * time.Second})
	}
	for o := range int64(50) {
		tl.add(&event{kind: evPublished, place: place{"t", 0, o}})
	}
	for o := range int64(20) {
		handled(o, adapter.Commit())
	}
	handled(20, adapter.Retry(errors.New("down")))
	for o := range int64(3) {
		handled(21+o, adapter.Commit())
	}
	before, _, _ := strings.Cut(tl.String(), "            0s  t[1]@21")
	assert.Equal(t, `            0s  t[0]@0 published
                ... the same 48 times more, through t[0]@48 ...
            0s  t[0]@49 published
            0s  t[0]@0 delivered to g, attempt 1
            0s  t[0]@0 returned by g: commit
            0s  t[0]@0 settled in g
                ... the same 18 times more, through t[0]@18 ...
            0s  t[1]@19 delivered to g, attempt 1
            0s  t[1]@19 returned by g: commit
           19s  t[1]@19 settled in g
            0s  t[0]@20 delivered to g, attempt 1
            0s  t[0]@20 returned by g: retry: down
           20s  t[0]@20 settled in g
`, before)
	assert.Equal(t, 13+9, strings.Count(tl.String(), "\n"), "three times is not yet many")
}

func TestLength_saysNoMoreThanThereIs(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Hour: "1h", 90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m",
		20 * time.Second: "20s", 1_234_567 * time.Nanosecond: "1.23ms", 100 * time.Hour: "100h",
	} {
		assert.Equal(t, want, length(d))
	}
}

// Events share what they have in common, and nothing else.
func TestTimeline_keepsEachEventAsItWas(t *testing.T) {
	base := event{at: 1, kind: evReturned, attempt: 2, member: "m", client: "c", group: "g", place: place{"t", 3, 4}, took: 5, detail: plainCommit, plain: true}
	others := []func(*event){
		func(*event) {},
		func(e *event) { e.at = 9 },
		func(e *event) { e.kind = evDelivered },
		func(e *event) { e.attempt = 9 },
		func(e *event) { e.member = "other" },
		func(e *event) { e.client = "other" },
		func(e *event) { e.group = "other" },
		func(e *event) { e.place.topic = "other" },
		func(e *event) { e.place.partition += 4 },
		func(e *event) { e.place.offset = 9 },
		func(e *event) { e.to = place{"t", 0, 9} },
		func(e *event) { e.took = 9 },
		func(e *event) { e.due = 9 },
		func(e *event) { e.detail, e.plain = nil, false },
		func(e *event) { e.detail, e.plain = adapter.Retry(nil), false },
	}
	tl := timeline{max: 1000}
	var want []event
	for _, change := range others {
		other := base
		change(&other)
		for _, e := range []event{base, other, other, base} {
			tl.add(&e)
			want = append(want, e)
		}
	}
	got, _, _ := tl.events()
	assert.Equal(t, want, got)
}
