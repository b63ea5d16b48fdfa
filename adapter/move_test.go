package adapter

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestObstacle(t *testing.T) {
	for _, c := range []struct {
		err  error
		want obstacle
	}{
		{nil, passing},
		{&TimeoutError{}, passing},
		{&NotConnectedError{}, passing},
		{&UnknownTopicError{}, passing},
		{&RefusedError{retry: true}, passing},
		{&TooLargeError{}, tooLarge},
		{&RefusedError{}, forGood},
		{ErrClosed, forGood},
		{errors.New("odd"), forGood},
	} {
		assert.Equal(t, c.want, obstacleOf(c.err), "%T %v", c.err, c.err)
	}
}

func TestOwnTopics_thoseThatAreConsumed(t *testing.T) {
	s := ownTopicsSpec{group: "g", sources: []string{"t"}, tiers: []time.Duration{time.Minute}, deadLetters: true, redrive: true}
	assert.Equal(t, map[string]ownTopic{
		"t":            {name: "t", source: "t"},
		"t.g.retry.1m": {name: "t.g.retry.1m", source: "t", kind: retryTopic, delay: time.Minute},
		"t.g.redrive":  {name: "t.g.redrive", source: "t", kind: redriveTopic},
	}, s.consumed())
}
