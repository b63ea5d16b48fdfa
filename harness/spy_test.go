package harness_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

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

func TestSpy_failsUntilATime(t *testing.T) {
	harness.Run(t, func(t *testing.T, _ *harness.Harness) {
		var spy harness.Spy[int]
		spy.FailNext(1, errors.New("next"))
		spy.FailUntil(time.Now().Add(time.Hour), errBad)
		assert.ErrorIs(t, spy.Call(1), errBad)
		time.Sleep(time.Hour - 1)
		assert.ErrorIs(t, spy.Call(2), errBad)
		time.Sleep(time.Nanosecond)
		assert.EqualError(t, spy.Call(3), "next", "what comes after waits until then")
		assert.NoError(t, spy.Call(4))
		spy.FailUntil(time.Now().Add(time.Hour), errBad)
		spy.FailUntil(time.Now(), nil)
		assert.NoError(t, spy.Call(5))
		assert.Equal(t, time.Hour, spy.Log()[2].At.Sub(spy.Log()[0].At))
	})
}

func TestSpy_failsInTheMiddleToo(t *testing.T) {
	var spy harness.Spy[int]
	spy.FailNext(2, nil)
	spy.FailNext(1, errBad)
	assert.Equal(t, []error{nil, nil, errBad, nil}, []error{spy.Call(1), spy.Call(2), spy.Call(3), spy.Call(4)})
	assert.Equal(t, errBad, spy.Log()[2].Err)
	assert.Equal(t, "4 calls", spy.String())
}

func TestSpy_blocksUntilReleased(t *testing.T) {
	onBothClocks(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		var spy harness.Spy[string]
		release, again := spy.Block(), spy.Block()
		spy.FailNext(1, errBad)
		h.Subscribe(adapter.Subscription{Topics: []string{"t"}, Group: "g", Handler: adapter.HandlerFunc(func(ctx context.Context, m *adapter.Message) adapter.Result {
			if err := spy.CallContext(ctx, string(m.Value)); err != nil {
				return adapter.Retry(err)
			}
			return adapter.Commit()
		})})
		rec := h.Publish(text{"t", "", "a"})
		h.Until(func() bool { return spy.Waiting() == 1 })
		assert.Equal(t, []string{"a"}, spy.Calls())
		assert.True(t, spy.Log()[0].Returned.IsZero())
		assert.Equal(t, "1 call, 1 of them waiting", spy.String())
		release()
		release()
		assert.Equal(t, 1, spy.Waiting(), "one block is left")
		again()
		h.Settle()
		assert.Equal(t, 2, h.Fate(rec).Attempts)
		assert.Equal(t, "2 calls", spy.String())
		assert.False(t, spy.Log()[0].Returned.IsZero())
	})
}

func TestSpy_waitsNoLongerThanTheContext(t *testing.T) {
	harness.Run(t, func(t *testing.T, _ *harness.Harness) {
		var spy harness.Spy[int]
		release := spy.Block()
		defer release()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errBad)
		defer cancel()
		start := time.Now()
		assert.ErrorIs(t, spy.CallContext(ctx, 1), errBad)
		assert.Equal(t, time.Minute, time.Since(start))
		assert.Equal(t, harness.SpyCall[int]{Arg: 1, At: start, Returned: start.Add(time.Minute), Err: errBad}, spy.Log()[0])
		assert.Zero(t, spy.Waiting())
	})
}

func TestSpy_refusesWhatCannotBeMeant(t *testing.T) {
	var spy harness.Spy[int]
	assert.PanicsWithValue(t, "harness: FailNext(-1): it cannot be negative", func() { spy.FailNext(-1, errBad) })
	assert.PanicsWithValue(t, "harness: FailUntil: the error is nil, so that no call would fail", func() { spy.FailUntil(time.Now().Add(time.Hour), nil) })
	var gate harness.GateSpy
	assert.PanicsWithValue(t, "harness: GateSpy.Down: the error is nil: use Up", func() { gate.Down(nil) })
	assert.PanicsWithValue(t, "harness: GateSpy.DownUntil: the error is nil: use Up", func() { gate.DownUntil(time.Now(), nil) })
}

func TestStub_returnsWhatIsScripted(t *testing.T) {
	var stub harness.Stub[string, int]
	call := func(arg string) string {
		v, err := stub.Call(t.Context(), arg)
		return fmt.Sprint(v, " ", err)
	}
	assert.Equal(t, "0 <nil>", call("a"), "the zero value")
	stub.ReturnNext(1, 2)
	stub.Calls.FailNext(1, nil)
	stub.Calls.FailNext(1, errBad)
	stub.ReturnNext(3)
	assert.Equal(t, []string{"1 <nil>", "0 bad", "2 <nil>", "3 <nil>"}, []string{call("b"), call("c"), call("d"), call("e")})

	assert.Equal(t, "0 harness: a call with f, after 3 values: the stub has no value left: ReturnAlways says what comes then", call("f"))
	assert.ErrorIs(t, stub.Calls.Log()[5].Err, harness.ErrNoValue)
	stub.ReturnAlways(7)
	assert.Equal(t, []string{"7 <nil>", "7 <nil>"}, []string{call("g"), call("h")})
	assert.Equal(t, []string{"a", "b", "c", "d", "e", "f", "g", "h"}, stub.Calls.Calls())
}

func TestStub_passesOnWhatIsNotScripted(t *testing.T) {
	stub := harness.Stub[int, int]{Next: func(_ context.Context, n int) (int, error) {
		if n < 0 {
			return 0, errBad
		}
		return 2 * n, nil
	}}
	stub.ReturnNext(1)
	stub.Calls.FailNext(1, errBad)
	var got []string
	for _, n := range []int{5, 5, 5, -1} {
		v, err := stub.Call(t.Context(), n)
		got = append(got, fmt.Sprint(v, " ", err))
	}
	assert.Equal(t, []string{"0 bad", "1 <nil>", "10 <nil>", "0 bad"}, got)
	assert.Equal(t, errBad, stub.Calls.Log()[3].Err, "what Next returned is recorded")
}

func TestStub_isSafeForConcurrentUse(t *testing.T) {
	var stub harness.Stub[int, int]
	stub.ReturnNext(make([]int, 50)...)
	stub.ReturnAlways(1)
	var sum harness.Spy[int]
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if v, err := stub.Call(t.Context(), i); err == nil && v == 1 {
				_ = sum.Call(v)
			}
		})
	}
	wg.Wait()
	assert.Equal(t, 100, stub.Calls.Count())
	assert.Equal(t, 50, sum.Count())
}

func TestGateSpy_isUpOrDown(t *testing.T) {
	harness.Run(t, func(t *testing.T, _ *harness.Harness) {
		var gate harness.GateSpy
		check := func() error { return gate.Check(t.Context()) }
		assert.NoError(t, check())
		gate.Down(errBad)
		assert.ErrorIs(t, check(), errBad)
		gate.Up()
		assert.NoError(t, check())
		gate.DownUntil(time.Now().Add(time.Hour), errBad)
		assert.ErrorIs(t, check(), errBad)
		time.Sleep(time.Hour)
		assert.NoError(t, check())
		gate.DownUntil(time.Now().Add(time.Hour), errBad)
		gate.Up()
		assert.NoError(t, check())
		assert.Equal(t, 6, gate.Calls.Count())
	})
}

func TestPublisherSpy_recordsWhatBecameOfEachEvent(t *testing.T) {
	next := &harness.PublisherSpy{}
	spy := &harness.PublisherSpy{Next: next}
	next.Calls.FailNext(1, errBad)
	assert.ErrorIs(t, spy.Publish(t.Context(), text{topic: "a"}, text{topic: "b"}), errBad)
	spy.Calls.FailNext(1, nil)
	spy.Calls.FailNext(1, errBad)
	assert.ErrorIs(t, spy.Publish(t.Context(), text{topic: "c"}, text{topic: "d"}, text{topic: "e"}), errBad)
	var got []string
	for _, c := range spy.Calls.Log() {
		got = append(got, fmt.Sprint(c.Arg.TopicName(), " ", c.Err))
	}
	assert.Equal(t, []string{"a bad", "b bad", "c bad", "d bad"}, got)
	assert.Equal(t, 1, next.Calls.Count())
}

func TestHandlerSpy_returnsWhatIsScripted(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		inner := &harness.HandlerSpy{}
		spy := &harness.HandlerSpy{Next: inner}
		spy.ReturnNext(adapter.RetryAfter(errBad, time.Hour), adapter.Reject(errBad))
		h.Subscribe(adapter.Subscription{Topics: []string{"t"}, Group: "g", Handler: spy, Order: adapter.ByPartition})
		first, second := h.Publish(text{topic: "t"}), h.Publish(text{topic: "t"})
		h.Settle()
		assertKind(t, harness.DeadLettered, h.Fate(first))
		assertKind(t, harness.Committed, h.Fate(second))
		assert.Equal(t, 1, inner.Calls.Count())
		assert.Equal(t, errBad, spy.Calls.Log()[1].Err)
		assert.Equal(t, time.Hour, spy.Calls.Log()[1].At.Sub(spy.Calls.Log()[0].At))
	})
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
