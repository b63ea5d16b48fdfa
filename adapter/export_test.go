package adapter

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// EnsureTopicsOf makes or verifies the topics of a group's own.
func (a *Adapter) EnsureTopicsOf(ctx context.Context, group, source string, tiers []time.Duration, mayCreate bool) error {
	s := ownTopicsSpec{group: group, sources: []string{source}, tiers: tiers, deadLetters: true, redrive: true, mayCreate: mayCreate}
	if err := s.check(); err != nil {
		return err
	}
	return a.ensureOwnTopics(ctx, s)
}

// Move is a record on its way to another topic.
type Move struct{ v *move }

// Publish is move.publish.
func (m Move) Publish(ctx context.Context) error { return m.v.publish(ctx) }

// MoveToRetry is moveToRetry.
func (a *Adapter) MoveToRetry(source string, m *Message, cause error, delay time.Duration, notBefore time.Time) Move {
	t := trailOf(m)
	t.notBefore = notBefore
	return Move{a.moveToRetry(source, m, t, cause, delay, headerStyle{})}
}

// MoveToDeadLetters is moveToDeadLetters.
func (a *Adapter) MoveToDeadLetters(source string, m *Message, cause error) Move {
	return Move{a.moveToDeadLetters(source, m, cause, headerStyle{})}
}

// MoveOn is moveOn, of a record that is on a retry topic.
func (a *Adapter) MoveOn(source, group string, r *kgo.Record, delay time.Duration) Move {
	return Move{a.moveOn(source, &Message{Group: group}, r, delay)}
}

// SettledBehind are the offsets, from one to another, that metadata committed with
// an offset says are settled beyond it.
func SettledBehind(offset int64, metadata string) ([][2]int64, error) {
	l := newLedger()
	if err := l.restore(offset, metadata); err != nil {
		return nil, err
	}
	var spans [][2]int64
	for _, s := range l.done {
		spans = append(spans, [2]int64{s.from, s.to})
	}
	return spans, nil
}
