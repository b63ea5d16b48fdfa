package harness_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

func TestSpy_countsRecordsAndFailsWhenTold(t *testing.T) {
	var spy harness.Spy[int]
	errOne, errTwo, errAlways := errors.New("one"), errors.New("two"), errors.New("always")
	spy.FailNext(2, errOne)
	spy.FailNext(1, errTwo)
	spy.FailAlways(errAlways)
	var got []error
	for i := range 5 {
		got = append(got, spy.Call(i))
	}
	spy.FailAlways(nil)
	got = append(got, spy.Call(5))
	assert.Equal(t, []error{errOne, errOne, errTwo, errAlways, errAlways, nil}, got)
	assert.Equal(t, []int{0, 1, 2, 3, 4, 5}, spy.Calls())
	assert.Equal(t, 6, spy.Count())
}

func TestSpy_isSafeForConcurrentUse(t *testing.T) {
	var spy harness.Spy[int]
	spy.FailNext(50, errors.New("no"))
	var failed harness.Spy[error]
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if err := spy.Call(i); err != nil {
				_ = failed.Call(err)
			}
		})
	}
	wg.Wait()
	assert.Equal(t, 100, spy.Count())
	assert.Equal(t, 50, failed.Count())
}

func TestPublisherSpy_passesOnWhatItIsNotToldToFail(t *testing.T) {
	next := &harness.PublisherSpy{}
	spy := &harness.PublisherSpy{Next: next}
	errDown := errors.New("down")
	spy.Calls.FailNext(1, errDown)
	assert.ErrorIs(t, spy.Publish(t.Context(), text{topic: "a"}), errDown)
	assert.NoError(t, spy.Publish(t.Context(), text{topic: "b"}, text{topic: "c"}))
	assert.Equal(t, 3, spy.Calls.Count())
	assert.Equal(t, []adapter.Event{text{topic: "b"}, text{topic: "c"}}, next.Calls.Calls())
}

func TestHandlerSpy_failsBeforeTheHandler(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		inner := &harness.HandlerSpy{}
		outer := &harness.HandlerSpy{Next: inner}
		outer.Calls.FailNext(2, errors.New("down"))
		h.Subscribe(adapter.Subscription{Topics: []string{"t"}, Group: "g", Handler: outer})
		rec := h.Publish(text{topic: "t"})
		h.Settle()
		assert.Equal(t, 3, h.Fate(rec).Attempts)
		assert.Equal(t, 3, outer.Calls.Count())
		assert.Equal(t, 1, inner.Calls.Count())
		assert.Equal(t, []int{1, 2, 3}, attempts(outer))
	})
}

func attempts(spy *harness.HandlerSpy) []int {
	var as []int
	for _, m := range spy.Calls.Calls() {
		as = append(as, m.Attempt)
	}
	return as
}

// repository shows what a double of a port is made of.
type repository struct{ Saves harness.Spy[string] }

func (r *repository) Save(_ context.Context, order string) error { return r.Saves.Call(order) }

func ExampleSpy() {
	repo := &repository{}
	repo.Saves.FailNext(1, errors.New("database is down"))
	fmt.Println(repo.Save(context.Background(), "order-1"))
	fmt.Println(repo.Save(context.Background(), "order-1"))
	fmt.Println(repo.Saves.Count(), repo.Saves.Calls())
	// Output:
	// database is down
	// <nil>
	// 2 [order-1 order-1]
}

func ExampleHandleBatch() {
	handler := adapter.BatchHandlerFunc(func(_ context.Context, b *adapter.Batch) error {
		for _, m := range b.Messages {
			if len(m.Value) == 0 {
				return errors.New("an empty order")
			}
			b.ResolveOffset(m.Offset)
		}
		return nil
	})
	batch := harness.NewBatch("orders", []*adapter.Message{{Value: []byte("a")}, {Value: nil}}, harness.BatchConfig{FirstOffset: 100})
	calls, err := harness.HandleBatch(context.Background(), handler, batch)
	fmt.Println(err, calls.Resolved, batch.UncommittedOffsets())
	// Output: an empty order [100] map[orders:map[0:101]]
}
