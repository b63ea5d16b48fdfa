package adapter

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// RedriveSpec says which dead letters Adapter.Redrive takes back. Topic and Group
// are required; without more it looks at all of them, and takes back none.
type RedriveSpec struct {
	// Topic is the topic of the subscription, and Group its consumer group.
	// They decide where records come from and where they go; no header does.
	Topic, Group string
	// Apply takes the dead letters back. Without it Redrive is a dry run, which
	// tells what it would do.
	Apply bool

	// Partitions are those to look at. None means all.
	Partitions []int32
	// FromOffset is the first offset of the dead-letter topic to look at, and
	// UntilOffset the one after the last, in each partition. Zero means the
	// start, and the end.
	FromOffset, UntilOffset int64
	// ErrorContains is a text that the error has, as the header HeaderError
	// shows it. Empty means any.
	ErrorContains string
	// Key is the record's key. Nil means any.
	Key []byte
	// MinAge and MaxAge are how long ago the record was given up, at least and
	// at most. Zero means any.
	MinAge, MaxAge time.Duration
	// Match decides about what all of the above lets through. Nil takes all.
	Match func(*DeadLetter) bool

	// Limit is how many dead letters are taken back at most. Zero means no
	// limit.
	Limit int
	// MaxRedrives is how often one record may be taken back in all. A record
	// that fails again after that stays a dead letter, and is counted as
	// capped. Zero means once.
	MaxRedrives int

	// NoTopicCreation only verifies the redrive topic: when it is missing the
	// error is a MissingTopicsError, which says how to create it.
	NoTopicCreation bool
	// Each is told of every dead letter that the filters let through, one after
	// another. Nil tells nobody.
	Each func(*DeadLetter, RedriveOutcome)
}

// DeadLetter is a record of a dead-letter topic.
type DeadLetter struct {
	// Partition and Offset are where it is on the dead-letter topic.
	Partition int32
	Offset    int64
	// Origin is where the record was first published, and Timestamp when.
	Origin    Origin
	Timestamp time.Time
	// Key, Value and Headers are the record's own.
	Key, Value []byte
	Headers    []Header

	GivenUp  time.Time // when it became a dead letter
	Attempts int       // how often the handler ran, since it was taken back last
	Error    string    // why it was given up, as HeaderError has it
	Redriven int       // how often it had been taken back before
}

// RedriveOutcome is what became of a dead letter.
type RedriveOutcome string

// The outcomes.
const (
	// WouldRedrive: a run with Apply would take it back.
	WouldRedrive RedriveOutcome = "would redrive"
	// Redriven: the redrive topic has it.
	Redriven RedriveOutcome = "redriven"
	// AlreadyRedriven: an earlier run has taken it back.
	AlreadyRedriven RedriveOutcome = "already redriven"
	// RedriveCapped: it was taken back as often as RedriveSpec.MaxRedrives
	// allows.
	RedriveCapped RedriveOutcome = "capped"
	// RedriveTooLarge: the redrive topic does not take a record of its size.
	RedriveTooLarge RedriveOutcome = "too large"
)

// RedriveTally is what became of the dead letters that were looked at.
//
//	Seen    = Unknown + Filtered + Matched, where
//	Matched = Redriven + Already + Capped + TooLarge + Would
//
// After an error Seen also has those whose move failed. Would is what a dry run
// would redrive.
type RedriveTally struct {
	Seen     int `json:"seen"`
	Unknown  int `json:"unknown"`  // without headers of this group's that can be believed
	Filtered int `json:"filtered"` // not let through by the filters
	Matched  int `json:"matched"`

	Redriven int `json:"redriven"`
	Already  int `json:"already"`
	Capped   int `json:"capped"`
	TooLarge int `json:"tooLarge"`
	Would    int `json:"would"`
}

func (t *RedriveTally) count(o RedriveOutcome) {
	t.Matched++
	switch o {
	case WouldRedrive:
		t.Would++
	case Redriven:
		t.Redriven++
	case AlreadyRedriven:
		t.Already++
	case RedriveCapped:
		t.Capped++
	case RedriveTooLarge:
		t.TooLarge++
	}
}

// Redrive takes dead letters back to the group that gave them up, by way of its
// redrive topic, which a Subscription with Redrive consumes: see RedriveTopic.
// Their attempts are counted from 1 again, and Message.ID stays the same. They
// stay on the dead-letter topic, too. Without RedriveSpec.Apply it is a dry run.
//
// It ends where the dead-letter topic ended when it began, so that what fails
// again is not taken back in the same run. What it has done it knows from the
// redrive topic itself: a run that was interrupted is continued by running it
// again, no dead letter is taken back twice, and a record that failed again only
// as often as RedriveSpec.MaxRedrives says. Of two runs at a time for the same
// topic and group neither knows what the other is doing, so that a handler may
// see a record twice, with the same Message.ID.
//
// The end of ctx ends the taking; what is under way by then is waited for, up to
// Config.PublishTimeout. The tally is right also when there is an error:
// a ConfigError for a RedriveSpec that cannot work, an UnknownTopicError where
// there is no dead-letter topic, a TopicMismatchError for a redrive topic that
// cannot serve, or what stopped it.
func (a *Adapter) Redrive(ctx context.Context, s RedriveSpec) (RedriveTally, error) {
	r := redrive{a: a, spec: s, began: time.Now(), letters: DeadLetterTopic(s.Topic, s.Group), home: RedriveTopic(s.Topic, s.Group)}
	if err := s.check(); err != nil {
		return r.tally, err
	}
	if s.MaxRedrives == 0 {
		r.spec.MaxRedrives = 1
	}
	if err := a.conn.await(ctx); err != nil {
		return r.tally, err
	}
	err := r.run(ctx)
	if ctx.Err() != nil && err == nil {
		err = ctx.Err()
	}
	return r.tally, err
}

func (s RedriveSpec) check() error {
	bad := func(field, format string, args ...any) error {
		return &ConfigError{Field: "RedriveSpec." + field, Problem: fmt.Sprintf(format, args...)}
	}
	switch {
	case !isTopicName(s.Topic):
		return bad("Topic", "is %q: name the topic of the subscription, not its dead-letter topic", s.Topic)
	case s.Group == "":
		return bad("Group", "is empty: name the group whose dead letters are meant")
	case slices.ContainsFunc(s.Partitions, func(p int32) bool { return p < 0 }):
		return bad("Partitions", "has a negative number")
	case s.FromOffset < 0:
		return bad("FromOffset", "is negative")
	case s.UntilOffset < 0:
		return bad("UntilOffset", "is negative")
	case s.UntilOffset != 0 && s.UntilOffset <= s.FromOffset:
		return bad("UntilOffset", "is %d, and FromOffset %d: nothing is between them", s.UntilOffset, s.FromOffset)
	case s.MinAge < 0:
		return bad("MinAge", "is negative")
	case s.MaxAge < 0:
		return bad("MaxAge", "is negative")
	case s.MaxAge != 0 && s.MaxAge < s.MinAge:
		return bad("MaxAge", "is %v, less than MinAge, %v", s.MaxAge, s.MinAge)
	case s.Limit < 0:
		return bad("Limit", "is negative: leave it zero for no limit")
	case s.MaxRedrives < 0:
		return bad("MaxRedrives", "is negative: leave it zero for once")
	}
	return nil
}

const (
	// maxRedriving is how many records are on their way at a time, and
	// maxRedrivingBytes of how many bytes, but for the last.
	maxRedriving      = 500
	maxRedrivingBytes = 4 << 20
)

// redrive is one run.
type redrive struct {
	a             *Adapter
	spec          RedriveSpec
	began         time.Time
	letters, home string // topics
	homes         int    // partitions of home; zero when it does not exist
	tally         RedriveTally

	// done is how often each record of a partition was redriven.
	done map[Origin]int
	// left is how many more may be taken back.
	left int

	moving []moving
	bytes  int
}

type moving struct {
	letter *DeadLetter
	move   *move
}

func (r *redrive) run(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	letters, err := r.a.extents(ctx, r.letters)
	if err != nil {
		return err
	}
	for _, p := range r.spec.Partitions {
		if _, ok := letters[p]; !ok {
			return &ConfigError{Field: "RedriveSpec.Partitions", Problem: fmt.Sprintf("has %d, and topic %q has no such partition", p, r.letters)}
		}
	}
	homes := map[int32]extent{}
	if r.homes > 0 {
		if homes, err = r.a.extents(ctx, r.home); err != nil {
			return err
		}
	}
	reader, err := r.a.newReader()
	if err != nil {
		return err
	}
	defer reader.cl.Close()
	r.left = r.spec.Limit
	if r.left == 0 {
		r.left = math.MaxInt
	}
	for _, p := range slices.Sorted(maps.Keys(letters)) {
		s := letters[p]
		s.from = max(s.from, r.spec.FromOffset)
		if r.spec.UntilOffset != 0 {
			s.to = min(s.to, r.spec.UntilOffset)
		}
		if s.from >= s.to || len(r.spec.Partitions) > 0 && !slices.Contains(r.spec.Partitions, p) {
			continue
		}
		r.done = map[Origin]int{}
		if r.homes > 0 {
			home := r.homeOf(p)
			if err := reader.read(ctx, r.home, home, homes[home], r.remember); err != nil {
				return err
			}
		}
		err := reader.read(ctx, r.letters, p, s, func(rec *kgo.Record) (bool, error) { return r.consider(ctx, rec) })
		if ended := r.settle(ctx); err == nil {
			err = ended
		}
		if err != nil || r.left == 0 {
			return err
		}
	}
	return nil
}

// prepare looks for the topics, and makes the one that a run needs.
func (r *redrive) prepare(ctx context.Context) error {
	if r.spec.Apply {
		s := ownTopicsSpec{group: r.spec.Group, sources: []string{r.spec.Topic}, redrive: true, mayCreate: !r.spec.NoTopicCreation}
		have, err := r.a.describe(ctx, r.letters)
		if err != nil {
			return err
		}
		if _, ok := have[r.letters]; !ok { // then nothing is to be made
			return &UnknownTopicError{Topic: r.letters, Err: errNoSuchTopic}
		}
		if err := r.a.ensureOwnTopics(ctx, s); err != nil {
			return err
		}
	}
	have, err := r.a.describe(ctx, r.letters, r.home)
	if err != nil {
		return err
	}
	if _, ok := have[r.letters]; !ok {
		return &UnknownTopicError{Topic: r.letters, Err: errNoSuchTopic}
	}
	r.homes = have[r.home].partitions
	return nil
}

// homeOf is the partition of the redrive topic for a partition of the dead-letter
// topic: the same, where it has as many.
func (r *redrive) homeOf(p int32) int32 { return p % int32(r.homes) }

// remember notes what was redriven before.
func (r *redrive) remember(rec *kgo.Record) (bool, error) {
	if t, err := readTrail(rec.Headers, r.spec.Topic, r.spec.Group); err == nil {
		r.done[t.origin] = max(r.done[t.origin], t.redriven)
	}
	return true, nil
}

// consider decides about a dead letter, and reports whether to go on.
func (r *redrive) consider(ctx context.Context, rec *kgo.Record) (bool, error) {
	r.tally.Seen++
	t, err := readTrail(rec.Headers, r.spec.Topic, r.spec.Group)
	if err != nil {
		r.tally.Unknown++
		r.a.cfg.Logger.Warn("a record of a dead-letter topic is left alone: its headers are not believed",
			"topic", rec.Topic, "partition", rec.Partition, "offset", rec.Offset, "error", err)
		return true, nil
	}
	l := letterOf(rec, t)
	switch {
	case !r.matches(l):
		r.tally.Filtered++
		return true, nil
	case r.done[t.origin] > t.redriven:
		r.tell(l, AlreadyRedriven)
		return true, nil
	case t.redriven >= r.spec.MaxRedrives:
		r.tell(l, RedriveCapped)
		return true, nil
	}
	r.done[t.origin] = t.redriven + 1
	r.left--
	if !r.spec.Apply {
		r.tell(l, WouldRedrive)
		return r.left > 0, nil
	}
	m := moving{l, r.moveBack(rec, l, t)}
	r.moving = append(r.moving, m)
	r.bytes += size(rec)
	// What is taken goes, whatever ends ctx.
	if m.move.send(context.WithoutCancel(ctx)) != nil || len(r.moving) >= maxRedriving || r.bytes >= maxRedrivingBytes {
		err = r.settle(ctx)
	}
	return r.left > 0, err
}

func letterOf(rec *kgo.Record, t trail) *DeadLetter {
	l := &DeadLetter{
		Partition: rec.Partition, Offset: rec.Offset, Origin: t.origin, Timestamp: t.timestamp,
		Key: rec.Key, Value: rec.Value, GivenUp: rec.Timestamp, Attempts: t.attempts, Redriven: t.redriven,
	}
	for _, h := range rec.Headers {
		switch {
		case h.Key == HeaderError:
			l.Error = string(h.Value)
		case !isOwnHeader(h.Key):
			l.Headers = append(l.Headers, Header{Key: h.Key, Value: h.Value})
		}
	}
	return l
}

func (r *redrive) matches(l *DeadLetter) bool {
	age := r.began.Sub(l.GivenUp)
	switch s := r.spec; {
	case !strings.Contains(l.Error, s.ErrorContains),
		s.Key != nil && (l.Key == nil || !bytes.Equal(l.Key, s.Key)),
		age < s.MinAge,
		s.MaxAge != 0 && age > s.MaxAge:
		return false
	}
	return r.spec.Match == nil || r.spec.Match(l)
}

// moveBack puts the record of a dead letter on the redrive topic, as if it had
// not been tried yet.
func (r *redrive) moveBack(rec *kgo.Record, l *DeadLetter, t trail) *move {
	t = trail{origin: t.origin, timestamp: t.timestamp, group: t.group, redriven: t.redriven + 1}
	var headers []kgo.RecordHeader
	spring := slices.ContainsFunc(l.Headers, func(h Header) bool { // then the adapter wrote them
		return h.Key == springGroup && string(h.Value) == r.spec.Group
	})
	for _, h := range l.Headers {
		if !spring || !isSpringHeader(h.Key) {
			headers = append(headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	v := r.a.movedTo(r.home, r.homeOf(rec.Partition), rec.Key, rec.Value, append(headers, t.headers()...))
	v.done = func(at Origin) {
		if f := r.a.cfg.Trace.Redriven; f != nil {
			f(r.spec.Group, l, at)
		}
	}
	return v
}

// settle waits for what is under way, beyond the end of ctx, but not for ever.
func (r *redrive) settle(ctx context.Context) error {
	limited, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		limit := time.AfterFunc(r.a.cfg.PublishTimeout, cancel)
		context.AfterFunc(limited, func() { limit.Stop() })
	})()
	var failure error
	for _, m := range r.moving {
		switch err := r.publish(limited, ctx, m.move); {
		case err == nil:
			r.tell(m.letter, Redriven)
		case obstacleOf(err) == tooLarge:
			r.a.cfg.Logger.Error("a dead letter is too large for the redrive topic", "topic", r.letters,
				"partition", m.letter.Partition, "offset", m.letter.Offset, "error", err)
			r.tell(m.letter, RedriveTooLarge)
		case failure == nil:
			failure = fmt.Errorf("redrive %s/%d/%d: %w", r.letters, m.letter.Partition, m.letter.Offset, err)
		}
	}
	r.moving, r.bytes = nil, 0
	return failure
}

// publish repeats a move while that can help and taking goes on.
func (r *redrive) publish(limited, taking context.Context, v *move) error {
	policy := RetryPolicy{}.withDefaults()
	for failed := 1; ; failed++ {
		err := v.publish(limited)
		if err == nil || obstacleOf(err) != passing || taking.Err() != nil {
			return err
		}
		d := policy.backoff(failed)
		r.a.cfg.Logger.Warn("a dead letter was not taken back yet", "topic", r.home, "error", err, "next try in", d)
		if !sleep(taking, d) {
			return err
		}
	}
}

func (r *redrive) tell(l *DeadLetter, o RedriveOutcome) {
	r.tally.count(o)
	if r.spec.Each != nil {
		r.spec.Each(l, o)
	}
}

// extent is what there is of a partition: from the first offset up to the one after
// the last.
type extent struct{ from, to int64 }

// extents are those of a topic's partitions, without what a transaction that is
// still open has.
func (a *Adapter) extents(ctx context.Context, topic string) (map[int32]extent, error) {
	list := func(ask func(context.Context, ...string) (kadm.ListedOffsets, error)) (kadm.ListedOffsets, error) {
		offsets, err := ask(ctx, topic)
		if err == nil {
			err = offsets.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("find the offsets of topic %q: %w", topic, a.adminError(ctx, err))
		}
		return offsets, nil
	}
	starts, err := list(a.admin.ListStartOffsets)
	if err != nil {
		return nil, err
	}
	ends, err := list(a.admin.ListCommittedOffsets)
	if err != nil {
		return nil, err
	}
	extents := map[int32]extent{}
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(topic, end.Partition)
		extents[end.Partition] = extent{start.Offset, end.Offset}
	})
	return extents, nil
}
