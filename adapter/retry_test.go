package adapter

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestRetryPolicy_backoffDoublesWithinItsBounds(t *testing.T) {
	policy := RetryPolicy{}.withDefaults()
	full := 200 * time.Millisecond
	for failed := 1; failed <= 70; failed++ {
		lowest, highest := time.Hour, time.Duration(0)
		for range 200 {
			d := policy.backoff(failed)
			lowest, highest = min(lowest, d), max(highest, d)
		}
		assert.GreaterOrEqual(t, lowest, full/2, "after %d", failed)
		assert.LessOrEqual(t, highest, full, "after %d", failed)
		assert.Less(t, lowest, highest, "no jitter after %d", failed)
		full = min(2*full, 30*time.Second)
	}
}

func TestRetryPolicy_backoffOfOddPolicies(t *testing.T) {
	for _, p := range []RetryPolicy{
		{MinBackoff: 1, MaxBackoff: 1},
		{MinBackoff: time.Minute},
		{MaxBackoff: time.Millisecond},
		{MinBackoff: 3 * time.Second, MaxBackoff: 4 * time.Second},
		{MinBackoff: 1<<63 - 1},
	} {
		p = p.withDefaults()
		for failed := 1; failed < 100; failed++ {
			d := p.backoff(failed)
			assert.GreaterOrEqual(t, d, p.MinBackoff/2, "%+v", p)
			assert.LessOrEqual(t, d, p.MaxBackoff, "%+v", p)
		}
	}
}

func TestAttemptsError_keepsTheLastError(t *testing.T) {
	cause := errors.New("disk full")
	err := error(&AttemptsError{Attempts: 3, Err: cause})
	assert.ErrorIs(t, err, cause)
	assert.EqualError(t, err, "failed 3 times, the last time with: disk full")
}
